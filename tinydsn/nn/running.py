"""A policy that decides by the running mean of what it looks at."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

FORGOTTEN = 1e-9
"""Weight of a past frame below which the whole-clip form leaves it out (float32 has 6e-8)."""


class RunningPolicy(nn.Module):
    """Running mean over time -> linear -> ReLU -> one logit a gate (PAPERS.md, section 3).

    The mean is taken behind the linear layer, which gives the same and needs fewer states:
    ``mean += rate * (look(x) - mean)``.

    channels   elements of a row
    hidden     size of the state
    gates      number of logits; gate k is taken where logit k is above 0
    bias       start value of the logits' bias: +2 opens all gates at first
    rate       share of a new frame in the mean; a power of two is exact in integers
    """

    def __init__(self, channels: int, hidden: int, gates: int, bias: float, rate: float = 1 / 8) -> None:
        super().__init__()
        self.rate = rate
        self.look = nn.Linear(channels, hidden)
        self.head = nn.Linear(hidden, gates)
        nn.init.constant_(self.head.bias, bias)

    def forward(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Whole clips ``[batch, frames, channels]``, from a zero state.

        Returns the logits ``[batch, frames, gates]`` and the states ``[batch, frames, hidden]``.
        """
        seen = self.look(columns).transpose(1, 2)
        taps = min(seen.shape[-1], math.ceil(math.log(FORGOTTEN) / math.log(1 - self.rate)))
        ages = torch.arange(taps - 1, -1, -1, dtype=seen.dtype, device=seen.device)
        weights = self.rate * (1 - self.rate) ** ages
        rows = functional.pad(seen, (taps - 1, 0)).flatten(0, 1).unsqueeze(1)
        mean = functional.conv1d(rows, weights.view(1, 1, taps)).reshape(seen.shape).transpose(1, 2)
        return self.head(torch.relu(mean)), mean

    def step(self, row: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[gates]`` and the next state ``[1, hidden]`` of one row ``[1, channels]``."""
        state = torch.lerp(state, self.look(row), self.rate)
        return self.head(torch.relu(state)).squeeze(0), state

    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return self.look.weight.numel() + self.head.weight.numel()
