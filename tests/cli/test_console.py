"""What the command line prints: progress without a terminal, and one sentence for every error."""

import io
import logging
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from hydra.errors import MissingConfigException

from forgetting import dependencies, progress
from forgetting.cli import console, progress_display, tables
from forgetting.cli.explain import explain
from forgetting.errors import MAX_SENTENCE, ForgettingError, RequestError
from forgetting.jobs.sweep import RunStatus
from hostile_names import HOSTILE_NAMES, obeyed


@pytest.mark.parametrize(("launcher", "extra"), dependencies.LAUNCHERS.items())
def test_a_launcher_that_is_not_installed_gets_a_sentence_with_its_extra(launcher, extra):
    """Hydra lists only the launchers that are installed."""
    error = MissingConfigException("", f"hydra/launcher/{launcher}", ["basic"])
    assert f'pip install "forgetting[{extra}]" installs it' in str(explain(error, []))


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns: ``clock.now`` in seconds."""
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(progress_display, "time", clock)
    return clock


def work(clock, seconds, what="rendering", total=None):
    """Iterate over items that take those seconds, under the progress of the command line."""
    with console.report_errors([]):
        for taken in progress.track(seconds, what, total):
            clock.now += taken
    return clock.now


def test_progress_without_a_terminal_is_a_line_a_minute(clock, capsys):
    assert progress_display.LINE_SECONDS == 60
    work(clock, [30] * 10, "rendering [bold]", 10)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "rendering [bold] ...",
        "rendering [bold]: 2 of 10 (20 %), 2.0/min, 4 min left",
        "rendering [bold]: 4 of 10 (40 %), 2.0/min, 3 min left",
        "rendering [bold]: 6 of 10 (60 %), 2.0/min, 2 min left",
        "rendering [bold]: 8 of 10 (80 %), 2.0/min, 60 s left",
        "rendering [bold]: 10 of 10 (100 %), 2.0/min, 0 s left",
    ]


def test_short_work_prints_one_line(clock, capsys):
    work(clock, [1] * 50, total=50)
    assert capsys.readouterr().err == "rendering ...\n"


def test_progress_of_unknown_length_has_a_count_and_a_rate(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress_display, "LINE_SECONDS", 0.0)
    states = iter(["waiting", "on one node", "on two nodes"])
    work(clock, [0.25, 0.25], lambda: next(states))
    assert capsys.readouterr().err.splitlines() == [
        "waiting ...",
        "on one node: 1, 4.0/s",
        "on two nodes: 2, 4.0/s",
    ]


def test_progress_lines_of_a_render(command_line, monkeypatch):
    monkeypatch.setattr(progress_display, "LINE_SECONDS", 0.0)
    film = ["generator=toy", "engine=torch", "film.fps=3", "film.duration=1"]
    result = command_line("render", *film, "film.preset=ultrafast", "measure.names=none")
    assert result.exit_code == 0, result.output
    shares = [line for line in result.stderr.splitlines() if line.startswith("rendering frames: ")]
    assert [line.partition("),")[0] for line in shares] == [
        f"rendering frames: {count} of 3 ({share} %"
        for count, share in ((1, 33), (2, 67), (3, 100))
    ]
    assert all(line.endswith(" s left") for line in shares)


def test_the_log_is_printed_only_while_a_verb_runs(capsys, caplog):
    log, logger = logging.getLogger("forgetting.jobs.run"), logging.getLogger("forgetting")
    before = logger.level, list(logger.handlers)
    with console.report_errors([]):
        log.info("the film is [finished]")
        log.debug("in detail")
    log.warning("afterwards")
    assert capsys.readouterr() == ("", "the film is [finished]\n")
    assert (logger.level, list(logger.handlers)) == before


def test_nothing_is_printed_where_nobody_asks_for_progress(capsys):
    assert list(progress.track(range(3), "rendering", 3)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (RequestError("too [green]"), 2, "forgetting: too [green]\n"),
        (ForgettingError("the disk is full"), 1, "forgetting: the disk is full\n"),
        (
            ValueError("odd\nlines"),
            1,
            "forgetting: ValueError: odd lines (set FORGETTING_TRACEBACK=1 to see where)\n",
        ),
    ],
)
def test_an_error_is_one_sentence_and_an_exit_code(capsys, monkeypatch, error, code, sentence):
    monkeypatch.setattr(console.err, "_width", 1000)
    monkeypatch.delenv("FORGETTING_TRACEBACK", raising=False)
    with pytest.raises(typer.Exit) as ended, console.report_errors([]):
        raise error
    assert ended.value.exit_code == code
    assert capsys.readouterr() == ("", sentence)
    monkeypatch.setenv("FORGETTING_TRACEBACK", "1")
    with pytest.raises(type(error)), console.report_errors([]):
        raise error


@pytest.fixture
def printed(monkeypatch):
    """The text of both consoles, as a terminal would get it: a function that returns it."""
    output = io.StringIO()
    # Half a character could not be reported by pytest.
    monkeypatch.setattr(logging.getLogger("forgetting"), "propagate", False)
    for console_ in (console.out, console.err):
        monkeypatch.setattr(console_, "_file", output)
        monkeypatch.setattr(console_, "_width", 10_000)
    return output.getvalue


def log_of_another_library(name):
    record = logging.LogRecord("other", logging.WARNING, "", 0, "odd file %s", (name,), None)
    logging.lastResort.handle(record)


def progress_bar(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console.err, "_force_terminal", True)
        patch.setattr(console.err, "is_interactive", True)
        patch.setattr(console.err, "_color_system", None)
        list(progress.track(range(2), f"reading {name}", 2))


def sweep_status(name):
    return RunStatus(Path(name), "failed", 1, 2, f"{name} failed", f"film.title={name}")


SINKS = {
    "a log": lambda name: logging.getLogger("forgetting.film").info("the film %s", name),
    "a log of others": log_of_another_library,
    "a warning of others": lambda name: warnings.showwarning(name, UserWarning, "a.py", 1),
    "progress": lambda name: list(progress.track(range(2), f"reading {name}", 2)),
    "a progress bar": progress_bar,
    "a path": lambda name: console.print_timed(lambda: Path(name)),
    "a table of runs": lambda name: console.out.print(
        tables.sweep_table(Path(name), [sweep_status(name)])
    ),
    "a ranking": lambda name: console.out.print(tables.ranking_table([name, name], [[name, name]])),
    "a styled line": lambda name: console.out.print(
        console.styled("[b]{a}[/b] is {b}", a=name, b=1)
    ),
    "anything": lambda name: console.out.print(name),
}


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_nothing_that_is_printed_is_obeyed(printed, sink, name):
    """A terminal obeys none of it, Rich reads no markup in it, and it begins no line."""
    name = name[:5000]
    with console.report_errors([]):
        SINKS[sink](name)
    text = printed()
    # Rich moves the cursor of a progress bar, which ends with clearing its line.
    shown = re.sub(r"\x1b\[[\dA-Z?;]+[hlKAm]|\r", "", text) if sink == "a progress bar" else text
    assert not obeyed(shown)
    if sink != "anything":
        assert "\nforgetting" not in shown
    if "[/bold]" in name:
        assert "[/bold] [red]a[/]" in shown
    shown.encode()


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
@pytest.mark.parametrize("kind", [RequestError, ValueError])
def test_errors_about_names_are_not_obeyed(printed, name, kind):
    with pytest.raises(typer.Exit), console.report_errors([]):
        raise kind(f"{name} is wrong")
    (line,) = printed().splitlines()
    assert line.startswith("forgetting: ")
    assert not obeyed(line)
    assert len(line) < MAX_SENTENCE + 20
