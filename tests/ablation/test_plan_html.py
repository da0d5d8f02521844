"""What a notebook shows of a plan."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import torch

from forgetting.ablation.plan import MAX_POINTS, Plan, Track
from forgetting.ablation.plan_html import HEIGHT, WIDTH
from forgetting.models.units import PICTURE, Layer

LAYERS = (Layer("b4.conv", 3, (4, 4)), Layer("b8.conv", 2, (8, 8)))


def track(fraction, name="", layers=LAYERS):
    """Return a track with that fraction."""
    units = sum(layer.channels for layer in layers)
    return Track(torch.linspace(0.1, 1, units), torch.tensor(fraction).double(), 0.1, layers, name)


def curves(html):
    """Return the points of every curve in a page that must be well-formed."""
    lines = ElementTree.fromstring(html).iter("polyline")
    return [
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in lines
    ]


def test_a_plan_describes_itself_in_a_sentence():
    face, ending = track([0.0, 0.5, 1.0]), track([0.0, 0.0, 1.0], "ending", (PICTURE,))
    assert repr(Plan((face,))) == "<plan of 3 frames: 5 units in 2 layers>"
    described = "<plan of 3 frames: 5 units in 2 layers, ending: 1 unit in 1 layer>"
    assert repr(Plan((face, ending))) == described


def test_the_table_has_a_row_and_a_curve_for_every_track():
    html = Plan((track([0.0, 0.5, 1.0], "eyes"), track([1.0, 1.0, 0.0], "mouth")))._repr_html_()
    table = ElementTree.fromstring(html)
    cells = [[cell.text for cell in row.findall("td")[:2]] for row in table.findall("tr")[1:]]
    assert cells == [["eyes", "5 units in 2 layers"], ["mouth", "5 units in 2 layers"]]
    up, down = curves(html)
    assert up == [(0, HEIGHT), (WIDTH / 2, HEIGHT / 2), (WIDTH, 0)]
    assert down == [(0, 0), (WIDTH / 2, 0), (WIDTH, HEIGHT)]


def test_the_curve_of_an_explicit_ablation_is_its_mean():
    explicit = torch.tensor([[0.0] * 5, [1.0, 0, 0, 0, 0], [1.0] * 5])
    html = Plan((replace(track([0.0, 0.0, 0.0]), explicit=explicit),))._repr_html_()
    assert [y for _, y in curves(html)[0]] == [HEIGHT, round(0.8 * HEIGHT, 1), 0]


def test_long_plans_are_thinned_out_from_the_first_frame_to_the_last():
    fraction = torch.linspace(0, 1, 100_000).tolist()
    (points,) = curves(Plan((track(fraction),))._repr_html_())
    assert len(points) == MAX_POINTS
    assert (points[0], points[-1]) == ((0, HEIGHT), (WIDTH, 0))
    (point,) = curves(Plan((track([0.25]),))._repr_html_())[0]
    assert point == (0, 0.75 * HEIGHT)


def test_names_in_a_plan_of_a_stranger_are_escaped():
    html = Plan((track([0.0, 1.0], "<script>alert(1)</script>&"),))._repr_html_()
    assert "<script" not in html
    assert re.search(r"&lt;script&gt;.*&amp;", html)
