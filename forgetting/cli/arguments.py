"""What stands behind a verb: flags and settings, made ready for Hydra.

A shell passes any text as a value, and Hydra's grammar knows fewer characters: letters beyond
ASCII, apostrophes and brackets have to be quoted for it. This module does that for the user, and
answers what is neither a setting nor a flag with one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from forgetting.cli.overrides import quote_override
from forgetting.errors import RequestError
from forgetting.jobs.config_groups import CONFIGS, all_settings, groups_of
from forgetting.printable import quoted, shell_command

FLAGS = {
    "--multirun": "-m",
    "--resolve": "",
    "--run": "-r",
    "--hydra-help": "",
}
"""Flags of Hydra that verbs have -> their short forms."""

FLAGS_WITH_VALUE = {
    "--config-dir": "-cd",
    "--cfg": "-c",
    "--package": "-p",
    "--info": "-i",
    "--config-path": "-cp",
    "--config-name": "-cn",
    "--experimental-rerun": "",
}
"""Flags of Hydra that take a value; the last three are refused with reasons of their own."""

OWN_FLAGS = ("--quiet", "--verbose", "--log-file", "--force", "--help", "--version")
"""Flags that are taken out of the arguments before."""

CHOICES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
"""Values that a flag may have."""

_LONG = {short: flag for flag, short in {**FLAGS, **FLAGS_WITH_VALUE}.items() if short}


def prepare(words: Sequence[str], verb: str) -> list[str]:
    """Return the arguments for Hydra: flags first, then settings, quoted for its grammar.

    Args:
        words: what stands behind the verb, as the shell passed it.
        verb: of the command line.

    Raises:
        RequestError: a word is neither a flag of Hydra nor a setting.
    """
    flags, overrides, waiting = list[str](), list[str](), list(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("-"):
            flags += _flag(word, waiting, verb)
        else:
            overrides.append(word if "=" in word or word.startswith("~") else _plain(word, verb))
    sweep = is_sweep(flags) or "hydra.mode=MULTIRUN" in overrides
    return [*flags, *(quote_override(override, sweep) for override in overrides)]


def is_sweep(arguments: Sequence[str]) -> bool:
    """Return whether the arguments ask for a sweep."""
    return any(argument in ("-m", "--multirun") for argument in arguments)


def _flag(word: str, waiting: list[str], verb: str) -> list[str]:
    """Return a flag and its value; the value is taken from the words that wait if need be."""
    name, equals, value = word.partition("=")
    flag = _LONG.get(name, name)
    if flag in FLAGS and not equals:
        return [flag]
    if flag not in FLAGS_WITH_VALUE:
        raise _unknown_flag(word, waiting, verb)
    if not equals:
        optional = flag == "--info" and (not waiting or waiting[0] not in CHOICES[flag])
        if optional:
            return [flag]
        if not waiting:
            raise RequestError(f"{name} needs a value, as in {name} VALUE")
        value = waiting.pop(0)
    if value not in (choices := CHOICES.get(flag, (value,))):
        raise RequestError(f"{flag} takes {', '.join(choices)}, got {value!r}")
    return [f"{flag}={value}"]


def _unknown_flag(word: str, waiting: Sequence[str], verb: str) -> RequestError:
    """Return the error of a flag that nobody knows; most are settings of a film."""
    name, equals, value = word.partition("=")
    name = name.lstrip("-").replace("-", "_")
    if word in ("--shell-completion", "-sc"):
        return RequestError(
            f"{word} is a flag of Hydra that does nothing here; "
            "forgetting --install-completion sets up completion for your shell"
        )
    if not equals and waiting and "=" not in waiting[0] and not waiting[0].startswith("-"):
        value = waiting[0]
    key = _nearest_setting(name, verb)
    if key is not None:
        setting = quoted(f"{key}={value or 'VALUE'}")
        return RequestError(
            f"there is no flag {word}; settings are written key=value: did you mean {setting}?"
        )
    flags = [
        *FLAGS,
        *FLAGS_WITH_VALUE,
        "--quiet",
        "--verbose",
        "--log-file",
        "--force",
        "--help",
        "--version",
    ]
    near = get_close_matches(word.partition("=")[0], flags, n=1, cutoff=0.6)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return RequestError(
        f"there is no flag {word}{hint}; settings are written key=value, as in film.fps=12, and "
        f"{shell_command(verb, '--help')} lists them"
    )


def _nearest_setting(name: str, verb: str) -> str | None:
    """Return the setting or group whose name is ``name``, or nearly so."""
    settings = [*groups_of(verb), *all_settings(verb)]
    if name in settings:
        return name
    by_last: dict[str, str] = {}
    for key in settings:
        by_last.setdefault(key.rpartition(".")[2], key)
    near = get_close_matches(name, by_last, n=1, cutoff=0.8)
    dotted = get_close_matches(name, settings, n=1, cutoff=0.8)
    return by_last[near[0]] if near else dotted[0] if dotted else None


def _plain(word: str, verb: str) -> str:
    """Return the setting that a word without ``=`` stands for: the path of a recipe.

    Raises:
        RequestError: it stands for none.
    """
    path = Path(word)
    if path.suffix in (".yaml", ".yml"):
        return f"recipe={word}"
    said = f"{word!r} is not understood"
    if (CONFIGS / "experiment" / f"{word}.yaml").is_file():
        raise RequestError(f"{said}; did you mean experiment={word}?")
    if path.suffix == ".npz":
        raise RequestError(f"{said}; did you mean {quoted(f'plan={word}')}?")
    if (path / "recipe.yaml").is_file():
        raise RequestError(
            f"{said}; to make the film of that folder again, run: "
            f"{shell_command(verb, path / 'recipe.yaml')}; to resume it: "
            f"{shell_command('resume', path)}"
        )
    raise RequestError(
        f"{said}; write key=value without spaces around the sign, for instance "
        "experiment=dissolve or latent.seed=7"
    )
