"""The fastest engine that is here and can do what is asked."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from forgetting.ablation.edits import AblationTask
from forgetting.engines import openvino as compiled
from forgetting.engines.engine import Engine
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig, resolve_device
from forgetting.errors import ForgettingError, one_line


@dataclass(frozen=True)
class AutoConfig:
    """Torch on a GPU where there is one; else OpenVINO where it is installed and takes the network; else torch."""

    precision: str = "auto"
    device: str = "auto"
    batch: int = 8
    reuse: bool = True

    def __post_init__(self) -> None:
        self._torch()  # checks them all

    def _torch(self) -> TorchConfig:
        return TorchConfig(self.precision, self.device, self.batch)

    def __call__(self, scene: AblationTask, sample: Tensor) -> tuple[Engine, str]:
        if resolve_device(self.device) != "cpu":
            return self._torch()(scene, sample)
        reason = "openvino is not installed"
        if compiled.available():
            try:
                return OpenVINOConfig(self.precision, self.reuse)(scene, sample)
            except ForgettingError as error:
                reason = str(error)
            except (
                Exception
            ) as error:  # whatever a foreign compiler has to say; the film can still be made
                reason = (
                    f"openvino did not take the network ({type(error).__name__}: {one_line(error)})"
                )
        engine = self._torch().start(scene)
        return engine, f"torch in {engine.precision}: {reason}"
