"""Multiply-adds of a picture, layer by layer; torch counts only products and convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from forgetting.models.generator import Generator
from forgetting.models.units import Layer

T = TypeVar("T")


class _OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts floating-point operations while it is entered, by the formulas of torch.

    Torch's own ``FlopCounterMode`` imports the compiler of torch, which takes longer than the
    first frames of a film.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        from torch.utils.flop_counter import flop_registry  # imports Triton

        self.operations, self._formulas = 0, flop_registry

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip a compiler, torch imports it

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation, and count it."""
        kwargs = kwargs or {}
        packet = getattr(func, "overloadpacket", None)
        if packet not in (None, torch.ops.prim.device, *self._formulas):
            with self:  # in inference mode, linear layers arrive whole
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula := self._formulas.get(packet):
            self.operations += formula(*args, **kwargs, out_val=result)
        return result


@torch.no_grad()
def multiply_adds(generator: Generator, ws: Tensor) -> dict[str, int]:
    """Return the multiply-adds of a picture by step.

    The first entries are ``mapping`` and ``bind``, which are computed once for a face; the last
    one is ``image``.
    """
    costs: dict[str, int] = {}

    def add(name: str) -> None:
        costs[name] = counter.operations // 2 - sum(costs.values())

    def add_layer(x: Tensor, layer: Layer) -> Tensor:
        add(layer.name)
        return x

    with _OperationCounter() as counter:
        generator.mapping(torch.zeros(1, generator.z_dim))
        add("mapping")
        synthesis = generator.bind(ws.clone())
        add("bind")
        synthesis(add_layer)
        add("image")
    return costs


def count_multiply_adds(run: Callable[[], T]) -> tuple[T, int]:
    """Return what ``run`` returns, and the multiply-adds that it took."""
    with _OperationCounter() as counter:
        result = run()
    return result, counter.operations // 2
