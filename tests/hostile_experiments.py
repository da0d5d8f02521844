"""Experiments of strangers that ask for more than settings of a film.

MARKER stands for a file that must not appear, ELSEWHERE for a folder that must not be read.
"""

GLOBAL = "# @package _global_\n"
MARK = (
    "_target_: pathlib.Path.write_text, self: {_target_: pathlib.Path, _args_: [MARKER]}, data: x"
)

TOUCH = "_target_: pathlib.Path.touch, self: {_target_: pathlib.Path, _args_: [MARKER]}"
LOGGING = (
    "{version: 1, handlers: {evil: {class: logging.FileHandler, filename: MARKER}}, "
    "root: {handlers: [evil]}}"
)

HOSTILE_EXPERIMENTS = {
    "callbacks": GLOBAL + f"hydra: {{callbacks: {{evil: {{{TOUCH}}}}}}}",
    "callbacks in the sweeper": GLOBAL + f"hydra: {{sweeper: {{_target_: x, evil: {{{MARK}}}}}}}",
    "environment": GLOBAL + "hydra: {job: {env_set: {IMAGEIO_FFMPEG_EXE: MARKER}}}",
    "job logging": GLOBAL + f"hydra: {{job_logging: {LOGGING}}}",
    "hydra logging": GLOBAL + f"hydra: {{hydra_logging: {LOGGING}}}",
    "run folder": GLOBAL + "hydra: {run: {dir: MARKER}}",
    "search path": GLOBAL + "hydra: {searchpath: ['file://MARKER']}",
    "launcher": GLOBAL
    + "defaults: [{override /hydra/launcher: submitit_local}]\n"
    + "hydra: {launcher: {setup: ['touch MARKER']}}",
    "only the launcher's choice": GLOBAL + "defaults: [{override /hydra/launcher: joblib}]",
    "package of a default": GLOBAL + "defaults: [{/operator@hydra.callbacks.evil: zero}]",
    "package in the header": "# @package hydra.job.env_set\nIMAGEIO_FFMPEG_EXE: MARKER",
    "two headers": "\n# @package hydra.job\nenv_set: {IMAGEIO_FFMPEG_EXE: MARKER}",
    "a secret in a title": GLOBAL + "film: {title: '${oc.env:SECRET}'}",
    "a nested secret": GLOBAL + "film: {title: 'a ${film.${oc.env:SECRET}} b'}",
    "our own resolver": GLOBAL + "film: {title: '${recipe_name:}'}",
    "a key of hydra": GLOBAL + "film: {title: '${hydra.runtime.cwd}'}",
    "a swept environment": GLOBAL
    + "hydra: {mode: MULTIRUN, sweeper: {params: {+hydra.job.env_set.IMAGEIO_FFMPEG_EXE: MARKER}}}",
    "a swept package": GLOBAL
    + "hydra: {mode: MULTIRUN, sweeper: {params: {'+operator@hydra.callbacks.evil': zero}}}",
    "a swept secret": GLOBAL
    + "hydra: {mode: MULTIRUN, sweeper: {params: {film.title: '$\\{oc.env\\:SECRET\\}'}}}",
    "swept code": GLOBAL
    + "defaults: [{override /generator: module}]\n"
    + "hydra: {mode: MULTIRUN, sweeper: {params: {generator.factory: 'evil:make'}}}",
    "a swept cluster": GLOBAL + "hydra: {mode: MULTIRUN, sweeper: {params: {cluster: ray}}}",
    "a cluster": GLOBAL + "cluster: {_target_: cluster/ray, address: 'ray://192.0.2.1:1'}",
    "the choice of a cluster": GLOBAL + "defaults: [{override /cluster: ray}]",
    "a file elsewhere": GLOBAL + "defaults: [../../elsewhere/evil]",
    "an option elsewhere": GLOBAL + "defaults: [{override /film: ../../elsewhere/evil}]",
    "an absolute file": GLOBAL + "defaults: [/ELSEWHERE/evil]",
    "a hidden file": GLOBAL + "defaults: [/.hidden/evil]",
    "an interpolated file": GLOBAL + "defaults: ['${oc.env:SECRET}']",
    "a merged node": GLOBAL
    + "x: &x {hydra: {job: {env_set: {IMAGEIO_FFMPEG_EXE: MARKER}}}}\n<<: *x",
    "python objects": GLOBAL + "film: {title: !!python/object/apply:os.system ['touch MARKER']}",
    "laughs": GLOBAL
    + "a0: &a0 [x]\n"
    + "".join(f"a{k + 1}: &a{k + 1} [{', '.join([f'*a{k}'] * 10)}]\n" for k in range(9)),
    "depths": "[" * 20_000,
    "itself": "film: &f {title: *f}",
}
