"""What can be set: the config folder, its groups and their options, whose comments are the help."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetting.errors import RequestError

_PACKAGED = Path(__file__).parents[1] / "configs"
CONFIGS = _PACKAGED if _PACKAGED.exists() else Path(__file__).parents[2] / "configs"
"""The config folder: inside the package once installed, at the top of the repository before."""

GROUPS = {
    "experiment": "a whole film, chosen by name",
    "generator": "the network whose units are ablated",
    "latent": "the face",
    "noise": "what the network's noise does",
    "ordering": "in which order units are ablated",
    "operator": "what replaces an ablated unit",
    "schedule": "when units are ablated",
    "pacing": "what the schedule counts: units, or visible change",
    "film": "how the film is written",
    "engine": "what runs the network",
    "cluster": "machines that render the film, instead of this process",
}

DREAMS = {
    "experiment": "a whole film, chosen by name",
    "dream": "how a frame depends on the frame before",
    "classifier": "the network that dreams",
    "objective": "what the dream increases",
    "source": "the picture or film that is dreamed upon",
    "ascent": "how the dream changes the picture",
    **{
        group: GROUPS[group]
        for group in ("ordering", "operator", "schedule", "film", "engine", "cluster")
    },
}

RENAMED = {"film.wall": "film.grid", "film.ground": "film.background", "sight": "classifier"}
"""Keys by their names of earlier versions -> their names today."""


def renamed_key(old: str) -> RequestError:
    """Return the error of a key that has another name now."""
    return RequestError(f"the key {old} is called {RENAMED[old]} now; write {RENAMED[old]}")


def root_config(verb: str) -> str:
    """Return the name of the config that a verb starts from."""
    return "dream" if verb == "dream" else "config"


def groups_of(verb: str) -> dict[str, str]:
    """Return the groups of a verb, and what each decides."""
    return DREAMS if verb == "dream" else GROUPS


@dataclass(frozen=True)
class Setting:
    """A setting as a config file shows it.

    Args:
        key: dotted.
        value: as YAML.
        comment: what it means.
    """

    key: str
    value: str
    comment: str


@dataclass(frozen=True)
class Option:
    """One file of a group.

    Args:
        name: as in ``GROUP=NAME``.
        description: its first comment.
        settings: those that its file sets.
        inherited: keys of the settings that it takes from other options of its group.
    """

    name: str
    description: str
    settings: tuple[Setting, ...]
    inherited: frozenset[str] = frozenset()


def group_options(group: str, verb: str = "render", nested: bool = False) -> list[Option]:
    """Return the options of a group.

    Settings of experiments are left to their files.

    Args:
        group: its name.
        verb: of the command line.
        nested: whether options in folders of the group, such as ``cookbook/NAME``, are wanted too.
    """
    options, folder = [], CONFIGS / group
    for path in sorted(folder.glob("*.yaml")) + (sorted(folder.glob("*/*.yaml")) if nested else []):
        text = path.read_text(encoding="utf-8")
        if group == "experiment" and _root_of_experiment(text) != root_config(verb):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        settings = () if group == "experiment" else _file_settings(group, text)
        inherited = {setting.key for setting in _inherited(group, text)}
        options.append(Option(name, _description(text), settings, frozenset(inherited)))
    return options


def root_settings(verb: str) -> tuple[Setting, ...]:
    """Return the settings that belong to no group."""
    text = (CONFIGS / f"{root_config(verb)}.yaml").read_text(encoding="utf-8")
    shown = ("hydra.run.dir", "hydra.sweep.dir")
    return tuple(
        setting
        for setting in _file_settings("", text)
        if not setting.key.startswith("hydra.") or setting.key in shown
    )


def all_settings(verb: str) -> list[str]:
    """Return the dotted keys of all settings of a verb."""
    keys = [setting.key for setting in root_settings(verb)]
    for group in groups_of(verb):
        keys += [
            setting.key for option in group_options(group, verb) for setting in option.settings
        ]
    return list(dict.fromkeys(keys))


def options_with(key: str, verb: str) -> list[str]:
    """Return the options, of the group that a dotted key belongs to, that have this setting."""
    group = key.partition(".")[0]
    if group not in groups_of(verb) or "." not in key:
        return []
    return [
        option.name
        for option in group_options(group, verb)
        if key in option.inherited or any(setting.key == key for setting in option.settings)
    ]


def experiment_of_other_verb(arguments: list[str], verb: str) -> str | None:
    """Return the experiment among the arguments that belongs to another verb, if there is one."""
    for argument in arguments:
        key, _, name = argument.partition("=")
        path = CONFIGS / "experiment" / f"{name}.yaml"
        if key == "experiment" and path.exists():
            text = path.read_text(encoding="utf-8")
            if _root_of_experiment(text) != root_config(verb):
                return name
    return None


def _root_of_experiment(text: str) -> str:
    """Return the name of the config that an experiment changes, by what it overrides."""
    return "dream" if "override /dream:" in text else "config"


def _description(text: str) -> str:
    """Return the first sentence of the comment at the top of a file."""
    lines = [line[2:] for line in text.splitlines() if re.match(r"# (?!@package)", line)]
    return re.split(r"(?<=\w[.]) ", " ".join(lines))[0].rstrip(".") if lines else ""


def _inherited(group: str, text: str) -> Iterator[Setting]:
    """Yield the settings of the other options of its group that a file begins with."""
    for name in re.findall(r"^  - (\w+)$", text, re.MULTILINE):
        path = CONFIGS / group / f"{name}.yaml"
        if name != "_self_" and path.exists():
            parent = path.read_text(encoding="utf-8")
            yield from _inherited(group, parent)
            yield from _file_settings(group, parent)


def _file_settings(group: str, text: str) -> tuple[Setting, ...]:
    """Return every setting in the file of an option; ``group`` is empty for the root config."""
    prefix = [] if not group or "@package _global_" in text else [group]
    settings, parents = [], list[tuple[int, str]]()
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        match = re.match(r"( *)(\w+):(?: ([^#]*?))?(?:  # (.*))?$", line)
        if match is None:
            continue
        indent, key, value, comment = match.groups()
        parents = [parent for parent in parents if parent[0] < len(indent)]
        dotted = ".".join([*prefix, *(name for _, name in parents), key])
        if not value and following.strip().startswith("- ") and key != "defaults":
            value = "[...]"
        if not value:
            parents.append((len(indent), key))
        elif key != "_target_" and dotted not in ("generator.name", "classifier.name"):
            settings.append(Setting(dotted, value.strip(), comment or ""))
    return tuple(settings)


def compose_choices(choices: Sequence[str], verb: str = "render") -> tuple[Any, dict[str, Any]]:
    """Return the config of these choices, unresolved, and the option of every group in it.

    Args:
        choices: ``GROUP=NAME``; those that cannot be composed are left out altogether.
        verb: of the command line.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    root = root_config(verb)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        try:
            config = compose(root, list(choices), return_hydra_config=True)
        except HydraException:
            config = compose(root, return_hydra_config=True)
    options = OmegaConf.to_container(config.hydra.runtime.choices)
    assert isinstance(options, dict)
    return config, {str(group): option for group, option in options.items()}


def group_choices(arguments: Iterable[str], verb: str) -> list[str]:
    """Return the arguments that choose one option of a group."""
    groups = groups_of(verb)
    return [
        argument
        for argument in arguments
        if argument.partition("=")[0] in groups and "," not in argument
    ]


def known_settings(where: str, arguments: list[str], verb: str = "render") -> list[str]:
    """Return the dotted keys under a config node.

    Args:
        where: dotted key of the node; empty for the root.
        arguments: of the command line; the options that they choose decide which keys exist.
        verb: of the command line.
    """
    from omegaconf import DictConfig, OmegaConf

    config, _ = compose_choices(group_choices(arguments, verb), verb)
    node = OmegaConf.select(config, where) if where else config
    if where.partition(".")[0] == "hydra" or not isinstance(node, DictConfig):
        return list(groups_of(verb))
    prefix = f"{where}." if where else ""
    return [prefix + str(key) for key in node if key not in ("_target_", "hydra")]
