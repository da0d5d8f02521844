"""The face model as it was published: an OpenVINO graph that is not rebuilt, only masked.

After each of its 15 activations stands a product with an input, one factor for every channel. So it
makes the pictures of an ablation without any code of ours.
"""

import tempfile
from pathlib import Path

import numpy as np

from forgetting.engines.openvino import import_openvino
from forgetting.models import downloads, generator_zoo

CHANNELS = (512,) * 9 + (256, 256, 128, 128, 64, 64)
"""Channels of the layers."""

IN_FRONT_OF_A_WAVELET = (0, 2, 4, 6, 8, 10, 12)
"""Numbers of the layers whose units we number by band, unlike the original."""


class PublishedGraph:
    """The published synthesis network with masked channels, in float32."""

    def __init__(self) -> None:
        openvino = import_openvino()
        operations = openvino.opset13
        package = generator_zoo.find_model("ffhq-mobile").package
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            with downloads.open_package(package, "ffhq-mobile", folder) as read:
                for suffix in ("xml", "bin"):
                    content = read(f"random_face/data/SynthesisNetwork.{suffix}")
                    (folder / f"network.{suffix}").write_bytes(content)
            core = openvino.Core()
            graph = core.read_model(folder / "network.xml")
            activations = [op for op in graph.get_ordered_ops() if op.get_type_name() == "PRelu"]
            assert [op.output(0).shape[1] for op in activations] == list(CHANNELS)
            masks = []
            for op in activations:
                readers = op.output(0).get_target_inputs()
                mask = operations.parameter([1, op.output(0).shape[1], 1, 1], np.float32)
                product = operations.multiply(op.output(0), mask)
                for reader in readers:
                    reader.replace_source_output(product.output(0))
                masks.append(mask)
            graph.add_parameters(masks)
            settings = {"INFERENCE_PRECISION_HINT": "f32"}
            self.request = core.compile_model(graph, "CPU", settings).create_infer_request()

    def picture(self, w: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Return the picture [3, 1024, 1024] in [-1, 1].

        Args:
            w: [1, 512], of the face.
            row: [5504], how far our units are ablated by the operator zero.
        """
        masks = np.split(1 - row.astype(np.float32), np.cumsum(CHANNELS)[:-1])
        for number in IN_FRONT_OF_A_WAVELET:
            masks[number] = _interleaved(masks[number])
        inputs = {0: w} | {k + 1: mask[None, :, None, None] for k, mask in enumerate(masks)}
        return next(iter(self.request.infer(inputs).values()))[0].copy()


def _interleaved(by_band: np.ndarray) -> np.ndarray:
    """Return [4C] values in the original's order: C low ones, then three details per channel."""
    low, *details = np.split(by_band, 4)
    return np.concatenate((low, np.stack(details, axis=1).ravel()))
