"""A network that your own code makes; no other module runs code of others."""

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
    """The module that ``factory`` returns. This runs your own code: name only code that you trust.

    Args:
        factory: ``package.module:function``.
        shape: of the latent; None takes that of the first layer's input.
        low: the value of black in the module's pictures.
        high: the value of white.
    """

    factory: str
    shape: Sequence[int] | None = None
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.factory:
            raise RequestError(
                "generator=module needs a function that makes it: "
                "set generator.factory=my_package.my_module:make"
            )
        if not self.low < self.high:
            raise RequestError(
                "generator.low must be less than generator.high, "
                f"got {self.low:g} and {self.high:g}"
            )

    def load(self) -> Generator:
        """Run the factory, and return its module as a generator.

        Raises:
            RequestError: there is no such function, or it does not return a module that we can
            hook.
        """
        module_name, _, name = str(self.factory).partition(":")
        sys.path.insert(0, str(Path.cwd()))
        try:
            factory: Callable[[], Any] = getattr(importlib.import_module(module_name), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise RequestError(
                f"generator.factory={self.factory} cannot be imported ({error}); "
                "write package.module:function, as seen from this folder"
            ) from None
        finally:
            sys.path.remove(str(Path.cwd()))
        log.info("%s", f"running your own code: {self.factory}")
        network = factory()
        if not isinstance(network, nn.Module):
            raise RequestError(
                f"generator.factory={self.factory} must return a torch.nn.Module, "
                f"got a {type(network).__name__}"
            )
        return Hooked(network, self.shape, self.low, self.high)
