import numpy as np
from PIL import Image

from forgetting.dreams.objectives import LayerSequence
from helpers import dream_frames, prepare_config


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
    half = prepare_config(dream_config(*settings, *more)).stage.dreamer
    sizes = [float(half.way(0).balanced(half.scenery.picture(0)).parts[k][0]) for k in (0, 1)]
    assert sizes[0] > 0 > sizes[1]


def test_ladders_give_every_layer_its_turn(dream_config):
    classifier = prepare_config(dream_config("film.duration=1")).stage.dreamer.classifier
    ladder = LayerSequence(["features.3.*", "features.6.*", "features.9.*"], blend=0.5)
    turns = [
        [(one.layers, round(one.weight, 3)) for one in ladder.at(classifier, index, 12)]
        for index in range(12)
    ]
    assert turns[0] == turns[2] == [("features.3.*", 1.0)]
    assert turns[3] == [("features.3.*", 0.5), ("features.6.*", 0.5)]
    assert turns[11] == [("features.9.*", 1.0)]
    assert len(LayerSequence(frames=2).at(classifier, 100, 200)) == 1
    assert [one.layers for one in LayerSequence().at(classifier, -5, 100)] == [classifier.ladder[0]]
