"""The contract between networks and everything else.

A generator maps ``z`` to ``ws``. ``bind(ws)`` folds in whatever depends on the face alone and
returns a :class:`Synthesis`, which makes the picture. On the way, an *edit* may replace the
activations of every layer.

Our own networks are a :class:`Chain` of steps: the first output of a step is the activation of its
layer, and the chain calls the edit between one step and the next. So no network can leave the edit
out, and a picture may start at any step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from torch import Tensor, nn

from forgetting.models.units import PICTURE, Layer

Edit = Callable[[Tensor, Layer], Tensor]
"""[B, C, H, W] -> [B, C, H, W]; may write into its argument, which nothing else uses."""

State = tuple[Tensor, ...]
"""What flows between steps; ``state[0]`` is the output of the step's layer."""


@dataclass(frozen=True)
class Step:
    """A step of a chain.

    Args:
        name: the layer's name, or ``image``.
        layer: the layer whose output is ``state[0]`` after the step; None for the last step, which
            makes the picture.
        run: computes the next state. It never writes into the state it gets, and returns tensors
            that nothing else uses.
    """

    name: str
    layer: Layer | None
    run: Callable[[State], State]


class Synthesis(Protocol):
    """A batch of faces, ready to be edited."""

    @property
    def steps(self) -> Sequence[Step] | None:
        """The steps, any of which an engine may start at; None where there is no such chain."""
        ...

    @property
    def phased(self) -> bool:
        """Whether :meth:`unsorted` returns four phases of the picture."""
        ...

    @property
    def bypassed(self) -> bool:
        """Whether a layer that is fully ablated may leave something of the layers before it."""
        ...

    def __call__(self, edit: Edit | None = None) -> Tensor:
        """Return the picture under ``edit``, [B, C, H, W], nominally in [-1, 1].

        C is 3, or the number of channels of the network's picture. ``edit`` is called once for
        every layer, in the order of the layers. If there is one face, ``edit`` may return any
        number of states, each of which becomes a picture.
        """
        ...

    def unsorted(self, edit: Edit | None = None) -> Tensor:
        """Return the picture as its last step makes it.

        That is the picture itself, or, of a ``phased`` synthesis, its four phases [B, 4C, H/2, W/2]
        in the order of :func:`~forgetting.models.architectures.ops.depth_to_space`. Bytes are
        sorted into a picture four times as fast as floats.
        """
        ...

    def folded(self) -> Synthesis:
        """Return the same synthesis, with everything that no edit can change computed once."""
        ...

    def repeated(self, count: int) -> Synthesis:
        """Return the synthesis of one face for an edit that returns ``count`` states."""
        ...


@dataclass(frozen=True)
class Chain:
    """A synthesis of steps, which may start at any of them.

    Args:
        steps: in their order.
        bypassed: whether more than the layers' maps flows from step to step, such as a picture that
            is added up on the way.
        sort: makes the picture of the four phases that the last step returns; None where that step
            returns the picture.
    """

    steps: tuple[Step, ...]
    bypassed: bool = False
    sort: Callable[[Tensor], Tensor] | None = None

    @property
    def phased(self) -> bool:
        """Whether the last step returns four phases of the picture."""
        return self.sort is not None

    def __call__(self, edit: Edit | None = None) -> Tensor:
        """Return the picture under ``edit``, [B, C, H, W]."""
        picture = self.unsorted(edit)
        return picture if self.sort is None else self.sort(picture)

    def unsorted(self, edit: Edit | None = None) -> Tensor:
        """Return what the last step makes."""
        state: State = ()
        for step in self.steps:
            state = step.run(state)
            if edit is not None and step.layer is not None:
                state = (edit(state[0], step.layer), *state[1:])
        return state[0]

    def repeated(self, count: int) -> Chain:
        """Return the same chain: it takes any number of states."""
        return self

    def folded(self) -> Chain:
        """Return the same chain with its first step computed: it depends on the face alone."""
        first, *later = self.steps
        state = first.run(())

        def copy_state(_: State) -> State:
            return tuple(tensor.clone() for tensor in state)

        return replace(self, steps=(replace(first, run=copy_state), *later))


def edited_picture(synthesis: Synthesis, edit: Edit) -> Tensor:
    """Return the picture under ``edit``, whose own unit is edited too."""
    return edit(synthesis(edit), PICTURE)


