"""Parts: every part can be chosen in a config, and nothing else is ever built."""

import dataclasses
import re

import pytest

from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.basic import Random
from forgetting.ablation.orderings.combined import Layers
from forgetting.errors import RequestError
from forgetting.jobs import configs
from forgetting.jobs.config_groups import CONFIGS, DREAMS, GROUPS, group_options
from forgetting.jobs.job import parse_job
from forgetting.parts import TARGET, find_part, part_fields, part_modules
from helpers import compose_config, part_nodes

EXAMPLES = {
    "curve/keyframes": {"points", "between"},
    "operator/chained": {"operators"},
    "ordering/sequence": {"orderings", "take"},
    "ordering/layers": {"inside"},
    "film/film": {"ending"},
}
"""Settings that the config files of a part fill with an example, because the default is empty or
plain."""

LEFT_OUT = {"schedule/schedule": {"window"}, "schedule/act": {"curve"}}
"""Settings that config files leave out where they do not use them."""

OPTIONS = [
    (verb, group, option.name)
    for verb, groups in (("render", GROUPS), ("dream", DREAMS))
    for group in groups
    if group != "experiment" and (verb == "render" or group not in GROUPS)
    for option in group_options(group, verb)
]


@pytest.fixture(scope="module")
def chosen():
    """Name of a part -> its nodes in the configs of all options of all groups."""
    nodes = {}
    for verb, group, option in OPTIONS:
        root = "dream" if verb == "dream" else "config"
        for node in part_nodes(compose_config(f"{group}={option}", root=root)[group]):
            nodes.setdefault(node[TARGET], []).append(node)
    return nodes


def test_every_part_is_in_a_config():
    """What can be built can be chosen, and what can be chosen can be built.

    Metrics are chosen by ``measure.names`` and need no YAML.
    """
    text = "".join(path.read_text() for path in CONFIGS.rglob("*.yaml"))
    named = set(re.findall(r"_target_: ([\w./]+)", text))
    assert named == {name for name in part_modules() if not name.startswith("metric/")}


@pytest.mark.slow
def test_some_option_of_every_part_holds_its_defaults(chosen):
    """The settings that a config file shows are those of the class."""
    for name, nodes in chosen.items():
        defaults = {
            field.name: field
            for field in dataclasses.fields(find_part(name))
            if field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        }
        values = {field.name: field.default for field in part_fields(find_part(name))}
        differing = []
        for node in nodes:
            settings = {key: configs.build_part(node[key], key) for key in node if key in defaults}
            differing.append({key for key in settings if settings[key] != values[key]})
        assert min(differing, key=len) - EXAMPLES.get(name, set()) == set(), name


def test_every_setting_of_a_part_is_in_a_config(chosen):
    for name, nodes in chosen.items():
        fields = {field.name for field in part_fields(find_part(name))}
        missing = fields - set().union(*nodes)
        assert missing <= LEFT_OUT.get(name, set()), name


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "forgetting.cli.main.sys.exit",
        "forgetting.models.generator_zoo.subprocess.run",
        "forgetting.film.settings.FilmSettings",
        "builtins.eval",
        "1",
    ],
)
def test_only_parts_are_built(target):
    with pytest.raises(RequestError, match="no part"):
        configs.build_part({"_target_": target, "x": "echo"}, "film")


def test_an_unknown_part_is_refused_with_the_nearest():
    with pytest.raises(
        RequestError,
        match=r"^no part 'ordering/randon' \(did you mean 'ordering/random'\?\); ordering may name "
        r"ordering/\w+, ordering/",
    ):
        configs.build_part({"_target_": "ordering/randon"}, "ordering")


@pytest.mark.parametrize("key", ["generator", "schedule", "film"])
def test_a_part_of_another_group_is_refused(key):
    wrong = compose_config("generator=toy") | {key: {"_target_": "latent/seed"}}
    with pytest.raises(
        RequestError, match=f"^config key '{key}' must name a part {key}/NAME, got 'latent/seed'$"
    ):
        parse_job(wrong)


def test_a_part_of_another_group_in_a_track_is_refused():
    tracks = {"eyes": {"operator": {"_target_": "latent/seed"}}}
    with pytest.raises(
        RequestError,
        match=r"^config key 'tracks\.eyes\.operator' must name a part operator/NAME, "
        "got 'latent/seed'$",
    ):
        parse_job(compose_config("generator=toy") | {"tracks": tracks})


@pytest.mark.parametrize("node", [None, 3, "random", [1], {}, {"seed": 1}])
def test_a_value_that_names_no_part_is_refused(node):
    with pytest.raises(
        RequestError, match="^config key 'ordering' must name a part ordering/NAME, got "
    ):
        configs.build_key({"ordering": node}, "ordering")


def test_a_setting_that_a_part_does_not_have():
    with pytest.raises(RequestError, match=r"no setting 'film.fsp' .did you mean 'film.fps'"):
        configs.build_part({"_target_": "film/film", "fsp": 3}, "film")
    inside = {"_target_": "ordering/random", "sed": 3}
    with pytest.raises(RequestError, match=r"no setting 'ordering.inside.sed'.*ordering.inside.s"):
        configs.build_part({"_target_": "ordering/layers", "inside": inside}, "ordering")


def test_parts_are_built_with_the_parts_within_them():
    inside = {"_target_": "ordering/random", "seed": 3}
    layers = configs.build_part(
        {"_target_": "ordering/layers", "inside": inside, "order": ["b8.conv"]}, "ordering"
    )
    assert layers == Layers(inside=Random(seed=3), order=("b8.conv",))
    assert configs.build_part({"_target_": "operator/zero"}, "operator") == Zero()
    assert configs.build_part({"a": [1, 2]}, "measure") == {"a": [1, 2]}
    assert configs.build_part([1, [2]], "film.crop") == (1, (2,))


def test_code_that_the_command_line_does_not_name_is_refused():
    node = {"generator": {"_target_": "generator/module", "factory": "some.where:make"}}
    arguments = ["generator=module", "generator.factory=another:make"]
    with pytest.raises(RequestError, match="asks to run code, 'some.where:make'; if you trust it"):
        configs.require_code_consent(node, arguments, "render")
    configs.require_code_consent(node, ["generator.factory=some.where:make"], "render")
    configs.require_code_consent(compose_config("generator=toy"), [], "render")
