from forgetting.models.flops import multiply_adds
from helpers import sample_ws


def test_multiply_adds_by_hand(toy):
    costs = multiply_adds(toy, sample_ws(toy))
    for index, layer in enumerate(toy.layers):
        inputs = toy.layers[max(index - 1, 0)].channels
        assert costs[layer.name] == inputs * layer.channels * 9 * layer.size[0] * layer.size[1]
    assert costs["mapping"] == toy.z_dim**2
