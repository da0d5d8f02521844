import itertools

import numpy as np
import pytest
import torch

from forgetting.ablation.activations import rms_over_faces
from forgetting.ablation.orderings import basic
from forgetting.ablation.orderings.basic import (
    Activation,
    Contribution,
    Layers,
    Magnitude,
    Random,
    ScoreFile,
    SequentialOrdering,
)
from forgetting.errors import RequestError
from forgetting.models.units import Units
from helpers import sample_ws


def test_a_sequence(toy):
    units, ws = Units(toy.layers), sample_ws(toy)
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
        sample_ws(toy),
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


ALL = [
    Random(), Random(scope="layer"), Magnitude(), Magnitude(weights="incoming", norm="l1", scope="network", normalise="mean"),
    Activation(scope="network", normalise="max"), Activation(), Contribution(),
    Contribution(first="largest", scope="network", normalise="rms"),
    Layers(), Layers(order="fine_to_coarse", inside=Contribution(), overlap=0.4),
]  # fmt: skip


def ranks(ordering, generator):
    return ordering(generator, Units(generator.layers), sample_ws(generator))


@pytest.mark.parametrize("ordering", ALL, ids=repr)
def test_every_ordering_is_an_order(tiny, ordering):
    rank = ranks(ordering, tiny)
    assert rank.shape == (len(Units(tiny.layers)),)
    assert bool(((rank > 0) & (rank < 1)).all())
    assert torch.equal(rank, ranks(ordering, tiny))
    if getattr(ordering, "scope", "network") == "layer":
        for part in Units(tiny.layers).split(rank).values():
            torch.testing.assert_close(
                part.sort().values, (torch.arange(len(part)) + 0.5) / len(part)
            )
    else:
        torch.testing.assert_close(rank.sort().values, (torch.arange(len(rank)) + 0.5) / len(rank))


@pytest.mark.parametrize("kind", [Random, Magnitude, Activation, Contribution, Layers])
def test_only_chosen_layers_die(toy, kind):
    rank = ranks(kind(layers=["b8.*", "b16.conv:0-2"]), toy)
    units = Units(toy.layers)
    chosen = units.select(["b8.*", "b16.conv:0-2"])
    assert bool(torch.isinf(rank[~chosen]).all())
    assert bool((rank[chosen] < 1).all())


def test_seeds(toy):
    assert not torch.equal(ranks(Random(seed=1), toy), ranks(Random(seed=2), toy))


def test_equal_scores_are_put_in_drawn_order(toy):
    units = Units(toy.layers)
    same = torch.zeros(len(units))
    everybody = units.select("*")
    a, b = (basic.rank_units(same, units, "network", seed, everybody) for seed in (0, 1))
    assert not torch.equal(a, b)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("weights", ["incoming", "outgoing"])
def test_magnitude_is_the_norm(toy, norm, weights):
    for layer, rank in zip(
        toy.layers,
        Units(toy.layers).split(ranks(Magnitude(weights=weights, norm=norm), toy)).values(),
        strict=True,
    ):
        matrix = getattr(toy, weights)(layer).double().numpy()
        score = np.abs(matrix).sum(1) if norm == "l1" else np.sqrt((matrix**2).sum(1))
        assert np.argsort(score).tolist() == rank.argsort().tolist()


def test_contribution_is_rms_times_outgoing_norm(toy):
    units = Units(toy.layers)
    heard = torch.cat([toy.outgoing(layer).double().square().sum(1).sqrt() for layer in toy.layers])
    score = rms_over_faces(toy, Units(toy.layers)).double() * heard
    rank = ranks(Contribution(scope="network"), toy)
    assert rank.argsort().tolist() == score.argsort().tolist()
    opposite = ranks(Contribution(scope="network", first="largest"), toy)
    assert opposite.argsort().tolist() == score.argsort(descending=True).tolist()
    assert len(units) == len(rank)


def test_activation_listens_to_this_face(toy):
    units, found = Units(toy.layers), []
    toy.bind(sample_ws(toy))(lambda x, layer: found.append(x[0].square().mean((1, 2)).sqrt()) or x)
    assert (
        ranks(Activation(scope="network"), toy).argsort().tolist()
        == torch.cat(found).argsort().tolist()
    )
    assert len(torch.cat(found)) == len(units)


@pytest.mark.parametrize("how", ["mean", "max", "rms"])
def test_normalisers_take_the_layer_out(toy, how):
    units = Units(toy.layers)
    score = torch.rand(len(units), generator=torch.Generator().manual_seed(0)).double() + 0.1
    louder = score * torch.tensor([1.0, 10.0, 0.01, 3.0])[units.layer_index]
    torch.testing.assert_close(
        basic.normalise(louder, units, how), basic.normalise(score, units, how)
    )


def test_layers_die_one_after_another(toy):
    units = Units(toy.layers)
    for order, sign in (("coarse_to_fine", 1), ("fine_to_coarse", -1)):
        parts = list(units.split(ranks(Layers(order=order), toy)).values())[::sign]
        assert all(a.max() < b.min() for a, b in itertools.pairwise(parts))
    parts = units.split(ranks(Layers(order=["b16.conv", "b4.*"]), toy))
    assert parts["b16.conv"].max() < parts["b4.conv"].min()
    assert bool(torch.isinf(parts["b8.conv"]).all())


def test_overlap_lets_layers_die_together(toy):
    units = Units(toy.layers)
    first = [
        units.split(ranks(Layers(overlap=overlap), toy))["b4.conv"].max()
        for overlap in (0.0, 0.5, 1.0)
    ]
    assert first[0] < first[1] < first[2]
    assert first[2] > 0.9


def test_inside_orders_the_units_of_a_layer(toy):
    units = Units(toy.layers)
    inside = units.split(ranks(Contribution(scope="layer"), toy))
    outside = units.split(ranks(Layers(inside=Contribution(scope="layer")), toy))
    for name in inside:
        assert inside[name].argsort().tolist() == outside[name].argsort().tolist()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Random(scope="world"), "no ordering.scope 'world'.*network, layer"),
        (lambda: Random(seed=-1), "ordering.seed must lie between"),
        (lambda: Magnitude(norm="l3"), "l1, l2"),
        (lambda: Magnitude(weights="outgoin"), "did you mean 'outgoing'"),
        (lambda: Contribution(first="last"), "smallest, largest"),
        (lambda: Activation(normalise="sum"), "none, mean, max, rms"),
        (lambda: Layers(overlap=1.5), "overlap must lie between 0 and 1, got 1.5"),
    ],
)
def test_bad_settings(make, says):
    with pytest.raises(RequestError, match=says):
        make()


def test_bad_layers(toy):
    with pytest.raises(RequestError, match="this generator has b4.conv"):
        ranks(Layers(order=["b99"]), toy)
    with pytest.raises(RequestError, match="coarse_to_fine, fine_to_coarse"):
        ranks(Layers(order="sideways"), toy)
    with pytest.raises(RequestError, match="no unit in common"):
        ranks(Layers(order=["b4.conv"], layers="b8.conv"), toy)
