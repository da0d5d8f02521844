"""Pictures: what metrics share is computed once, whatever it is."""

from collections import Counter

import numpy as np
import pytest
import torch

from forgetting.analysis.metrics import faces, picture, registry
from forgetting.analysis.metrics.measurer import FrameMeasurer
from forgetting.analysis.metrics.picture import Picture
from forgetting.engines.pixels import from_bytes
from helpers import noise_frame

PLAIN = registry.select_metrics("plain")

RECTANGLE = (300, 500, 3)


def brightness(measured: Picture) -> float:
    """Return what a metric of a package could derive."""
    brightness.calls += 1  # type: ignore[attr-defined]
    return float(measured.frame.mean())


brightness.calls = 0  # type: ignore[attr-defined]


def test_what_metrics_share_is_computed_once_for_every_picture(monkeypatch):
    """The bands of structure and step, the face of face and identity; of the intact one as well."""
    calls = Counter[str]()

    def bands(image):
        calls["bands"] += 1
        return picture_bands(image)

    def detect(measured):
        calls["face"] += 1
        return faces.DetectedFace(0.5, np.zeros((5, 2)))

    picture_bands = picture.detail_bands
    monkeypatch.setattr(picture, "detail_bands", bands)
    monkeypatch.setattr(faces, "detect_face", detect)
    monkeypatch.setattr(faces, "embed_face", lambda frame, marks: np.ones(128, np.float32))
    intact, frames = noise_frame(1), [noise_frame(seed) for seed in (2, 3, 4)]
    names = ["structure", "step", "face", "identity"]
    measurer = FrameMeasurer(names, lambda index: index - 1 if index else None)
    for index, frame in enumerate(frames):
        measurer.measure(index, frame, intact)
    assert calls == {"bands": 4, "face": 4}


def test_a_metric_can_share_what_a_function_of_its_own_derives():
    measured = Picture(noise_frame())
    assert measured.derive(brightness) == measured.derive(brightness) == measured.frame.mean()
    assert brightness.calls == 1  # type: ignore[attr-defined]
    assert Picture(noise_frame()).derive(brightness) > 0
    assert brightness.calls == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("shape", "reduced"),
    [
        ((8, 8), (8, 8)),
        ((256, 256), (256, 256)),
        ((1024, 1024), (256, 256)),
        ((300, 500), (154, 256)),
        ((1, 1000), (1, 256)),
    ],
)
def test_pictures_are_reduced_to_256_pixels(shape, reduced):
    measured = Picture(noise_frame(0, (*shape, 3)))
    assert measured.reduced.shape == (*reduced, 3)
    assert measured.colours.shape == (1, 3, *reduced)


def test_colours_are_means_of_areas():
    frame = noise_frame(0, (512, 512, 3))
    expected = frame.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3)) / 255
    colours = Picture(frame).colours[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(colours, expected, atol=1e-7)


def test_bands_are_those_by_which_films_are_paced():
    frame = noise_frame(0, RECTANGLE)
    for ours, of_pacing in zip(
        Picture(frame).bands, picture.detail_bands(from_bytes(frame)), strict=True
    ):
        np.testing.assert_allclose(ours, of_pacing, atol=1e-5)


def test_no_figure_depends_on_the_number_of_threads():
    """Sums are taken in another order then: in float32 the seventh digit changes."""
    frames = [noise_frame(seed, RECTANGLE) for seed in (1, 2, 3)]

    def figures(threads: int) -> list[str]:
        torch.set_num_threads(threads)
        measurer = FrameMeasurer(PLAIN, lambda index: index - 1 if index else None)
        rows = [measurer.measure(index, frame, frames[0]) for index, frame in enumerate(frames)]
        return [f"{name} {value:.9g}" for row in rows for name, value in row.items()]

    before = torch.get_num_threads()
    try:
        assert figures(1) == figures(2) == figures(3)
    finally:
        torch.set_num_threads(before)
