"""Random damage to recipes, plans, curves, summaries and experiments.

Whatever it is, reading ends in a result or in an error of ours; the seed of a failure repeats it.
"""

import io
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from forgetting import files
from forgetting.ablation.plan import Plan, load_plan
from forgetting.analysis.curve import censored_figures, figures, landmarks, read_curve
from forgetting.analysis.labels import label_runs
from forgetting.errors import ForgettingError
from forgetting.film import input_files
from forgetting.film import recipe as recipes
from forgetting.film.run_folder import RunFolder
from forgetting.film.settings import FilmSettings
from forgetting.jobs import foreign_configs, run, sweep
from forgetting.jobs.config_groups import CONFIGS
from forgetting.jobs.configs import require_code_consent
from forgetting.jobs.job import parse_job
from helpers import THREE_FRAMES, compose_config, render_config
from mutations import Mutations

SECONDS = 5.0
"""Seconds of the processor that a case may take."""

EXPERIMENT = """# @package _global_
defaults:
  - override /ordering: random
  - override /operator: zero
latent:
  seed: 7
operator:
  softness: 0.1
film:
  duration: 3
  title: "forgetting ${film.fps}"
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      latent.seed: 1,2
"""


class Samples:
    """What is damaged, and a folder for damaged files.

    Args:
        folder: in which a film is rendered.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "scratch"
        (self.folder / "configs" / "experiment").mkdir(parents=True)
        config = compose_config(*THREE_FRAMES, "film.size=32")
        config["measure"] = {"names": "plain", "rate": 0}
        render_config(config, folder / "run")
        self.run = folder / "run"
        self.plan = load_plan(self.run / "plan.npz")
        self.arrays = dict(np.load(self.run / "plan.npz"))
        self.recipe = yaml.safe_load(self.plan.recipe)
        dream = compose_config("film.duration=1", root="dream")
        self.configs = [config, self.recipe["config"], dream]
        self.configs += [
            compose_config(f"experiment={name}") for name in ("dissolve", "pendulum", "diptych")
        ]
        self.summary = json.loads((self.run / "summary.json").read_text())
        self.curve = (self.run / "curve.csv").read_bytes()

    def write(self, name: str, data: bytes) -> Path:
        """Write a file and return its path."""
        path = self.folder / name
        path.write_bytes(data)
        return path


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return Samples(tmp_path_factory.mktemp("fuzz"))


def damaged_curve(samples: Samples, mutations: Mutations) -> None:
    curve = read_curve(samples.write("curve.csv", mutations.data(samples.curve)))
    json.dumps(landmarks(curve), allow_nan=False)


def damaged_summary(samples: Samples, mutations: Mutations) -> None:
    if mutations.random.random() < 0.7:
        data = json.dumps(mutations.tree(samples.summary)).encode()
    else:
        data = mutations.data(json.dumps(samples.summary).encode())
    path = samples.write("summary.json", data)
    summary = files.require_json(path)
    json.dumps(figures(summary), allow_nan=False)
    censored_figures(summary)


def damaged_sweep(samples: Samples, mutations: Mutations) -> None:
    failure = {"why": "no", "code": 2, "time": 1.0, "overrides": ["latent.seed=1"]}
    (samples.folder / "one").mkdir(exist_ok=True)
    asked = {"overrides": ["latent.seed=1,2"], "runs": 2}
    samples.write("sweep.json", json.dumps(mutations.tree(asked)).encode())
    samples.write("one/failure.json", json.dumps(mutations.tree(failure)).encode())
    sweep.run_statuses(samples.folder)
    sweep.raise_failures(samples.folder, 0)


def damaged_plan(samples: Samples, mutations: Mutations) -> None:
    arrays = dict(samples.arrays)
    for _ in range(mutations.random.choice((1, 1, 2))):
        name = mutations.random.choice(list(arrays))
        arrays[name] = mutations.array(arrays[name])
    if mutations.random.random() < 0.1:
        arrays["ablation"] = mutations.array(np.zeros((3, 52)))
    file = io.BytesIO()
    np.savez(file, **arrays)
    data = file.getvalue()
    if mutations.random.random() < 0.3:
        data = mutations.data(data)
    plan = load_plan(samples.write("plan.npz", data), links=False)
    plan.digest()
    plan.rows([0, len(plan) - 1]) if len(plan) else None
    plan.ablated_share(0) if len(plan) else None
    plan._repr_html_()


def damaged_config(samples: Samples, mutations: Mutations) -> None:
    config = mutations.tree(mutations.random.choice(samples.configs))
    if isinstance(config, dict):
        require_code_consent(config, [], "render")
        parse_job(config)


def damaged_film(samples: Samples, mutations: Mutations) -> None:
    film = mutations.tree(samples.recipe["config"]["film"])
    if isinstance(film, dict):
        settings = FilmSettings.from_dict(film)
        settings.indices, settings.rate, settings.quality  # noqa: B018
        settings.shape(64, 64)


def damaged_labels(samples: Samples, mutations: Mutations) -> None:
    """Runs are named by how they differ, so a damaged config meets others."""
    config = mutations.tree(mutations.random.choice(samples.configs))
    if isinstance(config, dict):
        label_runs([samples.configs[0], config, samples.configs[1]])


def damaged_recipe(samples: Samples, mutations: Mutations) -> None:
    if mutations.random.random() < 0.6:
        text = yaml.safe_dump(mutations.tree(samples.recipe))
    else:
        text = mutations.data(samples.plan.recipe.encode()).decode(errors="replace")
    plan = Plan(samples.plan.tracks, text)
    recipe = recipes.read_recipe(plan, "plan.npz")
    store = RunFolder(samples.run).store(plan, recipe)
    store.segments(), store.sample_positions
    recipes.engine_config(recipe)
    json.dumps(recipes.public_recipe(recipe))
    OmegaConf.to_yaml(OmegaConf.create(recipes.public_recipe(recipe)))
    config = recipes.config_of(recipe)
    input_files.paths(config)
    run.trusted_config(plan, samples.run)
    recipes.differences(samples.configs[0], config)
    parse_job(config)


def damaged_experiment(samples: Samples, mutations: Mutations) -> None:
    if mutations.random.random() < 0.6:
        tree = mutations.tree(yaml.safe_load(EXPERIMENT))
        text = f"# @package _global_\n{yaml.safe_dump(tree)}".encode()
    else:
        text = mutations.data(EXPERIMENT.encode())
    samples.write("configs/experiment/mine.yaml", text)
    arguments = ["--config-dir", str(samples.folder / "configs"), "experiment=mine"]
    foreign_configs.check(arguments)
    if mutations.random.random() > 0.1:
        return
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = OmegaConf.to_container(
                compose("config", foreign_configs.overrides(arguments)), resolve=True
            )
    except (HydraException, OmegaConfBaseException):
        return  # the command line explains them
    parse_job(config)


CASES: dict[Callable[[Samples, Mutations], None], int] = {
    damaged_curve: 30,
    damaged_summary: 30,
    damaged_sweep: 6,
    damaged_plan: 16,
    damaged_config: 8,
    damaged_film: 8,
    damaged_labels: 4,
    damaged_recipe: 2,
    damaged_experiment: 2,
}
"""What is damaged, and how often."""


def fuzz(samples: Samples, seed: int, case: Callable[[Samples, Mutations], None]) -> bool:
    """Damage something, and return whether it could still be read."""
    started = time.process_time()
    try:
        with warnings.catch_warnings(action="error"):
            case(samples, Mutations(seed))
        return True
    except ForgettingError:
        return False
    except BaseException as error:
        error.add_note(f"{case.__name__}, seed {seed}")
        raise
    finally:
        assert time.process_time() - started < SECONDS, (case.__name__, seed)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_damage_ends_in_a_result_or_in_an_error_of_ours(samples, case):
    """For two seconds each."""
    end, seed, read = time.process_time() + 2, 0, 0
    while time.process_time() < end:
        read += fuzz(samples, seed, case)
        seed += 1
    assert read > 0, "some of it is harmless"
    assert read < seed or case is damaged_labels, "some is not, but any config has labels"


@pytest.mark.soak
@pytest.mark.parametrize("part", range(8))
def test_a_million_of_damages(samples, part):
    cases = [case for case, weight in CASES.items() for _ in range(weight)]
    count = 10**6 // 8
    for seed in range(part * count, (part + 1) * count):
        fuzz(samples, seed, Mutations(seed).random.choice(cases))
