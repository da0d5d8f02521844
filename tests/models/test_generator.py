import pytest
import torch

from forgetting.errors import RequestError
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.units import Units
from helpers import sample_ws


def test_architectures_keep_the_contract(tiny):
    ws = sample_ws(tiny, 2)
    synthesis = tiny.bind(ws)
    assert [step.layer for step in synthesis.steps if step.layer] == list(tiny.layers)
    shapes = []
    image = synthesis(lambda x, layer: shapes.append(x.shape) or x)
    assert shapes == [(2, layer.channels, *layer.size) for layer in tiny.layers]
    assert image.shape == (2, image.shape[1], *tiny.size)
    for layer in tiny.layers:
        assert tiny.incoming(layer).shape[0] == tiny.outgoing(layer).shape[0] == layer.channels
        assert tiny.bias_only_output(layer).shape[:2] == (1, layer.channels)


def test_a_face_does_not_depend_on_its_neighbours(tiny):
    ws = sample_ws(tiny, 3)
    together = tiny.bind(ws)()
    for k in range(3):
        torch.testing.assert_close(
            tiny.bind(ws[k, None])()[0], together[k], rtol=1e-5, atol=3e-5
        )  # rounding differs with threads


def test_a_synthesis_is_a_pure_function(tiny):
    """Edits may write into the tensors they get; the next picture does not depend on it."""
    synthesis = tiny.bind(sample_ws(tiny))
    before = synthesis()
    synthesis(lambda x, layer: x.zero_())
    assert torch.equal(synthesis(), before)


def test_folding_changes_nothing(tiny):
    synthesis = tiny.bind(sample_ws(tiny, 2))
    folded = synthesis.folded()
    assert torch.equal(folded(), synthesis())
    folded(lambda x, layer: x.zero_())
    assert torch.equal(folded(), synthesis())


def test_an_edit_reaches_every_layer_once(tiny):
    layers = []
    tiny.bind(sample_ws(tiny))(lambda x, layer: layers.append(layer) or x)
    assert layers == list(tiny.layers)


def test_outgoing_weights_are_those_of_the_next_layer(tiny):
    """The outgoing weights of a layer are the incoming weights of the next one."""
    for index, layer in enumerate(tiny.layers[:-1]):
        kernel = tiny.incoming(tiny.layers[index + 1])
        total, ours = kernel.double().square().sum(), tiny.outgoing(layer).double().square().sum()
        # Through the wavelet four units share an input channel of the next layer.
        assert float(ours / total) == pytest.approx(
            4.0 if isinstance(tiny, MobileStyleGAN) and index % 2 == 0 else 1.0
        )


def test_parameters_add_up(tiny):
    total = (
        sum(layer.parameters for layer in tiny.layers)
        + tiny.mapping_parameters
        + tiny.image_parameters
    )
    statistics = sum(
        b.numel()
        for name, b in tiny.named_buffers()
        if "norm" in name or name.endswith("w_avg") or name == "taps"
    )
    assert total + statistics == sum(t.numel() for t in (*tiny.parameters(), *tiny.buffers()))


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (0, 4, 16)])
def test_wrong_ws_are_refused(tiny, shape):
    with pytest.raises(RequestError, match="ws must be"):
        tiny.bind(torch.zeros(shape))


def test_wrong_z_is_refused(tiny):
    with pytest.raises(RequestError, match="z must be"):
        tiny.mapping(torch.zeros(1, 3))


def test_the_bias_only_output_is_that_of_zero_weights(tiny):
    """With all incoming weights zero a layer has the same activations for every face."""

    def recorded():
        maps = {}
        tiny.bind(sample_ws(tiny, 2))(lambda x, layer: maps.setdefault(layer.name, x.clone()))
        return maps[layer.name]

    layer, others = tiny.layers[1], ("const", "depthwise", "to_image.weight", "source.weight")
    kernels = [
        weight
        for name, weight in tiny.named_parameters()
        if weight.ndim == 4 and not name.endswith(others)
    ]
    before = recorded()
    output = tiny.bias_only_output(layer).expand_as(before)
    assert not torch.allclose(before, output, atol=1e-3)
    kernels[1].zero_()
    torch.testing.assert_close(recorded(), tiny.bias_only_output(layer).expand_as(before))


def test_layer_index_matches_slices(tiny):
    units = Units(tiny.layers)
    for index, layer in enumerate(tiny.layers):
        assert bool((units.layer_index[units.slices[layer.name]] == index).all())


def test_nothing_needs_more_than_float32(tiny):
    """Apple's GPUs have no float64."""
    with torch.inference_mode():
        ws = tiny.mapping(torch.zeros(1, tiny.z_dim))
        tensors = [
            *tiny.state_dict().values(),
            ws,
            tiny.bind(ws)(),
            *(tiny.bias_only_output(layer) for layer in tiny.layers),
        ]
    assert {tensor.dtype for tensor in tensors} <= {torch.float32, torch.int64}
