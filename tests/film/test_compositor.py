"""What stands beside the face, and the memory map."""

import numpy as np
import pytest
import torch

from forgetting.ablation import tracks as intent
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.basic import Random
from forgetting.ablation.pacing import UnitPacing as ByUnits
from forgetting.ablation.schedules import Act, Schedule
from forgetting.ablation.tracks import TrackSpec
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from forgetting.film.compositor import Caption, Compositor, on_canvas
from forgetting.film.settings import LAYOUTS, FilmSettings
from forgetting.models.activity import map_layers, pool_cells
from forgetting.models.units import UNIT_KINDS
from helpers import TINY, sample_ws, with_mapping_units

ACTS = (Act("early", 0.5, caption="early"), Act("late", 1.0, share=3))


def filmed(film, kinds="channels", generator=None, **more):
    """A layout and the engine of a small film."""
    network = generator or with_mapping_units(
        TINY["toy"](), "mapping" if "mapping" in kinds else ""
    )
    simple = TrackSpec(Random(), Zero(0.2), Schedule(**more), ByUnits(), kinds)
    intents, ws = intent.add_ending([simple], film.ending), sample_ws(network)
    scene = intent.ablation_task(network, ws, intents)
    scene = type(scene)(scene.generator, scene.ws, scene.targets, listens=film.layout != "face")
    engine = TorchConfig().start(scene)
    plan = intent.make_plan(
        network, intents, [one.rank(network, ws) for one in intents], film.frames, engine
    )
    reference = next(engine.shots(torch.zeros(1, len(scene))))[1]
    return Compositor(
        film, plan, network.size, intent.act_captions(intents, film), reference
    ), engine


