"""Compiled graphs of OpenVINO, made when they are first needed, and kept between runs."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from forgetting import result_cache
from forgetting.engines.allocator import release_memory
from forgetting.engines.engine import Outputs
from forgetting.engines.openvino_graphs import (
    VERSION,
    WHOLE,
    Beginning,
    GraphSource,
    import_openvino,
    with_outputs,
)
from forgetting.engines.processor import instruction_sets
from forgetting.errors import one_line

log = logging.getLogger(__name__)

HINTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}

MAX_KEPT = 400 * 2**20
"""The most bytes of a compiled graph that is kept."""


@dataclass(eq=False)
class Graphs:
    """The compiled graphs of a task; each is made when it is first needed.

    Args:
        source: makes them.
        core: of OpenVINO.
        precision: that they compute in.
    """

    source: GraphSource
    core: Any
    precision: str
    requests: dict[tuple[Beginning, Outputs], Any] = field(default_factory=dict)
    traced: dict[Beginning, Any] = field(default_factory=dict)

    @property
    def beginnings(self) -> set[Beginning]:
        """Where the frames began that were made so far."""
        return {beginning for beginning, _ in self.requests}

    def without(self, dead: Tensor) -> Graphs:
        """Return the graphs of the same task that may leave out dead units [R]."""
        source = replace(self.source, dead=dead)
        requests = {key: value for key, value in self.requests.items() if not key[0].lacks_dead}
        traced = {key: value for key, value in self.traced.items() if not key.lacks_dead}
        return replace(self, source=source, requests=requests, traced=traced)

    def prepare(self) -> None:
        """Make the graph of whole frames as RGB."""
        self._request(WHOLE, Outputs())

    def infer(self, beginning: Beginning, outputs: Outputs, inputs: Any) -> list[Any]:
        """Return what a variant makes, in memory that its next frame is written into."""
        made = self._request(beginning, outputs).infer(inputs)
        return [made[k] for k in range(len(made))]

    def _request(self, beginning: Beginning, outputs: Outputs) -> Any:
        """Return the infer request of a variant."""
        variant = beginning, outputs
        if variant not in self.requests:
            compiled = self._compiled(beginning, outputs)
            self.requests[variant] = compiled.create_infer_request()
            del compiled
            release_memory()
        return self.requests[variant]

    def _compiled(self, beginning: Beginning, outputs: Outputs) -> Any:
        """Return the compiled graph of a variant, made or kept from an earlier run."""
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        key = self._key(beginning, outputs)
        kept = None if key is None else result_cache.load("graphs", key, MAX_KEPT)
        if kept is not None:
            try:
                return self.core.import_model(io.BytesIO(kept), "CPU", settings)
            except RuntimeError as error:
                log.debug("a kept graph is compiled again (%s)", one_line(error))
        if beginning not in self.traced:
            self.traced.clear()  # one graph at a time is kept in memory
            self.traced[beginning] = self.source.trace(beginning)
        graph = with_outputs(self.traced[beginning], outputs, self.source.task.generator.size)
        compiled = self.core.compile_model(graph, "CPU", settings)
        if key is not None:
            result_cache.store("graphs", key, _exported(compiled))
        return compiled

    def _key(self, beginning: Beginning, outputs: Outputs) -> str | None:
        """Return the hash of all that a compiled graph depends on."""
        source, start = self.source, beginning.start
        dead = None
        if beginning.lacks_dead and source.dead is not None:
            dead = source.dead.nonzero().flatten().tolist()
        return source.task.key(
            [VERSION, self.precision, source.wavelets],
            [start.layer, sorted(start.ablated), dead, list(outputs)],
            processor_identity(self.core),
        )


def processor_identity(core: Any) -> list[Any]:
    """Return what compiled graphs depend on besides the network: OpenVINO and the processor."""
    return [
        import_openvino().__version__,
        core.get_property("CPU", "FULL_DEVICE_NAME"),
        sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        sorted(instruction_sets()),
        core.get_property("CPU", "INFERENCE_NUM_THREADS"),
        torch.get_num_threads(),
    ]


def _exported(compiled: Any) -> bytes:
    exported = compiled.export_model()
    return bytes(exported.getvalue() if hasattr(exported, "getvalue") else exported)
