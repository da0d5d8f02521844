"""The command line: verbs, settings, and one sentence for every wrong request."""

import os
import re
import sys
from dataclasses import replace
from importlib.metadata import version

import pytest

from forgetting.ablation import activations
from forgetting.ablation import plan as plans
from forgetting.film.recipe import segment_key
from forgetting.jobs.config_groups import GROUPS
from forgetting.models.checkpoints import native
from forgetting.models.units import Units
from helpers import TINY, sample_ws

pytestmark = pytest.mark.slow

QUICK = [
    "generator=toy",
    "engine=torch",
    "film.fps=3",
    "film.duration=1",
    "film.preset=ultrafast",
    "measure.names=none",
]


def test_render_puts_everything_into_a_folder_of_its_own(command_line, tmp_path):
    result = command_line("render", *QUICK)
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "outputs").iterdir()
    assert sorted(p.name for p in folder.iterdir()) == [
        "film.mp4",
        "plan.npz",
        "poster.png",
        "recipe.yaml",
        "sheet.png",
        "summary.json",
    ]
    assert str(folder / "film.mp4") in result.output


def test_a_run_in_a_folder_of_choice(command_line, tmp_path):
    assert command_line("render", *QUICK, "hydra.run.dir=my/folder").exit_code == 0
    assert (tmp_path / "my/folder/film.mp4").exists()


def test_a_sweep(command_line, tmp_path):
    result = command_line(
        "render", "-m", *QUICK, "operator=zero,mean", "latent.seed=1,2", "hydra.sweep.dir=sweep"
    )
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "sweep").glob("*/film.mp4"))) == 4


def test_a_sweep_says_which_run_it_makes_and_every_notice_once(command_line):
    result = command_line("render", "-m", *QUICK, "latent.seed=1,2", "film.title=a b,c")
    assert result.exit_code == 0, result.output
    runs = [line for line in result.stderr.splitlines() if line.startswith("run ")]
    assert [line.partition(":")[0] for line in runs] == [f"run {k} of 4" for k in (1, 2, 3, 4)]
    assert "latent.seed=1" in runs[0]
    assert result.stderr.count("torch in float32 on the CPU, as requested") == 1


@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_log_file(command_line, tmp_path, place):
    flag = ["--log-file=logs/film.log"]
    verb = [*flag, "render"] if place == "before" else ["render", *flag]
    assert command_line(*verb, "-q", *QUICK, "hydra.run.dir=run").exit_code == 0
    log = (tmp_path / "logs/film.log").read_text()
    assert re.search(r"^\d{4}-\d\d-\d\d [\d:,]+ rendering frames \.\.\.$", log, re.MULTILINE)
    assert "frames 0 to 2 are written" in log
    assert "run/film.mp4" in log
    assert command_line(*verb, *QUICK, "film.fps=0").exit_code == 2
    assert "film.fps must lie between" in (tmp_path / "logs/film.log").read_text()
    (tmp_path / "folder").mkdir()
    result = command_line("render", "--log-file=folder", *QUICK)
    assert result.exit_code == 2
    assert "--log-file=folder cannot be written" in result.output


def test_an_ordering_inside_an_ordering(command_line, tmp_path):
    arguments = [
        "ordering=layers",
        "ordering@ordering.inside=random",
        "ordering.inside.seed=5",
        "hydra.run.dir=run",
    ]
    assert command_line("render", *QUICK, *arguments).exit_code == 0
    recipe = (tmp_path / "run/recipe.yaml").read_text()
    assert re.search(r"inside:\n +_target_: ordering/random\n.*\n +seed: 5", recipe)


