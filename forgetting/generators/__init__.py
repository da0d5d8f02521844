"""The contract between networks and everything else.

A generator maps ``z`` to ``ws``; ``bind(ws)`` folds whatever depends on the face alone and returns a
:class:`Synthesis`, a chain of steps that ends in the picture. A step's first output is what its layer says, and
that is where units are damaged: an *edit* stands between one step and the next, so no network can forget to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from forgetting.units import Layer

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


@dataclass(frozen=True)
class Synthesis:
    """One batch of faces, ready to be damaged."""

    steps: tuple[Step, ...]

    def states(self, edit: Edit | None = None) -> Iterator[tuple[Step, State]]:
        """Run the chain, yielding every step with the (edited) state after it."""
        state: State = ()
        for step in self.steps:
            state = step.run(state)
            if edit is not None and step.layer is not None:
                state = (edit(state[0], step.layer), *state[1:])
            yield step, state

    def folded(self) -> Synthesis:
        """The same chain with its first step done: nothing before the first edit depends on more than the face."""
        first, *others = self.steps
        state = first.run(())

        def again(_: State) -> State:
            return tuple(tensor.clone() for tensor in state)

        return Synthesis((replace(first, run=again), *others))

    def __call__(self, edit: Edit | None = None) -> Tensor:
        """The picture under ``edit``: [B, 3, H, W], nominally in [-1, 1]."""
        *_, (_, state) = self.states(edit)
        return state[0]


class Generator(Protocol):
    """A trained image generator whose units can be addressed.

    ``mapping_parameters`` and ``image_parameters`` count what belongs to no layer: the way to ``ws``, and the last
    step to RGB.
    """

    @property
    def layers(self) -> tuple[Layer, ...]: ...
    @property
    def z_dim(self) -> int: ...
    @property
    def resolution(self) -> int: ...
    @property
    def mapping_parameters(self) -> int: ...
    @property
    def image_parameters(self) -> int: ...

    def mapping(self, z: Tensor, psi: float = 1.0, label: Tensor | None = None) -> Tensor:
        """[B, z_dim] -> ws [B, L, W], truncated towards the average face by ``psi`` (1: not at all)."""
        ...

    def bind(self, ws: Tensor) -> Synthesis:
        """Fold what depends only on ``ws`` [B, L, W], once."""
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
