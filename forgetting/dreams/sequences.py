"""Sequences of objectives: in a film, one objective after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetting.dreams.objectives import ClassLogit, Energy, check_weight, class_number
from forgetting.errors import RequestError, check_int, check_range
from forgetting.models.classifier import Classifier
from forgetting.parts import part

SCENES = (
    "lakeside",
    "alp",
    "mountain snowy",
    "monastery",
    "castle",
    "palace",
    "pagoda",
    "stupa",
    "mosque",
    "mosque/outdoor",
    "library",
    "library/indoor",
    "lecture room",
    "church",
    "church/outdoor",
    "viaduct",
    "wind farm",
    "boathouse",
    "seashore",
    "coast",
    "cliff",
    "volcano",
)
"""The scenes that ``places`` walks through, by their names in ImageNet and in Places365."""


@part("objective/ladder")
@dataclass(frozen=True)
class LayerSequence:
    """The energy of one layer after another, from low to high.

    Args:
        layers: addresses in their order; None is the network's own sequence.
        frames: how many frames each layer takes; None divides the film evenly.
        blend: the share of these frames in which a layer blends into the next.
        captions: whether the name of the layer is written under the picture.
        weight: see :attr:`Objective.weight`.
    """

    layers: Sequence[str] | None = None
    frames: int | None = None
    blend: float = 0.6
    captions: bool = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_sequence(self.weight, self.blend, self.frames)

    def steps(self, classifier: Classifier) -> list[str]:
        """Return the addresses of the sequence, in order."""
        return list(self.layers or classifier.layer_sequence)

    def member(self, step: str, share: float) -> Energy:
        """Return the objective of a step, which counts for that share of the sequence."""
        return Energy(step, self.weight * share)


@part("objective/places")
@dataclass(frozen=True)
class SceneSequence:
    """The logit of one scene after another.

    Args:
        scenes: names or numbers of classes in their order; None is all of :data:`SCENES` that the
            network knows.
        frames: how many frames each scene takes; None divides the film evenly.
        blend: the share of these frames in which a scene blends into the next.
        captions: whether the name of the scene is written under the picture.
        weight: see :attr:`Objective.weight`.
    """

    scenes: Sequence[str | int] | None = None
    frames: int | None = None
    blend: float = 0.6
    captions: bool = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_sequence(self.weight, self.blend, self.frames)

    def steps(self, classifier: Classifier) -> list[str]:
        """Return the names of the scenes, in order.

        Raises:
            RequestError: the network knows none of the scenes, or not one that is asked for.
        """
        if self.scenes:
            return [classifier.classes[class_number(scene, classifier)] for scene in self.scenes]
        known = {name.lower() for name in classifier.classes}
        steps = [scene for scene in SCENES if scene in known]
        if not steps:
            raise RequestError(
                f"none of the {len(classifier.classes)} classes of this network is a scene that "
                "objective=places knows by name; set objective.scenes=[0,1,2] to numbers of "
                "classes, or classifier.labels=FILE to the file of their names"
            )
        return steps

    def member(self, step: str, share: float) -> ClassLogit:
        """Return the objective of a step, which counts for that share of the sequence."""
        return ClassLogit(step, self.weight * share)


ObjectiveSequence = LayerSequence | SceneSequence
"""Objectives of a film, one after another."""


def frames_per_step(sequence: ObjectiveSequence, classifier: Classifier, frames: int) -> float:
    """Return how many frames each step of a sequence takes in a film of ``frames`` frames."""
    return sequence.frames or max(1, frames) / len(sequence.steps(classifier))


def objectives_of_frame(
    sequence: ObjectiveSequence, classifier: Classifier, index: int, frames: int
) -> list[Energy | ClassLogit]:
    """Return the objective of a sequence in a frame, or the two that blend there.

    Args:
        sequence: the sequence.
        classifier: the network.
        index: of the frame; negative ones count as 0.
        frames: the number of frames of the film.
    """
    steps = sequence.steps(classifier)
    position = max(0, index) / frames_per_step(sequence, classifier, frames)
    number = min(int(position), len(steps) - 1)
    if number == len(steps) - 1 or not sequence.blend:
        share = 0.0
    else:
        share = max(0.0, (position - number - 1) / sequence.blend + 1)
    share = share * share * (3 - 2 * share)
    objectives = [sequence.member(steps[number], 1 - share)]
    if share:
        objectives.append(sequence.member(steps[number + 1], share))
    return objectives


def _check_sequence(weight: float, blend: float, frames: int | None) -> None:
    check_weight(weight)
    check_range("objective.blend", blend, 0.0, 1.0)
    if frames is not None:
        check_int("objective.frames", frames, 1, 1_000_000)