def test_an_experiment_of_a_user(command_line, tmp_path):
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/slow.yaml").write_text(
        "# @package _global_\nschedule:\n  until: 0.25\n"
    )
    assert (
        command_line(
            "render", "--config-dir", "mine", "experiment=slow", *QUICK, "hydra.run.dir=run"
        ).exit_code
        == 0
    )
    assert "until: 0.25" in (tmp_path / "run/recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "darkness"),
        (["operator.softness=0.1", "latent.seed=4"], "darkness"),
        (["experiment=dissolve", "ordering=layers"], "dissolve"),
        (["ordering=random"], None),
        (["+tracks.eyes.units=styles"], None),
    ],
)
def test_a_recipe_holds_the_name_of_its_experiment(command_line, tmp_path, arguments, name):
    assert command_line("preview", *QUICK, *arguments, "hydra.run.dir=run").exit_code == 0
    recipe = plans.load_plan(tmp_path / "run/plan.npz").recipe
    assert (f"  experiment: {name}\n" in recipe) == (name is not None)
    assert ("experiment:" in recipe) == (name is not None)


def test_the_name_of_an_experiment_changes_no_film(command_line, tmp_path):
    assert command_line("render", *QUICK, "hydra.run.dir=run").exit_code == 0
    made = (tmp_path / "run/film.mp4").stat().st_mtime_ns
    again = command_line("render", *QUICK, "experiment=darkness", "hydra.run.dir=run")
    assert "finished already" in again.output
    assert (tmp_path / "run/film.mp4").stat().st_mtime_ns == made
    plan = plans.load_plan(tmp_path / "run/plan.npz")
    renamed = replace(plan, recipe=plan.recipe.replace("experiment: darkness", "experiment: mine"))
    assert renamed.recipe != plan.recipe
    assert segment_key(renamed) == segment_key(plan)


def test_experiments_of_a_user_need_no_header(command_line, tmp_path):
    """Neither they nor those that they build on; settings that no film has are refused."""
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/base.yaml").write_text("latent:\n  seed: 3\n")
    (tmp_path / "mine/experiment/slow.yaml").write_text(
        "defaults: [base, override /schedule: linear]\nschedule:\n  until: 0.25\n"
    )
    (tmp_path / "mine/experiment/typo.yaml").write_text("schedul:\n  until: 0.25\n")
    mine = ["--config-dir", "mine", *QUICK]
    result = command_line("render", *mine, "experiment=slow", "hydra.run.dir=run")
    assert result.exit_code == 0, result.output
    recipe = (tmp_path / "run/recipe.yaml").read_text()
    assert "until: 0.25" in recipe
    assert "seed: 3" in recipe
    result = command_line("render", *mine, "experiment=typo")
    assert result.exit_code == 2
    assert "no setting 'schedul' (did you mean 'schedule'?)" in result.output


def test_a_plan_is_rendered_again(command_line, tmp_path):
    assert command_line("render", *QUICK, "latent.seed=3", "hydra.run.dir=first").exit_code == 0
    again = command_line(
        "render", "plan=first/plan.npz", "film=gif", "measure.names=none", "hydra.run.dir=second"
    )
    assert again.exit_code == 0, again.output
    assert (tmp_path / "second/film.gif").exists()
    assert "seed: 3" in (tmp_path / "second/recipe.yaml").read_text()
    assert (
        plans.load_plan(tmp_path / "second/plan.npz").ablation
        == plans.load_plan(tmp_path / "first/plan.npz").ablation
    ).all()


def test_a_preview_draws_the_contact_sheet(command_line, tmp_path):
    result = command_line("preview", *QUICK, "hydra.run.dir=run")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["plan.npz", "sheet.png"]


def test_layers_lists_layers_and_their_sizes(command_line):
    result = command_line("layers", "generator=toy")
    assert result.exit_code == 0, result.output
    assert re.search(r"b8.conv +8 x 8 +16 +2,592", result.output)
    assert re.search(r"all +52", result.output)


def test_files_with_special_characters_in_their_names(command_line, tmp_path, toy):
    path = tmp_path / "it's [a] = {net}, (1).safetensors"
    native.write_checkpoint(path, "toy", toy.hyperparameters, toy.state_dict(), "a test")
    for verb in ("layers", "preview"):
        engine = ["engine=torch"] if verb == "preview" else []
        result = command_line(verb, "generator=file", f"generator.path={path}", *engine)
        assert result.exit_code == 0, result.output


