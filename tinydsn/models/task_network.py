"""What every network of a task beside enhancement offers: training, tables and shipping know only this."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

from torch import Tensor, nn


class TaskConfig(Protocol):
    """Sizes of a `TaskNetwork`: a frozen dataclass.

    task: name of the task it was trained for. outputs: numbers it answers with in each frame.
    """

    @property
    def task(self) -> str: ...
    @property
    def outputs(self) -> int: ...
    @property
    def __dataclass_fields__(self) -> dict[str, Any]: ...


class TaskNetwork(nn.Module):
    """A network over whole clips of bands; `streaming` gives the same network frame by frame.

    Made from its configuration alone, which it keeps in ``config``.
    """

    config: Any

    @abstractmethod
    def logits(self, pooled: Tensor) -> Tensor:
        """The head's ``[batch, frames, outputs]`` for bands ``[batch, frames, 40]``, from zero states."""

    @abstractmethod
    def answer(self, logits: Tensor) -> Tensor:
        """The network's output for its head's: probabilities, or the numbers themselves."""

    @abstractmethod
    def streaming(self) -> nn.Module:
        """The same network as a step function, ``forward(frame[256]) -> [outputs]``, its states in
        buffers."""

    @abstractmethod
    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
