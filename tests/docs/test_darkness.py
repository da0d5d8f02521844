"""The default film, on the real face: what makes it good, as far as numbers can say."""

import pytest

import evenness

pytestmark = pytest.mark.slow


@pytest.mark.model
@pytest.mark.parametrize("fps", [2, pytest.param(6, marks=pytest.mark.soak)])
def test_the_default_film_changes_evenly_and_ends_as_a_smudge(face_model, fps):
    """Every twelfth frame of the film; the benchmark of this name measures all of them."""
    frames, variation, largest, last = evenness.measure("darkness", fps=fps)
    print(
        f"{frames} frames: variation {variation:.2f}, largest/median {largest:.2f}, "
        f"luma deviation at the end {last:.1f}"
    )
    assert frames == 30 * fps
    assert variation <= 0.35
    assert largest <= 3
    assert last < 8


@pytest.mark.model
def test_the_quick_film_changes_evenly(small_face_model):
    _, variation, largest, _ = evenness.measure("quick", fps=24)
    assert variation <= 0.35
    assert largest <= 3
