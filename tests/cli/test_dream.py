"""The verb ``dream``: its help, its errors, and a sweep that is compared and shown."""

import re

import pytest

from forgetting.analysis import comparison
from forgetting.analysis.finished_runs import finished_runs
from forgetting.analysis.gallery import site

pytestmark = pytest.mark.slow

SMALL = [
    "film.size=48",
    "film.fps=4",
    "film.duration=1",
    "film.preset=ultrafast",
    "ascent.iterations=1",
]


def test_help_lists_the_groups_and_experiments_of_dreams(command_line):
    result = command_line("dream", "--help")
    output = " ".join(result.output.split())
    assert result.exit_code == 0
    for text in (
        "22 MB) (default)",
        "dream.zoom=1.8",
        "experiment=last_dream",
        "objective=class",
    ):
        assert text in output, text
    assert "experiment=darkness" not in output


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        (
            "experiment=quick",
            "^forgetting: experiment=quick is not one of forgetting dream; "
            "run: forgetting render experiment=quick$",
        ),
        ("dream.zom=2", r"did you mean 'dream\.zoom'\?"),
    ],
)
def test_wrong_requests_get_one_sentence(command_line, argument, sentence):
    result = command_line("dream", argument)
    assert result.exit_code == 2
    assert re.search(sentence, result.output.strip())


def test_layers_of_a_classifier(command_line, classifier_weights):
    result = command_line(
        "layers", "classifier=squeezenet-imagenet", f"classifier.weights={classifier_weights}"
    )
    assert result.exit_code == 0, result.output
    assert re.search(r"features.12.expand3x3 +\d+ x \d+ +256", result.output)


def test_dreams_of_a_sweep_are_compared_and_shown(command_line, tmp_path, classifier_weights):
    weights, folder = f"classifier.weights={classifier_weights}", tmp_path / "sweep"
    network = "classifier=squeezenet-imagenet"
    varied = ["source.seed=1,2", "measure.names=plain", f"hydra.sweep.dir={folder}"]
    result = command_line("dream", "-m", network, weights, *SMALL, *varied)
    assert result.exit_code == 0, result.output
    assert [run.face for run in finished_runs(folder)] == ["seed 1", "seed 2"]
    comparison.compare(folder, "half_life.structure")
    page = site.make_gallery(folder, None)
    film_page = next(page.parent.glob("film/*.html")).read_text(encoding="utf-8")
    assert "forgetting dream plan=plan.npz" in film_page
    assert "seed 2" in page.parent.joinpath("runs.js").read_text(encoding="utf-8")
