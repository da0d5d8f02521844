"""Help: it lists every setting, its marks are true, and it can be asked for everywhere."""

import re

import pytest
import yaml

from forgetting.jobs.config_groups import (
    CONFIGS,
    compose_choices,
    group_options,
    groups_of,
    root_config,
)

HIDDEN = ("_target_", "generator.name", "classifier.name")
"""Keys that ``GROUP=NAME`` sets."""


def leaves(node, prefix=""):
    """Yield the dotted keys of all settings in a config file."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        elif key not in HIDDEN and f"{prefix}{key}" not in HIDDEN:
            yield f"{prefix}{key}"


def settings_of(path, prefix):
    """Return the dotted keys that a config file sets."""
    text = path.read_text(encoding="utf-8")
    node = {key: value for key, value in yaml.safe_load(text).items() if key != "defaults"}
    return set(leaves(node, "" if "@package _global_" in text else prefix))


@pytest.fixture
def wide(monkeypatch):
    """A terminal on which no line is broken."""
    monkeypatch.setattr("forgetting.cli.console.out._width", 400)


def listed(command_line, verb):
    """Return key -> value, and option -> whether it is marked, as help lists them."""
    result = command_line(verb, "--help")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    settings = dict(
        re.match(r" +([\w.]+)=(.*?)(?:  |$)", line).groups()
        for line in lines
        if re.match(r" +[\w.]+=", line)
    )
    marked = [
        re.match(r" +(\S+)", line)[1] for line in lines if line.rstrip().endswith("(default)")
    ]
    return settings, marked


@pytest.mark.parametrize("verb", ["render", "dream"])
@pytest.mark.usefixtures("wide")
def test_every_setting_is_listed(command_line, verb):
    settings, _ = listed(command_line, verb)
    for group in groups_of(verb):
        for option in group_options(group, verb):
            if group != "experiment":
                path = CONFIGS / group / f"{option.name}.yaml"
                assert settings_of(path, f"{group}.") <= settings.keys(), path
    of_root = settings_of(CONFIGS / f"{root_config(verb)}.yaml", "")
    assert {key for key in of_root if not key.startswith("hydra.")} <= settings.keys()
    assert {"units", "render.shard", "measure.rate", "hydra.run.dir"} <= settings.keys()
    assert {"cluster.address", "hydra.sweep.dir"} <= settings.keys()


@pytest.mark.parametrize("verb", ["render", "dream", "preview"])
@pytest.mark.usefixtures("wide")
def test_defaults_are_marked_truly(command_line, verb):
    """The default experiment chooses options too, and its values are those of the default film."""
    settings, marked = listed(command_line, verb)
    config, choices = compose_choices([], verb)
    chosen = {f"{group}={choices[group]}" for group in groups_of(verb) if choices[group]}
    assert set(marked) == chosen
    if verb == "dream":
        assert {"objective=ladder", "ascent=light", "dream=journey"} <= chosen
    else:
        assert {"schedule=darkness", "experiment=darkness"} <= chosen
        assert settings["film.ending"] == config.film.ending == "black"


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize(
    "verb",
    [
        [],
        *([verb] for verb in ("render", "dream", "preview", "layers", "resume", "measure")),
        *([verb] for verb in ("sweep", "compare", "gallery", "join", "cache", "models")),
        ["models", "fetch"],
    ],
)
def test_help_can_be_asked_for_everywhere(command_line, verb, flag):
    result = command_line(*verb, flag)
    assert result.exit_code == 0
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rendr"], "no such command 'rendr' (did you mean 'render'?); forgetting --help"),
        (["models", "fetsh"], "no such command 'fetsh'"),
        (["resume"], "missing argument 'folder'; forgetting resume --help"),
        (["resume", "--foo"], "no such option: --foo; forgetting resume --help"),
        (["measure", "a", "--rate=b"], "invalid value for '--rate'"),
        (["measure", "typo.mp4"], "there is no film and no run at typo.mp4"),
    ],
)
def test_wrong_usage_gets_one_sentence(command_line, arguments, sentence):
    result = command_line(*arguments)
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith(f"forgetting: {sentence}")
