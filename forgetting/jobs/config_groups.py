"""What can be set: the config folder, its groups and their options, whose comments are the help."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

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
class Option:
    """One file of a group.

    Args:
        name: as in ``GROUP=NAME``.
        description: its first comment.
        default: whether it is chosen where nothing else is.
        settings: dotted key, value and comment of each.
    """

    name: str
    description: str
    default: bool
    settings: tuple[tuple[str, str, str], ...]


def group_options(group: str, verb: str = "render") -> list[Option]:
    """Return the options of a group, the default first.

    Settings of experiments are left to their files.
    """
    root = (CONFIGS / f"{root_config(verb)}.yaml").read_text(encoding="utf-8")
    options = []
    for path in sorted((CONFIGS / group).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        if group == "experiment" and _root_of_experiment(text) != root_config(verb):
            continue
        default = f"- {group}: {path.stem}\n" in root
        settings = [] if group == "experiment" else _settings(group, text)
        options.append(Option(path.stem, _description(text), default, tuple(settings)))
    return sorted(options, key=lambda option: not option.default)


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
    comments = (line[2:] for line in text.splitlines() if line.startswith("# "))
    return next((comment for comment in comments if "@package" not in comment), "")


def _settings(group: str, text: str) -> list[tuple[str, str, str]]:
    """Return dotted key, value and comment of every setting in an option's file."""
    prefix = "" if "@package _global_" in text else f"{group}."
    settings, parent = [], ""
    for line in text.splitlines():
        if match := re.match(r"( *)(\w+):(?: ([^#]*?))?(?:  # (.*))?$", line):
            indent, key, value, comment = match.groups()
            parent = parent if indent else ("" if value else f"{key}.")
            dotted = f"{prefix}{parent if indent else ''}{key}"
            hidden = key == "_target_" or dotted in ("generator.name", "classifier.name")
            if value and not hidden:
                settings.append((dotted, value.strip(), comment or ""))
    return settings


def known_settings(where: str, arguments: list[str], verb: str = "render") -> list[str]:
    """Return the dotted keys under a config node.

    Args:
        where: dotted key of the node; empty for the root.
        arguments: of the command line; the options that they choose decide which keys exist.
        verb: of the command line.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf

    groups = groups_of(verb)
    choices = [
        argument
        for argument in arguments
        if argument.partition("=")[0] in groups and "," not in argument
    ]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        try:
            config = compose(root_config(verb), choices)
        except HydraException:
            config = compose(root_config(verb))
    node = OmegaConf.select(config, where) if where else config
    if not isinstance(node, DictConfig):
        return list(groups)
    prefix = f"{where}." if where else ""
    return [prefix + str(key) for key in node if key != "_target_"]
