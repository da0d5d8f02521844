"""Ratios are printed where the timings tell two rows apart, and only there."""

import numpy as np
import pytest

from paired_ratios import (
    MIN_ROUNDS,
    NOT_TOLD_APART,
    QUARTILE_ROUNDS,
    Spread,
    is_told_apart,
    paired_ratio,
    ratio_text,
)


def test_a_spread_is_that_of_quartiles_and_of_few_figures_that_of_extremes():
    assert Spread.of([4, 1, 3, 2, 5, 7, 6, 8, 9]) == Spread(3, 5, 7, 9)
    assert Spread.of([3, 1, 5]) == Spread(1, 3, 5, 3)
    assert Spread.of([2]).text(1) == "2.0"
    assert Spread.of([0.0391, 0.0387, 0.0402]).text(1, 1000) == "39.1 (38.7-40.2)"


def test_a_burst_that_slows_whole_rounds_cancels():
    bursts = np.array([1, 1, 8, 1, 3, 1, 1, 5, 1])
    assert ratio_text(2.0 * bursts, 1.0 * bursts) == "2.00 (2.00-2.00)"
    assert ratio_text(1.0 * bursts, 2.0 * bursts) == "0.50 (0.50-0.50)"


def test_one_round_that_was_disturbed_changes_neither_median_nor_rule():
    base, row = [2.0] * 9, [1.0] * 8 + [40.0]
    assert ratio_text(base, row) == "2.00 (2.00-2.00)"


def test_no_ratio_is_printed_where_the_spread_is_larger_than_the_difference():
    base = [1.0] * 9
    close = [0.98, 1.1, 1.0, 1.04, 0.93, 1.02, 1.05, 0.96, 1.03]
    assert ratio_text(close, base) == NOT_TOLD_APART
    assert ratio_text([3 * time for time in close], base) == "3.06 (2.94-3.12)"


@pytest.mark.parametrize("spread", [0.09, 0.11])
def test_the_rule_is_the_spread_against_the_difference(spread):
    """The difference is ln 1.1 = 0.095."""
    ratio = Spread(1.1 * np.exp(-spread / 2), 1.1, 1.1 * np.exp(spread / 2), 9)
    swapped = Spread(1 / ratio.upper, 1 / ratio.median, 1 / ratio.lower, 9)
    assert is_told_apart(ratio) == is_told_apart(swapped) == (spread < 0.095)


def test_equal_times_are_not_told_apart():
    assert ratio_text([1.0] * 9, [1.0] * 9) == NOT_TOLD_APART


@pytest.mark.parametrize("rounds", range(1, MIN_ROUNDS))
def test_few_rounds_have_no_ratio(rounds):
    assert ratio_text([5.0] * rounds, [1.0] * rounds) == f"needs {MIN_ROUNDS} rounds"


@pytest.mark.parametrize("rounds", [MIN_ROUNDS, 5, QUARTILE_ROUNDS, 15])
def test_equally_fast_rows_are_seldom_told_apart(rounds):
    draws = np.random.RandomState(0)
    times = np.exp(0.2 * draws.standard_normal((2, 2000, rounds)))
    ratios = [paired_ratio(a, b) for a, b in zip(*times, strict=True)]
    assert np.mean([is_told_apart(ratio) for ratio in ratios]) < 0.06


@pytest.mark.parametrize("rounds", [5, 9])
def test_drift_that_hides_a_gain_from_single_timings_does_not_hide_it_from_pairs(rounds):
    """The machine slows to a third while a row that is a tenth faster is timed beside another."""
    drift = np.linspace(1, 3, rounds)
    noise = np.exp(0.01 * np.random.RandomState(1).standard_normal((2, rounds)))
    base, row = 1.1 * drift * noise[0], drift * noise[1]
    assert is_told_apart(paired_ratio(base, row))
    assert paired_ratio(base, row).median == pytest.approx(1.1, rel=0.02)


def test_rows_of_different_rounds_are_no_pairs():
    with pytest.raises(ValueError, match="argument"):
        paired_ratio([1.0, 2.0], [1.0])
