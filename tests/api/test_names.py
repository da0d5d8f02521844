import inspect

import numpy as np

import forgetting as fg
from forgetting.parts import part_modules


def test_everything_that_is_listed_can_be_used():
    assert set(fg.__all__) < set(dir(fg))
    for name in fg.__all__:
        assert getattr(fg, name) is not None
        assert inspect.getdoc(getattr(fg, name)), name


def test_parts_for_scripts_are_listed():
    """Orderings, operators, metrics, and all that dreams consist of."""
    groups = ("ordering", "operator", "metric", "dream", "objective", "source", "ascent")
    modules = {
        module for name, module in part_modules().items() if name.partition("/")[0] in groups
    }
    exported = {getattr(fg, name).__module__ for name in fg.__all__}
    assert modules <= exported


def test_a_metric():
    frame = np.random.RandomState(0).randint(0, 255, (64, 64, 3), np.uint8)
    measure = fg.StructureDistance().bind(fg.Picture(frame))
    assert measure(fg.Picture(frame)) == 0
    assert measure(fg.Picture(255 - frame)) > 0
