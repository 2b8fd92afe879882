"""Convolution along frequency on channels-last data, and the gated pair of convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinydsn.nn.gate import gated as gated_by


def conv_columns(conv: nn.Conv2d, columns: Tensor) -> Tensor:
    """A convolution whose input and output keep the channels last.

    ``columns`` is one frame ``[positions, channels]`` or whole clips ``[batch, frames, positions,
    channels]``. The permutes only rename axes: memory stays channels-last, which is how the integer
    kernels want it.
    """
    if columns.dim() == 2:
        image = columns.unsqueeze(0).unsqueeze(0)
        return conv(image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).squeeze(0).squeeze(0)
    return conv(columns.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def frequency_conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution over frequency only: kernel ``(1, kernel)``, padded to keep ``positions / stride``."""
    return nn.Conv2d(inputs, outputs, (1, kernel), (1, stride), (0, kernel // 2))


class ConvPair(nn.Module):
    """``second(relu(first(x)))``, both halving the positions: ``[4P, inputs] -> [P, outputs]``."""

    def __init__(self, inputs: int, middle: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.first = frequency_conv(inputs, middle, kernel, 2)
        self.second = frequency_conv(middle, outputs, kernel, 2)

    def forward(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The contribution ``[..., P, outputs]`` and the middle columns ``[..., 2P, middle]``."""
        middle = torch.relu(conv_columns(self.first, columns))
        return conv_columns(self.second, middle), middle

    def macs(self, positions: int) -> int:
        """Multiply-accumulates of one frame with ``positions`` columns at the input."""
        return positions // 2 * self.first.weight.numel() + positions // 4 * self.second.weight.numel()


class GatedConvPair(nn.Module):
    """Two parallel pairs of convolutions into one sum; the gated pair is left out where its gate is 0.

    Input ``[..., 4P, inputs]``; output ``relu(static + gate * gated)``, ``[..., P, outputs]``.
    """

    def __init__(self, inputs: int, static: int, gated: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.static = ConvPair(inputs, static, outputs, kernel)
        self.gated = ConvPair(inputs, gated, outputs, kernel)

    def forward(self, columns: Tensor, gate: Tensor | None) -> tuple[Tensor, Tensor]:
        """Whole clips, gate ``[batch, frames]`` or None (on): the output and the static middle columns."""
        total, middle = self.static(columns)
        total = total + gated_by(gate, self.gated(columns)[0])
        return torch.relu(total), middle

    def _taken(self, total: Tensor, columns: Tensor) -> Tensor:
        return total + self.gated(columns)[0]

    def _skipped(self, total: Tensor, columns: Tensor) -> Tensor:
        return total.clone()

    def step(self, columns: Tensor, predicate: Tensor | None) -> tuple[Tensor, Tensor]:
        """One frame ``[4P, inputs]``; ``predicate`` is a boolean scalar, or None: no branch, always on."""
        total, middle = self.static(columns)
        if predicate is None:
            return torch.relu(self._taken(total, columns)), middle
        total = torch.cond(predicate, self._taken, self._skipped, (total, columns))
        return torch.relu(total), middle
