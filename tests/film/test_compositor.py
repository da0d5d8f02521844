"""Composed frames: their shapes, endings, captions, titles, transparency and the memory map."""

import numpy as np
import pytest
import torch

from forgetting.ablation import tracks
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.basic import Random
from forgetting.ablation.pacing import UnitPacing
from forgetting.ablation.schedules import Act, Schedule
from forgetting.ablation.tracks import TrackSpec
from forgetting.engines.engine import FrameRequest, Outputs
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError
from forgetting.film.captions import act_captions
from forgetting.film.compositor import Caption, Compositor, on_canvas, picture_box
from forgetting.film.settings import LAYOUTS, FilmSettings
from forgetting.models.activity import map_layers, pool_cells
from forgetting.models.units import UNIT_KINDS
from helpers import TINY, sample_ws, with_mapping_units

ACTS = (Act("early", 0.5, caption="early"), Act("late", 1.0, share=3))


def filmed(film, kinds="channels", generator=None, **schedule):
    """Return the compositor and the engine of a small film."""
    network = generator or with_mapping_units(
        TINY["toy"](), "mapping" if "mapping" in kinds else ""
    )
    spec = TrackSpec(Random(), Zero(softness=0.2), Schedule(**schedule), UnitPacing(), kinds)
    specs, ws = tracks.add_ending([spec], film.ending), sample_ws(network)
    task = tracks.ablation_task(network, ws, specs)
    engine = TorchConfig().start(task)
    plan = tracks.make_plan(
        network, specs, [spec.rank(network, ws) for spec in specs], film.frames, None
    )
    request = FrameRequest(torch.zeros(len(task)), outputs=Outputs(activity=True))
    reference = next(engine.render([request])).activity[:, 0, 0]
    captions = act_captions([spec.schedule for spec in specs], film)
    return Compositor(film, plan, network.size, captions, reference), engine


def frame(compositor, engine, index):
    request = FrameRequest(compositor.plan.row(index), outputs=Outputs(activity=True))
    rendered = next(engine.render([request]))
    return compositor.compose(index, rendered.rgb, rendered.activity[:, 0, 0])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("crop", "canvas"), [(None, None), ((9, 16), None), (None, (320, 180)), ((1, 1), (300, 400))]
)
def test_frames_have_the_shape_of_the_film(layout, crop, canvas):
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
    compositor, engine = filmed(film, acts=ACTS)
    for index in (0, 3, 7):
        composed = frame(compositor, engine, index)
        assert composed.dtype == np.uint8
        assert composed.shape == (*film.shape(32, 32), 3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_last_frame_of_a_film_that_ends_black_is_black(layout):
    compositor, engine = filmed(
        FilmSettings(fps=10, duration=3, size=64, layout=layout, ending="black")
    )
    last = frame(compositor, engine, 29)
    assert last[:, :64].max() == 0
    if layout in ("diptych", "map", "inset"):
        assert last.max() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "kinds",
    [*(kind for kind in UNIT_KINDS if kind != "picture"), ("channels", "styles", "mapping")],
)
def test_black_cells_of_the_map_are_those_of_ablated_units(kinds):
    film = FilmSettings(fps=10, duration=2, size=256, layout="map")
    compositor, engine = filmed(film, kinds)
    cells = compositor.map.cells
    layers = map_layers(track.layers for track in compositor.plan.tracks)
    for index in (0, 5, 11, 19):
        drawn = frame(compositor, engine, index)
        ablation = compositor.plan.ablation_by_layer(index)
        ablated = np.concatenate(
            [(pool_cells(ablation[layer.name], layer) == 1).numpy() for layer in layers]
        )
        black = np.array([not drawn[cells == k].any() for k in range(len(ablated))])
        assert np.array_equal(black, ablated), "a cell is black if and only if its unit is ablated"
        if sum(layer.channels for layer in layers) == len(ablated):
            values = torch.cat([ablation[layer.name] for layer in layers])
            assert black.mean() == pytest.approx(float((values == 1).float().mean()))


