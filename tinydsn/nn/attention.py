"""Multi-head attention over the frequency positions of one frame, half of the heads behind a gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinydsn.nn.gate import gated


class Heads(nn.Module):
    """A group of attention heads with its own output projection: ``[..., P, channels]`` to the same shape.

    No causality is needed: a frame attends to its own positions only. The usual ``1 / sqrt(width)`` stands
    in the start values of the query weights, so that no operator is spent on it.
    """

    def __init__(self, channels: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.width = width
        self.query = nn.Linear(channels, heads * width)
        self.key = nn.Linear(channels, heads * width)
        self.value = nn.Linear(channels, heads * width)
        self.output = nn.Linear(heads * width, channels)
        with torch.no_grad():
            self.query.weight.mul_(width**-0.5)
            self.query.bias.mul_(width**-0.5)

    def _split(self, columns: Tensor) -> Tensor:
        return columns.unflatten(-1, (self.heads, self.width)).transpose(-3, -2)

    def forward(self, columns: Tensor) -> Tensor:
        query, key, value = (self._split(part(columns)) for part in (self.query, self.key, self.value))
        weights = torch.softmax(torch.matmul(query, key.transpose(-1, -2)), -1)
        mixed = torch.matmul(weights, value).transpose(-3, -2)
        return self.output(mixed.flatten(-2))

    def macs(self, positions: int) -> int:
        """Multiply-accumulates of one frame."""
        projections = sum(part.weight.numel() for part in (self.query, self.key, self.value, self.output))
        return positions * projections + 2 * positions * positions * self.heads * self.width


class GatedAttention(nn.Module):
    """``x + static(norm(x)) + gate * gated(norm(x))`` for ``x`` of ``[..., P, channels]``."""

    def __init__(self, channels: int, static_heads: int, gated_heads: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.static = Heads(channels, static_heads, width)
        self.gated = Heads(channels, gated_heads, width)

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
