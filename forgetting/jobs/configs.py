"""From a resolved config to parts: every value is checked here, before anything slow begins.

A config is a tree of plain values; a node with the key ``_target_`` names a part of the registry
(:mod:`forgetting.parts`). Nothing outside of the registry is ever built, so a config from a
stranger is data and no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from forgetting.ablation.schedules import Schedule
from forgetting.ablation.tracks import TrackSpec, add_ending
from forgetting.analysis.measure import MeasureSettings
from forgetting.errors import RequestError, check_int, unknown_name
from forgetting.film.fonts import MAX_FACES, resolve
from forgetting.film.segments import parse_shard
from forgetting.jobs.setting_types import construct
from forgetting.parts import TARGET, find_part, package_of, part_fields
from forgetting.printable import quoted, shell_command

TRACK_KEYS = ("units", "ordering", "operator", "schedule", "pacing")
"""Keys of a config that make a track."""


@dataclass(frozen=True)
class Execution:
    """How a film is made and measured; none of its pictures depend on it.

    Args:
        shard: ``K/N`` renders the K-th of N parts of the film; None renders all of it.
        measure: what is measured of it.
        cluster: the settings of a cluster (the part ``cluster/ray``), or None for this process.
        trusted: packages whose parts may be imported.
    """

    shard: str | None = None
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    cluster: Any = None
    trusted: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.shard is not None:
            parse_shard(self.shard)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Execution:
        """Return the execution that a resolved config asks for."""
        cluster = config.get("cluster")
        return Execution(
            **settings_under(config, "render", ("shard",)),
            measure=measure_settings(config),
            cluster=None if cluster is None else build_part(cluster, "cluster"),
            trusted=trusted_packages(config),
        )


def measure_settings(config: Mapping[str, Any]) -> MeasureSettings:
    """Return what a config measures of its film.

    Raises:
        RequestError: a value that is not possible.
    """
    settings = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in settings_under(config, "measure", ("names", "rate")).items()
    }
    measure: MeasureSettings = construct(MeasureSettings, settings, "measure")
    return measure


def settings_under(
    config: Mapping[str, Any], key: str, known: Sequence[str] | None = None
) -> Mapping[str, Any]:
    """Return the settings under a root key, or none where it is null.

    Args:
        config: resolved.
        key: of the root.
        known: the names that there are; None allows any.

    Raises:
        RequestError: there are no settings under it, or one that is not known.
    """
    node = config.get(key)
    if node is not None and not isinstance(node, Mapping):
        example = known[0] if known else "KEY"
        raise RequestError(f"{key} must hold settings, as in {key}.{example}=VALUE, got {node!r}")
    for name in node or {}:
        if known is not None and name not in known:
            raise unknown_name("setting", f"{key}.{name}", [f"{key}.{name}" for name in known])
    return node or {}


def trusted_packages(config: Mapping[str, Any]) -> frozenset[str]:
    """Return the packages that ``trust`` names: one, or a list."""
    trust = config.get("trust") or ()
    if not isinstance(trust, str | Sequence):
        raise RequestError(f"trust must be a package or a list of packages, got {trust!r}")
    return frozenset([trust] if isinstance(trust, str) else map(str, trust))


def build_part(node: Any, where: str, trusted: Collection[str] = ()) -> Any:
    """Build a part, and the parts within it, from a config node; lists become tuples.

    Args:
        node: of the config. A node without ``_target_`` is a plain value.
        where: its dotted key, for messages. Where it is the name of a group, such as ``ordering``,
            the part must be one of that group.
        trusted: packages whose parts may be imported.

    Raises:
        RequestError: there is no such part, or a setting that the part does not have.
    """
    if isinstance(node, Mapping) and TARGET in node:
        cls = find_part(str(node[TARGET]), where, trusted)
        settings = {key: value for key, value in node.items() if key != TARGET}
        fields = [field.name for field in part_fields(cls)]
        for key in settings:
            if key not in fields:
                known = [f"{where}.{field}" for field in fields]
                raise unknown_name("setting", f"{where}.{key}", known)
        built = {
            key: build_part(value, f"{where}.{key}", trusted) for key, value in settings.items()
        }
        return construct(cls, built, where)
    if isinstance(node, list):
        return tuple(build_part(value, where, trusted) for value in node)
    return node


def build_key(config: Mapping[str, Any], key: str, trusted: Collection[str] = ()) -> Any:
    """Build the part under a top-level key of a config, which must be one of the key's group.

    Raises:
        RequestError: the key is missing, or names a part of another group.
    """
    node = config.get(key)
    check_group(node, key, key)
    return build_part(node, key, trusted)


def with_resolved_font(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config in which ``film.font`` is the path of a file, also if it named a font.

    Raises:
        RequestError: there is no such font.
    """
    film = config.get("film")
    name = film.get("font") if isinstance(film, Mapping) else None
    if not isinstance(film, Mapping) or not isinstance(name, str) or not name:
        return dict(config)
    face = film.get("font_face", 0)
    check_int("film.font_face", face, 0, MAX_FACES - 1)
    font = resolve(name, face)
    return {**config, "film": {**film, "font": str(font.path), "font_face": font.face}}


