"""OpenVINO: one graph compiled from the torch module, the operator inside, the ablation row its input."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from forgetting.engines import PRECISIONS, Engine, Frame, psnr, to_bytes
from forgetting.engines.eager import Torch
from forgetting.errors import RequestError, one_of
from forgetting.generators import Generator
from forgetting.operators import Operator
from forgetting.units import Layer, Units

HINTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
CAPABILITIES = {"float32": "FP32", "float16": "FP16", "bfloat16": "BF16"}

ENOUGH = 45.0
"""Decibels against float32 that a lower precision must keep on every sampled frame to be chosen by itself."""

WORTH = 1.25
"""How many times faster a lower precision must be to be chosen: a small gain is not worth a bit."""


class Picture(nn.Module):
    """Row of ablation [1, U] -> frame [1, H, W, 3] uint8, as something that can be traced."""

    def __init__(self, generator: Generator, ws: Tensor, operator: Operator) -> None:
        super().__init__()
        # Folded for another reason too: OpenVINO 2026.4 computes a constant first layer once, and then lets the edit
        # write into it. What is a constant to begin with, it leaves alone.
        self.synthesis, self.dead = generator.bind(ws).folded(), operator.bind(generator, ws)
        self.units = Units(generator.layers)

    def forward(self, row: Tensor) -> Tensor:
        rows = self.units.split(row)

        def edit(x: Tensor, layer: Layer) -> Tensor:
            # The formula of `damage` without its branch and without writing in place: what a graph can hold.
            a = rows[layer.name][:, :, None, None]
            return x * (1 - a) + self.dead(x, layer) * a

        return to_bytes(self.synthesis(edit))


@dataclass(frozen=True)
class OpenVINO:
    """OpenVINO on the CPU; ``auto`` takes the fastest precision that keeps 45 dB on frames of this very film."""

    precision: str = "auto"

    def __post_init__(self) -> None:
        one_of("engine.precision", self.precision, ("auto", *PRECISIONS))

    @torch.inference_mode()
    def __call__(self, generator: Generator, ws: Tensor, operator: Operator, sample: Tensor) -> tuple[Engine, str]:
        if not available():
            raise RequestError(
                "engine=openvino needs the package openvino, which is not installed; use engine=torch, or pip install openvino"
            )
        import openvino

        core = openvino.Core()
        able = set(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        graph = convert(generator, ws, operator)
        if self.precision != "auto":
            if CAPABILITIES[self.precision] not in able:
                raise RequestError(f"this processor does not compute in {self.precision}; engine.precision=float32 works everywhere")
            return Compiled.of(core, graph, self.precision), f"openvino in {self.precision}, as asked"
        reference = Torch().start(generator, ws, operator)
        intended = [reference(row) for row in sample]
        chosen, fastest, notes = Compiled.of(core, graph, "float32"), 0.0, []
        for precision in PRECISIONS:
            if CAPABILITIES[precision] not in able:
                continue
            engine = Compiled.of(core, graph, precision)
            quality, seconds = psnr([engine(row) for row in sample], intended), _seconds(engine, sample)
            notes.append(f"{precision} {quality:.0f} dB")
            if precision == "float32" or (quality >= ENOUGH and seconds * WORTH < fastest):
                chosen, fastest = engine, seconds
        return chosen, f"openvino in {chosen.precision}: the fastest that keeps {ENOUGH:.0f} dB ({', '.join(notes)})"


@dataclass(frozen=True)
class Compiled:
    """A compiled graph and the request that runs it."""

    request: Any
    precision: str
    name: str = "openvino"

    @staticmethod
    def of(core: Any, graph: Any, precision: str) -> Compiled:
        """Compile for the CPU."""
        settings = {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
        return Compiled(core.compile_model(graph, "CPU", settings).create_infer_request(), precision)

    def __call__(self, row: Tensor) -> Frame:
        found = self.request.infer({0: row[None].numpy()}, share_inputs=True)[0]
        return np.array(found[0])  # the request writes its next frame into the same memory


def convert(generator: Generator, ws: Tensor, operator: Operator) -> Any:
    """The torch module as an OpenVINO graph."""
    import openvino

    example = torch.zeros(1, len(Units(generator.layers)))
    with warnings.catch_warnings(), torch.no_grad():
        # Tracing warns that it is deprecated and that shapes become constants; the first is OpenVINO's own way in
        # (graphs from torch.export ran half as fast), the second is what is wanted.
        warnings.simplefilter("ignore")
        return openvino.convert_model(Picture(generator, ws, operator).eval(), example_input=example, input=list(example.shape))


def available() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def _seconds(engine: Engine, sample: Tensor, repeats: int = 3) -> float:
    """The fastest of a few frames: what disturbs a measurement only ever makes it slower."""
    times: Sequence[float] = []
    for k in range(repeats):
        started = time.perf_counter()
        engine(sample[k % len(sample)])
        times = [*times, time.perf_counter() - started]
    return min(times)
