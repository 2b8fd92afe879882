"""The policy: a small recurrent net that looks at a frame before anything else and decides the gates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tinydsn.nn.scan import gru_over_time


class FramePolicy(nn.Module):
    """What decides the gates of a frame from the frame itself and from states of its own.

    ``head`` makes the logits; gate k is taken where logit k is above 0.
    """

    head: nn.Linear

    @abstractmethod
    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[batch, frames, gates]`` and what the head reads, ``[batch, frames, hidden]``, of whole
        clips ``[batch, frames, bins]`` from the states of `start`."""

    @abstractmethod
    def start(self) -> dict[str, Tensor]:
        """The states before the first frame, by name."""

    @abstractmethod
    def decide(self, frame: Tensor, states: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits ``[gates]`` and the next states of one frame ``[bins]``."""

    @abstractmethod
    def macs(self) -> int:
        """Multiply-accumulates of one frame."""


class Policy(FramePolicy):
    """Frame pooled to bands -> GRU over time -> one logit per gate (PAPERS.md, section 1, "Policy").

    bins    features of a frame; must be a multiple of ``bands``
    gates   number of logits; gate k is taken where logit k is above 0
    bias    start value of the logits' bias: +2 opens all gates at first
    """

    def __init__(self, bins: int, bands: int, hidden: int, gates: int, bias: float) -> None:
        super().__init__()
        self.bands = bands
        self.hidden = hidden
        self.gates = gates
        self.gru = nn.GRUCell(bands, hidden)
        self.head = nn.Linear(hidden, gates)
        nn.init.constant_(self.head.bias, bias)
        self.width = bins // bands

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Whole clips ``[batch, frames, bins]``, from a zero state.

        Returns the logits ``[batch, frames, gates]`` and the states ``[batch, frames, hidden]``, which
        training also guides directly.
        """
        hidden = gru_over_time(self.gru, self.pooled(features))
        return self.head(hidden), hidden

    def pooled(self, features: Tensor) -> Tensor:
        """Features ``[..., bins]`` as bands ``[..., bands]``: what the GRU hears."""
        return features.unflatten(-1, (self.bands, self.width)).mean(-1)

    def start(self) -> dict[str, Tensor]:
        """The state before the first frame, ``[1, hidden]``."""
        return {"state": torch.zeros(1, self.hidden)}

    def decide(self, frame: Tensor, states: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """`step` with the state by its name."""
        logits, state = self.step(frame, states["state"])
        return logits, {"state": state}

    def step(self, frame: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[gates]`` and the next state ``[1, hidden]`` of one frame ``[bins]``."""
        state = self.listen(frame, state)
        return self.head(state).squeeze(0), state

    def listen(self, frame: Tensor, state: Tensor) -> Tensor:
        """The next state ``[1, hidden]`` of one frame ``[bins]``, without a decision."""
        pooled = frame.view(self.bands, self.width).mean(-1)
        return self.gru(pooled.unsqueeze(0), state)

    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return 3 * self.hidden * (self.bands + self.hidden) + self.hidden * self.gates
