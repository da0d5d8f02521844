"""Orderings that look at what units do, against plain measurements."""

import pytest
import torch

from forgetting.ablation.orderings import attribution
from forgetting.ablation.orderings.attribution import Importance, Spatial, picture_quantity
from forgetting.models.units import Layer, Units
from helpers import TINY, sample_ws


def test_who_speaks_in_a_region():
    """Blobs at known places."""

    class Blobs:
        layers = (Layer("a", 9, (24, 24)),)

        def bind(self, ws, edit=None):
            y, x = torch.meshgrid(torch.linspace(0, 1, 24), torch.linspace(0, 1, 24), indexing="ij")
            maps = torch.stack(
                [
                    torch.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.01)
                    for cy in (0.1, 0.5, 0.9)
                    for cx in (0.1, 0.5, 0.9)
                ]
            )
            return lambda edit: edit(maps[None].clone(), self.layers[0])[:, :3]

    units = Units(Blobs.layers)
    for spread in ("share", "wound"):
        ranks = Spatial(region=((0.9, 0.1, 0.1),), spread=spread)(Blobs(), units, None)
        assert int(ranks.argmin()) == 2
    assert int(ranks.argmax()) == 6, "the far corner comes last"


def test_effects_against_taking_units_away(toy):
    """On the way from everything at half strength to everything, the integral over one unit alone is what its loss changes."""
    units, ws = Units(toy.layers), sample_ws(toy)
    for effect in ("brightness", "warmth", "detail"):
        start = units.slices["b32.conv"].start
        gates = torch.ones(len(units))
        for unit in range(start, start + 8):
            slope = 0.0
            for k in range(16):
                at = gates.clone()
                at[unit] = (k + 0.5) / 16
                slope += (
                    float(
                        attribution.gate_gradients(
                            toy,
                            units,
                            ws,
                            at,
                            lambda image, effect=effect: picture_quantity(image, effect, "eyes"),
                        )[unit]
                    )
                    / 16
                )
            silent = torch.ones(8).index_fill(0, torch.tensor(unit - start), 0).view(1, -1, 1, 1)

            def dead(x, layer, silent=silent):
                return x * silent if layer.name == "b32.conv" else x

            change = float(
                picture_quantity(toy.bind(ws)(), effect, "eyes")
                - picture_quantity(toy.bind(ws)(dead), effect, "eyes")
            )
            assert slope == pytest.approx(change, abs=2e-3)


def test_slopes_in_inference_mode_and_with_limits():
    for name in ("stylegan2", "stylegan3-t", "mobile_stylegan", "dcgan"):
        network = TINY[name]()
        units, ws = Units(network.layers), sample_ws(network)
        with torch.inference_mode():
            found = attribution.gate_gradients(
                network, units, ws, torch.ones(len(units)), lambda image: image.mean()
            )
        layer = network.layers[-1]
        where, step = units.slices[layer.name].start, 1e-2
        images = []
        for sign in (1, -1):
            scale = torch.ones(layer.channels)
            scale[0] += sign * step
            images.append(
                network.bind(ws)(
                    lambda x, at, scale=scale, layer=layer: (
                        x * scale.view(1, -1, 1, 1) if at == layer else x
                    )
                ).mean()
            )
        assert float(found[where]) == pytest.approx(
            float(images[0] - images[1]) / (2 * step), abs=2e-3
        ), name


def test_importance_finds_those_who_do_not_matter(toy):
    """Killing the quarter that matters least changes the picture less than killing the quarter that matters most."""
    units, ws = Units(toy.layers), sample_ws(toy)
    ranks = Importance(scope="network")(toy, units, ws)
    changes = []
    for rank in (ranks, 1 - ranks):
        gone = units.split((rank < 0.25).float())
        image = toy.bind(ws)(
            lambda x, layer, gone=gone: x * (1 - gone[layer.name].view(1, -1, 1, 1))
        )
        changes.append(float((image - toy.bind(ws)()).square().mean()))
    assert changes[0] < changes[1] / 5
