"""Draws docs/gallery/late_frames.jpg: who makes the lines and the border of late frames.

python docs/late_frames.py

The frame of the default film at which 45 % of its units are ablated: by the network as it was
published (an OpenVINO graph that is only masked), by our network in PyTorch, by OpenVINO in
bfloat16, and decoded from the film. Above, the upper left corner; below, 56 pixels of the hair,
enlarged without smoothing. Contrast is six times as strong.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from forgetting.ablation.edits import AblationTask
from forgetting.ablation.operators.removal import Zero
from forgetting.ablation.orderings.ordering import RankRequest
from forgetting.ablation.orderings.scores import Contribution
from forgetting.ablation.plan import ablation
from forgetting.engines.engine import render_rows
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.pixels import Frame, psnr, to_bytes
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.film import decoder, encoder
from forgetting.film.settings import FilmSettings
from forgetting.models.generator_zoo import load
from forgetting.models.latents import Seed
from forgetting.models.units import Units

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # these mask the published graph
from published_graph import PublishedGraph

ABLATED, SOFTNESS = 0.45, 0.036
CONTRAST, TILE = 6, 320
CROPS = {"border": (0, 0, 160), "lines": (560, 200, 56)}
"""Name -> top, left and side of a square, in pixels."""


def late_frames() -> dict[str, Frame]:
    """Return the frame by everything that makes it."""
    network = load("ffhq-mobile")
    ws = Seed().sample(network)
    ranks = Contribution().rank(RankRequest(network, Units(network.layers), ws))
    row = ablation(ranks, torch.tensor([ABLATED], dtype=torch.float64), SOFTNESS)
    task = AblationTask.of(network, ws, Zero())
    published = PublishedGraph().picture(ws[0, :1].numpy(), row[0].numpy())
    torch_frame = next(render_rows(REFERENCE.start(task), row))
    bfloat16 = OpenVINOConfig("bfloat16").choose(task, row)[0]
    with tempfile.TemporaryDirectory() as scratch:
        film = Path(scratch) / "film.mp4"
        repeated = (torch_frame for _ in range(6))
        encoder.encode(FilmSettings(encoder="x264"), repeated, film, network.size, "")
        decoded = list(decoder.decode_frames(film))[4]
    return {
        "published": to_bytes(torch.from_numpy(published)[None])[0].numpy(),
        "torch": torch_frame,
        "bfloat16": next(render_rows(bfloat16, row)),
        "film": decoded,
    }


def enlarged(frame: Frame, crop: tuple[int, int, int]) -> Image.Image:
    """Return a square of a frame, with more contrast."""
    top, left, side = crop
    part = frame[top : top + side, left : left + side].astype(float)
    part = 128 + CONTRAST * (part - part.mean((0, 1)))
    picture = Image.fromarray(part.clip(0, 255).astype(np.uint8))
    return picture.resize((TILE, TILE), Image.Resampling.NEAREST)


def main() -> None:
    """Draw the picture and print how much the frames differ."""
    frames = late_frames()
    sheet = Image.new("RGB", (len(frames) * (TILE + 8) - 8, len(CROPS) * (TILE + 8) - 8))
    for column, (name, frame) in enumerate(frames.items()):
        print(f"{name}: {psnr([frame], [frames['published']]):.0f} dB to the published network")
        for line, crop in enumerate(CROPS.values()):
            sheet.paste(enlarged(frame, crop), (column * (TILE + 8), line * (TILE + 8)))
    sheet.save(Path(__file__).parent / "gallery/late_frames.jpg", quality=85)


if __name__ == "__main__":
    main()