def test_models_lists_what_is_known_by_name(command_line):
    result = command_line("models")
    assert result.exit_code == 0, result.output
    for word in (
        "ffhq-mobile",
        "mobile_stylegan",
        "1024",
        "random-face==2021.7.21.1",
        "Apache-2.0",
        "digiface-dcgan",
        "toy",
    ):
        assert word in result.output


@pytest.mark.parametrize("verb", ["render", "preview"])
def test_help_shows_groups_options_settings_and_examples(command_line, verb):
    result = command_line(verb, "--help")
    assert result.exit_code == 0
    for word in (
        *GROUPS,
        "film.fps=24",
        "frames per second",
        "experiment=dissolve",
        "schedule.curve.ageing=8.7",
        "(default)",
        "or [start, end]",
    ):
        assert word in result.output, word
    assert "Traceback" not in result.output


BAD = [
    (
        ["ordering=randon"],
        "no ordering 'randon' (did you mean 'random'?); there is activation, cluster, contagion, "
        "contribution",
    ),
    (["schedule=linaer"], "(did you mean 'linear'?)"),
    (["operator=nothing"], "amplify, average, binarise"),
    (["generator=ffhq"], "did you mean 'ffhq-mobile'"),
    (["generator.name=ffhq"], "did you mean 'ffhq-mobile'"),
    (["experiment=darknes"], "did you mean 'darkness'"),
    (
        ["film.fsp=3"],
        "no setting 'film.fsp' (did you mean 'film.fps'?); there is film.fps, film.duration",
    ),
    (["schedule=gompertz", "schedule.curve.aging=3"], "did you mean 'schedule.curve.ageing'"),
    (["flim.fps=3"], "no setting 'flim' (did you mean 'film'?)"),
    (["orderng=random"], "did you mean 'ordering'"),
    (["+film.sound=1"], "no setting 'film.sound'"),
    (["ordering.layers=b99"], "no layer 'b99'"),
    (["ordering.layers=[b4.conv:77]"], "0-15"),
    (["film.fps=0"], "film.fps must lie between 0.01 and 240, got 0"),
    (["film.fps=null"], "film.fps must be a number"),
    (["film.duration=0"], "film.duration must lie between"),
    (["film.size=333"], "must be even for mp4"),
    (["latent.psi=70"], "latent.psi must lie between -2 and 2, got 70"),
    (["latent.seed=-1"], "latent.seed"),
    (["schedule.until=7"], "schedule.until"),
    (["schedule.hold=[0.1,0.1,0.1]"], "one share of the film or two, got (0.1, 0.1, 0.1)"),
    (
        ["ordering=layers", "ordering.order=[b4.conv]", "ordering.layers=[b8.conv]"],
        "have no unit in common",
    ),
    (["ordering.layers=[[b4.conv]]"], "must be text or a list of texts"),
    (["schedule.hold=[0.6,0.6]"], "leaves no time to move"),
    (["schedule.direction=sideways"], "forget, remember, there_and_back"),
    (["operator.softness=2"], "operator.softness"),
    (["pacing.probes=0"], "pacing.probes"),
    (["render.shard=9/8"], "render.shard must be K/N, the K-th of N parts, such as 2/8; got '9/8'"),
    (["film.every=0"], "film.every must lie between 1 and 1000000, got 0"),
    (["engine.device=tpu"], "no engine.device 'tpu'"),
    (["plan=nowhere.npz"], "there is no plan at nowhere.npz"),
    (["darkness"], "did you mean experiment=darkness?"),
    (["dark"], "write key=value"),
    (["+new.key=1"], "no setting 'new' (did you mean 'noise'?)"),
    (["+measure.every=1"], "no setting 'measure.every'"),
    (["schedule.until=0.5"], "schedule=darkness, the default, has no setting 'schedule.until'"),
    (["schedule.until=0.5"], "write schedule=linear schedule.until=0.5"),
    (["ordering=random", "ordering.first=largest"], "ordering=random has no setting"),
    (["film.crop=9:16"], "as in \"film.crop=[9,16]\", got '9:16'"),
    (["film.canvas=[10,10]"], "film.canvas must lie between 64 and 16384, got 10"),
    (["latent.seed=1,2"], "latent.seed=1,2 holds several values; add -m"),
    (
        ["--fps", "12"],
        "there is no flag --fps; settings are written key=value: did you mean film.f",
    ),
    (["--seed=3"], "did you mean latent.seed=3?"),
    (["--multi"], "there is no flag --multi"),
    (["--shell-completion"], "forgetting --install-completion sets up completion"),
    (["--cfg", "everything"], "--cfg takes job, hydra, all, got 'everything'"),
    (["--config-dir"], "--config-dir needs a value"),
    (["--log-file"], "--log-file needs the path of a file"),
    (["film.title=a ${nothing}"], "the setting film.title names what does not exist"),
    (["film.title=a ${nothing"], "holds a ${ that is not closed"),
    (["film.title=a\\${b}"], "the recipe of a film cannot hold ${"),
    (["nowhere/recipe.yaml"], "there is no recipe at nowhere/recipe.yaml"),
    (["nowhere/plan.npz"], "did you mean plan=nowhere/plan.npz?"),
    (["film._target_=os.system"], "no part 'os.system'; film may name film/film"),
    (["film.wall=3x3"], "the key film.wall is called film.grid now; write film.grid"),
    (["+film.wall=3x3"], "the key film.wall is called film.grid now; write film.grid"),
    (
        ["film.ground=white"],
        "the key film.ground is called film.background now; write film.background",
    ),
    (["sight=vgg16"], "the key sight is called classifier now; write classifier"),
    (["latent={_target_: os.system}"], "no part 'os.system'"),
    (
        ["latent={_target_: os.system, command: ls}"],
        "no setting 'latent.command' (did you mean 'latent.seed'?); there is latent.seed, "
        "latent.psi",
    ),
    (["generator=null"], "a part cannot be null"),
    (["operator={softness: 0.1, softnes: 1}"], "did you mean 'operator.softness'"),
]


