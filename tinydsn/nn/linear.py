"""Feed-forward block whose wider half is behind a gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinydsn.nn.gate import gated


class FeedForward(nn.Module):
    """``second(relu(first(x)))`` on the last axis: ``channels -> hidden -> channels``."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, hidden)
        self.second = nn.Linear(hidden, channels)

    def forward(self, columns: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(columns)))

    def macs(self, positions: int) -> int:
        """Multiply-accumulates of one frame."""
        return positions * (self.first.weight.numel() + self.second.weight.numel())


class GatedFeedForward(nn.Module):
    """``x + static(norm(x)) + gate * gated(norm(x))`` for ``x`` of ``[..., P, channels]``."""

    def __init__(self, channels: int, static_hidden: int, gated_hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.static = FeedForward(channels, static_hidden)
        self.gated = FeedForward(channels, gated_hidden)

    def forward(self, columns: Tensor, gate: Tensor | None) -> Tensor:
        """Whole clips ``[batch, frames, P, channels]``, gate ``[batch, frames]``; None: always on."""
        normal = self.norm(columns)
        return columns + self.static(normal) + gated(gate, self.gated(normal))

    def _taken(self, total: Tensor, normal: Tensor) -> Tensor:
        return total + self.gated(normal)

    def _skipped(self, total: Tensor, normal: Tensor) -> Tensor:
        return total.clone()

    def step(self, columns: Tensor, predicate: Tensor | None) -> Tensor:
        """One frame ``[P, channels]``; ``predicate`` is a boolean scalar, or None: no branch, always on."""
        normal = self.norm(columns)
        total = columns + self.static(normal)
        if predicate is None:
            return self._taken(total, normal)
        return torch.cond(predicate, self._taken, self._skipped, (total, normal))
