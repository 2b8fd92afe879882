"""Convolution over time in a bottleneck whose channels are left out in blocks (PAPERS.md, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

TAPS = 3
"""Frames that the depthwise convolution sees, ``dilation`` frames apart; the last is the present one."""


class GatedTemporalConv(nn.Module):
    """``x + second(relu(depthwise(relu(first(x)))))`` for rows ``x`` of ``[frames, channels]``; causal.

    The ``hidden`` channels between the two matrices are cut into ``groups`` of equal size, with a gate each.
    A group whose gate is 0 in a frame is zero in that frame before the depthwise convolution, so that its
    delay line takes in zeros, and again behind it, so that it adds nothing. Skipped are then its rows of the
    first matrix, its part of the depthwise convolution, and its columns of the second matrix; the delay
    line moves in every frame. The second matrix has no bias: the blocks' readers have one.
    """

    def __init__(self, channels: int, hidden: int, dilation: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.width = hidden // groups
        self.dilation = dilation
        self.first = nn.Linear(channels, hidden)
        self.depthwise = nn.Conv1d(hidden, hidden, TAPS, dilation=dilation, groups=hidden)
        self.second = nn.Linear(hidden, channels, bias=False)

    @property
    def past(self) -> int:
        """Past frames that the delay line of a group holds."""
        return (TAPS - 1) * self.dilation

    def _wide(self, gates: Tensor) -> Tensor:
        """Gates ``[batch, frames, groups]`` for each hidden channel."""
        return gates.repeat_interleave(self.width, -1)

    def forward(self, columns: Tensor, gates: Tensor | None) -> Tensor:
        """Whole clips ``[batch, frames, channels]``, gates ``[batch, frames, groups]``; None: always on."""
        hidden = torch.relu(self.first(columns))
        mask = None if gates is None else self._wide(gates)
        if mask is not None:
            hidden = hidden * mask
        line = functional.pad(hidden.transpose(1, 2), (self.past, 0))
        hidden = torch.relu(self.depthwise(line)).transpose(1, 2)
        if mask is not None:
            hidden = hidden * mask
        return columns + self.second(hidden)

    def _enter(self, row: Tensor, group: int) -> Tensor:
        """The group's channels of this frame ``[1, width]``, before the depthwise convolution."""
        part = slice(group * self.width, (group + 1) * self.width)
        return torch.relu(functional.linear(row, self.first.weight[part], self.first.bias[part]))

    def _leave(self, total: Tensor, line: Tensor, group: int) -> Tensor:
        """``total`` ``[1, channels]`` and the group's contribution for its ``line`` ``[past + 1, width]``."""
        part = slice(group * self.width, (group + 1) * self.width)
        assert self.depthwise.bias is not None
        weight, bias = self.depthwise.weight[part], self.depthwise.bias[part]
        rows = line.transpose(0, 1).unsqueeze(0)
        hidden = functional.conv1d(rows, weight, bias, dilation=self.dilation, groups=self.width)
        hidden = torch.relu(hidden).reshape(1, self.width)
        return total + functional.linear(hidden, self.second.weight[:, part])

    def step(
        self, row: Tensor, past: Sequence[Tensor], predicates: Sequence[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """One frame ``[1, channels]`` and each group's past ``[past, width]``: the output and the next past.

        ``predicates`` are boolean scalars, one a group, or None: no branches, always on. A gate makes two
        regions: what a group takes in must lie in its delay line, skipped or not, before it is read there.
        """
        lines = []
        for group in range(self.groups):

            def enter(row: Tensor, group: int = group) -> Tensor:
                return self._enter(row, group)

            def silent(row: Tensor) -> Tensor:
                return row.new_zeros(1, self.width)

            present = (
                enter(row) if predicates is None else torch.cond(predicates[group], enter, silent, (row,))
            )
            lines.append(torch.cat([past[group], present]))
        for group, line in enumerate(lines):

            def leave(total: Tensor, line: Tensor, group: int = group) -> Tensor:
                return self._leave(total, line, group)

            def kept(total: Tensor, line: Tensor) -> Tensor:
                return total.clone()

            operands = (row, line)
            row = (
                leave(*operands)
                if predicates is None
                else torch.cond(predicates[group], leave, kept, operands)
            )
        return row, [line[1:] for line in lines]

    def macs(self) -> int:
        """Multiply-accumulates of one frame of one group."""
        return self.width * (self.first.in_features + TAPS + self.second.out_features)
