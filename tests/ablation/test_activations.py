import numpy as np
import pytest
import torch

from forgetting import files
from forgetting.ablation import activations as statistics
from forgetting.models.units import Units


def test_rms_over_faces(tiny):
    total, count = 0, 5
    for ws in statistics.sample_faces(tiny, count):
        found = []
        tiny.bind(ws)(
            lambda x, layer, found=found: found.append(x[0].double().square().mean((1, 2))) or x
        )
        total = total + torch.cat(found)
    torch.testing.assert_close(
        statistics.rms_over_faces(tiny, Units(tiny.layers), count), (total / count).sqrt().float()
    )
    assert len(statistics.rms_over_faces(tiny, Units(tiny.layers), count)) == len(
        Units(tiny.layers)
    )


def test_average_maps(toy):
    maps = []
    for ws in statistics.sample_faces(toy, 3):
        toy.bind(ws)(
            lambda x, layer: maps.append(x[0].clone()) or x if layer.name == "b8.conv" else x
        )
    torch.testing.assert_close(
        statistics.average_maps(toy, "channels", 3)["b8.conv"], torch.stack(maps).mean(0).half()
    )


def test_computed_once_and_computed_again_when_damaged(toy, monkeypatch):
    first = statistics.rms_over_faces(toy, Units(toy.layers), 7)
    (path,) = (files.cache_folder() / "statistics").glob("rms-7-*")
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "activations", lambda *_: pytest.fail("it was cached"))
        assert torch.equal(statistics.rms_over_faces(toy, Units(toy.layers), 7), first)
    path.write_bytes(path.read_bytes()[:50])
    assert torch.equal(statistics.rms_over_faces(toy, Units(toy.layers), 7), first)


@pytest.mark.model
def test_the_shipped_vector_is_the_face_models(face_model):
    """A few faces already rank the units almost as the shipped vector of 96 does."""
    units = Units(face_model.layers)
    few, shipped = (
        statistics.rms_over_faces(face_model, units, 4),
        statistics.rms_over_faces(face_model, units),
    )
    assert not list((files.cache_folder() / "statistics").glob("rms-96-e903*")), (
        "the shipped vector was not used"
    )
    places = [values.argsort().argsort().double().numpy() for values in (few, shipped)]
    assert np.corrcoef(*places)[0, 1] > 0.9
    torch.testing.assert_close(few.mean(), shipped.mean(), rtol=0.1, atol=0)
