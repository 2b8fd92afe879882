"""Decoder from ``P`` positions back to ``4P``, with a gated half and skip connections."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinydsn.nn.conv import conv_columns, frequency_conv
from tinydsn.nn.gate import gated as gated_by


class Upsample(nn.Module):
    """``[..., P, channels] -> [..., 2P, width]``: a linear layer and a reshape (a pixel shuffle)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.linear = nn.Linear(channels, 2 * width)

    def forward(self, columns: Tensor) -> Tensor:
        positions = columns.shape[-2]
        return self.linear(columns).reshape(*columns.shape[:-2], 2 * positions, self.width)


class GatedDecoder(nn.Module):
    """Two parallel up-sampling branches into one sum; the gated one is left out where its gate is 0.

    Input ``x`` ``[..., P, channels]``, skips ``middle`` ``[..., 2P, middle]`` and ``first``
    ``[..., 4P, outputs]``. The static branch is ``conv(relu(up(x) + skip(middle)))``, the gated one
    ``conv(relu(up(x)))``, both ``[..., 2P, 2 * outputs]``; their sum, reshaped to ``[..., 4P, outputs]``
    and added to ``first``, goes through a ReLU.
    """

    def __init__(
        self, channels: int, static: int, gated: int, middle: int, outputs: int, kernel: int
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.skip = nn.Linear(middle, static)
        self.static_up = Upsample(channels, static)
        self.static_conv = frequency_conv(static, 2 * outputs, kernel)
        self.gated_up = Upsample(channels, gated)
        self.gated_conv = frequency_conv(gated, 2 * outputs, kernel)

    def _static(self, columns: Tensor, middle: Tensor) -> Tensor:
        wide = torch.relu(self.static_up(columns) + self.skip(middle))
        return conv_columns(self.static_conv, wide)

    def _gated(self, columns: Tensor) -> Tensor:
        return conv_columns(self.gated_conv, torch.relu(self.gated_up(columns)))

    def _finish(self, total: Tensor, first: Tensor) -> Tensor:
        return torch.relu(total.reshape(first.shape) + first)

    def forward(self, columns: Tensor, middle: Tensor, first: Tensor, gate: Tensor | None) -> Tensor:
        """Whole clips with a gate of ``[batch, frames]``; None: always on."""
        total = self._static(columns, middle) + gated_by(gate, self._gated(columns))
        return self._finish(total, first)

    def _taken(self, total: Tensor, columns: Tensor) -> Tensor:
        return total + self._gated(columns)

    def _skipped(self, total: Tensor, columns: Tensor) -> Tensor:
        return total.clone()

    def step(self, columns: Tensor, middle: Tensor, first: Tensor, predicate: Tensor | None) -> Tensor:
        """One frame; ``predicate`` is a boolean scalar, or None: no branch, always on."""
        total = self._static(columns, middle)
        if predicate is None:
            return self._finish(self._taken(total, columns), first)
        total = torch.cond(predicate, self._taken, self._skipped, (total, columns))
        return self._finish(total, first)

    def macs(self, positions: int) -> tuple[int, int]:
        """Multiply-accumulates of one frame: (static, gated)."""
        wide = 2 * positions
        static = positions * self.static_up.linear.weight.numel()
        static += wide * (self.skip.weight.numel() + self.static_conv.weight.numel())
        gated = positions * self.gated_up.linear.weight.numel() + wide * self.gated_conv.weight.numel()
        return static, gated
