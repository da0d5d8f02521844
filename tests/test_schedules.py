import math

import pytest
import torch

from forgetting.errors import RequestError
from forgetting.schedules import Ease, Exponential, Gompertz, Linear, Schedule, Sigmoid, Steps

CURVES = [Linear(), Ease(), Exponential(), Exponential(rate=-3.0), Sigmoid(), Gompertz(), Gompertz(ageing=1, survivors=0.5), Steps(count=3)]


@pytest.mark.parametrize("curve", CURVES, ids=repr)
def test_curves_run_from_nothing_to_everything(curve):
    loss = curve(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert loss[0] == 0
    assert float(loss[-1]) == pytest.approx(1)
    assert bool((loss.diff() >= 0).all())


@pytest.mark.parametrize("curve", CURVES, ids=repr)
@pytest.mark.parametrize("frames", [1, 2, 3, 100])
def test_schedules_stay_in_range(curve, frames):
    for direction in ("forget", "remember", "there_and_back"):
        loss = Schedule(curve, direction=direction).loss(frames)
        assert loss.shape == (frames,)
        assert bool(((loss >= 0) & (loss <= 1 + 1e-12)).all())


def test_gompertz_is_the_law():
    b, left = 8.7, 0.01
    a = -math.log(left) * b / math.expm1(b)
    t = 0.7
    survivors = math.exp(-a / b * math.expm1(b * t))
    assert float(Gompertz(b, left)(torch.tensor([t]).double())) == pytest.approx((1 - survivors) / (1 - left))


def test_steps_stand_still_between_strokes():
    loss = Steps(4)(torch.linspace(0, 1, 1000, dtype=torch.float64))
    assert loss.unique().tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_holds():
    loss = Schedule(hold=(0.2, 0.3)).loss(101)
    assert loss[:21].tolist() == [0] * 21
    assert bool((loss[21:70].diff() > 0).all())
    assert loss[71:].tolist() == [1] * 30
    back = Schedule(hold=(0.2, 0.3), direction="remember").loss(101)
    assert back[:21].tolist() == [1] * 21
    assert back[71:].tolist() == [0] * 30


def test_remember_is_forget_backwards():
    curve = Exponential()
    torch.testing.assert_close(Schedule(curve, direction="remember").loss(50), Schedule(curve).loss(50).flip(0))


def test_there_and_back_closes_a_loop():
    loss = Schedule(direction="there_and_back").loss(48)
    assert loss[0] == 0
    assert loss[24] == 1
    steps = torch.cat((loss, loss[:1])).diff().abs()  # around the corner too
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / 24))


@pytest.mark.parametrize(
    ("make", "says"),
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
    ],
)
def test_impossible_numbers(make, says):
    with pytest.raises(RequestError, match=says):
        make()
