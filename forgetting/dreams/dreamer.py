"""The dreamer: a classifier as it is in each frame of a film, and the pictures that it dreams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetting.ablation.edits import (
    AblationTask,
    BoundOperator,
    eager_edit,
    recording_edit,
    traceable_edit,
)
from forgetting.ablation.plan import Plan
from forgetting.dreams.ascent import GradientAscent
from forgetting.dreams.objective_gradient import ObjectiveGradient, WeightedObjective
from forgetting.dreams.resizing import resize
from forgetting.dreams.sequences import ObjectiveSequence, objectives_of_frame
from forgetting.dreams.sources import FrameProvider
from forgetting.models.activity import Activity
from forgetting.models.classifier import Classifier
from forgetting.models.generator import Edit
from forgetting.models.hooked import HookedSynthesis
from forgetting.models.units import PICTURE, Layer


@dataclass(frozen=True)
class Dreamer:
    """A classifier whose units are ablated by a plan, and the objectives that its dreams increase.

    Args:
        classifier: the network.
        ascent: how a picture is changed.
        objectives: those that are the same in all frames.
        sequences: those that change in the course of the film.
        provider: the pictures of the source.
        operators: the bound operators of the plan's tracks, in the order of a row.
        plan: how far each unit is ablated in each frame.
        fps: frames a second.
        precision: in which the network runs.
        device: on which it runs.
        mask: [1, 1, H, W], the area that is dreamed; None is the whole picture.
    """

    classifier: Classifier
    ascent: GradientAscent
    objectives: Sequence[WeightedObjective]
    sequences: Sequence[ObjectiveSequence]
    provider: FrameProvider
    operators: Sequence[BoundOperator]
    plan: Plan
    fps: float
    precision: torch.dtype
    device: str
    mask: Tensor | None = None

    @property
    def frames(self) -> int:
        """The number of frames of the plan."""
        return len(self.plan)

    @property
    def steps(self) -> int:
        """The number of steps of a dream."""
        return len(self.ascent.sizes(self.classifier, self.provider.size)) * self.ascent.iterations

    def source_picture(self, index: int) -> Tensor:
        """Return the source's picture [1, 3, H, W] for a frame."""
        return self.provider.picture(index).to(self.device)

    def row(self, index: int) -> Tensor:
        """Return the plan's row [R] for a frame; frames before the first have its row."""
        return self.plan.row(max(0, index))

    def dream(
        self, picture: Tensor, index: int, pace: float = 1.0, shifts: int | None = None
    ) -> Tensor:
        """Return a picture [1, 3, H, W] after the ascent of a frame.

        Args:
            picture: [1, 3, H, W] in [-1, 1].
            index: of the frame.
            pace: the length of a step, as a multiple of the ascent's own.
            shifts: the frame whose shifts are drawn, if not those of ``index``.
        """
        ascent = replace(self.ascent, step=self.ascent.step * pace)
        gradient = self.objective_gradient(index)
        return ascent.climb(gradient, picture.to(self.device), index if shifts is None else shifts)

    def details(self, picture: Tensor, index: int) -> Iterator[Tensor]:
        """Yield the detail after each step, see :meth:`GradientAscent.details`.

        The shifts are always those of frame 0.
        """
        return self.ascent.details(self.objective_gradient(index), picture.to(self.device))

    def objective_gradient(self, index: int) -> ObjectiveGradient:
        """Return the gradient that the dream follows in a frame."""
        objectives = list(self.objectives)
        for sequence in self.sequences:
            for objective in objectives_of_frame(sequence, self.classifier, index, self.frames):
                objectives.append((objective.weight, objective.bind(self.classifier)))
        edit, weights = self._edit(index)
        return ObjectiveGradient(
            self.classifier,
            objectives,
            self.ascent.tile,
            self.ascent.overlap,
            edit,
            weights,
            self.precision,
            self.mask,
        )

    def record_activity(self, picture: Tensor, index: int, layers: Sequence[Layer]) -> Activity:
        """Return the activity [M] of the cells of ``layers`` for a picture, in a frame."""
        return record_activity(self.classifier, picture, layers, *self._edit(index))

    def fade(self, picture: Tensor, index: int) -> Tensor:
        """Return the picture as it fades in a frame: its fade is a track of the plan too."""
        fade = eager_edit(self.operators, self.row(index)[None].to(picture))
        return fade(picture.clone(), PICTURE)

    def _edit(self, index: int) -> tuple[Edit | None, Mapping[str, Tensor]]:
        """Return the edit of activations in a frame, and the edited weights by name."""
        ablated = {
            name
            for name, ablation in self.plan.ablation_by_layer(max(0, index)).items()
            if ablation.any() and name != PICTURE.name
        }
        if not ablated:
            return None, {}
        edit_all = traceable_edit(self.operators, self.row(index)[None].to(self.device))

        def edit(x: Tensor, layer: Layer) -> Tensor:
            return edit_all(x, layer) if layer.name in ablated else x

        edits_weights = any(name.startswith("weights/") for name in ablated)
        return edit, self.classifier.edited(edit) if edits_weights else {}


def bind_operators(task: AblationTask, device: str) -> list[BoundOperator]:
    """Return the bound operators of a task, for pictures of any size.

    Replacements are resized to the activations that they replace.
    """

    def for_any_size(replacement: Edit) -> Edit:
        def resized(x: Tensor, layer: Layer) -> Tensor:
            size = (x.shape[2], x.shape[3])
            replaced = replacement(x, replace(layer, size=size))
            if replaced.ndim < 3 or replaced.shape[-2:] in (size, (1, 1)):
                return replaced
            return resize(replaced.reshape(-1, *replaced.shape[-3:]), size)

        return resized

    return [(units, for_any_size(operator)) for units, operator in task.bind_operators(device)]


@torch.no_grad()
def record_activity(
    classifier: Classifier,
    picture: Tensor,
    layers: Sequence[Layer],
    edit: Edit | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Activity:
    """Return the activity [M] of the cells of ``layers`` for a picture [1, 3, H, W].

    The picture is resized to the size that the network was trained at.

    Args:
        classifier: the network.
        picture: [1, 3, H, W] in [-1, 1].
        layers: whose cells are recorded.
        edit: ablates units.
        weights: of the network, by name, that replace its own.
    """
    recording, recorded = recording_edit(edit or (lambda x, layer: x), layers)
    for layer in layers:
        if layer.kind == "weights":
            weight = classifier.get_parameter(classifier.parameter_layers[layer.name].weight)
            recording(weight.reshape(1, -1, 1, 1), layer)
    resized = resize(picture, (classifier.shape[1], classifier.shape[2]))
    HookedSynthesis(classifier, resized, weights or {})(recording)
    return recorded()[0, :, 0, 0].cpu().numpy()