@pytest.mark.parametrize(
    ("arguments", "sentence"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD]
)
def test_wrong_requests_get_one_sentence(command_line, tmp_path, arguments, sentence):
    toy = [] if "generator" in arguments[0] else ["generator=toy", "engine=torch"]
    result = command_line("render", *toy, *arguments)
    assert result.exit_code == 2, result.output
    assert sentence in result.output
    assert result.output.count("forgetting: ") == 1
    progress = r".* \.\.\.|torch in .*"
    lines = result.output.strip().splitlines()
    sentences = [line for line in lines if not re.fullmatch(progress, line)]
    assert len(sentences) == 1, sentences
    assert not list(tmp_path.rglob("film*"))


OLD_KEYS = {
    "film: {wall: 3x3}": "the key film.wall is called film.grid now; write film.grid",
    "film: {ground: null}": "the key film.ground is called film.background now",
    "sight: {weights: PATH}": "the key sight is called classifier now; write classifier",
    "defaults: [{override /sight: vgg16}]": "the key sight is called classifier now",
}


@pytest.mark.parametrize("text", OLD_KEYS)
@pytest.mark.parametrize("verb", ["render", "dream"])
def test_old_keys_in_the_experiment_of_a_user_get_the_new_name(command_line, tmp_path, verb, text):
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/old.yaml").write_text(f"# @package _global_\n{text}\n")
    result = command_line(verb, "--config-dir", "mine", "experiment=old")
    assert result.exit_code == 2, result.output
    (sentence,) = result.output.strip().splitlines()
    assert sentence.startswith(f"forgetting: {OLD_KEYS[text]}")


@pytest.mark.parametrize("verb", ["render", "preview", "dream", "layers"])
@pytest.mark.parametrize(
    "argument", ["sight=vgg16", "sight.weights=PATH", "sight@classifier=vgg16"]
)
def test_the_old_group_of_classifiers_gets_the_new_name(command_line, verb, argument):
    result = command_line(verb, argument)
    assert result.exit_code == 2
    assert result.output == "forgetting: the key sight is called classifier now; write classifier\n"


