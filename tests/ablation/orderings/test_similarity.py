import numpy as np
import pytest
import torch

from forgetting.ablation import activations
from forgetting.ablation.orderings import similarity
from forgetting.ablation.orderings.similarity import Cluster, Contagion, activation_profiles
from forgetting.errors import RequestError
from forgetting.models.units import Units
from helpers import sample_ws


def test_contagion_begins_where_it_is_told_and_goes_to_those_alike(toy):
    units = Units(toy.layers)
    ranks = Contagion(seeds=("b8.conv:3",), chance=0.0)(toy, units, sample_ws(toy))
    first = units.slices["b8.conv"].start + 3
    assert int(ranks.argmin()) == first
    alike = activation_profiles(toy, units) @ activation_profiles(toy, units)[first]
    assert int(ranks.argsort()[1]) == int(alike.index_fill(0, torch.tensor(first), -9).argmax())
    with pytest.raises(RequestError, match="no unit in common"):
        Contagion(seeds=("b8.conv:3",), layers="b16.*")(toy, units, sample_ws(toy))


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
    all_ranks = Cluster(clusters=4, seed=2)(toy, units, sample_ws(toy))
    one = Cluster(clusters=4, seed=2, only=(1,))(toy, units, sample_ws(toy))
    mine = one.isfinite()
    assert 0 < int(mine.sum()) < len(units)
    inside = all_ranks[mine]
    others = all_ranks[~mine]
    assert not bool(((others > inside.min()) & (others < inside.max())).any()), (
        "a group is not interrupted"
    )
