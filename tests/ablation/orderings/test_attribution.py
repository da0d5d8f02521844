"""Orderings by what units contribute to the picture, compared with plain measurements."""

import pytest
import torch

from forgetting.ablation.orderings import attribution
from forgetting.ablation.orderings.attribution import Importance, picture_quantity
from forgetting.ablation.orderings.ordering import RankRequest
from forgetting.ablation.orderings.regions import Spatial
from forgetting.models.units import Layer, Units
from helpers import TINY, rank, sample_ws


def test_units_of_a_region_come_first():
    """The maps of the network are blobs at known positions."""

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
        ordering = Spatial(region=((0.9, 0.1, 0.1),), spread=spread)
        ranks = ordering.rank(RankRequest(Blobs(), units, None))
        assert int(ranks.argmin()) == 2
    assert int(ranks.argmax()) == 6, "the far corner comes last"


def test_the_integral_of_gradients_equals_the_effect_of_ablation(toy):
    """The integral of the derivative by one gate is the change when that unit is ablated."""
    units, ws = Units(toy.layers), sample_ws(toy)
    for effect in ("brightness", "warmth", "detail"):
        start = units.slices["b32.conv"].start
        gates = torch.ones(len(units))
        for unit in range(start, start + 8):
            slope = 0.0
            for k in range(16):
                at = gates.clone()
                at[unit] = (k + 0.5) / 16
                gradients = attribution.gate_gradients(
                    toy,
                    units,
                    ws,
                    at,
                    lambda image, effect=effect: picture_quantity(image, effect, "eyes"),
                )
                slope += float(gradients[unit]) / 16
            factors = torch.ones(8).index_fill(0, torch.tensor(unit - start), 0).view(1, -1, 1, 1)

            def ablate(x, layer, factors=factors):
                return x * factors if layer.name == "b32.conv" else x

            change = float(
                picture_quantity(toy.bind(ws)(), effect, "eyes")
                - picture_quantity(toy.bind(ws)(ablate), effect, "eyes")
            )
            assert slope == pytest.approx(change, abs=2e-3)


def test_gradients_in_inference_mode_equal_finite_differences():
    for name in ("stylegan2", "stylegan3-t", "mobile_stylegan", "dcgan"):
        network = TINY[name]()
        units, ws = Units(network.layers), sample_ws(network)
        with torch.inference_mode():
            gradients = attribution.gate_gradients(
                network, units, ws, torch.ones(len(units)), lambda image: image.mean()
            )
        layer = network.layers[-1]
        number, step = units.slices[layer.name].start, 1e-2
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
        assert float(gradients[number]) == pytest.approx(
            float(images[0] - images[1]) / (2 * step), abs=2e-3
        ), name


def test_units_of_low_importance_change_the_picture_less(toy):
    """Ablating the least important quarter changes the picture less than the most important."""
    units, ws = Units(toy.layers), sample_ws(toy)
    ranks = rank(Importance(scope="network"), toy)
    changes = []
    for order in (ranks, 1 - ranks):
        ablated = units.split((order < 0.25).float())
        image = toy.bind(ws)(
            lambda x, layer, ablated=ablated: x * (1 - ablated[layer.name].view(1, -1, 1, 1))
        )
        changes.append(float((image - toy.bind(ws)()).square().mean()))
    assert changes[0] < changes[1] / 5
