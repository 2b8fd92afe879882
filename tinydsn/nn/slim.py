"""Slimmable blocks: the hidden width is cut into slices, of which only the leading ones may run.

``widths`` are the sizes of the slices. The first one always runs; a network without gates has no other.
Each slice owns its rows of the first layer and its columns of the second one, so that a narrower network is
a prefix of the wider one's weights: each weight exists once, and nothing is copied to be narrow. What goes
in and out of a block keeps its full width (PAPERS.md, section 2: "skip widths stay full").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tinydsn.nn.conv import conv_columns, frequency_conv
from tinydsn.nn.gate import gated as gated_by
from tinydsn.nn.recurrent import GruGroup

Gates = Sequence[Tensor | None]
"""One for each slice but the first, which always runs; None: always on."""


class Slice(nn.Module):
    """One slice of a block without a state: ``columns -> contribution``."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, columns: Tensor) -> Tensor:
        """The contribution ``[..., P', outputs]`` of columns ``[..., P, inputs]``."""
        hidden = torch.relu(applied(self.first, columns))
        return applied(self.second, hidden)

    def taken(self, total: Tensor, columns: Tensor) -> Tensor:
        """The gated region where it runs."""
        return total + self(columns)

    def skipped(self, total: Tensor, columns: Tensor) -> Tensor:
        """The gated region where it is skipped."""
        return total.clone()

    def weights(self) -> tuple[int, int]:
        """Multiply-accumulates a position of the first and of the second layer."""
        sizes = [value.numel() for name, value in self.named_parameters() if name.endswith("weight")]
        return sizes[0], sizes[1]


def applied(layer: nn.Module, columns: Tensor) -> Tensor:
    """A layer on channels-last columns."""
    return conv_columns(layer, columns) if isinstance(layer, nn.Conv2d) else layer(columns)


class SlicedSum(nn.Module):
    """The sum of slices without a state; the first one always runs."""

    parts: nn.ModuleList

    def _slices(self) -> list[Slice]:
        return [part for part in self.parts if isinstance(part, Slice)]

    def summed(self, columns: Tensor, gates: Gates) -> Tensor:
        """Whole clips ``[batch, frames, P, inputs]``, gates ``[batch, frames]``."""
        always, *others = self._slices()
        total = always(columns)
        for part, gate in zip(others, gates, strict=True):
            total = total + gated_by(gate, part(columns))
        return total

    def summed_step(self, columns: Tensor, predicates: Gates) -> Tensor:
        """One frame ``[P, inputs]``; predicates are boolean scalars."""
        always, *others = self._slices()
        total = always(columns)
        for part, predicate in zip(others, predicates, strict=True):
            if predicate is None:
                total = part.taken(total, columns)
            else:
                total = torch.cond(predicate, part.taken, part.skipped, (total, columns))
        return total


class SlimDown(SlicedSum):
    """``relu(sum of second(relu(first(x))))``, ``[..., P, inputs] -> [..., P / 2, outputs]``."""

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int, kernel: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            Slice(frequency_conv(inputs, width, kernel, 2), nn.Linear(width, outputs)) for width in widths
        )

    def forward(self, columns: Tensor, gates: Gates) -> Tensor:
        """Whole clips."""
        return torch.relu(self.summed(columns, gates))

    def step(self, columns: Tensor, predicates: Gates) -> Tensor:
        """One frame."""
        return torch.relu(self.summed_step(columns, predicates))

    def macs(self, positions: int) -> tuple[int, ...]:
        """Multiply-accumulates of one frame of each slice, with ``positions`` columns at the input."""
        return tuple(positions // 2 * sum(part.weights()) for part in self._slices())


class SlimUp(SlicedSum):
    """``relu(shuffle(sum of second(relu(first(x)))) + skip)``, ``[..., P, inputs] -> [..., 2P, outputs]``.

    The second layer makes ``2 * outputs`` channels, which a reshape lays out as twice the positions.
    """

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int, kernel: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            Slice(nn.Linear(inputs, width), frequency_conv(width, 2 * outputs, kernel)) for width in widths
        )

    def forward(self, columns: Tensor, skip: Tensor, gates: Gates) -> Tensor:
        """Whole clips; ``skip`` ``[batch, frames, 2P, outputs]``."""
        return torch.relu(self.summed(columns, gates).reshape(skip.shape) + skip)

    def step(self, columns: Tensor, skip: Tensor, predicates: Gates) -> Tensor:
        """One frame; ``skip`` ``[2P, outputs]``."""
        return torch.relu(self.summed_step(columns, predicates).reshape(skip.shape) + skip)

    def macs(self, positions: int) -> tuple[int, ...]:
        """Multiply-accumulates of one frame of each slice, with ``positions`` columns at the input."""
        return tuple(positions * sum(part.weights()) for part in self._slices())


class SlimGroup(GruGroup):
    """A GRU group that may be left out for a frame: its state is then held."""

    def taken(self, total: Tensor, columns: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The gated region where it runs."""
        contribution, state = self.step(columns, state)
        return total + contribution, state

    def skipped(self, total: Tensor, columns: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The gated region where it is skipped."""
        return total.clone(), state.clone()


class SlimRecurrence(nn.Module):
    """``x + sum of group(x[its channels])``: grouped GRUs over time, one sequence for each position.

    Slice k hears ``heard[k]`` channels (all slices together hear each once) and has a state of ``widths[k]``
    at each position. Where its gate is 0 that is held.
    """

    def __init__(self, heard: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.heard = list(heard)
        self.parts = nn.ModuleList(
            SlimGroup(own, width, sum(heard)) for own, width in zip(heard, widths, strict=True)
        )

    def _groups(self) -> list[SlimGroup]:
        return [part for part in self.parts if isinstance(part, SlimGroup)]

    def forward(self, columns: Tensor, gates: Gates) -> Tensor:
        """Whole clips ``[batch, frames, P, channels]`` from a zero state, gates ``[batch, frames]``."""
        total = columns
        heard = columns.split(self.heard, -1)
        for part, own, gate in zip(self._groups(), heard, (None, *gates), strict=True):
            total = total + gated_by(gate, part(own, gate))
        return total

    def step(
        self, columns: Tensor, states: Sequence[Tensor], predicates: Gates
    ) -> tuple[Tensor, list[Tensor]]:
        """One frame ``[P, channels]``, states ``[P, hidden of the slice]``: output and next states."""
        total, after, start = columns, [], 0
        for part, width, state, predicate in zip(
            self._groups(), self.heard, states, (None, *predicates), strict=True
        ):
            own, start = columns[:, start : start + width], start + width
            if predicate is None:
                total, state = part.taken(total, own, state)
            else:
                total, state = torch.cond(predicate, part.taken, part.skipped, (total, own, state))
            after.append(state)
        return total, after

    def macs(self, positions: int) -> tuple[int, ...]:
        """Multiply-accumulates of one frame of each slice."""
        return tuple(part.macs(positions) for part in self._groups())