def frame(layout, engine, index):
    picture, levels = next(engine.shots(layout.plan.rows([index])))
    return layout.compose(index, picture, levels)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("crop", "canvas"), [(None, None), ((9, 16), None), (None, (320, 180)), ((1, 1), (300, 400))]
)
def test_frames_have_the_shape_that_the_film_says(layout, crop, canvas):
    film = FilmSettings(
        fps=4,
        duration=2,
        size=96,
        layout=layout,
        crop=crop,
        canvas=canvas,
        ending="black",
        title="a title",
    )
    composition, engine = filmed(film, acts=ACTS)
    for index in (0, 3, 7):
        found = frame(composition, engine, index)
        assert found.dtype == np.uint8
        assert found.shape == (*film.shape(32, 32), 3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_last_frame_of_a_film_that_ends_black_is_black(layout):
    composition, engine = filmed(
        FilmSettings(fps=10, duration=3, size=64, layout=layout, ending="black")
    )
    last = frame(composition, engine, 29)
    assert last[:, :64].max() == 0
    if layout in ("diptych", "map", "inset"):
        assert last.max() == 0


@pytest.mark.parametrize(
    "kinds",
    [*(kind for kind in UNIT_KINDS if kind != "picture"), ("channels", "styles", "mapping")],
)
def test_the_dark_share_of_the_map_is_the_plans(kinds):
    film = FilmSettings(fps=10, duration=2, size=256, layout="map")
    composition, engine = filmed(film, kinds)
    where, layers = (
        composition.map.where,
        map_layers(track.layers for track in composition.plan.tracks),
    )
    for index in (0, 5, 11, 19):
        drawn = frame(composition, engine, index)
        gone = composition.plan.ablation_by_layer(index)
        dead = np.concatenate(
            [(pool_cells(gone[layer.name], layer) == 1).numpy() for layer in layers]
        )
        black = np.array([not drawn[where == k].any() for k in range(len(dead))])
        assert np.array_equal(black, dead), "a cell is black when, and only when, its unit is gone"
        if sum(layer.channels for layer in layers) == len(dead):
            assert black.mean() == pytest.approx(
                float((torch.cat([gone[layer.name] for layer in layers]) == 1).float().mean())
            )


def test_levels_are_what_units_say(tiny):
    ws = sample_ws(tiny)
    composition, engine = filmed(FilmSettings(fps=4, duration=1, layout="map"), generator=tiny)
    (_, levels) = next(engine.shots(torch.zeros(1, len(composition.plan.row(0)))))
    loud = []
    tiny.bind(ws)(lambda x, layer: loud.append(x[0].square().mean((1, 2)).sqrt()) or x)
    np.testing.assert_allclose(levels, torch.cat(loud).numpy(), rtol=1e-4, atol=1e-6)


def test_captions_come_and_go():
    film = FilmSettings(fps=10, duration=8, size=128)
    composition, engine = filmed(film, acts=ACTS)
    assert composition.captions == [Caption("early", 0.0, 2.0)]
    plain = Compositor(film, composition.plan, composition.size)
    for index, written in ((0, False), (10, True), (25, False)):
        assert (
            np.array_equal(frame(composition, engine, index), frame(plain, engine, index))
            != written
        )
    assert Caption("x", 2, 4).strength(3) == 1
    assert 0 < Caption("x", 2, 4).strength(2.3) < 1


def test_a_title_gives_way():
    composition, engine = filmed(FilmSettings(fps=10, duration=5, size=128, title="What I saw"))
    untitled, _ = filmed(FilmSettings(fps=10, duration=5, size=128))
    first = frame(composition, engine, 0)
    assert first[:20].max() == 0
    assert first.max() > 200
    assert np.array_equal(frame(composition, engine, 40), frame(untitled, engine, 40))


def test_canvases():
    picture = np.full((50, 100, 3), 200, np.uint8)
    found = on_canvas(picture, FilmSettings(canvas=(300, 300), background="#102030"))
    assert found.shape == (300, 300, 3)
    assert found[0, 0].tolist() == [0x10, 0x20, 0x30]
    assert found[150, 150].tolist() == [200, 200, 200]
    assert (found[:, 150] == 200).all(axis=1).sum() == 150


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_transparent(layout):
    """The ground and the gaps are, and a picture that becomes clear is so in the end, in its own colours."""
    still = {
        "fps": 10,
        "duration": 6,
        "size": 96,
        "layout": layout,
        "format": "png",
        "ground": "transparent",
    }
    film = FilmSettings(**still, ending="clear", canvas=(400, 440), title="a title")
    composition, engine = filmed(film)
    opaque, other = filmed(FilmSettings(**still, ending="hold"))
    for index, cover in ((0, 255), (40, 255), (59, 0)):
        found = frame(composition, engine, index)
        assert found.shape == (440, 400, 4)
        assert found[0, 0].tolist() == [0, 0, 0, 0]
        middle = 200 // {"diptych": 2, "triptych": 3}.get(layout, 1)
        assert found[220, middle, 3] == cover
    plain = frame(opaque, other, 40)
    assert plain.shape == (*opaque.film.shape(32, 32), 4)
    between = plain[:, 96 : 96 + FilmSettings.gap(96), 3]
    assert between.size == 0 or between.max() == (0 if layout in ("diptych", "triptych") else 255)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"layout": "book"}, "no film.layout 'book'"),
        ({"ending": "end"}, "no film.ending 'end'"),
        ({"canvas": (1920,)}, "film.canvas must be two whole numbers"),
        ({"crop": (0, 1)}, "film.crop must be two whole numbers"),
        ({"ground": "blakc"}, "film.background must be transparent or a colour"),
        (
            {"ground": "transparent"},
            "film.background=transparent needs film=png or film=prores, which have an alpha channel, got mp4",
        ),
        (
            {"ending": "clear", "format": "png"},
            "film.ending=clear fades into what is behind the film; say film.background=transparent too",
        ),
    ],
)
def test_impossible_settings(settings, says):
    with pytest.raises(RequestError, match=says):
        FilmSettings(**settings)
    if "canvas" in settings:
        with pytest.raises(RequestError, match="film.canvas must be even"):
            FilmSettings(canvas=(1921, 1080)).shape(64, 64)
