"""OpenVINO on the CPU: a graph compiled from the torch module, whose input is the row."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from forgetting.ablation.edits import AblationTask, BoundOperator
from forgetting.engines.allocator import release_memory
from forgetting.engines.engine import PRECISIONS, Engine, FrameRequest, Rendered
from forgetting.engines.frame_module import FrameModule, PerFrameModule
from forgetting.engines.precision import choose_precision
from forgetting.engines.prefix_reuse import ResumePoint, resume_point, truncate_prefix
from forgetting.engines.processor import fast_precisions
from forgetting.engines.torch_cpu import REFERENCE
from forgetting.errors import RequestError, check_choice
from forgetting.models.flops import multiply_adds
from forgetting.models.generator import Synthesis
from forgetting.models.units import Layer, Units
from forgetting.parts import part

HINTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
CAPABILITIES = {"float32": "FP32", "float16": "FP16", "bfloat16": "BF16"}

MAX_LATE_SHARE = 0.5
"""Frames with at most this share of all multiply-adds left get a graph of their own."""


@dataclass(frozen=True)
class GraphSource:
    """A task whose face stays, from which graphs are made.

    A task with a single target, all channels, has graphs that start at any layer.
    """

    units: Units
    synthesis: Synthesis
    bound: list[BoundOperator]
    cuts: bool
    costs: Callable[[], dict[str, int]]
    layers: tuple[Layer, ...]

    @staticmethod
    def of(task: AblationTask) -> GraphSource:
        """Bind the face; the cost of each step is counted when a frame first may start late."""
        costs = cache(lambda: multiply_adds(task.generator, task.ws))
        synthesis = task.generator.bind(task.ws)
        constant = task.targets[0].operator.constant
        cuts = constant and not synthesis.bypassed
        units = Units(task.generator.layers)
        bound, layers = task.bind_operators(), task.recorded_layers
        return GraphSource(units, synthesis, bound, cuts, costs, layers)

    @property
    def starts_late(self) -> bool:
        """Whether a row is that of all channels, layer by layer, and of nothing else."""
        return [units.slices for units, _ in self.bound] == [self.units.slices]

    def graph(self, start: ResumePoint) -> Any:
        """Return the graph of frames that start there."""
        width = sum(len(units) for units, _ in self.bound)
        with torch.inference_mode(False), torch.no_grad():
            synthesis = truncate_prefix(self.synthesis, self.bound[0][1], start)
            module = FrameModule(self.bound, synthesis, self.layers)
        # Traced with a batch of no rows: every operation is recorded and none computes anything.
        # Tracing one row keeps a gigabyte of intermediate results. Other people's modules may not
        # accept a batch of no rows.
        rows = 1 if self.synthesis.steps is None else 0
        return _trace(module, torch.zeros(rows, width))

    def is_worthwhile(self, start: ResumePoint) -> bool:
        """Return whether so little is left from there that a graph of its own pays."""
        if start == ResumePoint(0) or self.synthesis.steps is None:
            return False
        names, costs = [*(layer.name for layer in self.units.layers), "image"], self.costs()
        left = sum(costs[name] for name in names[start.layer + 1 :])
        return left <= MAX_LATE_SHARE * sum(costs[name] for name in names)


@part("engine/openvino")
@dataclass(frozen=True)
class OpenVINOConfig:
    """OpenVINO on the CPU.

    Args:
        precision: ``auto`` takes a lower one where the processor has instructions for it, the
            network is large, and frames of the film itself keep 45 dB.
        reuse: whether frames start late where their rows allow it (prefix reuse).
    """

    precision: str = "auto"
    reuse: bool = True

    def __post_init__(self) -> None:
        check_choice("engine.precision", self.precision, ("auto", *PRECISIONS))

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
        still: Tensor | None = None
        source: GraphSource | None = None
        if task.rebinds:
            still = task.ws
            module = PerFrameModule(task.bind_operators(), task.generator, task.recorded_layers)
            graph = _trace(module, torch.zeros(1, len(task)), task.ws)
        else:
            source = GraphSource.of(task)
            graph = source.graph(ResumePoint(0))
            if not (self.reuse and source.starts_late and not task.records):
                source = None

        def start(precision: str) -> OpenVINOEngine:
            return OpenVINOEngine(task, core, _compile(core, graph, precision), precision, still)

        if self.precision != "auto":
            engine, why = start(self.precision), ", as requested"
        else:
            fast = [name for name in fast_precisions("cpu") if CAPABILITIES[name] in capabilities]
            engine, why = choose_precision(start, fast, "cpu", REFERENCE.start(task), sample)
            why = f": {why}"
        return replace(engine, source=source), f"openvino in {engine.precision}{why}"


@dataclass(frozen=True)
class OpenVINOEngine:
    """A compiled graph and its infer request, with shorter graphs for frames that start late.

    Without a ``source`` every frame runs from the start. A graph that binds the face for every
    frame has the face as a second input; ``ws`` is used for requests without one.
    """

    task: AblationTask
    core: Any
    request: Any
    precision: str
    ws: Tensor | None = None
    source: GraphSource | None = None
    shorter: dict[ResumePoint, Any] = field(default_factory=dict)
    name: str = "openvino"
    device: str = "cpu"

    def versions(self) -> Mapping[str, str]:
        """Return OpenVINO's version."""
        return {"openvino": importlib.metadata.version("openvino")}

    def recorder(self) -> Engine:
        """Return the same engine, which also records."""
        task = replace(self.task, records=True)
        return OpenVINOConfig(self.precision).choose(task, torch.zeros(1, len(task)))[0]

    def render(self, requests: Iterable[FrameRequest]) -> Iterator[Rendered]:
        """Render frames one by one."""
        return map(self._render, requests)

    def _render(self, request: FrameRequest) -> Rendered:
        inputs = {0: request.row[None].numpy()}
        ws = self.ws if request.ws is None else request.ws
        if self.ws is not None and ws is not None:
            inputs[1] = ws.numpy()
        outputs = self._infer_request(request.row).infer(inputs)
        # Copied: the next frame is written into the same memory.
        activity = np.array(outputs[1][0]) if len(outputs) > 1 else None
        return Rendered(np.array(outputs[0][0]), activity)

    def _infer_request(self, row: Tensor) -> Any:
        if self.source is None:
            return self.request
        start = resume_point(list(self.source.units.split(row).values()), self.source.cuts)
        if start not in self.shorter and self.source.is_worthwhile(start):
            graph = self.source.graph(start)
            self.shorter[start] = _compile(self.core, graph, self.precision)
        return self.shorter.get(start, self.request)


def _trace(module: nn.Module, *example: Tensor) -> Any:
    """Return the graph of a module; batches of no rows become batches of one."""
    openvino = import_openvino()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # Tracing warns that it is deprecated and that shapes become constants. The first is
        # OpenVINO's own way in (graphs from torch.export ran half as fast), the second is intended.
        warnings.simplefilter("ignore")
        inputs = tuple(x.clone() for x in example)
        traced = torch.jit.trace(module.eval(), inputs, check_trace=False)  # type: ignore[no-untyped-call]
        return openvino.convert_model(traced, input=[[1, *x.shape[1:]] for x in example])


def _compile(core: Any, graph: Any, precision: str) -> Any:
    settings = {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    release_memory()
    return request


def available() -> bool:
    """Return whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    For every graph that it converts, OpenVINO's converter would report to its maker, from a fork
    of this process. It does without where the package ``openvino_telemetry`` cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
