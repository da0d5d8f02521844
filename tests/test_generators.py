import pytest
import torch
import torch.nn.functional as F
from conftest import faces

from forgetting.cost import multiply_adds
from forgetting.errors import RequestError
from forgetting.generators.mobile_stylegan import MobileStyleGAN
from forgetting.generators.ops import inverse_haar
from forgetting.units import Units


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
        assert float(ours / total) == pytest.approx(4.0 if isinstance(tiny, MobileStyleGAN) and index % 2 == 0 else 1.0)


def test_parameters_add_up(tiny):
    total = sum(layer.parameters for layer in tiny.layers) + tiny.mapping_parameters + tiny.image_parameters
    statistics = sum(b.numel() for name, b in tiny.named_buffers() if "norm" in name or name.endswith("w_avg") or name == "taps")
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
        F.conv_transpose2d(band, torch.outer(vertical, horizontal).expand(3, 1, 2, 2), stride=2, groups=3)
        for band, (vertical, horizontal) in zip(x.chunk(4, dim=1), filters, strict=True)
    )
    torch.testing.assert_close(inverse_haar(x), expected)


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

    openvino = pytest.importorskip("openvino", reason="there is no package of openvino for this machine")

    from forgetting import zoo

    model = zoo.find("ffhq-mobile")
    with zipfile.ZipFile(zoo._download(model, tmp_path)) as archive:
        archive.extractall(tmp_path)
    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    parts = [core.compile_model(tmp_path / f"random_face/data/{part}Network.xml", "CPU", exact) for part in ("Mapping", "Synthesis")]
    for seed in range(5):
        z = torch.randn(1, 512, generator=torch.Generator().manual_seed(seed))
        w = parts[0](z.numpy())[0]
        theirs = torch.from_numpy(parts[1](w)[0])
        with torch.inference_mode():
            ours = face_model.bind(face_model.mapping(z))()
        psnr = 10 * torch.log10(4 / (ours - theirs).square().mean())
        print(f"seed {seed}: {psnr:.1f} dB")
        assert psnr >= 80
