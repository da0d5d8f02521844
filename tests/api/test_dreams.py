import numpy as np
import pytest

import forgetting as fg
from helpers import decode_film

pytestmark = pytest.mark.slow

SMALL = {
    "frames": 3,
    "size": 64,
    "fps": 12,
    "ascent": fg.GradientAscent(iterations=1, octaves=1),
}


@pytest.fixture
def classifier(classifier_weights):
    return fg.NamedClassifier("squeezenet-imagenet", classifier_weights)


def test_a_dream_in_python(classifier, tmp_path):
    frames = list(fg.dream_frames(classifier=classifier, objectives=[fg.ClassLogit(2)], **SMALL))
    assert [frame.shape for frame in frames] == [(64, 64, 3)] * 3
    assert not np.array_equal(frames[0], frames[2])
    again = list(fg.dream_frames(classifier=classifier, objectives=[fg.ClassLogit(2)], **SMALL))
    assert all(np.array_equal(*pair) for pair in zip(frames, again, strict=True))
    film = fg.dream_film(tmp_path / "a.mp4", classifier=classifier, **SMALL)
    assert len(decode_film(film.path, 512)) == 3


def test_an_impossible_dream(classifier):
    with pytest.raises(fg.RequestError, match="no class"):
        fg.dream_frames(classifier=classifier, objectives=[fg.ClassLogit("unicorn")], **SMALL)
