"""Commands of the documents work in bash, zsh, cmd.exe and PowerShell."""

import re
import subprocess
import sys

import pytest

from helpers import ROOT

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

PROGRAMS = r"(?:\S*/)?(?:forgetting|pip|make|uv|ray) "

SPECIAL = re.compile(r"[\[\]*?{}()<>|&;,#~'\\\\]")
"""What one of the shells takes for itself outside of quotes; a comma makes two of PowerShell's."""

WITHIN_QUOTES = re.compile(r"[$`!%]")
"""What one of the shells replaces within double quotes."""


def commands(text):
    """Yield the commands of a document: indented lines, and code in the middle of a line."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(rf"^ {{4,}}({PROGRAMS}.*)$", prose, re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^ {4,}.*$", "", prose, flags=re.MULTILINE))
    for span in spans:
        if re.match(PROGRAMS, span) or re.match(r"\+?\"?[a-z_]+(?:[.@][a-z_]+)+=", span):
            yield span


def unquoted(command):
    """Return a command without what stands in double quotes."""
    return re.sub(r'"[^"]*"', "", command)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_quote_for_every_shell(path):
    for command in commands(path.read_text(encoding="utf-8")):
        assert not SPECIAL.search(unquoted(command)), command
        for quoted in re.findall(r'"([^"]*)"', command):
            assert not WITHIN_QUOTES.search(quoted), command


@pytest.mark.parametrize(
    "command",
    ["forgetting render film.crop=[1,1]", "forgetting render 'a.b=c'", "forgetting a # b"],
)
def test_commands_that_a_shell_would_change(command):
    assert [*commands(f"text\n\n    {command}\n")] == [command]
    assert SPECIAL.search(unquoted(command))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["render", "dream", "faces"])
def test_help_quotes_for_every_shell(verb):
    shown = subprocess.run(
        [sys.executable, "-m", "forgetting", verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    examples = re.findall(rf"^ *({PROGRAMS}.*?)(?:  .*)?$", shown, re.MULTILINE)
    for command in examples:
        assert not SPECIAL.search(unquoted(command.replace("[key=value ...]", ""))), command
