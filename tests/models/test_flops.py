import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from forgetting.models.flops import count_multiply_adds, multiply_adds
from helpers import sample_ws


def test_multiply_adds_by_hand(toy):
    costs = multiply_adds(toy, sample_ws(toy))
    for index, layer in enumerate(toy.layers):
        inputs = toy.layers[max(index - 1, 0)].channels
        assert costs[layer.name] == inputs * layer.channels * 9 * layer.size[0] * layer.size[1]
    assert costs["mapping"] == toy.z_dim**2


def count_by_torch(run):
    with FlopCounterMode(display=False) as counter:
        result = run()
    return result, counter.get_total_flops() // 2


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_the_count_is_that_of_torch(tiny, mode):
    def paint():
        with mode():
            return tiny.bind(tiny.mapping(torch.zeros(1, tiny.z_dim)))()

    (picture, count), (of_torch, expected) = count_multiply_adds(paint), count_by_torch(paint)
    assert count == expected > 0
    assert torch.equal(picture, of_torch)


def test_gradients_count_too():
    weight, linear = torch.randn(8, 3, 3, 3), torch.nn.Linear(8 * 30 * 30, 5)

    def descend():
        x = torch.randn(1, 3, 32, 32, requires_grad=True)
        linear(F.conv2d(x, weight).flatten(1)).sum().backward()
        return x.device, F.scaled_dot_product_attention(*torch.randn(3, 1, 2, 4, 8))

    assert count_multiply_adds(descend)[1] == count_by_torch(descend)[1] > 0
