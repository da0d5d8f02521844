import numpy as np
import pytest
import torch

from forgetting import files
from forgetting.ablation import activations
from forgetting.models.units import Units


def test_rms_over_faces_equals_a_plain_mean(tiny):
    total, count = 0, 5
    for ws in activations.sample_faces(tiny, count):
        squares = []
        tiny.bind(ws)(
            lambda x, layer, squares=squares: (
                squares.append(x[0].double().square().mean((1, 2))) or x
            )
        )
        total = total + torch.cat(squares)
    units = Units(tiny.layers)
    rms = activations.rms_over_faces(tiny, units, count)
    torch.testing.assert_close(rms, (total / count).sqrt().float())
    assert len(rms) == len(units)


def test_average_maps_equal_a_plain_mean(toy):
    maps = []
    for ws in activations.sample_faces(toy, 3):
        toy.bind(ws)(
            lambda x, layer: maps.append(x[0].clone()) or x if layer.name == "b8.conv" else x
        )
    torch.testing.assert_close(
        activations.average_maps(toy, "channels", 3)["b8.conv"], torch.stack(maps).mean(0).half()
    )


def test_statistics_are_computed_once_and_again_when_the_file_is_damaged(toy, monkeypatch):
    first = activations.rms_over_faces(toy, Units(toy.layers), 7)
    (path,) = (files.cache_folder() / "statistics").glob("rms-7-*")
    with monkeypatch.context() as patch:
        patch.setattr(activations, "rms_activations", lambda *_: pytest.fail("it was cached"))
        assert torch.equal(activations.rms_over_faces(toy, Units(toy.layers), 7), first)
    path.write_bytes(path.read_bytes()[:50])
    assert torch.equal(activations.rms_over_faces(toy, Units(toy.layers), 7), first)


@pytest.mark.model
def test_the_shipped_statistics_are_those_of_the_face_model(face_model):
    """Statistics of a few faces rank the units almost as the shipped ones of 96 faces do."""
    units = Units(face_model.layers)
    few = activations.rms_over_faces(face_model, units, 4)
    shipped = activations.rms_over_faces(face_model, units)
    assert not list((files.cache_folder() / "statistics").glob("rms-96-e903*")), (
        "the shipped statistics were not used"
    )
    positions = [values.argsort().argsort().double().numpy() for values in (few, shipped)]
    assert np.corrcoef(*positions)[0, 1] > 0.9
    torch.testing.assert_close(few.mean(), shipped.mean(), rtol=0.1, atol=0)
