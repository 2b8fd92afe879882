"""Slimmable blocks: of a hidden width only the leading part may run.

``widths`` are the hidden sizes of the levels, from the narrowest to the whole; a network without gates has
one. A narrow level uses the leading rows of a block's first layer and the leading columns of its second one,
so that each weight exists once. The second layer's bias is a sum, with a term for each level that is open.
What goes in and out of a block keeps its full width (PAPERS.md, section 2: "skip widths stay full").

Whole clips run all of the width, with the channels of closed levels set to zero; a step runs one level as the
small network that it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from tinydsn.nn.conv import conv_columns, frequency_conv
from tinydsn.nn.recurrent import gru_with_hold

Gates = Sequence[Tensor]
"""Of whole clips ``[batch, frames]``, one for each level but the narrowest; each at most the one before."""


def opened(hidden: Tensor, widths: Sequence[int], gates: Gates) -> Tensor:
    """Hidden channels ``[batch, frames, P, widths[-1]]``, zero where their level is closed."""
    if not gates:
        return hidden
    sizes = [wide - narrow for narrow, wide in zip(widths, widths[1:], strict=False)]
    always = torch.ones_like(gates[0]).unsqueeze(-1).expand(-1, -1, widths[0])
    parts = [gate.unsqueeze(-1).expand(-1, -1, size) for gate, size in zip(gates, sizes, strict=True)]
    return hidden * torch.cat([always, *parts], -1).unsqueeze(-2)


class SlimLinear(nn.Module):
    """A linear layer behind slimmed channels: ``[..., P, widths[level]] -> [..., P, outputs]``."""

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.widths = tuple(widths)
        whole = nn.Linear(widths[-1], outputs)
        self.weight = whole.weight
        assert whole.bias is not None
        rest = torch.zeros(len(widths) - 1, outputs)
        self.bias = nn.Parameter(torch.cat([whole.bias.detach()[None], rest]))

    def forward(self, hidden: Tensor, gates: Gates) -> Tensor:
        """Whole clips, of all channels."""
        total = linear(opened(hidden, self.widths, gates), self.weight, self.bias[0])
        for gate, bias in zip(gates, self.bias[1:], strict=True):
            total = total + (gate.unsqueeze(-1) * bias).unsqueeze(-2)
        return total

    def step(self, hidden: Tensor, level: int) -> Tensor:
        """One frame, of the level's channels."""
        return linear(hidden, self.weight[:, : self.widths[level]], self.bias[: level + 1].sum(0))

    def macs(self, level: int) -> int:
        """Multiply-accumulates a position."""
        return self.widths[level] * len(self.weight)


class SlimPair(nn.Module):
    """``second(relu(first(x)))``, ``first`` a convolution along frequency: ``[..., P, inputs] ->
    [..., P / stride, outputs]``."""

    def __init__(
        self, inputs: int, widths: Sequence[int], outputs: int, kernel: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.first = frequency_conv(inputs, widths[-1], kernel, stride)
        self.second = SlimLinear(widths, outputs)

    def forward(self, columns: Tensor, gates: Gates) -> Tensor:
        """Whole clips ``[batch, frames, P, inputs]``."""
        return self.second(torch.relu(conv_columns(self.first, columns)), gates)

    def step(self, columns: Tensor, level: int) -> Tensor:
        """One frame ``[P, inputs]`` at a level."""
        first, width = self.first, self.widths[level]
        assert first.bias is not None
        image = columns.unsqueeze(0).unsqueeze(0).permute(0, 3, 1, 2)
        hidden = conv2d(
            image, first.weight[:width], first.bias[:width], first.stride, (0, first.kernel_size[1] // 2)
        )
        return self.second.step(torch.relu(hidden.permute(0, 2, 3, 1).squeeze(0).squeeze(0)), level)

    def macs(self, positions: int) -> tuple[int, ...]:
        """Multiply-accumulates of one frame at each level, with ``positions`` columns at the output."""
        row = self.first.weight[0].numel()
        return tuple(
            positions * (width * row + self.second.macs(level)) for level, width in enumerate(self.widths)
        )


class SlimRecurrence(nn.Module):
    """``x + output(states)``: groups of GRUs over time, one sequence for each position.

    Level k has the groups 0 to k. Each hears half of the ``channels``, in turn the lower and the upper ones;
    the only group of a network without gates hears all. Where a group's level is closed its state is held.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        half = channels // 2 if len(widths) > 1 else channels
        self.heard = tuple((group % 2 * half, half) for group in range(len(widths)))
        self.sizes = tuple(wide - narrow for narrow, wide in zip((0, *widths[:-1]), widths, strict=True))
        self.groups = nn.ModuleList(
            nn.GRUCell(own, size) for (_, own), size in zip(self.heard, self.sizes, strict=True)
        )
        self.output = SlimLinear(widths, channels)

    def _cell(self, group: int) -> nn.GRUCell:
        cell = self.groups[group]
        assert isinstance(cell, nn.GRUCell)
        return cell

    def forward(self, columns: Tensor, gates: Gates) -> Tensor:
        """Whole clips ``[batch, frames, P, channels]`` from a zero state."""
        batch, frames, positions, _ = columns.shape
        sequences = columns.transpose(1, 2).reshape(batch * positions, frames, -1)
        states = []
        for group, (start, size) in enumerate(self.heard):
            gate = gates[group - 1].repeat_interleave(positions, 0) if group else None
            states.append(gru_with_hold(self._cell(group), sequences[..., start : start + size], gate))
        hidden = torch.cat(states, -1).unflatten(0, (batch, positions)).transpose(1, 2)
        return columns + self.output(hidden, gates)

    def listen(self, columns: Tensor, state: Tensor, group: int) -> Tensor:
        """The next state of a group for one frame ``[P, channels]``."""
        start, size = self.heard[group]
        return self._cell(group)(columns[:, start : start + size], state)

    def step(self, columns: Tensor, states: Sequence[Tensor], level: int) -> Tensor:
        """One frame ``[P, channels]`` at a level, from the groups' next states."""
        hidden = torch.cat(list(states[: level + 1]), -1) if level else states[0]
        return columns + self.output.step(hidden, level)

    def macs(self, positions: int) -> tuple[int, ...]:
        """Multiply-accumulates of one frame at each level."""
        cells = [3 * size * (own + size) for (_, own), size in zip(self.heard, self.sizes, strict=True)]
        return tuple(
            positions * (sum(cells[: level + 1]) + self.output.macs(level)) for level in range(len(cells))
        )
