"""OpenVINO: one graph compiled from the torch module, the operator inside, the ablation row its input."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from forgetting.ablation.edits import AblationTask, BoundOperator
from forgetting.engines.allocator import release_memory
from forgetting.engines.engine import PRECISIONS, Engine, Frame, Rendered
from forgetting.engines.frame_module import FrameModule, PerFrameModule
from forgetting.engines.precision import choose_precision
from forgetting.engines.prefix_reuse import ResumePoint, resume_point, truncate_prefix
from forgetting.engines.torch_cpu import TorchConfig
from forgetting.errors import RequestError, check_choice
from forgetting.models.flops import multiply_adds
from forgetting.models.generator import Chain, Synthesis
from forgetting.models.units import Layer, Units

HINTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
CAPABILITIES = {"float32": "FP32", "float16": "FP16", "bfloat16": "BF16"}

SHORT = 0.5
"""A graph of its own is compiled for frames of which at most this share of all multiply-adds is left to do."""


@dataclass(frozen=True)
class GraphSource:
    """A still scene, from which graphs are made; those of a single target for the channels may begin at any layer."""

    units: Units
    synthesis: Synthesis
    targets: list[BoundOperator]
    cuts: bool
    costs: Callable[[], dict[str, int]]
    layers: tuple[Layer, ...]

    @staticmethod
    def of(scene: AblationTask) -> GraphSource:
        """Bind the face; what each step costs is counted when a frame first may begin late."""
        costs = cache(lambda: multiply_adds(scene.generator, scene.ws))
        synthesis = scene.generator.bind(scene.ws)
        cuts = (
            scene.targets[0].operator.constant
            and isinstance(synthesis, Chain)
            and not synthesis.beside
        )
        return GraphSource(
            Units(scene.generator.layers), synthesis, scene.turned(), cuts, costs, scene.mapped
        )

    @property
    def begins_late(self) -> bool:
        """Whether a row says layer by layer what is damaged: where other units stand in it too, it does not."""
        return [units.slices for units, _ in self.targets] == [self.units.slices]

    def graph(self, where: ResumePoint) -> Any:
        """The graph of frames that begin at ``where``."""
        width = sum(len(units) for units, _ in self.targets)
        with torch.inference_mode(False), torch.no_grad():
            picture = FrameModule(
                self.targets,
                truncate_prefix(self.synthesis, self.targets[0][1], where),
                self.layers,
            )
        # Traced with a batch of no rows: every operation is recorded and none computes anything, where tracing one
        # row keeps a gigabyte of intermediate results until it is done. Other people's modules may not take it.
        return _graph(picture, torch.zeros(0 if isinstance(self.synthesis, Chain) else 1, width))

    def worth(self, where: ResumePoint) -> bool:
        """Whether what is left to do from there is so little that a graph of its own pays."""
        if where == ResumePoint(0) or not isinstance(self.synthesis, Chain):
            return False  # that is the whole way
        names, costs = [*(layer.name for layer in self.units.layers), "image"], self.costs()
        left = sum(costs[name] for name in names[where.layer + 1 :])
        return left <= SHORT * sum(costs[name] for name in names)


@dataclass(frozen=True)
class OpenVINOConfig:
    """OpenVINO on the CPU.

    Args:
        precision: ``auto`` takes the fastest that keeps 45 dB on frames of this very film.
        reuse: begin late where a frame's row allows it (prefix reuse); without, every frame runs the whole way.
    """

    precision: str = "auto"
    reuse: bool = True

    def __post_init__(self) -> None:
        check_choice("engine.precision", self.precision, ("auto", *PRECISIONS))

    @torch.inference_mode()
    def __call__(self, scene: AblationTask, sample: Tensor) -> tuple[Engine, str]:
        if not available():
            raise RequestError(
                "engine=openvino needs the package openvino, which is not installed; use engine=torch, or pip install openvino"
            )
        import openvino

        core = openvino.Core()
        able = set(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        if self.precision != "auto" and CAPABILITIES[self.precision] not in able:
            raise RequestError(
                f"this processor does not compute in {self.precision}; engine.precision=float32 works everywhere"
            )
        still, later = None, None
        if scene.rebinds:
            still = scene.ws
            graph = _graph(
                PerFrameModule(scene.turned(), scene.generator, scene.mapped),
                torch.zeros(1, len(scene)),
                scene.ws,
            )
        else:
            source = GraphSource.of(scene)
            graph, later = (
                source.graph(ResumePoint(0)),
                source if self.reuse and source.begins_late and not scene.listens else None,
            )
        if self.precision != "auto":
            return OpenVINOEngine.of(
                core, graph, self.precision, still, later
            ), f"openvino in {self.precision}, as asked"
        here = [
            precision for precision in PRECISIONS if CAPABILITIES[precision] in able
        ]  # float32 is everywhere, and first
        intended = list(TorchConfig().start(scene)(sample))
        engine, why = choose_precision(
            lambda precision: OpenVINOEngine.of(core, graph, precision, still),
            here,
            sample,
            intended,
        )
        return replace(engine, source=later), f"openvino in {engine.precision}: {why}"


@dataclass(frozen=True)
class OpenVINOEngine:
    """A compiled graph and the request that runs it, with shorter ones for frames that may begin late.

    Without a ``source`` every frame is run from the start: the plain path. A graph that binds the face for every frame
    has a face for a second input; ``still`` is the one that stays where none are given.
    """

    core: Any
    request: Any
    precision: str
    still: Tensor | None = None
    source: GraphSource | None = None
    shorter: dict[ResumePoint, Any] = field(default_factory=dict)
    name: str = "openvino"
    device: str = "cpu"

    @staticmethod
    def of(
        core: Any,
        graph: Any,
        precision: str,
        still: Tensor | None = None,
        source: GraphSource | None = None,
    ) -> OpenVINOEngine:
        """Compile for the CPU."""
        return OpenVINOEngine(core, _compile(core, graph, precision), precision, still, source)

    def __call__(
        self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None
    ) -> Iterator[Frame]:
        return (frame for frame, _ in self.shots(rows, faces))

    def shots(
        self, rows: Iterable[Tensor], faces: Iterable[Tensor] | None = None
    ) -> Iterator[Rendered]:
        return map(self._shot, rows, repeat(self.still) if faces is None else faces)

    def _shot(self, row: Tensor, ws: Tensor | None) -> Rendered:
        given = (
            {0: row[None].numpy()}
            if self.still is None or ws is None
            else {0: row[None].numpy(), 1: ws.numpy()}
        )
        made = self._request(row).infer(given)
        # Copied: the request writes its next frame into the same memory.
        return np.array(made[0][0]), np.array(made[1][0]) if len(made) > 1 else None

    def _request(self, row: Tensor) -> Any:
        if self.source is None:
            return self.request
        where = resume_point(list(self.source.units.split(row).values()), self.source.cuts)
        if where not in self.shorter and self.source.worth(where):
            self.shorter[where] = _compile(self.core, self.source.graph(where), self.precision)
        return self.shorter.get(where, self.request)


def _graph(picture: nn.Module, *example: Tensor) -> Any:
    """The graph of a module; batches of no rows become batches of one."""
    import openvino

    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        # Tracing warns that it is deprecated and that shapes become constants; the first is OpenVINO's own way in
        # (graphs from torch.export ran half as fast), the second is what is wanted.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(
            picture.eval(), tuple(x.clone() for x in example), check_trace=False
        )  # type: ignore[no-untyped-call]
        return openvino.convert_model(traced, input=[[1, *x.shape[1:]] for x in example])


def _compile(core: Any, graph: Any, precision: str) -> Any:
    settings = {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    release_memory()
    return request


def available() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def version() -> str:
    """Of OpenVINO."""
    return importlib.metadata.version("openvino")