@pytest.mark.parametrize("arguments", [["--version"], ["render", "--version"]])
def test_the_version(command_line, arguments):
    result = command_line(*arguments)
    assert (result.exit_code, result.output) == (0, f"forgetting {version('forgetting')}\n")


@pytest.mark.parametrize("before", [True, False], ids=["-q render", "render -q"])
@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_quiet_prints_results_and_errors_alone(command_line, flag, before):
    verb = [flag, "render"] if before else ["render", flag]
    result = command_line(*verb, *QUICK, "hydra.run.dir=run")
    assert result.exit_code == 0
    assert re.fullmatch(r"\S+/run/film\.mp4 \(\d+ s\)\n", result.stdout)
    assert result.stderr == ""
    result = command_line(*verb, *QUICK, "film.fps=0")
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"forgetting: film\.fps must [^\n]*\n", result.stderr)


def test_verbose_prints_more_than_usual_and_only_while_it_is_asked_for(command_line):
    outputs = []
    for number, verb in enumerate(
        (["render"], ["-v", "render"], ["render", "--verbose"], ["render"])
    ):
        result = command_line(*verb, *QUICK, f"hydra.run.dir=run{number}")
        assert result.exit_code == 0
        outputs.append(result.stderr.splitlines())
    usual, first, second, last = outputs
    assert "torch in float32 on the CPU, as requested" in usual
    for verbose in (first, second):
        assert set(usual) < set(verbose)
        assert "frames 0 to 2 are written" in verbose
    assert last == usual


def test_what_hydra_needs_is_set_only_while_a_verb_runs(command_line, monkeypatch):
    """``sys.argv`` and ``HYDRA_FULL_ERROR`` are as before, whether the verb fails or not."""
    argv = ["a", "notebook"]
    monkeypatch.setattr(sys, "argv", argv)
    for before in (None, "0"):
        if before is None:
            monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        else:
            monkeypatch.setenv("HYDRA_FULL_ERROR", before)
        for arguments, code in ((["film.fps=0"], 2), (["film.fsp=3"], 2), ([], 0)):
            assert command_line("preview", *QUICK, *arguments).exit_code == code
            assert sys.argv is argv
            assert argv == ["a", "notebook"]
            assert os.environ.get("HYDRA_FULL_ERROR") == before


def test_a_failed_run_exits_with_one(command_line, tmp_path):
    (tmp_path / "file").write_text("")
    result = command_line("render", *QUICK, "hydra.run.dir=file/run")
    assert result.exit_code == 1
    assert "choose another folder with hydra.run.dir=PATH" in result.output
    assert "Traceback" not in result.output


def test_a_wrong_sweep_gets_one_sentence(command_line):
    result = command_line("render", "-m", *QUICK, "latent.seed=1,-5")
    assert result.exit_code == 2
    assert "latent.seed must lie between 0 and 4294967295, got -5" in result.output


def test_fetching_an_unknown_model(command_line):
    result = command_line("models", "fetch", "nobody")
    assert result.exit_code == 2
    assert "no model 'nobody'" in result.output


def test_resume_and_join(command_line, tmp_path):
    for k in (1, 2):
        result = command_line(
            "render", *QUICK, "film.segment=1", f"render.shard={k}/2", f"hydra.run.dir={k}"
        )
        assert result.exit_code == 0, result.output
        assert f"part {k}/2 is finished; forgetting join" in result.output
    assert command_line("join", "1").exit_code == 2
    result = command_line("join", "1", "2", "--into", "whole")
    assert result.exit_code == 0, result.output
    assert "whole/film.mp4" in result.output
    assert command_line("resume", "1", "--shard", "3/2").exit_code == 2
    result = command_line("resume", "1")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "1/film.mp4").read_bytes() == (tmp_path / "whole/film.mp4").read_bytes()
    result = command_line("resume", "nowhere")
    assert result.exit_code == 2
    assert "there is no run in nowhere" in result.output


def test_the_library_does_not_print(capsys):
    toy = TINY["toy"]()
    activations.rms_over_faces(toy, Units(toy.layers), 3)
    assert sample_ws(toy).ndim == 3
    assert capsys.readouterr().out == ""
