"""The contract between networks and everything else.

A generator maps ``z`` to ``ws``; ``bind(ws)`` folds whatever depends on the face alone and returns a
:class:`Synthesis`, which makes the picture and lets an *edit* damage what every layer says on the way. Our own networks
are a :class:`Chain` of steps: a step's first output is what its layer says, and the edit stands between one step and the
next, so no network can forget to ask and a picture may begin anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from forgetting.models.units import Layer

Edit = Callable[[Tensor, Layer], Tensor]
"""[B, C, H, W] -> [B, C, H, W]; may write into its argument, which nobody else holds."""

State = tuple[Tensor, ...]
"""What flows between steps; ``state[0]`` is the output of the step's layer."""


@dataclass(frozen=True)
class Step:
    """One link of the chain.

    ``run`` never writes into the state it is given and returns tensors that nobody else holds. ``layer`` is the
    layer whose output is ``state[0]`` afterwards, or None where there is nothing to address (the last step).
    """

    name: str
    layer: Layer | None
    run: Callable[[State], State]


class Synthesis(Protocol):
    """One batch of faces, ready to be damaged."""

    def __call__(self, edit: Edit | None = None) -> Tensor:
        """The picture under ``edit``: [B, C, H, W], nominally in [-1, 1]; C is 3, or whatever the network paints.

        ``edit`` is called once for every layer, in their order. Where there is one face, it may return any number of
        states: every one becomes a picture.
        """
        ...

    def folded(self) -> Synthesis:
        """The same, with what no edit can change done once and for all."""
        ...

    def repeated(self, count: int) -> Synthesis:
        """One face, ready for an edit that returns ``count`` states."""
        ...


@dataclass(frozen=True)
class Chain:
    """A synthesis of steps, which may be restarted anywhere.

    ``bypassed`` says that more than the layers' maps flows from step to step - a picture that adds up on the way -, so that
    a layer which is all gone does not cut off what was before it.
    """

    steps: tuple[Step, ...]
    bypassed: bool = False

    def __call__(self, edit: Edit | None = None) -> Tensor:
        state: State = ()
        for step in self.steps:
            state = step.run(state)
            if edit is not None and step.layer is not None:
                state = (edit(state[0], step.layer), *state[1:])
        return state[0]

    def repeated(self, count: int) -> Chain:
        return self

    def folded(self) -> Chain:
        """The same chain with its first step done: nothing before the first edit depends on more than the face."""
        first, *others = self.steps
        state = first.run(())

        def again(_: State) -> State:
            return tuple(tensor.clone() for tensor in state)

        return replace(self, steps=(replace(first, run=again), *others))


@dataclass(frozen=True)
class ParameterLayer:
    """A layer of units that are no maps, and where they are in the network: the names of parameters.

    ``weight`` is what they hear through (of synapses, what they are), ``heard`` through which they are heard.
    """

    layer: Layer
    weight: str
    bias: str | None = None
    heard: str | None = None


class Generator(Protocol):
    """A trained image generator whose units can be addressed.

    ``layers`` are those of channels; ``parts`` has all others by name (see :mod:`forgetting.models.units` for the kinds).

    ``size`` is the picture's height and width, ``labels`` how many classes it can be asked for (0: none).
    ``mapping_parameters`` and ``image_parameters`` count what belongs to no layer: the way to ``ws``, and what makes
    the picture of the layers' maps.
    """

    @property
    def layers(self) -> tuple[Layer, ...]: ...
    @property
    def parts(self) -> Mapping[str, ParameterLayer]: ...
    @property
    def z_dim(self) -> int: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def labels(self) -> int: ...
    @property
    def mapping_parameters(self) -> int: ...
    @property
    def image_parameters(self) -> int: ...

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        """[B, z_dim] -> ws [B, L, W], truncated towards the average face by ``psi`` (1: not at all).

        ``label`` [B, labels] is one-hot, or any mixture; without it, a network that has classes takes the first.
        ``edit`` is shown every neuron, [B, C, 1, 1].
        """
        ...

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Synthesis:
        """Fold what depends only on ``ws`` [B, L, W], once; ``edit`` is shown every style, [B, C, 1, 1], and all synapses
        of a parameter at once, [1, N, 1, 1], and the noise of every layer, [1, 1, H, W]."""
        ...

    def rest(self, layer: Layer) -> Tensor:
        """[1, C, 1 or H, 1 or W]: what the units of ``layer`` say once all their incoming weights are zero."""
        ...

    def incoming(self, layer: Layer) -> Tensor:
        """[C, N]: the weights through which each unit hears."""
        ...

    def outgoing(self, layer: Layer) -> Tensor:
        """[C, M]: the weights through which each unit is heard by the next layer."""
        ...

    def state_dict(self) -> Mapping[str, Any]: ...
    def get_parameter(self, target: str) -> Tensor: ...
