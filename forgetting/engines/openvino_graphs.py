"""Graphs for OpenVINO: an ablation task traced once, with a variant for what is wanted of frames.

The trace ends in the picture as floats and the activity of units. A variant keeps those outputs
that are wanted, and ends in one convolution that turns floats into bytes, see
:mod:`forgetting.engines.pixels`. All variants share everything before, so a frame has the same
bytes whichever of them makes it.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from forgetting.ablation.edits import AblationTask, BoundOperator, traceable_edit
from forgetting.engines.dead_units import can_leave_out, edit_of_remaining, remaining_channels
from forgetting.engines.engine import Outputs
from forgetting.engines.frame_module import EditOfRows, FrameModule, PerFrameModule
from forgetting.engines.pixels import pixel_kernel, rgb_channels
from forgetting.engines.prefix_reuse import ResumePoint, resume_point, truncate_prefix
from forgetting.models.architectures.ops import wavelets_as_convolutions
from forgetting.models.flops import multiply_adds
from forgetting.models.generator import Edit, Synthesis, edited_picture
from forgetting.models.units import PICTURE, Units

VERSION = "2"
"""Of the graphs: it changes whenever their frames do, and is part of every recipe."""

MAX_LATE_SHARE = 0.5
"""Frames with at most this share of all multiply-adds left get a graph of their own."""


class Beginning(NamedTuple):
    """What a graph computes: from where, and whether it leaves out the dead units."""

    start: ResumePoint = ResumePoint(0)
    lacks_dead: bool = False


WHOLE = Beginning()
"""The whole network from its first layer on."""


@dataclass(frozen=True, eq=False)
class GraphSource:
    """A task of which graphs are made.

    Args:
        task: what is rendered, without fades of the picture.
        wavelets: whether wavelets are computed by convolutions.
        reuse: whether frames may start late.
        dead: units [R] that a graph may leave out; None where none may.
    """

    task: AblationTask
    wavelets: bool
    reuse: bool
    dead: Tensor | None = None

    @cached_property
    def units(self) -> Units:
        """All channels of the network."""
        return Units(self.task.generator.layers)

    @cached_property
    def bound(self) -> list[BoundOperator]:
        """The operators."""
        return self.task.bind_operators()

    @cached_property
    def synthesis(self) -> Synthesis:
        """The face that stays."""
        with wavelets_as_convolutions(self.wavelets):
            return self.task.generator.bind(self.task.ws)

    @cached_property
    def costs(self) -> dict[str, int]:
        """The multiply-adds of every step."""
        return multiply_adds(self.task.generator, self.task.ws)

    @cached_property
    def starts_late(self) -> bool:
        """Whether frames may start late.

        The row must be that of all channels, layer by layer, and of nothing else.
        """
        widths = [target.units.slices for target in self.task.targets]
        return self.reuse and not self.task.rebinds and widths == [self.units.slices]

    @cached_property
    def remaining(self) -> dict[str, Tensor]:
        """The channels that remain without the dead units, of the layers that lack some."""
        if self.dead is None or not can_leave_out(self.task):
            return {}
        return remaining_channels(self.bound, self.dead)

    @cached_property
    def lacking(self) -> Synthesis | None:
        """The network without the dead units; None where it cannot be made, or lacks none."""
        if not self.remaining:
            return None
        return self.task.generator.bind_remaining(self.task.ws, self.remaining)

    def beginning(self, row: Tensor) -> Beginning:
        """Return what a frame computes, by its row [R] alone."""
        if self.starts_late:
            cuts = self.task.targets[0].operator.constant and not self.synthesis.bypassed
            start = resume_point(list(self.units.split(row).values()), cuts)
            if self._is_worthwhile(start):
                return Beginning(start)
        if self.dead is not None and bool((row[self.dead] == 1).all()) and self.lacking:
            return Beginning(lacks_dead=True)
        return WHOLE

    def _is_worthwhile(self, start: ResumePoint) -> bool:
        """Return whether so little is left from there that a graph of its own pays."""
        if start == ResumePoint(0) or self.synthesis.steps is None:
            return False
        names = [*(layer.name for layer in self.units.layers), "image"]
        left = sum(self.costs[name] for name in names[start.layer + 1 :])
        return left <= MAX_LATE_SHARE * sum(self.costs[name] for name in names)

    def trace(self, beginning: Beginning) -> Any:
        """Return the graph of frames that begin there.

        Its outputs are floats of the picture and, of the whole network, activity.
        """
        task, areas = self.task, self.task.areas
        layers = task.recorded_layers if beginning == WHOLE else ()
        edits_picture = any(PICTURE in target.units.layers for target in task.targets)
        make = partial(_picture_floats, sort=edits_picture or not makes_planes(task.generator.size))
        width = len(task)
        with torch.inference_mode(False), torch.no_grad():
            edit_of: EditOfRows = partial(traceable_edit, self.bound)
            if task.rebinds:
                module: nn.Module = PerFrameModule(edit_of, task.generator, make, layers, areas)
                with wavelets_as_convolutions(self.wavelets):
                    return _trace(module, torch.zeros(1, width), task.ws)
            synthesis = self.synthesis
            if beginning.lacks_dead:
                assert self.lacking is not None
                synthesis, edit_of = self.lacking, edit_of_remaining(self.bound, self.remaining)
            synthesis = truncate_prefix(synthesis, self.bound[0][1], beginning.start)
            module = FrameModule(edit_of, synthesis, make, layers, areas)
            # Traced with a batch of no rows: every operation is recorded and none computes
            # anything. Tracing one row keeps a gigabyte of intermediate results. Other people's
            # modules may not accept a batch of no rows.
            return _trace(module, torch.zeros(0 if synthesis.steps else 1, width))


def _picture_floats(synthesis: Synthesis, edit: Edit, sort: bool) -> Tensor:
    """Return the picture as floats in [-1, 1]: [B, 3, H, W], or four phases unless ``sort``."""
    if sort or not synthesis.phased:
        return rgb_channels(edited_picture(synthesis, edit)).clamp(-1, 1)
    return synthesis.unsorted(edit).clamp(-1, 1)


def makes_planes(size: tuple[int, int]) -> bool:
    """Return whether pictures of this height and width are made of blocks, as 4:2:0 stores them."""
    return all(side % 2 == 0 for side in size)


def with_outputs(graph: Any, outputs: Outputs, size: tuple[int, int]) -> Any:
    """Return the graph of a variant: bytes of the picture, and activity if it is wanted.

    Bytes are the blocks [1, H / 2, W / 2, N] that
    :func:`~forgetting.engines.pixels.sort_pixels` sorts; of pictures with an odd side, they are
    the frame [1, H, W, 3] itself.

    Args:
        graph: a traced one.
        outputs: what is wanted.
        size: height and width of the picture.
    """
    ops = import_openvino().opset13
    picture, *activity = (result.get_node().input_value(0) for result in graph.outputs)
    parameters = graph.get_parameters()
    if not (outputs.rgb or outputs.planes):
        return import_openvino().Model([ops.result(output) for output in activity], parameters)
    if makes_planes(size):
        weight, bias = pixel_kernel(outputs.planes, outputs.rgb)
        stride = 2
        if tuple(picture.get_partial_shape().to_shape())[2:] != size:
            # The phases of a block are channels already, pixel by pixel.
            weight, stride = weight.permute(0, 2, 3, 1).reshape(len(weight), 12, 1, 1), 1
        x = ops.convolution(picture, weight.numpy(), [stride] * 2, [0, 0], [0, 0], [1, 1])
        x = ops.add(x, bias[None, :, None, None].numpy())
    else:
        x = ops.add(ops.multiply(picture, np.float32(127.5)), np.float32(127.5))
    x = ops.convert(ops.round(ops.clamp(x, 0.0, 255.0), "half_to_even"), "u8")
    results = [ops.transpose(x, np.array([0, 2, 3, 1]))]
    if outputs.activity:
        results += activity
    return import_openvino().Model([ops.result(output) for output in results], parameters)


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


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    For every graph that it converts, OpenVINO's converter would report to its maker, from a fork
    of this process. It does without where the package ``openvino_telemetry`` cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
