import pytest
import torch

from forgetting.ablation import tracks as intent
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings import attribution
from forgetting.ablation.orderings.attribution import Importance, Semantic, Spatial
from forgetting.ablation.orderings.basic import Layers, Random, ScoreFile, SequentialOrdering
from forgetting.ablation.orderings.similarity import Cluster, Contagion
from forgetting.ablation.pacing import UnitPacing as ByUnits
from forgetting.ablation.schedules import Schedule
from forgetting.errors import RequestError
from forgetting.models import unit_kinds
from forgetting.models.units import UNIT_KINDS, Units
from helpers import TINY, sample_ws, with_mapping_units

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
    units, ws = Units(network.layers), sample_ws(network)
    for ordering in ORDERINGS:
        ranks = ordering(network, units, ws)
        assert torch.equal(ranks, ordering(network, units, ws)), ordering
        assert ranks.shape == (len(units),)
        assert bool(((ranks > 0) & (ranks < 1)).all()), ordering


@pytest.mark.parametrize("kind", UNIT_KINDS)
def test_every_ordering_on_every_kind(kind):
    network = with_mapping_units(TINY["toy"](), kind)
    units, ws = unit_kinds.units_of_kinds(network, kind), sample_ws(network)
    for ordering in ORDERINGS:
        assert bool(((ranks := ordering(network, units, ws)) > 0).all()), ordering
        assert bool((ranks < 1).all())


def test_layers_choose(toy):
    units = Units(toy.layers)
    for ordering in ORDERINGS:
        if isinstance(ordering, SequentialOrdering) or getattr(ordering, "seeds", 0) == ("*:0",):
            continue
        chosen = type(ordering)(**{**ordering.__dict__, "layers": "b8.*"})
        assert torch.equal(chosen(toy, units, sample_ws(toy)).isfinite(), units.select("b8.*")), (
            ordering
        )


def test_seeds_are_other_orders(toy):
    units, ws = Units(toy.layers), sample_ws(toy)
    for make in (
        lambda seed: Contagion(seed=seed),
        lambda seed: Cluster(seed=seed),
        lambda seed: Importance(seed=seed, draws=2),
    ):
        assert not torch.equal(make(0)(toy, units, ws), make(1)(toy, units, ws))


def test_all_of_it_is_in_the_plan(toy):
    for ordering in ORDERINGS[:3]:
        plan = intent.make_simple_plan(
            toy, sample_ws(toy), 4, ordering, Zero(0.0), Schedule(), ByUnits()
        )
        assert torch.equal(plan.tracks[0].rank, ordering(toy, Units(toy.layers), sample_ws(toy)))


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
