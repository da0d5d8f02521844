import re

import pytest

from forgetting.ablation import pacing, schedules
from forgetting.ablation.operators import removal
from forgetting.ablation.orderings import basic
from forgetting.errors import RequestError
from forgetting.jobs import configs
from forgetting.jobs.config_groups import CONFIGS
from forgetting.jobs.job import parse_job
from helpers import compose_config


def test_every_part_is_in_a_config():
    """What can be built can be chosen, and what can be chosen can be built."""
    named = set(
        re.findall(
            r"_target_: ([\w.]+)", "".join(path.read_text() for path in CONFIGS.rglob("*.yaml"))
        )
    )
    assert named == set(configs.PARTS)


def test_configs_hold_the_defaults_of_their_parts():
    for part, key in (
        (removal.Zero, "operator"),
        (basic.Contribution, "ordering"),
        (pacing.Perceptual, "pacing"),
    ):
        assert configs.build_part(compose_config("~experiment")[key]) == part()
    assert configs.build_part(compose_config("~experiment")["schedule"]) == schedules.Schedule()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "forgetting.cli.main.sys.exit",
        "forgetting.models.generator_zoo.subprocess.run",
        "forgetting.film.settings.Films",
        "builtins.eval",
        "1",
    ],
)
def test_only_parts_are_built(target):
    with pytest.raises(RequestError, match="no part"):
        configs.build_part({"_target_": target, "x": "echo"}, "film")


@pytest.mark.parametrize("key", ["generator", "schedule", "film"])
def test_a_part_in_the_wrong_place(key):
    wrong = compose_config("generator=toy") | {key: {"_target_": "latent/seed"}}
    with pytest.raises(RequestError, match=f"config key '{key}' must be a forgetting"):
        parse_job(wrong)


def test_a_setting_that_a_part_does_not_have():
    with pytest.raises(RequestError, match=r"no setting 'film.fsp' .did you mean 'film.fps'"):
        configs.build_part({"_target_": "film/film", "fsp": 3}, "film")


def test_nobodys_code_is_run_unasked(tmp_path):
    node = {
        "generator": {
            "_target_": "generator/module",
            "factory": "some.where:make",
        }
    }
    with pytest.raises(RequestError, match="asks to run code, 'some.where:make'; if you trust it"):
        configs.require_code_consent(node, ["generator=module", "generator.factory=another:make"])
    configs.require_code_consent(node, ["generator.factory=some.where:make"])
    configs.require_code_consent(compose_config("generator=toy"), [])
