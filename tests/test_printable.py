"""Text of strangers, and the sentences and commands that quote it."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from forgetting.errors import MAX_SENTENCE, CheckpointError, RequestError, one_line, unknown_name
from forgetting.printable import listed, printable, quoted, sentence, shell_command
from helpers import ROOT
from hostile_names import HOSTILE_NAMES, obeyed

SOURCES = sorted((ROOT / "forgetting").rglob("*.py"))


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_nothing_printable_is_obeyed(name):
    shown = printable(name)
    assert not obeyed(shown)
    assert "\n" not in shown
    assert shown.isascii()
    assert printable(shown) == shown
    shown.encode()


@pytest.mark.parametrize("text", ["", "plain", "l'été …", "忘却 の\u3000夢", "日本 🙂", "a\u00a0b"])
def test_text_in_any_language_stays_as_it_is(text):
    assert printable(text) == text


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_errors_are_one_printable_sentence(name):
    for error in (
        RequestError(f"{name} is wrong; choose another"),
        CheckpointError(f"it is wrong; choose another than {name}"),
        unknown_name("layer", name, ["a", "b"]),
        unknown_name("layer", "a", [name] * 40_000),
        RequestError(f"a file is wrong ({one_line(name)}); choose another"),
    ):
        said = str(error)
        assert len(said) <= MAX_SENTENCE
        assert not obeyed(said)
        assert "\n" not in said
        assert type(error)(*error.args).args == error.args  # as pickling does between processes


def test_sentences_are_cut_in_the_middle_and_say_so():
    said = str(RequestError(f"bad.pkl holds {'x' * 4_000_000}; choose another file"))
    assert re.search(r"^bad.pkl holds x+ \.\.\. \(3,99\d,\d\d\d more characters\) \.\.\. x+", said)
    assert said.endswith("; choose another file")
    whole = "y" * MAX_SENTENCE
    assert str(RequestError(whole)) == whole
    cut = sentence("z" * 1000, 100)
    left_out = int(re.search(r"\((\d+) more", cut)[1])
    assert cut.count("z") + left_out == 1000
    assert 90 < len(cut) <= 100


def test_long_lists_say_how_many_are_left_out():
    assert listed(["a", "b"]) == "a, b"
    assert listed(range(40_000), most=3) == "0, 1, 2 and 39,997 more"
    many = [f"layer{number}" for number in range(40_000)]
    assert str(unknown_name("layer", "layer12", many)) == (
        "no layer 'layer12' among 40,000; the nearest are layer12, layer912, layer812, layer712, "
        "layer612"
    )


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES.values() if "\0" not in name])
def test_suggested_commands_are_one_command_with_whole_words(name, tmp_path):
    if len(name) > 10_000:
        return
    name = name.replace("//", "/")  # as a path has it
    words = [Path(f"-{name}"), Path(name), f"film.title={name}", name]
    command = shell_command("render", *words)
    assert shlex.split(command) == ["forgetting", "render", f"./-{name}", *map(str, words[1:])]
    if "\udc80" not in name:
        printed = subprocess.run(
            ["sh", "-c", f"printf %s {quoted(name)}"], cwd=tmp_path, capture_output=True, check=True
        )
        assert printed.stdout.decode() == name
        assert not list(tmp_path.iterdir())


def joined_strings(path):
    return [node for node in ast.walk(ast.parse(path.read_text())) if type(node) is ast.JoinedStr]


QUOTING = {"shell_command", "quoted"}
VERBS = "render|dream|preview|resume|measure|sweep|compare|gallery|join|models|layers"


def test_every_suggested_command_is_quoted():
    """A value behind ``forgetting VERB`` in a text passes through the function that quotes it."""
    for path in SOURCES:
        for node in joined_strings(path):
            text = ""
            for part in node.values:
                if isinstance(part, ast.Constant):
                    text += part.value
                elif re.search(rf"forgetting (?:{VERBS})\b[^;)'\"]*$", text):
                    call = part.value
                    assert isinstance(call, ast.Call), (path, text)
                    assert call.func.id in QUOTING, (path, text)


def test_texts_for_logs_do_not_build_commands():
    """Such as "forgetting measure %s"."""
    for path in SOURCES:
        assert not re.search(r"forgetting [a-z]+ [^\"']*%s", path.read_text()), path
