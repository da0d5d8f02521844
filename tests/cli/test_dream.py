import re

from forgetting.analysis import comparison
from forgetting.analysis.finished_runs import finished_runs
from forgetting.analysis.gallery import site


def test_the_verb_dream(command_line, tmp_path, classifier_weights):
    def said(*arguments):
        result = command_line("dream", *arguments)
        return result.exit_code, " ".join(result.output.split())

    code, told = said("--help")
    assert code == 0
    assert all(
        word in told
        for word in (
            "5 MB) (default)",
            "dream.zoom=1.8",
            "experiment=last_dream",
            "objective=class",
        )
    )
    assert "experiment=darkness" not in told
    assert said("experiment=quick") == (
        2,
        "forgetting: experiment=quick is none for forgetting dream; say: forgetting render experiment=quick",
    )
    listed = command_line("layers", f"classifier.weights={classifier_weights}")
    assert listed.exit_code == 0
    assert re.search(r"features.12.expand3x3 +\d+ x \d+ +256", listed.output)
    code, told = said("dream.zom=2")
    assert code == 2
    assert "did you mean 'dream.zoom'?" in told
    small = [
        f"classifier.weights={classifier_weights}",
        "film.size=48",
        "film.fps=4",
        "film.duration=1",
        "film.preset=ultrafast",
        "measure.names=plain",
    ]
    code, told = said(
        "-m",
        *small,
        "source.seed=1,2",
        "ascent.iterations=1",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )
    assert code == 0, told
    runs = finished_runs(tmp_path / "sweep")
    assert [one.face for one in runs] == ["seed 1", "seed 2"]
    comparison.compare(tmp_path / "sweep", "half_life.structure")
    page = site.make_gallery(tmp_path / "sweep", None)
    assert "forgetting dream plan=plan.npz" in next(page.parent.glob("film/*.html")).read_text(
        encoding="utf-8"
    )
    assert "seed 2" in page.parent.joinpath("runs.js").read_text(encoding="utf-8")
