"""The fastest engine that is here and can do what is asked."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from torch import Tensor

from forgetting.engines import PRECISIONS, Engine, compiled
from forgetting.engines.compiled import OpenVINO
from forgetting.engines.eager import DEVICES, Torch, found
from forgetting.errors import ForgettingError, one_of, whole
from forgetting.generators import Generator
from forgetting.operators import Operator

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Auto:
    """Torch on a GPU where there is one; else OpenVINO where it is installed and takes the network; else torch."""

    precision: str = "auto"
    device: str = "auto"
    batch: int = 8
    reuse: bool = True

    def __post_init__(self) -> None:
        one_of("engine.precision", self.precision, ("auto", *PRECISIONS))
        one_of("engine.device", self.device, DEVICES)
        whole("engine.batch", self.batch, 1, 1024)

    def __call__(self, generator: Generator, ws: Tensor, operator: Operator, sample: Tensor) -> tuple[Engine, str]:
        if found(self.device) != "cpu":
            return Torch(self.precision, self.device, self.batch)(generator, ws, operator, sample)
        plain = Torch("float32" if self.precision == "auto" else self.precision)
        reason = "openvino is not installed"
        if compiled.available():
            try:
                return OpenVINO(self.precision, self.reuse)(generator, ws, operator, sample)
            except ForgettingError as error:
                reason = str(error)
            except Exception as error:  # whatever a foreign compiler has to say; the film can still be made
                reason = f"openvino did not take the network ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        return plain.start(generator, ws, operator), f"torch in {plain.precision}: {reason}"
