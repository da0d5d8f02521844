import math

import pytest
import torch

from forgetting.ablation.curves import (
    Ease,
    Exponential,
    Gompertz,
    Keyframes,
    Linear,
    Oscillator,
    Sigmoid,
    Steps,
)
from forgetting.ablation.schedules import Act, Schedule
from forgetting.errors import RequestError

CURVES = [
    Linear(),
    Ease(),
    Exponential(),
    Exponential(rate=-3.0),
    Sigmoid(),
    Gompertz(),
    Gompertz(ageing=1, survivors=0.5),
    Steps(count=3),
]


@pytest.mark.parametrize("curve", CURVES, ids=repr)
def test_curves_run_from_0_to_1(curve):
    progress = curve.progress(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert progress[0] == 0
    assert float(progress[-1]) == pytest.approx(1)
    assert bool((progress.diff() >= 0).all())


@pytest.mark.parametrize("curve", CURVES, ids=repr)
@pytest.mark.parametrize("frames", [1, 2, 3, 100])
def test_schedules_stay_in_range(curve, frames):
    for direction in ("forget", "remember", "there_and_back"):
        progress = Schedule(curve, direction=direction).progress(frames)
        assert progress.shape == (frames,)
        assert bool(((progress >= 0) & (progress <= 1 + 1e-12)).all())


def test_gompertz_equals_its_law():
    b, left = 8.7, 0.01
    a = -math.log(left) * b / math.expm1(b)
    t = 0.7
    survivors = math.exp(-a / b * math.expm1(b * t))
    assert float(Gompertz(b, left).progress(torch.tensor([t]).double())) == pytest.approx(
        (1 - survivors) / (1 - left)
    )


def test_keyframes_go_through_their_points():
    points = ((0.1, 0.2), (0.4, 1.0), (0.4, 0.5), (0.9, 0.0))
    t = torch.tensor([0.0, 0.1, 0.25, 0.4, 0.65, 0.9, 1.0], dtype=torch.float64)
    assert Keyframes(points).progress(t).tolist() == pytest.approx([0.2, 0.2, 0.6, 0.5, 0.25, 0, 0])
    assert Keyframes(points, "hold").progress(t).tolist() == pytest.approx(
        [0.2, 0.2, 0.2, 0.5, 0.5, 0, 0]
    )
    assert Keyframes(points, "smooth").progress(t).tolist() == pytest.approx(
        [0.2, 0.2, 0.6, 0.5, 0.25, 0, 0]
    )


@pytest.mark.parametrize("wave", ["sine", "triangle", "square", "saw"])
def test_oscillators_repeat_and_grow(wave):
    t = torch.linspace(0, 1, 801, dtype=torch.float64)
    progress = Oscillator(4, wave).progress(t)
    assert progress[0] == 0
    assert float(progress.max()) == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(progress[:200], progress[200:400])
    grown = Oscillator(4, wave, grow=0.2).progress(t)
    assert float(grown[:200].max()) < 0.5
    assert float(grown[600:].max()) > 0.8


def test_acts_follow_one_another():
    schedule = Schedule(
        acts=(Act("ageing", 0.2, share=2), Act("gone", 0.6, curve=Ease())), hold=(0.1, 0.1)
    )
    assert schedule.waypoints == (0, 0.2, 0.6)
    progress = schedule.progress(1001)
    assert (progress[0], progress[-1]) == (0, 2)
    assert bool((progress.diff() >= 0).all())
    assert int((progress < 1).sum()) == pytest.approx(100 + 800 * 2 / 3, abs=2)
    back = Schedule(acts=schedule.acts, direction="remember").progress(100)
    torch.testing.assert_close(back, Schedule(acts=schedule.acts).progress(100).flip(0))


def test_a_window_is_another_way_to_set_holds():
    assert torch.equal(
        Schedule(window=(0.2, 0.7)).progress(50), Schedule(hold=(0.2, 1 - 0.7)).progress(50)
    )


def test_steps_hold_between_jumps():
    progress = Steps(4).progress(torch.linspace(0, 1, 1000, dtype=torch.float64))
    assert progress.unique().tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_holds_stand_at_both_ends():
    progress = Schedule(hold=(0.2, 0.3)).progress(101)
    assert progress[:21].tolist() == [0] * 21
    assert bool((progress[21:70].diff() > 0).all())
    assert progress[71:].tolist() == [1] * 30
    back = Schedule(hold=(0.2, 0.3), direction="remember").progress(101)
    assert back[:21].tolist() == [1] * 21
    assert back[71:].tolist() == [0] * 30


def test_remember_runs_backwards():
    curve = Exponential()
    torch.testing.assert_close(
        Schedule(curve, direction="remember").progress(50), Schedule(curve).progress(50).flip(0)
    )


def test_there_and_back_closes_a_loop():
    progress = Schedule(direction="there_and_back").progress(48)
    assert progress[0] == 0
    assert progress[24] == 1
    steps = torch.cat((progress, progress[:1])).diff().abs()  # from the last frame to the first too
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / 24))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule(until=0.0), "schedule.until must lie between"),
        (lambda: Schedule(until=1.1), "got 1.1"),
        (lambda: Schedule(hold=0.5), "leaves no time to move"),
        (lambda: Schedule(hold=-0.1), "got -0.1"),
        (lambda: Schedule(hold=(0.1, 0.2, 0.3)), "one share of the film or two"),
        (lambda: Schedule(hold="long"), "one share of the film or two"),
        (lambda: Schedule(direction="forgett"), "did you mean 'forget'"),
        (lambda: Exponential(rate=0.0), "must not be 0"),
        (lambda: Gompertz(ageing=-1), "ageing must lie between"),
        (lambda: Gompertz(survivors=1.0), "survivors must lie between"),
        (lambda: Sigmoid(steepness=0), "steepness must lie between"),
        (lambda: Steps(count=0), "count must lie between 1"),
        (lambda: Steps(count=2.5), "whole number"),
        (lambda: Schedule(window=(0.5, 0.5)), "schedule.window must be two shares"),
        (lambda: Schedule(window=(0.1, 0.5), hold=0.1), "set the same thing"),
        (lambda: Schedule(acts=("ageing",)), "schedule.acts must be a list of"),
        (lambda: Act("a", until=2), "the until of the act 'a' must lie between"),
        (lambda: Act("a", until=1, share=0), "the share of the act 'a'"),
        (lambda: Keyframes(points=((0, 0),)), "two or more pairs"),
        (lambda: Keyframes(points=((0, 0), (1, 2))), "a progress in schedule.curve.points"),
        (lambda: Keyframes(points=((0.5, 0), (0.2, 1))), "must not run back"),
        (lambda: Oscillator(wave="noise"), "no schedule.curve.wave 'noise'"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(RequestError, match=message):
        make()
