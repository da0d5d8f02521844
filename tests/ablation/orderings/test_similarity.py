import numpy as np
import pytest
import torch

from forgetting.ablation import activations
from forgetting.ablation.orderings import similarity
from forgetting.ablation.orderings.similarity import Cluster, Contagion, activation_profiles
from forgetting.errors import RequestError
from forgetting.models.units import Units
from helpers import rank


def test_contagion_starts_at_its_seeds_and_spreads_to_similar_units(toy):
    units = Units(toy.layers)
    ranks = rank(Contagion(seeds=("b8.conv:3",), chance=0.0), toy)
    first = units.slices["b8.conv"].start + 3
    assert int(ranks.argmin()) == first
    profiles = activation_profiles(toy, units)
    correlation = (profiles @ profiles[first]).index_fill(0, torch.tensor(first), -9)
    assert int(ranks.argsort()[1]) == int(correlation.argmax())
    with pytest.raises(RequestError, match="no unit in common"):
        rank(Contagion(seeds=("b8.conv:3",), layers="b16.*"), toy)


def test_products_of_activation_profiles_are_correlations(toy):
    """Numpy computes the same for two units of the finest layer, from means over areas."""
    units = Units(toy.layers)
    recorded = []
    for ws in activations.sample_faces(toy, similarity.FACES):
        toy.bind(ws)(
            lambda x, layer: (
                recorded.append(x[0, :2].reshape(2, 8, 4, 8, 4).mean((2, 4)).flatten(1)) or x
                if layer.name == "b32.conv"
                else x
            )
        )
    a, b = torch.cat(recorded, dim=1).numpy()
    start = units.slices["b32.conv"].start
    profiles = activation_profiles(toy, units)
    assert float(profiles[start] @ profiles[start + 1]) == pytest.approx(
        np.corrcoef(a, b)[0, 1], abs=1e-4
    )


def test_clusters_are_ablated_one_after_another(toy):
    units = Units(toy.layers)
    points = torch.nn.functional.normalize(
        torch.randn(3, 5, generator=torch.Generator().manual_seed(1)), dim=1
    )
    points_around = (
        points[:, None] + 0.01 * torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(2))
    ).flatten(0, 1)
    cluster, _ = similarity.k_means(points_around, 3, seed=1)
    if len(set(cluster.tolist())) == 3:
        assert all(len(set(cluster[k * 20 : k * 20 + 20].tolist())) == 1 for k in range(3))
    all_ranks = rank(Cluster(clusters=4, seed=2), toy)
    members = rank(Cluster(clusters=4, seed=2, only=(1,)), toy).isfinite()
    assert 0 < int(members.sum()) < len(units)
    inside = all_ranks[members]
    others = all_ranks[~members]
    assert not bool(((others > inside.min()) & (others < inside.max())).any()), (
        "no unit of another cluster comes between those of a cluster"
    )