def test_recorded_activity_is_the_root_mean_square_of_units(tiny):
    ws = sample_ws(tiny)
    compositor, engine = filmed(FilmSettings(fps=4, duration=1, layout="map"), generator=tiny)
    row = torch.zeros(len(compositor.plan.row(0)))
    intact = FrameRequest(row, outputs=Outputs(activity=True))
    recorded = next(engine.render([intact])).activity[:, 0, 0]
    expected = []
    tiny.bind(ws)(lambda x, layer: expected.append(x[0].square().mean((1, 2)).sqrt()) or x)
    np.testing.assert_allclose(recorded, torch.cat(expected).numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("background", ["black", "#0c0c0c", "#eee8e0"])
def test_gaps_and_titles_have_the_colour_of_the_canvas(background):
    """A black gap or title on a nearly black canvas would show bars."""
    film = FilmSettings(
        fps=4,
        duration=1,
        size=128,
        layout="diptych",
        canvas=(258, 200),
        background=background,
        title="a title",
    )
    compositor, engine = filmed(film)
    composed = frame(compositor, engine, 0)
    box = picture_box(film, film.uncropped_shape(32, 32))
    ground = np.array(film.background_colour)
    middle = composed[box.top : box.bottom, box.left + box.width // 2]
    assert (middle == ground).all()
    title = list(compositor.title_frames(composed))
    assert (title[len(title) // 2][[0, 0, -1, -1], [0, -1, 0, -1]] == ground).all()


def test_captions_appear_and_disappear():
    film = FilmSettings(fps=10, duration=8, size=128)
    compositor, engine = filmed(film, acts=ACTS)
    assert compositor.captions == [Caption("early", 0.0, 2.0)]
    plain = Compositor(film, compositor.plan, compositor.size)
    for index, has_caption in ((0, False), (10, True), (25, False)):
        is_equal = np.array_equal(frame(compositor, engine, index), frame(plain, engine, index))
        assert is_equal != has_caption
    assert Caption("x", 2, 4).strength(3) == 1
    assert 0 < Caption("x", 2, 4).strength(2.3) < 1


def test_a_title_covers_no_frame_of_the_film():
    settings = {"fps": 10, "duration": 1, "size": 128}
    compositor, engine = filmed(FilmSettings(**settings, title="What I saw"))
    untitled, _ = filmed(FilmSettings(**settings))
    first = frame(compositor, engine, 0)
    assert np.array_equal(first, frame(untitled, engine, 0))
    title = list(compositor.title_frames(first))
    assert len(title) == compositor.film.title_frames == 30
    assert len(compositor.film.indices) == len(untitled.film.indices) == 10
    assert title[0].max() < 20, "letters appear out of the background"
    assert 200 < title[14].max() < 240
    assert np.abs(title[-1].astype(int) - first).mean() < 3, "the first picture has appeared"


def test_canvases():
    picture = np.full((50, 100, 3), 200, np.uint8)
    canvas = on_canvas(picture, FilmSettings(canvas=(300, 300), background="#102030"))
    assert canvas.shape == (300, 300, 3)
    assert canvas[0, 0].tolist() == [0x10, 0x20, 0x30]
    assert canvas[150, 150].tolist() == [200, 200, 200]
    assert (canvas[:, 150] == 200).all(axis=1).sum() == 150


@pytest.mark.parametrize("layout", LAYOUTS)
def test_transparent_films(layout):
    """Background and gaps are transparent, and a picture that becomes clear keeps its colours."""
    settings = {
        "fps": 10,
        "duration": 6,
        "size": 96,
        "layout": layout,
        "format": "png",
        "background": "transparent",
    }
    film = FilmSettings(**settings, ending="clear", canvas=(400, 440), title="a title")
    compositor, engine = filmed(film)
    held, held_engine = filmed(FilmSettings(**settings, ending="hold"))
    for index, alpha in ((0, 255), (40, 255), (59, 0)):
        composed = frame(compositor, engine, index)
        assert composed.shape == (440, 400, 4)
        assert composed[0, 0].tolist() == [0, 0, 0, 0]
        middle = 200 // {"diptych": 2, "triptych": 3}.get(layout, 1)
        assert composed[220, middle, 3] == alpha
    without_canvas = frame(held, held_engine, 40)
    assert without_canvas.shape == (*held.film.shape(32, 32), 4)
    gap = without_canvas[:, 96 : 96 + FilmSettings.gap(96), 3]
    assert gap.size == 0 or gap.max() == (0 if layout in ("diptych", "triptych") else 255)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layout": "book"}, "no film.layout 'book'"),
        ({"ending": "end"}, "no film.ending 'end'"),
        ({"canvas": (1920,)}, "film.canvas must be two whole numbers"),
        ({"crop": (0, 1)}, "film.crop must be two whole numbers"),
        ({"background": "blakc"}, "film.background must be transparent or a colour"),
        (
            {"background": "transparent"},
            "film.background=transparent needs film=png or film=prores, "
            "which have an alpha channel, got mp4",
        ),
        (
            {"ending": "clear", "format": "png"},
            "film.ending=clear fades into what is behind the film; add film.background=transparent",
        ),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(RequestError, match=message):
        FilmSettings(**settings)
    if "canvas" in settings:
        with pytest.raises(RequestError, match="film.canvas must be even"):
            FilmSettings(canvas=(1921, 1080)).shape(64, 64)
