"""Help for the verbs whose arguments are Hydra's, drawn from the config files themselves."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from forgetting.cli.console import out
from forgetting.jobs.config_groups import group_options, groups_of


def wants_help(arguments: list[str]) -> bool:
    """Whether somebody asks for help."""
    return any(argument in ("--help", "-h") for argument in arguments)


_EXAMPLES = {
    "render": (
        ("forgetting render", "the default film"),
        ("forgetting render experiment=quick", "a film in seconds, on a small network"),
        ("forgetting render experiment=dissolve latent.seed=7", "another strategy, another face"),
        (
            "forgetting render ordering=random ordering.seed=3 film.duration=10",
            "a part chosen, settings changed",
        ),
        ("forgetting render -m latent.seed=1,2,3 operator=zero,average", "a sweep: six films"),
        (
            "forgetting render plan=outputs/.../plan.npz film=gif film.size=256",
            "the same film again, as a GIF",
        ),
        ("forgetting render experiment=diptych", "the face beside the map of its memory"),
        (
            "forgetting render units=mapping operator=average",
            "what dies: channels, styles, weights, mapping, or a list of them",
        ),
        ("forgetting render film.every=24", "a rough cut"),
        (
            "forgetting render plan=look/plan.npz render.shard=1/2 hydra.run.dir=parts/1",
            "one of two parts, for 'forgetting join'",
        ),
        (
            "forgetting render hydra.run.dir=my/folder",
            "where to; the same again goes on where it stopped",
        ),
    ),
    "dream": (
        ("forgetting dream", "a short journey from strokes to things"),
        (
            "forgetting dream dream=dive objective.layers=features.11.expand3x3 film.duration=30",
            "a dive with one layer",
        ),
        (
            "forgetting dream dream=still source=photograph source.path=PICTURE",
            "a dream grows upon a picture",
        ),
        (
            "forgetting dream dream=still source=face objective=class objective.name=castle",
            "upon a face, of castles",
        ),
        (
            "forgetting dream dream=breathe source=photograph source.path=PICTURE",
            "comes and goes, in a loop",
        ),
        (
            "forgetting dream dream=over source=film source.path=outputs/...",
            "over a film, of a face that decays for instance",
        ),
        ("forgetting dream experiment=last_dream", "its neurons die while it dreams"),
        (
            "forgetting dream schedule=linear ordering=random operator=noise film=gif",
            "who dies, and how: as in render",
        ),
        (
            "forgetting dream -m classifier=squeezenet-imagenet,efficientnet-lite2 source.seed=1,2",
            "a sweep: four films",
        ),
        (
            "forgetting dream film.size=256 hydra.run.dir=my/folder",
            "a quarter of the time; the same again goes on where it stopped",
        ),
    ),
    "preview": (
        ("forgetting preview", "the default film's contact sheet, and its plan"),
        ("forgetting preview experiment=quick schedule.until=0.8", "seconds instead of minutes"),
    ),
    "layers": (
        ("forgetting layers", "the default network"),
        ("forgetting layers generator=digiface-dcgan", "another one"),
        ("forgetting layers classifier=googlenet", "one that dreams"),
    ),
}


def print_help(verb: str) -> None:
    """Help for somebody who has never heard of Hydra, drawn from the config files themselves."""
    out.print(f"\n[b]forgetting {verb}[/b] [dim]\\[key=value ...][/dim]\n\nExamples")
    table = Table(box=None, show_header=False, padding=(0, 2))
    for command, what in _EXAMPLES[verb]:
        table.add_row(f"[cyan]{command}", f"[dim]{what}")
    out.print(table)
    if verb == "layers":
        return
    for group, what in groups_of(verb).items():
        out.print(f"\n[b]{group}[/b] [dim]{what}")
        table, told = Table(box=None, show_header=False, padding=(0, 2)), set[str]()
        for option in group_options(group, verb):
            chosen = " (default)" if option.default else ""
            table.add_row(f"[cyan]{group}={option.name}", f"{escape(option.what)}[dim]{chosen}")
            for key, value, comment in option.settings:
                if key not in told:  # what all options of a group share is told with the first
                    table.add_row(f"  {key}={escape(value)}", f"[dim]{escape(comment)}")
                told.add(key)
        out.print(table)
    out.print(
        "\nA run's files are in a folder of its own under [b]outputs/[/b]. Your own experiments: put them into"
        "\n[b]DIR/experiment/NAME.yaml[/b] and say [b]--config-dir DIR experiment=NAME[/b]. All of this is Hydra's: sweeps (-m),"
        "\nlaunchers and [b]--cfg job[/b], which prints the config, work as its manual says.\n"
    )
