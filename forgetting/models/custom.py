"""A network that somebody's own code makes: the one place where code that is not ours is run, and only when asked for."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from forgetting.errors import RequestError
from forgetting.models.generator import Generator
from forgetting.models.hooked import Hooked
from forgetting.parts import part

log = logging.getLogger(__name__)


@part("generator/module")
@dataclass(frozen=True)
class CustomModule:
    """What ``factory`` ("package.module:function") returns. This runs your own code: name nothing that you do not trust.

    Args:
        shape: of the latent; without, that of the first layer's input.
        low, high: what the module paints black and white as.
    """

    factory: str
    shape: Sequence[int] | None = None
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.factory:
            raise RequestError(
                "generator=module needs something that makes it: say generator.factory=my_package.my_module:make"
            )
        if not self.low < self.high:
            raise RequestError(
                f"generator.low must be less than generator.high, got {self.low:g} and {self.high:g}"
            )

    def __call__(self) -> Generator:
        where, _, name = str(self.factory).partition(":")
        sys.path.insert(0, str(Path.cwd()))
        try:
            factory: Callable[[], Any] = getattr(importlib.import_module(where), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise RequestError(
                f"generator.factory={self.factory} cannot be found ({error}); write package.module:function, as seen from this folder"
            ) from None
        finally:
            sys.path.remove(str(Path.cwd()))
        log.info("%s", f"running your own code: {self.factory}")
        network = factory()
        if not isinstance(network, nn.Module):
            raise RequestError(
                f"generator.factory={self.factory} must return a torch.nn.Module, got a {type(network).__name__}"
            )
        return Hooked(network, self.shape, self.low, self.high)