@dataclass(frozen=True)
class ParameterLayer:
    """A layer of units that are no maps, and the names of its parameters in the network.

    Args:
        layer: the layer.
        weight: through which the units get their input; for units that are weights, they
            themselves.
        bias: of the units, if they have any.
        outgoing: the weight through which the units reach the next layer, if there is one.
    """

    layer: Layer
    weight: str
    bias: str | None = None
    outgoing: str | None = None


class Architecture(Protocol):
    """What a new architecture must provide; :class:`GeneratorModule` provides the rest."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers of channels, from the first one to the one before the picture."""
        ...

    @property
    def z_dim(self) -> int:
        """The width of ``z``."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        ...

    def mapping(
        self, z: Tensor, psi: float = 1.0, label: Tensor | None = None, edit: Edit | None = None
    ) -> Tensor:
        """Return ``ws`` [B, L, W] of ``z`` [B, z_dim].

        Args:
            z: drawn from a normal distribution.
            psi: how far ``ws`` is truncated towards the average face; 1 is not at all.
            label: [B, labels], one-hot or any mixture; None is the first class.
            edit: is called with the mapping units of every layer, [B, C, 1, 1].
        """
        ...

    def bind(self, ws: Tensor, edit: Edit | None = None) -> Synthesis:
        """Fold in once what depends only on ``ws`` [B, L, W], and return the synthesis.

        ``edit`` is called with every style, [B, C, 1, 1], with all weights of a parameter at once,
        [1, N, 1, 1], and with the noise of every layer, [1, 1, H, W].
        """
        ...

    def bind_remaining(self, ws: Tensor, remaining: Mapping[str, Tensor]) -> Synthesis | None:
        """Return the synthesis of a network that lacks channels, if it can be made.

        Its picture is that of the whole network with those channels at zero, up to rounding.

        Args:
            ws: a face, [1, L, W].
            remaining: the numbers [N] of the channels that remain, of every layer that lacks some.
        """
        ...

    def bias_only_output(self, layer: Layer) -> Tensor:
        """Return the activations of ``layer`` once all its incoming weights are zero.

        The shape is [1, C, 1 or H, 1 or W].
        """
        ...

    def incoming(self, layer: Layer) -> Tensor:
        """Return the weights through which each unit of ``layer`` gets its input, [C, N]."""
        ...

    def outgoing(self, layer: Layer) -> Tensor:
        """Return the weights from each unit of ``layer`` to the next layer, [C, M]."""
        ...


class Generator(Architecture, Protocol):
    """A trained image generator whose units have addresses."""

    @property
    def labels(self) -> int:
        """The number of classes; 0 for a network that is not conditional."""
        ...

    @property
    def parameter_layers(self) -> Mapping[str, ParameterLayer]:
        """All layers of other kinds than channels, by name."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """What its pictures depend on besides weights, where that is unusual for its kind."""
        ...

    @property
    def mapping_parameters(self) -> int:
        """The number of values that compute ``ws``."""
        ...

    @property
    def image_parameters(self) -> int:
        """The number of values that make the picture of the last maps."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """Return all weights by name."""
        ...

    def get_parameter(self, target: str) -> Tensor:
        """Return the parameter of that name."""
        ...


class GeneratorModule(nn.Module):
    """The base of architectures: defaults for what not every network has."""

    layers: tuple[Layer, ...]
    z_dim: int
    size: tuple[int, int]
    labels: int = 0
    settings: Mapping[str, object] = MappingProxyType({})
    parameter_layers: Mapping[str, ParameterLayer] = MappingProxyType({})

    @property
    def mapping_parameters(self) -> int:
        """The number of values that compute ``ws``: none."""
        return 0

    def bind_remaining(self, ws: Tensor, remaining: Mapping[str, Tensor]) -> Synthesis | None:
        """Return None: a network needs all of its channels unless it says otherwise."""
        return None

    @property
    def image_parameters(self) -> int:
        """The number of all values that belong to no layer and do not compute ``ws``."""
        values = (*self.parameters(), *self.buffers())
        in_layers = sum(layer.parameters for layer in self.layers)
        return sum(value.numel() for value in values) - in_layers - self.mapping_parameters
