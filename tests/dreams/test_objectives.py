"""Objectives of whole dreams: sums, masks and sequences of layers."""

import numpy as np
from PIL import Image

from forgetting.dreams.objectives import Energy, LayerSequence
from helpers import dream_frames, dream_stage


def test_sums_of_objectives_and_masks(dream_config, tmp_path, photograph):
    Image.fromarray(np.repeat(np.uint8([[0, 255]]), 32, 1).repeat(8, 0)).save(tmp_path / "mask.png")
    more = [
        "+objective@objectives.second=class",
        "objectives.second.name=2",
        "objectives.second.weight=-0.5",
    ]
    settings = (
        "dream=still",
        "source=photograph",
        f"source.path='{photograph}'",
        "film.duration=1",
    )
    alone, both = (
        dream_frames(dream_config(*settings)),
        dream_frames(dream_config(*settings, *more)),
    )
    assert not np.array_equal(alone[-1], both[-1])
    masked = dream_frames(dream_config(*settings, f"ascent.mask='{tmp_path / 'mask.png'}'")).astype(
        int
    )
    changed = np.abs(masked[-1] - masked[0]).mean((0, 2))
    assert changed[:24].max() < 1
    assert changed[40:].mean() > 1
    dreamer = dream_stage(dream_config(*settings, *more)).dreamer
    balanced = dreamer.objective_gradient(0).balanced(dreamer.source_picture(0))
    weights = [float(weight) for weight, _ in balanced.objectives]
    assert weights[0] > 0 > weights[1]


def test_a_sequence_of_layers_takes_one_after_another(dream_config):
    classifier = dream_stage(dream_config("film.duration=1")).dreamer.classifier
    sequence = LayerSequence(["features.3.*", "features.6.*", "features.9.*"], blend=0.5)
    turns = [
        [
            (energy.layers, round(energy.weight, 3))
            for energy in sequence.energies(classifier, index, 12)
        ]
        for index in range(12)
    ]
    assert turns[0] == turns[2] == [("features.3.*", 1.0)]
    assert turns[3] == [("features.3.*", 0.5), ("features.6.*", 0.5)]
    assert turns[11] == [("features.9.*", 1.0)]
    assert len(LayerSequence(frames=2).energies(classifier, 100, 200)) == 1
    first = classifier.layer_sequence[0]
    assert LayerSequence().energies(classifier, -5, 100) == [Energy(first)]
