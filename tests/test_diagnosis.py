"""Orderings that look at what units do, against plain measurements."""

import numpy as np
import pytest
import torch
from conftest import TINY, faces
from test_parts import whole

from forgetting.ablation import activations
from forgetting.ablation import tracks as intent
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings import attribution, similarity
from forgetting.ablation.orderings.attribution import (
    Importance,
    Semantic,
    Spatial,
    picture_quantity,
)
from forgetting.ablation.orderings.basic import Layers, Random, ScoreFile, SequentialOrdering
from forgetting.ablation.orderings.similarity import Cluster, Contagion, activation_profiles
from forgetting.ablation.pacing import UnitPacing as ByUnits
from forgetting.ablation.schedules import Schedule
from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.units import UNIT_KINDS, Layer, Units

ORDERINGS = [
    Contagion(),
    Contagion(seeds=("*:0",), chance=0.0),
    Cluster(clusters=4),
    Cluster(clusters=3, first="loudest"),
    Spatial(),
    Spatial(region=((0.2, 0.3, 0.1),), spread="wound", scope="layer"),
    *(Semantic(effect=effect, steps=2) for effect in attribution.EFFECTS),
    Semantic(towards="either"),
    Importance(draws=2),
    SequentialOrdering((Layers(), Random())),
    SequentialOrdering((Spatial(), Random()), take=(0.3, 1), shares=(2, 1)),
]


@pytest.mark.parametrize("name", TINY)
def test_every_ordering_on_every_architecture(name):
    network = TINY[name]()
    units, ws = Units(network.layers), faces(network)
    for ordering in ORDERINGS:
        ranks = ordering(network, units, ws)
        assert torch.equal(ranks, ordering(network, units, ws)), ordering
        assert ranks.shape == (len(units),)
        assert bool(((ranks > 0) & (ranks < 1)).all()), ordering


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_every_ordering_on_every_kind(kind):
    network = whole(TINY["toy"](), kind)
    units, ws = unit_kinds.units_of_kinds(network, kind), faces(network)
    for ordering in ORDERINGS:
        assert bool(((ranks := ordering(network, units, ws)) > 0).all()), ordering
        assert bool((ranks < 1).all())


def test_layers_choose(toy):
    units = Units(toy.layers)
    for ordering in ORDERINGS:
        if isinstance(ordering, SequentialOrdering) or getattr(ordering, "seeds", 0) == ("*:0",):
            continue
        chosen = type(ordering)(**{**ordering.__dict__, "layers": "b8.*"})
        assert torch.equal(chosen(toy, units, faces(toy)).isfinite(), units.select("b8.*")), (
            ordering
        )


def test_seeds_are_other_orders(toy):
    units, ws = Units(toy.layers), faces(toy)
    for make in (
        lambda seed: Contagion(seed=seed),
        lambda seed: Cluster(seed=seed),
        lambda seed: Importance(seed=seed, draws=2),
    ):
        assert not torch.equal(make(0)(toy, units, ws), make(1)(toy, units, ws))


def test_contagion_begins_where_it_is_told_and_goes_to_those_alike(toy):
    units = Units(toy.layers)
    ranks = Contagion(seeds=("b8.conv:3",), chance=0.0)(toy, units, faces(toy))
    first = units.slices["b8.conv"].start + 3
    assert int(ranks.argmin()) == first
    alike = activation_profiles(toy, units) @ activation_profiles(toy, units)[first]
    assert int(ranks.argsort()[1]) == int(alike.index_fill(0, torch.tensor(first), -9).argmax())
    with pytest.raises(RequestError, match="no unit in common"):
        Contagion(seeds=("b8.conv:3",), layers="b16.*")(toy, units, faces(toy))


def test_signatures_are_correlations(toy):
    """Against numpy, on two units of the finest layer; places are means over areas."""
    units = Units(toy.layers)
    heard = []
    for ws in activations.sample_faces(toy, similarity.FACES):
        toy.bind(ws)(
            lambda x, layer: (
                heard.append(x[0, :2].reshape(2, 8, 4, 8, 4).mean((2, 4)).flatten(1)) or x
                if layer.name == "b32.conv"
                else x
            )
        )
    a, b = torch.cat(heard, dim=1).numpy()
    start = units.slices["b32.conv"].start
    found = activation_profiles(toy, units)
    assert float(found[start] @ found[start + 1]) == pytest.approx(
        np.corrcoef(a, b)[0, 1], abs=1e-4
    )


