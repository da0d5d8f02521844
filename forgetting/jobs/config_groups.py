"""What can be set: read off the config files, whose comments are the help."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_PACKAGED = Path(__file__).parents[1] / "configs"
CONFIGS = _PACKAGED if _PACKAGED.exists() else Path(__file__).parents[2] / "configs"
"""The config folder: inside the package once installed, at the top of the repository before."""

GROUPS = {
    "experiment": "a whole film, chosen by name",
    "generator": "whose memory it is",
    "latent": "which face",
    "noise": "what the noise does meanwhile",
    "ordering": "who dies when",
    "operator": "what a dying unit becomes",
    "schedule": "how loss runs over time",
    "pacing": "what the schedule counts: units, or what one sees",
    "film": "how it is written",
    "engine": "what runs the network",
    "cluster": "who makes it, besides this process",
}


DREAMS = {
    "experiment": "a whole film, chosen by name",
    "dream": "what a frame has to do with the one before",
    "classifier": "who dreams",
    "objective": "what of",
    "source": "dreamed upon what",
    "ascent": "how",
    **{
        group: GROUPS[group]
        for group in ("ordering", "operator", "schedule", "film", "engine", "cluster")
    },
}


def root_config(verb: str) -> str:
    """The name of the config that a verb begins with."""
    return "dream" if verb == "dream" else "config"


def groups_of(verb: str) -> dict[str, str]:
    """The groups of a verb, and what they decide."""
    return DREAMS if verb == "dream" else GROUPS


@dataclass(frozen=True)
class Option:
    """One file of a group: its name, its first comment, and its settings (dotted key, value, comment)."""

    name: str
    what: str
    default: bool
    settings: tuple[tuple[str, str, str], ...]


def group_options(group: str, verb: str = "render") -> list[Option]:
    """The options of a group, the default first; an experiment's settings are left to its file."""
    defaults = (CONFIGS / f"{root_config(verb)}.yaml").read_text(encoding="utf-8")
    options = []
    for path in sorted((CONFIGS / group).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        if group == "experiment" and _verb(text) != root_config(verb):
            continue
        what = next(
            (
                line[2:]
                for line in text.splitlines()
                if line.startswith("# ") and "@package" not in line
            ),
            "",
        )
        default = f"- {group}: {path.stem}\n" in defaults
        found = (
            ()
            if group == "experiment"
            else tuple(_settings("" if "@package _global_" in text else f"{group}.", text))
        )
        found = tuple(
            setting for setting in found if setting[0] not in ("generator.name", "classifier.name")
        )
        options.append(Option(path.stem, what, default, found))
    return sorted(options, key=lambda option: not option.default)


def experiment_of_other_verb(arguments: list[str], verb: str) -> str | None:
    """The experiment among the arguments that is one of another verb, if there is one."""
    for argument in arguments:
        key, _, name = argument.partition("=")
        path = CONFIGS / "experiment" / f"{name}.yaml"
        if (
            key == "experiment"
            and path.exists()
            and _verb(path.read_text(encoding="utf-8")) != root_config(verb)
        ):
            return name
    return None


def _verb(experiment: str) -> str:
    """The config that an experiment changes, by what it overrides."""
    return "dream" if "override /dream:" in experiment else "config"


def _settings(prefix: str, text: str) -> list[tuple[str, str, str]]:
    found, parent = [], ""
    for line in text.splitlines():
        if match := re.match(r"( *)(\w+):(?: ([^#]*?))?(?:  # (.*))?$", line):
            indent, key, value, comment = match.groups()
            parent = parent if indent else ("" if value else f"{key}.")
            if value and key != "_target_":
                found.append(
                    (f"{prefix}{parent if indent else ''}{key}", value.strip(), comment or "")
                )
    return found


def known_settings(where: str, arguments: list[str], verb: str = "render") -> list[str]:
    """The dotted keys that exist under the config node ``where`` ('' for the root), given the other arguments of a verb."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf

    choices = [
        argument
        for argument in arguments
        if argument.partition("=")[0] in groups_of(verb) and "," not in argument
    ]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        try:
            config = compose(root_config(verb), choices)
        except HydraException:
            config = compose(root_config(verb))
    node = OmegaConf.select(config, where) if where else config
    prefix = f"{where}." if where else ""
    return (
        [prefix + str(key) for key in node if key != "_target_"]
        if isinstance(node, DictConfig)
        else list(groups_of(verb))
    )
