"""A GRU over time with a linear head: one answer a frame, for tasks beside enhancement.

One recurrent layer and a head are the networks of the mixed-precision search's paper (PAPERS.md, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from tinydsn.models.task_network import TaskNetwork
from tinydsn.nn.scan import gru_over_time

BANDS = ((2, 16), (4, 8), (8, 8), (16, 8))
"""(bins of a band, bands) from 0 Hz up: 62.5 Hz wide below 1 kHz, then 125, 250, 500 Hz, an octave each."""
BAND_COUNT = sum(count for _, count in BANDS)
BINS = sum(width * count for width, count in BANDS)
ANSWERS = ("sigmoid", "softmax", "linear")


@dataclass(frozen=True)
class SequenceConfig:
    """Sizes of a `SequenceNet`.

    task      name of the task it was trained for (`tinydsn.tasks`)
    outputs   numbers it answers with in each frame
    answer    what stands behind the head: ``sigmoid``, ``softmax``, or ``linear`` for numbers in [-1, 1)
    hidden    state size of the GRU
    """

    task: str = "voice-activity"
    outputs: int = 1
    answer: str = "sigmoid"
    hidden: int = 64

    def __post_init__(self) -> None:
        for name in ("outputs", "hidden"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= BINS:
                raise ConfigError(
                    f"SequenceConfig.{name} is {value!r} (must be a whole number from 1 to {BINS})"
                )
        if self.answer not in ANSWERS:
            raise ConfigError(
                f"SequenceConfig.answer is {self.answer!r} (must be one of {', '.join(ANSWERS)})"
            )


def bands(features: Tensor) -> Tensor:
    """Means over the `BANDS` of features ``[..., 256]``: ``[..., 40]``; their widths follow the mel scale."""
    parts, start = [], 0
    for width, count in BANDS:
        part = features[..., start : start + width * count]
        parts.append(part.unflatten(-1, (count, width)).mean(-1))
        start += width * count
    return torch.cat(parts, -1)


class SequenceNet(TaskNetwork):
    """The network over whole clips; `streaming` gives the same network frame by frame."""

    def __init__(self, config: SequenceConfig | None = None) -> None:
        super().__init__()
        self.config = config or SequenceConfig()
        self.gru = nn.GRUCell(BAND_COUNT, self.config.hidden)
        self.head = nn.Linear(self.config.hidden, self.config.outputs)

    def logits(self, pooled: Tensor) -> Tensor:
        """The head's ``[batch, frames, outputs]`` for bands ``[batch, frames, 40]``, from a zero state."""
        return self.head(gru_over_time(self.gru, pooled))

    def answer(self, logits: Tensor) -> Tensor:
        """The network's output for its head's: probabilities, or the numbers themselves."""
        if self.config.answer == "sigmoid":
            return torch.sigmoid(logits)
        return torch.softmax(logits, -1) if self.config.answer == "softmax" else logits

    def forward(self, features: Tensor) -> Tensor:
        """Whole clips ``[batch, frames, 256]`` of compressed magnitudes to ``[batch, frames, outputs]``."""
        return self.answer(self.logits(bands(features)))

    def streaming(self) -> SequenceStep:
        """The same weights (shared, not copied) as a step function with its state in a buffer."""
        return SequenceStep(self)

    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return BINS + sum(p.numel() for p in (self.gru.weight_ih, self.gru.weight_hh, self.head.weight))


class SequenceStep(nn.Module):
    """One frame of a `SequenceNet`: ``forward(frame[256]) -> [outputs]``, the state in a buffer.

    Running it over a clip from `reset` equals `SequenceNet.forward`.
    """

    state: Tensor

    def __init__(self, network: SequenceNet) -> None:
        super().__init__()
        self.config = network.config
        self.frontend: FrontEnd | None = FrontEnd(kind="stft-features")
        self.gru = network.gru
        self.head = network.head
        self._answer = network.answer
        self.register_buffer("state", torch.zeros(1, network.config.hidden), persistent=False)

    def reset(self) -> None:
        """Sets the state to zero."""
        self.state.zero_()

    def forward(self, frame: Tensor) -> Tensor:
        """The answer ``[outputs]`` to one frame ``[256]``."""
        state = self.gru(bands(frame).unsqueeze(0), self.state)
        self.state.copy_(state)
        return self._answer(self.head(state)).squeeze(0)
