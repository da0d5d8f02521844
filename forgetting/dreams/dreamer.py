"""The dreamer: a network that sees, as it is at a moment of a film, and what it dreams then."""

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
from forgetting.dreams.ascent import GradientAscent, ObjectiveGradient, WeightedObjective, resize
from forgetting.dreams.objectives import Energy, LayerSequence
from forgetting.dreams.sources import FrameProvider
from forgetting.models.activity import Activity
from forgetting.models.classifier import Classifier
from forgetting.models.generator import Edit
from forgetting.models.hooked import HookedSynthesis
from forgetting.models.units import PICTURE, Layer


@dataclass(frozen=True)
class Dreamer:
    """A network and what it climbs, for every frame of a film of ``scenery``, in which its units die by the ``plan``.

    ``parts`` are the objectives that stay the same, ``ladders`` those that change with time.
    """

    classifier: Classifier
    ascent: GradientAscent
    parts: Sequence[WeightedObjective]
    ladders: Sequence[LayerSequence]
    scenery: FrameProvider
    targets: Sequence[BoundOperator]
    plan: Plan
    fps: float
    precision: torch.dtype
    device: str
    mask: Tensor | None = None

    @property
    def frames(self) -> int:
        return len(self.plan)

    @property
    def steps(self) -> int:
        """How many steps a dream has."""
        return len(self.ascent.sizes(self.classifier, self.scenery.size)) * self.ascent.iterations

    def source(self, index: int) -> Tensor:
        """The picture [1, 3, H, W] of the source in a frame."""
        return self.scenery.picture(index).to(self.device)

    def row(self, index: int) -> Tensor:
        """The row [R] of a frame; before the first, nothing has happened yet."""
        return self.plan.row(max(0, index))

    def __call__(
        self, picture: Tensor, index: int, pace: float = 1.0, shifts: int | None = None
    ) -> Tensor:
        """[1, 3, H, W] -> the same dreamed on in that frame, with steps ``pace`` times as long; ``shifts`` draws other shifts than
        those of the frame."""
        ascent = replace(self.ascent, step=self.ascent.step * pace)
        return ascent(self.way(index), picture.to(self.device), index if shifts is None else shifts)

    def details(self, picture: Tensor, index: int) -> Iterator[Tensor]:
        """What is added to the picture in every step of a dream, see :meth:`Ascent.details`; always with the same shifts."""
        return self.ascent.details(self.way(index), picture.to(self.device))

    def way(self, index: int) -> ObjectiveGradient:
        """Where it goes up in a frame."""
        now: Sequence[Energy] = [
            one for ladder in self.ladders for one in ladder.at(self.classifier, index, self.frames)
        ]
        parts = [*self.parts, *((one.weight, one.bind(self.classifier)) for one in now)]
        edit, weights = self._edit(index)
        return ObjectiveGradient(
            self.classifier,
            parts,
            self.ascent.tile,
            self.ascent.overlap,
            edit,
            weights,
            self.precision,
            self.mask,
        )

    def levels(self, picture: Tensor, index: int, layers: Sequence[Layer]) -> Activity:
        """What the cells of ``layers`` say of a picture in a frame, [M]."""
        return levels(self.classifier, picture, layers, *self._edit(index))

    def faded(self, picture: Tensor, index: int) -> Tensor:
        """The picture as it ends: what fades it is a track of the plan as well."""
        return eager_edit(self.targets, self.row(index)[None].to(picture))(picture.clone(), PICTURE)

    def _edit(self, index: int) -> tuple[Edit | None, Mapping[str, Tensor]]:
        """What is done to the maps in a frame, and to the weights."""
        gone = {
            name
            for name, part in self.plan.gone(max(0, index)).items()
            if part.any() and name != PICTURE.name
        }
        if not gone:
            return None, {}
        everywhere = traceable_edit(self.targets, self.row(index)[None].to(self.device))

        def edit(x: Tensor, layer: Layer) -> Tensor:
            return everywhere(x, layer) if layer.name in gone else x

        return edit, self.classifier.edited(edit) if any(
            name.startswith("weights/") for name in gone
        ) else {}


def turned(scene: AblationTask, device: str) -> list[BoundOperator]:
    """The targets of a scene, for pictures of any size: what the dead say is as large as what they said alive."""

    def fitting(dead: Edit) -> Edit:
        def fitted(x: Tensor, layer: Layer) -> Tensor:
            size = (x.shape[2], x.shape[3])
            said = dead(x, replace(layer, size=size))
            if said.ndim < 3 or said.shape[-2:] in (size, (1, 1)):
                return said
            return resize(said.reshape(-1, *said.shape[-3:]), size)

        return fitted

    return [(units, fitting(dead)) for units, dead in scene.bind_operators(device)]


@torch.no_grad()
def levels(
    classifier: Classifier,
    picture: Tensor,
    layers: Sequence[Layer],
    edit: Edit | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Activity:
    """What the cells of ``layers`` say of a picture, [M], looked at in the size that the network was trained at."""
    listening, found = recording_edit(edit or (lambda x, layer: x), layers)
    for layer in layers:
        if layer.kind == "weights":
            listening(
                classifier.get_parameter(classifier.parts[layer.name].weight).reshape(1, -1, 1, 1),
                layer,
            )
    HookedSynthesis(
        classifier, resize(picture, (classifier.shape[1], classifier.shape[2])), weights or {}
    )(listening)
    return found()[0][0].cpu().numpy()