def test_groups_die_one_after_another(toy):
    units = Units(toy.layers)
    points = torch.nn.functional.normalize(
        torch.randn(3, 5, generator=torch.Generator().manual_seed(1)), dim=1
    )
    cloud = (
        points[:, None] + 0.01 * torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(2))
    ).flatten(0, 1)
    group, _ = similarity.k_means(cloud, 3, seed=1)
    if len(set(group.tolist())) == 3:
        assert all(len(set(group[k * 20 : k * 20 + 20].tolist())) == 1 for k in range(3))
    all_ranks = Cluster(clusters=4, seed=2)(toy, units, faces(toy))
    one = Cluster(clusters=4, seed=2, only=(1,))(toy, units, faces(toy))
    mine = one.isfinite()
    assert 0 < int(mine.sum()) < len(units)
    inside = all_ranks[mine]
    others = all_ranks[~mine]
    assert not bool(((others > inside.min()) & (others < inside.max())).any()), (
        "a group is not interrupted"
    )


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
    units, ws = Units(toy.layers), faces(toy)
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
        units, ws = Units(network.layers), faces(network)
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
    units, ws = Units(toy.layers), faces(toy)
    ranks = Importance(scope="network")(toy, units, ws)
    changes = []
    for rank in (ranks, 1 - ranks):
        gone = units.split((rank < 0.25).float())
        image = toy.bind(ws)(
            lambda x, layer, gone=gone: x * (1 - gone[layer.name].view(1, -1, 1, 1))
        )
        changes.append(float((image - toy.bind(ws)()).square().mean()))
    assert changes[0] < changes[1] / 5


def test_a_sequence(toy):
    units, ws = Units(toy.layers), faces(toy)
    ranks = SequentialOrdering((Layers(layers="b32.*"), Random(layers="b4.*")), shares=(3, 1))(
        toy, units, ws
    )
    parts_of = units.split(ranks)
    assert float(parts_of["b32.conv"].max()) < 0.75 < float(parts_of["b4.conv"].min())
    assert not bool(parts_of["b8.conv"].isfinite().any())
    ranks = SequentialOrdering((Layers(), Random()), take=(0.25, 1))(toy, units, ws)
    first = Layers()(toy, units, ws) <= 0.25
    assert bool((ranks[first].max() < ranks[~first].min()).all())


def test_scores_from_a_file(toy, tmp_path):
    units, ws, scores = (
        Units(toy.layers),
        faces(toy),
        np.random.RandomState(0).permutation(52).astype(np.float64),
    )
    np.save(tmp_path / "scores.npy", scores)
    np.savetxt(tmp_path / "scores.txt", scores)
    for name in ("scores.npy", "scores.txt"):
        assert torch.equal(
            ScoreFile(str(tmp_path / name))(toy, units, ws).argsort(),
            torch.from_numpy(scores).argsort(),
        )
    bad = {
        "short.npy": scores[1:],
        "nan.npy": scores * np.nan,
        "object.npy": np.array([print] * 52, dtype=object),
    }
    for name, content in bad.items():
        np.save(tmp_path / name, content, allow_pickle=True)
    (tmp_path / "words.txt").write_text("one two")
    (tmp_path / "large.txt").write_text("0\n" * 9000)
    for name in (*bad, "words.txt", "large.txt", "missing.npy"):
        with pytest.raises(RequestError, match=name):
            ScoreFile(str(tmp_path / name))(toy, units, ws)


def test_all_of_it_is_in_the_plan(toy):
    for ordering in ORDERINGS[:3]:
        plan = intent.make_simple_plan(
            toy, faces(toy), 4, ordering, Zero(0.0), Schedule(), ByUnits()
        )
        assert torch.equal(plan.tracks[0].rank, ordering(toy, Units(toy.layers), faces(toy)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Contagion(seeds=0), "ordering.seeds must lie between 1"),
        (lambda: Contagion(chance=2), "ordering.chance must lie between"),
        (lambda: Cluster(clusters=0), "ordering.clusters must lie between 1"),
        (
            lambda: Cluster(clusters=3, only=(3,)),
            "a group in ordering.only must lie between 0 and 2",
        ),
        (lambda: Spatial(region="ear"), "no ordering.region 'ear'"),
        (lambda: Spatial(region=(0.5, 0.5, 0.1)), "a list of discs"),
        (lambda: Semantic(effect="age"), "no ordering.effect 'age'"),
        (lambda: Semantic(towards="up"), "no ordering.towards 'up'"),
        (lambda: Importance(fade=0), "ordering.fade must lie between"),
        (lambda: SequentialOrdering(), "needs orderings"),
        (
            lambda: SequentialOrdering((Random(),), shares=(1, 2)),
            "ordering.shares must be 1 positive",
        ),
        (lambda: SequentialOrdering((Random(),), take=(2,)), "ordering.take must be 1 shares"),
        (lambda: ScoreFile(""), "say ordering.path="),
    ],
)
def test_impossible_settings(make, says):
    with pytest.raises(RequestError, match=says):
        make()