def check_group(node: Any, where: str, group: str) -> None:
    """Raise unless ``node`` names a part of ``group``."""
    name = node.get(TARGET) if isinstance(node, Mapping) else None
    if name is not None and "/" not in str(name):
        find_part(str(name), where)
    if str(name).partition("/")[0] != group:
        got = node if name is None else name
        raise RequestError(f"config key {where!r} must name a part {group}/NAME, got {got!r}")


def track_specs(
    config: Mapping[str, Any], ending: str, trusted: Collection[str] = ()
) -> tuple[TrackSpec, ...]:
    """Return the tracks of a film, and the track of its ending if it has one."""
    specs = []
    for name, node in _track_nodes(config).items():
        prefix = f"tracks.{name}." if name else ""
        for key in TRACK_KEYS[1:]:
            check_group(node.get(key), f"{prefix}{key}", key)
        parts = {key: build_part(value, f"{prefix}{key}", trusted) for key, value in node.items()}
        if not isinstance(parts["schedule"], Schedule):
            raise RequestError(
                f"config key '{prefix}schedule' must name the part schedule/schedule, "
                f"got {node['schedule']!r}"
            )
        specs.append(TrackSpec(**parts, name=name))
    return tuple(add_ending(specs, ending))


def _track_nodes(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return name -> nodes of every track; what a track leaves out comes from the config itself."""
    common = {key: config[key] for key in TRACK_KEYS if key in config}
    tracks = config.get("tracks") or {"": {}}
    if not isinstance(tracks, Mapping):
        raise RequestError(
            f"tracks must be named, as in 'tracks: {{eyes: {{units: styles}}}}', got {tracks!r}"
        )
    nodes = {}
    for name, node in tracks.items():
        if not isinstance(node, Mapping) or "/" in str(name):
            raise RequestError(
                f"the track {name!r} must be a name without slashes, with settings, got {node!r}"
            )
        for key in node:
            if key not in TRACK_KEYS:
                known = [f"tracks.{name}.{known}" for known in TRACK_KEYS]
                raise unknown_name("setting", f"tracks.{name}.{key}", known)
        nodes[str(name)] = common | {
            key: _merged(common.get(key), value) for key, value in node.items()
        }
    return nodes


def _merged(common: Any, value: Any) -> Any:
    """Return a track's node; settings without a part change some settings of the common part."""
    both = isinstance(value, Mapping) and isinstance(common, Mapping)
    return {**common, **value} if both and TARGET not in value else value


def require_code_consent(
    config: Mapping[str, Any], overrides: Iterable[str], verb: str
) -> frozenset[str]:
    """Refuse a config that would run code of others, unless the command line names that very code.

    Experiments, plans and run folders may come from strangers; everything else in them is data.

    Args:
        config: resolved, as plain values.
        overrides: ``key=value`` as on the command line.
        verb: of the command that the message suggests.

    Returns:
        The packages whose parts may be imported: those that are trusted, and those of parts that
        the command line chooses.

    Raises:
        RequestError: a factory, or a part of a package, is not named on the command line.
    """
    overrides = set(overrides)
    for key, factory in _factories(config):
        if f"{key}={factory}" not in overrides:
            raise RequestError(
                f"this asks to run code, {factory!r}; if you trust it, name it on the command "
                f"line: {shell_command(verb, '...', f'{key}={factory}', 'hydra.run.dir=FOLDER')}"
            )
    # A sweep chooses several parts, separated by commas.
    chosen = {choice for override in overrides for choice in override.partition("=")[2].split(",")}
    trusted, named = trusted_packages(config), set[str]()
    for key, name in _targets(config):
        package = package_of(name)
        if package is None or package in trusted:
            continue
        if name.partition("/")[2] not in chosen:
            raise RequestError(
                f"{key} names {name}, which runs code of the package {package}; "
                f"if you trust it, add {quoted(f'trust={package}')} to the command line"
            )
        named.add(package)
    return trusted | named


def runs_code_of_others(config: Mapping[str, Any]) -> bool:
    """Return whether a config names a factory, or a part of another package."""
    parts = (name for _, name in _targets(config))
    return any(_factories(config)) or any(package_of(name) is not None for name in parts)


def _nodes(node: Any, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield dotted key and mapping of every node of a config."""
    if isinstance(node, Mapping):
        yield where, node
        for key, value in node.items():
            yield from _nodes(value, f"{where}.{key}" if where else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value, where)


def _factories(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of every setting that names code."""
    for where, node in _nodes(config):
        if node.get("factory"):
            yield f"{where}.factory" if where else "factory", node["factory"]


def _targets(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield dotted key and name of every part."""
    for where, node in _nodes(config):
        if TARGET in node:
            yield where, str(node[TARGET])
