"""Shell completion of groups, options and keys, as bash, zsh and fish ask for it."""

import re
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from forgetting.cli.main import app
from forgetting.jobs.config_groups import DREAMS, GROUPS, root_settings


def complete(shell, *words):
    """Return the words that complete the last of ``words``, as the shell's script gets them."""
    line = " ".join(("forgetting", *words))
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words))},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    environment = {"_FORGETTING_COMPLETE": f"complete_{shell}", **asked}
    result = CliRunner().invoke(app, [], env=environment, prog_name="forgetting")
    assert result.stderr == ""
    if shell == "zsh":
        return re.findall(r'"([^"]*)":"', result.stdout)
    return [line.partition("\t")[0] for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_groups_and_keys(shell):
    assert {"ordering=", "ordering.seed=", "ordering.layers="} <= set(
        complete(shell, "render", "o")
    )
    assert complete(shell, "render", "film.au") == [
        "film.audio=",
        "film.audio_fade=",
        "film.audio_loop=",
    ]
    assert complete(shell, "preview", "-m", "latent.seed=1,2", "schedule.unt") == [
        "schedule.until="
    ]
    assert complete(shell, "render", "nothing") == []


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_all_groups_of_a_verb(shell):
    for verb, groups in (("render", GROUPS), ("dream", DREAMS)):
        words = complete(shell, verb, "")
        of_no_group = {f"{setting.key}=" for setting in root_settings(verb)}
        keys = {f"{group}=" for group in groups} | of_no_group
        assert {word for word in words if "." not in word} | of_no_group == keys


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_options_where_a_setting_is_one_word(shell):
    assert complete(shell, "render", "ordering=ra") == ["ordering=random"]
    assert complete(shell, "render", "-m", "latent.seed=1", "engine=") == [
        "engine=auto",
        "engine=openvino",
        "engine=torch",
    ]
    assert complete(shell, "dream", "objective=ch") == ["objective=channel"]
    assert complete(shell, "render", "objective=ch") == [], "a group of dreams"
    assert complete(shell, "render", "film.fps=2") == [], "a number"


def test_options_where_bash_splits_a_setting_into_three_words():
    """Bash keeps what is before the sign."""
    assert complete("bash", "render", "ordering", "=", "ra") == ["random"]
    engines = ["auto", "openvino", "torch"]
    assert complete("bash", "render", "-m", "latent.seed", "=", "1", "engine", "=") == engines
    assert complete("bash", "dream", "objective", "=", "ch") == ["channel"]
    assert complete("bash", "render", "objective", "=", "ch") == []
    assert complete("bash", "render", "film.fps", "=", "2") == []
    assert complete("bash", "render", "ordering=ra") == ["ordering=random"], "if it does not split"


def test_experiments_of_the_verb():
    assert "dissolve" in complete("bash", "render", "experiment", "=")
    assert complete("bash", "dream", "experiment", "=") == ["last_dream", "places"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home, and options that take the name of the shell instead of looking for it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_shown_and_installed(home, shell):
    shown = CliRunner().invoke(app, ["--show-completion", shell], prog_name="forgetting")
    assert shown.exit_code == 0
    assert f"_FORGETTING_COMPLETE=complete_{shell}" in shown.stdout
    installed = CliRunner().invoke(app, ["--install-completion", shell], prog_name="forgetting")
    assert installed.exit_code == 0, installed.output
    scripts = [path.read_text() for path in home.rglob("*") if path.is_file()]
    assert any(f"_FORGETTING_COMPLETE=complete_{shell}" in script for script in scripts)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")
def test_bash_itself(home):
    """The installed script, called as bash calls it when somebody presses Tab."""
    program = home / "forgetting"
    program.write_text(f"#!{sys.executable}\nfrom forgetting.__main__ import main\nmain()\n")
    program.chmod(0o755)
    CliRunner().invoke(app, ["--install-completion", "bash"], prog_name="forgetting")
    press_tab = (
        f"source {home}/.bash_completions/forgetting.sh; "
        "COMP_WORDS=(forgetting render ordering = ra); COMP_CWORD=4; "
        f'_forgetting_completion {program}; echo "${{COMPREPLY[*]}}"'
    )
    done = subprocess.run(["bash", "-c", press_tab], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["random"], done.stderr
