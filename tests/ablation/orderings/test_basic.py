import itertools

import numpy as np
import pytest
import torch

from forgetting.ablation.activations import rms_over_faces
from forgetting.ablation.orderings.basic import Random, ScoreFile
from forgetting.ablation.orderings.combined import Layers, SequentialOrdering
from forgetting.ablation.orderings.ranks import normalise, rank_units
from forgetting.ablation.orderings.scores import Activation, Contribution, Magnitude
from forgetting.errors import RequestError
from forgetting.models.units import Units
from helpers import rank, sample_ws


def test_a_sequence_takes_ranks_of_several_orderings(toy):
    units, orderings = Units(toy.layers), (Layers(layers="b32.*"), Random(layers="b4.*"))
    ranks = rank(SequentialOrdering(orderings, shares=(3, 1)), toy)
    by_layer = units.split(ranks)
    assert float(by_layer["b32.conv"].max()) < 0.75 < float(by_layer["b4.conv"].min())
    assert not bool(by_layer["b8.conv"].isfinite().any())
    ranks = rank(SequentialOrdering((Layers(), Random()), take=(0.25, 1)), toy)
    first = rank(Layers(), toy) <= 0.25
    assert bool((ranks[first].max() < ranks[~first].min()).all())


def test_scores_from_a_file(toy, tmp_path):
    scores = np.random.RandomState(0).permutation(52).astype(np.float64)
    np.save(tmp_path / "scores.npy", scores)
    np.savetxt(tmp_path / "scores.txt", scores)
    for name in ("scores.npy", "scores.txt"):
        assert torch.equal(
            rank(ScoreFile(str(tmp_path / name)), toy).argsort(),
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
            rank(ScoreFile(str(tmp_path / name)), toy)


ALL = [
    Random(),
    Random(scope="layer"),
    Magnitude(),
    Magnitude(weights="incoming", norm="l1", scope="network", normalise="mean"),
    Activation(scope="network", normalise="max"),
    Activation(),
    Contribution(),
    Contribution(first="largest", scope="network", normalise="rms"),
    Layers(),
    Layers(order="fine_to_coarse", inside=Contribution(), overlap=0.4),
]


@pytest.mark.parametrize("ordering", ALL, ids=repr)
def test_ranks_are_evenly_spaced_and_repeatable(tiny, ordering):
    ranks = rank(ordering, tiny)
    assert ranks.shape == (len(Units(tiny.layers)),)
    assert bool(((ranks > 0) & (ranks < 1)).all())
    assert torch.equal(ranks, rank(ordering, tiny))
    if getattr(ordering, "scope", "network") == "layer":
        for layer_ranks in Units(tiny.layers).split(ranks).values():
            torch.testing.assert_close(
                layer_ranks.sort().values,
                (torch.arange(len(layer_ranks)) + 0.5) / len(layer_ranks),
            )
    else:
        torch.testing.assert_close(
            ranks.sort().values, (torch.arange(len(ranks)) + 0.5) / len(ranks)
        )


@pytest.mark.parametrize("kind", [Random, Magnitude, Activation, Contribution, Layers])
def test_only_selected_units_are_ranked(toy, kind):
    ranks = rank(kind(layers=["b8.*", "b16.conv:0-2"]), toy)
    selected = Units(toy.layers).select(["b8.*", "b16.conv:0-2"])
    assert bool(torch.isinf(ranks[~selected]).all())
    assert bool((ranks[selected] < 1).all())


def test_seeds_draw_other_orders(toy):
    assert not torch.equal(rank(Random(seed=1), toy), rank(Random(seed=2), toy))


def test_equal_scores_get_a_random_order(toy):
    units = Units(toy.layers)
    equal, selected = torch.zeros(len(units)), units.select("*")
    a, b = (rank_units(equal, units, "network", seed, selected) for seed in (0, 1))
    assert not torch.equal(a, b)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("weights", ["incoming", "outgoing"])
def test_magnitude_is_the_norm(toy, norm, weights):
    ranks = Units(toy.layers).split(rank(Magnitude(weights=weights, norm=norm), toy))
    for layer in toy.layers:
        matrix = getattr(toy, weights)(layer).double().numpy()
        score = np.abs(matrix).sum(1) if norm == "l1" else np.sqrt((matrix**2).sum(1))
        assert np.argsort(score).tolist() == ranks[layer.name].argsort().tolist()


def test_contribution_is_rms_times_outgoing_norm(toy):
    norms = torch.cat([toy.outgoing(layer).double().square().sum(1).sqrt() for layer in toy.layers])
    score = rms_over_faces(toy, Units(toy.layers)).double() * norms
    ranks = rank(Contribution(scope="network"), toy)
    assert ranks.argsort().tolist() == score.argsort().tolist()
    opposite = rank(Contribution(scope="network", first="largest"), toy)
    assert opposite.argsort().tolist() == score.argsort(descending=True).tolist()
    assert len(Units(toy.layers)) == len(ranks)


def test_activation_is_the_rms_for_this_face(toy):
    rms = []
    toy.bind(sample_ws(toy))(lambda x, layer: rms.append(x[0].square().mean((1, 2)).sqrt()) or x)
    ranks = rank(Activation(scope="network"), toy)
    assert ranks.argsort().tolist() == torch.cat(rms).argsort().tolist()
    assert len(torch.cat(rms)) == len(Units(toy.layers))


@pytest.mark.parametrize("by", ["mean", "max", "rms"])
def test_normalised_scores_do_not_depend_on_the_scale_of_a_layer(toy, by):
    units = Units(toy.layers)
    score = torch.rand(len(units), generator=torch.Generator().manual_seed(0)).double() + 0.1
    scaled = score * torch.tensor([1.0, 10.0, 0.01, 3.0])[units.layer_index]
    torch.testing.assert_close(normalise(scaled, units, by), normalise(score, units, by))


def test_layers_are_ablated_one_after_another(toy):
    units = Units(toy.layers)
    for order, sign in (("coarse_to_fine", 1), ("fine_to_coarse", -1)):
        ranks = list(units.split(rank(Layers(order=order), toy)).values())[::sign]
        assert all(a.max() < b.min() for a, b in itertools.pairwise(ranks))
    by_layer = units.split(rank(Layers(order=["b16.conv", "b4.*"]), toy))
    assert by_layer["b16.conv"].max() < by_layer["b4.conv"].min()
    assert bool(torch.isinf(by_layer["b8.conv"]).all())


def test_layers_with_overlap_are_ablated_together(toy):
    units = Units(toy.layers)
    first = [
        units.split(rank(Layers(overlap=overlap), toy))["b4.conv"].max()
        for overlap in (0.0, 0.5, 1.0)
    ]
    assert first[0] < first[1] < first[2]
    assert first[2] > 0.9


def test_inside_orders_the_units_of_a_layer(toy):
    units = Units(toy.layers)
    inside = units.split(rank(Contribution(scope="layer"), toy))
    outside = units.split(rank(Layers(inside=Contribution(scope="layer")), toy))
    for name in inside:
        assert inside[name].argsort().tolist() == outside[name].argsort().tolist()


@pytest.mark.parametrize(
    ("make", "message"),
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
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(RequestError, match=message):
        make()


def test_impossible_layers_are_refused(toy):
    with pytest.raises(RequestError, match="this generator has b4.conv"):
        rank(Layers(order=["b99"]), toy)
    with pytest.raises(RequestError, match="coarse_to_fine, fine_to_coarse"):
        rank(Layers(order="sideways"), toy)
    with pytest.raises(RequestError, match="no unit in common"):
        rank(Layers(order=["b4.conv"], layers="b8.conv"), toy)
