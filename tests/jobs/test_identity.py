import pytest

from forgetting.jobs import identity
from forgetting.jobs.identity import task_identity
from helpers import compose_config, sample_ws


def identity_of(toy, *settings: str, ws=None) -> str | None:
    ws = sample_ws(toy) if ws is None else ws
    return task_identity(compose_config("generator=toy", *settings), toy, ws)


@pytest.mark.parametrize(
    "setting",
    [
        "latent.seed=3",
        "operator=mean",
        "operator.softness=0.2",
        "units=styles",
        "ordering=random",
        "noise=off",
        "film.ending=white",
        "+tracks.second={units: styles}",
    ],
)
def test_whatever_changes_pictures_of_rows_changes_the_identity(toy, setting):
    assert identity_of(toy, setting) != identity_of(toy)


@pytest.mark.parametrize(
    "setting",
    [
        "film.fps=12",
        "film.duration=3",
        "film=gif",
        "film.title=dusk",
        "schedule.direction=remember",
        "measure.rate=1",
        "render.shard=1/2",
        "engine=torch",
    ],
)
def test_what_changes_no_picture_of_a_row_does_not(toy, setting):
    assert identity_of(toy) is not None
    assert identity_of(toy, setting) == identity_of(toy)


def test_weights_faces_and_sources_change_it(toy, monkeypatch):
    before = identity_of(toy)
    assert identity_of(toy, ws=sample_ws(toy, seed=1)) != before
    next(toy.parameters()).data += 1
    changed = identity_of(toy)
    assert changed != before
    monkeypatch.setattr(identity, "code_fingerprint", lambda: "other sources")
    assert identity_of(toy) != changed


@pytest.mark.parametrize(
    ("key", "setting"),
    [("generator", {"factory": "mine:make"}), ("operator", {"_target_": "operator/mine.own"})],
)
def test_nothing_is_kept_of_code_of_others(toy, key, setting):
    config = compose_config("generator=toy")
    config[key] = {**config[key], **setting}
    assert task_identity(config, toy, sample_ws(toy)) is None
