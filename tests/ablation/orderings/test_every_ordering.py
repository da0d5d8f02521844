from dataclasses import replace

import pytest
import torch

from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings import attribution
from forgetting.ablation.orderings.attribution import Importance, Semantic
from forgetting.ablation.orderings.basic import Random, ScoreFile
from forgetting.ablation.orderings.combined import Layers, SequentialOrdering
from forgetting.ablation.orderings.regions import Spatial
from forgetting.ablation.orderings.similarity import Cluster, Contagion
from forgetting.ablation.pacing import UnitPacing
from forgetting.ablation.schedules import Schedule
from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.units import UNIT_KINDS, Units
from helpers import TINY, rank, simple_plan, with_mapping_units

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
    for ordering in ORDERINGS:
        ranks = rank(ordering, network)
        assert torch.equal(ranks, rank(ordering, network)), ordering
        assert ranks.shape == (len(Units(network.layers)),)
        assert bool(((ranks > 0) & (ranks < 1)).all()), ordering


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_every_ordering_on_every_kind(kind):
    network = with_mapping_units(TINY["toy"](), kind)
    units = unit_kinds.units_of_kinds(network, kind)
    for ordering in ORDERINGS:
        ranks = rank(ordering, network, units)
        assert bool((ranks > 0).all()), ordering
        assert bool((ranks < 1).all())


def test_only_units_of_the_layers_are_ranked(toy):
    units = Units(toy.layers)
    for ordering in ORDERINGS:
        if isinstance(ordering, SequentialOrdering) or getattr(ordering, "seeds", 0) == ("*:0",):
            continue
        of_a_layer = replace(ordering, layers="b8.*")
        assert torch.equal(rank(of_a_layer, toy).isfinite(), units.select("b8.*")), ordering


def test_seeds_draw_other_orders(toy):
    for make in (
        lambda seed: Contagion(seed=seed),
        lambda seed: Cluster(seed=seed),
        lambda seed: Importance(seed=seed, draws=2),
    ):
        assert not torch.equal(rank(make(0), toy), rank(make(1), toy))


def test_the_plan_holds_the_ranks(toy):
    for ordering in ORDERINGS[:3]:
        plan = simple_plan(toy, 4, ordering, Zero(softness=0.0), Schedule(), UnitPacing())
        assert torch.equal(plan.tracks[0].rank, rank(ordering, toy))


@pytest.mark.parametrize(
    ("make", "message"),
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
        (lambda: ScoreFile(""), "set ordering.path="),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(RequestError, match=message):
        make()
