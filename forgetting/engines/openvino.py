"""OpenVINO on the CPU: graphs compiled from the torch module, whose input is the row."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetting.ablation.edits import AblationTask
from forgetting.engines.compiled_graphs import Graphs, processor_identity
from forgetting.engines.engine import PRECISIONS, Engine, FrameRequest, Outputs, Rendered
from forgetting.engines.openvino_graphs import VERSION as GRAPHS_VERSION
from forgetting.engines.openvino_graphs import WHOLE, GraphSource, import_openvino, makes_planes
from forgetting.engines.picture_fade import PictureFade, split_fade
from forgetting.engines.pixels import sort_pixels
from forgetting.engines.precision import choose_precision
from forgetting.engines.processor import fast_precisions, instruction_sets
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.errors import RequestError, check_choice
from forgetting.parts import part
from forgetting.result_cache import load_json, store_json

CAPABILITIES = {"float32": "FP32", "float16": "FP16", "bfloat16": "BF16"}


@part("engine/openvino")
@dataclass(frozen=True)
class OpenVINOConfig:
    """OpenVINO on the CPU.

    Args:
        precision: ``auto`` takes a lower one where the processor has instructions for it, the
            network is large, and frames of the film itself keep 45 dB.
        reuse: whether frames start late where their rows allow it (prefix reuse).
        lacks_dead: whether frames leave out units that are fully ablated to zero where that pays.
            Their last bits differ from those of the whole network.
        wavelets: how wavelets are computed: by ``sums``, by a ``convolution``, or ``auto``, which
            takes a convolution in bfloat16 where the processor has matrix units (AMX).
    """

    precision: str = "auto"
    reuse: bool = True
    lacks_dead: bool = True
    wavelets: str = "auto"

    def __post_init__(self) -> None:
        check_choice("engine.precision", self.precision, ("auto", *PRECISIONS))
        check_choice("engine.wavelets", self.wavelets, ("auto", "sums", "convolution"))

    @torch.inference_mode()
    def choose(self, task: AblationTask, sample: Tensor) -> tuple[Engine, str]:
        """Compile the task; ``precision=auto`` measures errors on the ``sample`` [N, R]."""
        if not available():
            raise RequestError(
                "engine=openvino needs the package openvino, which is not installed; "
                "use engine=torch, or pip install openvino"
            )
        openvino = import_openvino()
        core = openvino.Core()
        capabilities = set(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        if self.precision != "auto" and CAPABILITIES[self.precision] not in capabilities:
            raise RequestError(
                f"this processor does not compute in {self.precision}; "
                "engine.precision=float32 works everywhere"
            )
        network, fade = split_fade(task)

        def start(precision: str) -> OpenVINOEngine:
            wavelets = self._wavelets_are_convolutions(precision)
            source = GraphSource(network, wavelets, self.reuse)
            return OpenVINOEngine(task, Graphs(source, core, precision), fade, self.lacks_dead)

        if self.precision != "auto":
            engine, why = start(self.precision), ", as requested"
            engine.graphs.prepare()  # fails here, where another engine can still be chosen
        else:
            fast = [name for name in fast_precisions("cpu") if CAPABILITIES[name] in capabilities]
            engine, why = _kept_choice(task, start, fast, core, sample)
            why = f": {why}"
        return engine, f"openvino in {engine.precision}{why}"

    def _wavelets_are_convolutions(self, precision: str) -> bool:
        if self.wavelets == "auto":
            return precision == "bfloat16" and "amx_bf16" in instruction_sets()
        return self.wavelets == "convolution"


def _kept_choice(
    task: AblationTask,
    start: Callable[[str], OpenVINOEngine],
    fast: Sequence[str],
    core: Any,
    sample: Tensor,
) -> tuple[OpenVINOEngine, str]:
    """Return the engine in the chosen precision, and why: measured, or kept from an earlier run."""
    key = task.key(sample.numpy().tobytes(), list(fast), processor_identity(core))
    if key is not None:
        kept = load_json("precisions", key) or {}
        precision, why = kept.get("precision"), kept.get("why")
        if precision in (*fast, "float32") and isinstance(why, str):
            return start(precision), why
    engine, why = choose_precision(start, fast, "cpu", REFERENCE.start(task), sample)
    if key is not None:
        store_json("precisions", key, {"precision": engine.precision, "why": why})
    return engine, why


@dataclass(frozen=True)
class OpenVINOEngine:
    """Compiled graphs of a task.

    Args:
        task: what is rendered.
        graphs: of the task without fades of the picture.
        fade: of the picture.
        lacks_dead: whether frames may leave out dead units.
    """

    task: AblationTask
    graphs: Graphs
    fade: PictureFade
    lacks_dead: bool
    name: str = "openvino"
    device: str = "cpu"

    @property
    def precision(self) -> str:
        """The precision of all graphs."""
        return self.graphs.precision

    @property
    def makes_planes(self) -> bool:
        """Whether the picture can be stored as 4:2:0."""
        return makes_planes(self.task.generator.size)

    def versions(self) -> Mapping[str, str]:
        """Return the versions of OpenVINO and of the graphs."""
        wavelets = ", wavelets as convolutions" if self.graphs.source.wavelets else ""
        graphs = f"{GRAPHS_VERSION}{wavelets}"
        return {"openvino": importlib.metadata.version("openvino"), "graphs": graphs}

    def skipping(self, dead: Tensor) -> Engine:
        """Return the same engine, whose frames leave out the dead units [R] where all are gone."""
        if not self.lacks_dead:
            return self
        return replace(self, graphs=self.graphs.without(self.fade.network_row(dead)))

    def render(self, requests: Iterable[FrameRequest]) -> Iterator[Rendered]:
        """Render frames one by one; one that only differs in a fade is rendered once."""
        last: tuple[object, Rendered] | None = None
        for request in requests:
            row = self.fade.network_row(request.row)
            ws = None if request.ws is None else request.ws.numpy().tobytes()
            key = row.numpy().tobytes(), ws, request.outputs
            if last is None or last[0] != key:
                last = key, self._render(row, request.ws, request.outputs)
            yield self.fade.apply(last[1], request.row)

    def _render(self, row: Tensor, ws: Tensor | None, outputs: Outputs) -> Rendered:
        beginning = self.graphs.source.beginning(row)
        inputs = {0: row[None].numpy()}
        if self.task.rebinds:
            inputs[1] = (self.task.ws if ws is None else ws).numpy()
        activity = None
        if outputs.activity and beginning != WHOLE:
            # A graph that begins late, or lacks units, has no activity of the others.
            (recorded,) = self.graphs.infer(WHOLE, Outputs(rgb=False, activity=True), inputs)
            activity, outputs = recorded[0], outputs._replace(activity=False)
        pixels, *rest = self.graphs.infer(beginning, outputs, inputs)
        if rest:
            activity = rest[0][0]
        # All is copied: the next frame is written into the same memory.
        activity = None if activity is None else np.array(activity)
        if not self.makes_planes:
            return Rendered(np.array(pixels[0]), activity=activity)
        return Rendered(*sort_pixels(pixels[0], outputs.planes, outputs.rgb), activity)


def available() -> bool:
    """Return whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None
