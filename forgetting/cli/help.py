"""Help for the verbs whose arguments are Hydra's, written from the config files themselves."""

from __future__ import annotations

from typing import Any

import yaml
from omegaconf import OmegaConf
from rich.table import Table
from rich.text import Text

from forgetting.cli.console import out, styled
from forgetting.jobs.config_groups import (
    Setting,
    compose_choices,
    group_options,
    groups_of,
    root_settings,
)
from forgetting.parts import package_parts
from forgetting.safe_yaml import load_yaml


def wants_help(arguments: list[str]) -> bool:
    """Return whether the arguments ask for help."""
    return any(argument in ("--help", "-h") for argument in arguments)


_EXAMPLES = {
    "render": (
        ("forgetting render", "the default film"),
        ("forgetting render experiment=quick", "a film in seconds, of a small network"),
        ("forgetting render experiment=dissolve latent.seed=7", "another strategy, another face"),
        ("forgetting render ordering=random ordering.seed=3 film.duration=10", "another ordering"),
        ('forgetting render -m "latent.seed=1,2,3" "operator=zero,average"', "a sweep: six films"),
        ("forgetting render plan=outputs/.../plan.npz film=gif film.size=256", "the film as a GIF"),
        ("forgetting render experiment=diptych", "the face beside the map of its memory"),
        (
            "forgetting render units=mapping operator=average",
            "another kind of units: channels, styles, weights, mapping, or a list",
        ),
        ("forgetting render film.every=24", "a rough cut: every 24th frame"),
        (
            "forgetting render plan=look/plan.npz render.shard=1/2 hydra.run.dir=parts/1",
            "one of two parts, for 'forgetting join'",
        ),
        ("forgetting render hydra.run.dir=my/folder", "into a folder; again resumes the film"),
    ),
    "dream": (
        ("forgetting dream", "a short journey from strokes to things"),
        (
            "forgetting dream dream=dive objective.layers=blocks.15.depthwise.0 film.duration=30",
            "a dive into one layer",
        ),
        ("forgetting dream dream=still source=photograph source.path=PICTURE", "upon a picture"),
        (
            "forgetting dream dream=still source=face objective=class objective.name=castle",
            "upon a face, of castles",
        ),
        (
            "forgetting dream dream=breathe source=photograph source.path=PICTURE",
            "comes and goes, in a loop",
        ),
        ("forgetting dream dream=over source=film source.path=outputs/...", "upon a film"),
        ("forgetting dream experiment=last_dream", "units are ablated while it dreams"),
        (
            "forgetting dream schedule=linear ordering=random operator=noise film=gif",
            "units are ablated as in render",
        ),
        (
            'forgetting dream -m "classifier=squeezenet-imagenet,efficientnet-lite2" '
            '"source.seed=1,2"',
            "a sweep: four films",
        ),
        ("forgetting dream film.size=256 hydra.run.dir=my/folder", "in a quarter of the time"),
    ),
    "preview": (
        ("forgetting preview", "the contact sheet of the default film, and its plan"),
        ("forgetting preview experiment=quick schedule.until=0.8", "in seconds"),
    ),
    "faces": (
        ("forgetting faces", "the faces of seeds 0 to 63"),
        ("forgetting faces latent.seed=64-255", "others"),
        ('forgetting faces "latent.seed=3,23,41"', "these"),
        ("forgetting faces generator=digiface-dcgan latent.psi=1", "of another network"),
        ("forgetting faces generator=file generator.path=NETWORK.pkl", "of your own"),
        ("forgetting faces hydra.run.dir=my/folder", "into a folder; again replaces them"),
    ),
    "layers": (
        ("forgetting layers", "of the default network"),
        ("forgetting layers generator=digiface-dcgan", "of another one"),
        ("forgetting layers classifier=googlenet", "of a network that dreams"),
    ),
}


def print_help(verb: str) -> None:
    """Print examples, every group with its options and settings, and all further settings."""
    usage = "\n[b]forgetting {verb}[/b] [dim]{arguments}[/dim]\n\nExamples"
    out.print(styled(usage, verb=verb, arguments="[key=value ...]"))
    table = _table()
    for command, description in _EXAMPLES[verb]:
        table.add_row(Text(command, "cyan"), Text(description, "dim"))
    out.print(table)
    if verb in ("faces", "layers"):
        return
    config, choices = compose_choices((), verb)
    for group, description in groups_of(verb).items():
        out.print(styled("\n[b]{group}[/b] [dim]{about}", group=group, about=description))
        out.print(_group_table(group, verb, config, choices.get(group)))
    out.print(styled("\n[b]further settings[/b]"))
    table = _table()
    for setting in root_settings(verb):
        value = "..." if "${" in setting.value else setting.value
        table.add_row(f"{setting.key}={value}", Text(setting.comment, "dim"))
    out.print(table)
    out.print(styled(_CLOSING))


_CLOSING = """
Flags: [b]-m[/b] makes a sweep of values that are separated by commas, [b]--cfg job[/b] prints \
the config,
[b]--log-file=PATH[/b] writes a log, [b]-q[/b] and [b]-v[/b] print less and more.
Text may hold any characters; quote it for your shell with double quotes: \
[b]"film.title=Don't forget"[/b].
${{KEY}} in a value names another setting.
Your own experiments: write [b]DIR/experiment/NAME.yaml[/b] and add \
[b]--config-dir DIR experiment=NAME[/b].
"""


def _group_table(group: str, verb: str, config: Any, chosen: str | None) -> Table:
    """Return the options of a group, the default first, each with its settings."""
    table, printed = _table(), set[str]()
    options = group_options(group, verb, nested=True)
    for option in sorted(options, key=lambda option: option.name != chosen):
        default = " (default)" if option.name == chosen else ""
        table.add_row(
            Text(f"{group}={option.name}", "cyan"),
            Text.assemble(option.description, (default, "dim")),
        )
        for setting in option.settings:
            if setting.key not in printed:  # settings that options share are printed with the first
                value = _default_value(setting, config) if default else setting.value
                table.add_row(f"  {setting.key}={value}", Text(setting.comment, "dim"))
            printed.add(setting.key)
    for name in sorted(name for name, _ in package_parts()):
        if name.startswith(f"{group}/"):
            option_name = name.partition("/")[2]
            package = option_name.partition(".")[0]
            table.add_row(Text(f"{group}={option_name}", "cyan"), f"of the package {package}")
    return table


def _default_value(setting: Setting, config: Any) -> str:
    """Return the value of a setting in the default film, whose experiment may change it."""
    value = OmegaConf.select(config, setting.key)
    if OmegaConf.is_config(value) or value == load_yaml(setting.value, setting.key):
        return setting.value
    return str(yaml.safe_dump(value)).partition("\n")[0]


def _table() -> Table:
    return Table(box=None, show_header=False, padding=(0, 2))
