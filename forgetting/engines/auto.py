"""The engine that is chosen by itself.

It is one that this machine has, and that can do what is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from forgetting.ablation.edits import AblationTask
from forgetting.engines import openvino
from forgetting.engines.engine import Engine
from forgetting.engines.openvino import OpenVINOConfig
from forgetting.engines.torch_cpu import TorchConfig, resolve_device
from forgetting.errors import ForgettingError, one_line
from forgetting.parts import part


@part("engine/auto")
@dataclass(frozen=True)
class AutoConfig:
    """Torch on a GPU where there is one; else OpenVINO where it is installed; else torch.

    Args:
        precision: ``auto`` takes a lower one where the processor has instructions for it, the
            network is large, and frames of the film itself keep 45 dB.
        device: ``auto`` takes a GPU where there is one.
        batch: frames that a GPU renders at once.
        reuse: whether frames start late where their rows allow it (prefix reuse).
        lacks_dead: whether frames leave out units that are fully ablated to zero where that pays.
            Their last bits differ from those of the whole network.
        wavelets: how wavelets are computed: by ``sums``, by a ``convolution``, or ``auto``, which
            takes a convolution in bfloat16 where the processor has matrix units (AMX).
    """

    precision: str = "auto"
    device: str = "auto"
    batch: int = 8
    reuse: bool = True
    lacks_dead: bool = True
    wavelets: str = "auto"

    def __post_init__(self) -> None:
        self._torch()  # checks all settings
        self._openvino()

    def _torch(self) -> TorchConfig:
        return TorchConfig(self.precision, self.device, self.batch)

    def _openvino(self) -> OpenVINOConfig:
        return OpenVINOConfig(self.precision, self.reuse, self.lacks_dead, self.wavelets)

    def choose(self, task: AblationTask, sample: Tensor) -> tuple[Engine, str]:
        """Start the first engine that takes the task."""
        if resolve_device(self.device) != "cpu":
            return self._torch().choose(task, sample)
        reason = "openvino is not installed"
        if openvino.available():
            try:
                return self._openvino().choose(task, sample)
            except ForgettingError as error:
                reason = str(error)
            except Exception as error:  # a compiler of others failed; torch can still make the film
                name = type(error).__name__
                reason = f"openvino did not take the network ({name}: {one_line(error)})"
        engine = self._torch().start(task)
        return engine, f"torch in {engine.precision}: {reason}"
