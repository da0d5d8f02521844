"""Objectives of whole dreams: sums, masks, and sequences of layers and of scenes."""

import numpy as np
import pytest
from PIL import Image
from torch import nn

from forgetting.dreams.objectives import ClassLogit, Energy
from forgetting.dreams.sequences import LayerSequence, SceneSequence, objectives_of_frame
from forgetting.errors import RequestError
from forgetting.models.classifier import Classifier, Preparation
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
            for energy in objectives_of_frame(sequence, classifier, index, 12)
        ]
        for index in range(12)
    ]
    assert turns[0] == turns[2] == [("features.3.*", 1.0)]
    assert turns[3] == [("features.3.*", 0.5), ("features.6.*", 0.5)]
    assert turns[11] == [("features.9.*", 1.0)]
    assert len(objectives_of_frame(LayerSequence(frames=2), classifier, 100, 200)) == 1
    first = classifier.layer_sequence[0]
    assert objectives_of_frame(LayerSequence(), classifier, -5, 100) == [Energy(first)]


def classifier_of(*classes):
    """Return a classifier of these classes, untrained."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, len(classes))
    )
    return Classifier(network, 16, Preparation((127.0,) * 3, (128.0,) * 3), classes, min_size=8)


def test_places_walks_through_the_scenes_that_a_network_knows():
    imagenet = classifier_of("volcano", "tabby", "palace", "castle")
    assert SceneSequence().steps(imagenet) == ["castle", "palace", "volcano"]
    places = classifier_of("palace", "pagoda", "lecture room", "wind farm", "bedroom")
    assert SceneSequence().steps(places) == ["palace", "pagoda", "lecture room", "wind farm"]
    assert SceneSequence(["Tabby", 3]).steps(imagenet) == ["tabby", "castle"]
    sequence = SceneSequence(blend=0.5, weight=2.0)
    frames = [
        [
            (part.name, round(part.weight, 3))
            for part in objectives_of_frame(sequence, imagenet, k, 12)
        ]
        for k in range(12)
    ]
    assert frames[0] == frames[2] == [("castle", 2.0)]
    assert frames[3] == [("castle", 1.0), ("palace", 1.0)]
    assert frames[11] == [("volcano", 2.0)]
    assert isinstance(objectives_of_frame(sequence, imagenet, 0, 12)[0], ClassLogit)


def test_places_needs_a_network_that_knows_scenes():
    with pytest.raises(RequestError, match=r"none of the 3 classes.*objective.scenes=\[0,1,2\]"):
        SceneSequence().steps(classifier_of("0", "1", "2"))
    with pytest.raises(RequestError, match="no class 'palace'.*3 classes have no names"):
        SceneSequence(["palace"]).steps(classifier_of("0", "1", "2"))
    assert SceneSequence([2, 0]).steps(classifier_of("0", "1", "2")) == ["2", "0"]


@pytest.mark.slow
def test_places_is_an_objective_of_a_film(dream_config):
    settings = ["objective=places", "objective.scenes=[0,2]", "objective.captions=true"]
    source = dream_stage(dream_config("dream=dive", *settings))
    assert [caption.text for caption in source.captions] == ["0", "2"]
    names = [
        [objective.layers for _, objective in source.dreamer.objective_gradient(k).objectives]
        for k in (0, 8, 17)
    ]
    assert names == [[("classifier.1",)], [("classifier.1",)] * 2, [("classifier.1",)]]


@pytest.mark.parametrize("objective", ["energy", "channel", "unit", "direction", "guide"])
def test_what_an_objective_leaves_out_is_the_middle_of_any_network(
    dream_config, objective, photograph
):
    more = [f"objective.path='{photograph}'"] if objective == "guide" else []
    source = dream_stage(dream_config(f"objective={objective}", *more, "dream=still"))
    ((_, bound),) = source.dreamer.objectives
    sequence = source.dreamer.classifier.layer_sequence
    assert bound.layers == (sequence[len(sequence) // 2],)
