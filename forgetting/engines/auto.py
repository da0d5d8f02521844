"""The fastest engine that is here and can do what is asked."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from torch import Tensor

from forgetting.engines import PRECISIONS, Engine, compiled
from forgetting.engines.compiled import OpenVINO
from forgetting.engines.eager import Torch
from forgetting.errors import ForgettingError, one_of
from forgetting.generators import Generator
from forgetting.operators import Operator

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Auto:
    """OpenVINO where it is installed and takes the network, torch otherwise."""

    precision: str = "auto"

    def __post_init__(self) -> None:
        one_of("engine.precision", self.precision, ("auto", *PRECISIONS))

    def __call__(self, generator: Generator, ws: Tensor, operator: Operator, sample: Tensor) -> tuple[Engine, str]:
        plain = Torch("float32" if self.precision == "auto" else self.precision)
        if not compiled.available():
            return plain.start(generator, ws, operator), f"torch in {plain.precision}: openvino is not installed"
        try:
            return OpenVINO(self.precision)(generator, ws, operator, sample)
        except ForgettingError as error:
            reason = str(error)
        except Exception as error:  # whatever a foreign compiler has to say; the film can still be made
            reason = f"openvino did not take the network ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        log.info("%s", reason)
        return plain.start(generator, ws, operator), f"torch in {plain.precision}: {reason}"
