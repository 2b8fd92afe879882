"""Layers in slices that add up: the first one always runs, the others where their gates are open.

Each slice owns its rows of the first layer and its columns of the second one, so each weight exists once and
nothing is copied to be narrow. Slices suit few and large parts, as each adds a whole output; many levels are
cheaper side by side (`tinydsn.nn.slim`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tinydsn.nn.gate import gated as gated_by
from tinydsn.nn.recurrent import GruGroup

Gates = Sequence[Tensor | None]
"""One for each slice but the first, which always runs; None: always on."""


class Slice(nn.Module):
    """One slice of a block without a state: ``columns -> contribution``."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, outputs)

    def forward(self, columns: Tensor) -> Tensor:
        """The contribution ``[..., P, outputs]`` of columns ``[..., P, inputs]``."""
        return self.second(torch.relu(self.first(columns)))

    def taken(self, total: Tensor, columns: Tensor) -> Tensor:
        """The gated region where it runs."""
        return total + self(columns)

    def skipped(self, total: Tensor, columns: Tensor) -> Tensor:
        """The gated region where it is skipped."""
        return total.clone()

    def macs(self) -> int:
        """Multiply-accumulates a position."""
        return self.first.weight.numel() + self.second.weight.numel()


class SlicedSum(nn.Module):
    """The sum of slices without a state; the first one always runs."""

    parts: nn.ModuleList

    def slices(self) -> list[Slice]:
        """The slices, in their order."""
        return [part for part in self.parts if isinstance(part, Slice)]

    def summed(self, columns: Tensor, gates: Gates) -> Tensor:
        """Whole clips ``[batch, frames, P, inputs]``, gates ``[batch, frames]``."""
        always, *others = self.slices()
        total = always(columns)
        for part, gate in zip(others, gates, strict=True):
            total = total + gated_by(gate, part(columns))
        return total

    def summed_step(self, columns: Tensor, predicates: Gates) -> Tensor:
        """One frame ``[P, inputs]``; predicates are boolean scalars."""
        always, *others = self.slices()
        total = always(columns)
        for part, predicate in zip(others, predicates, strict=True):
            if predicate is None:
                total = part.taken(total, columns)
            else:
                total = torch.cond(predicate, part.taken, part.skipped, (total, columns))
        return total


class SlicedGroup(GruGroup):
    """A GRU group that may be left out for a frame: its state is then held."""

    def taken(self, total: Tensor, columns: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The gated region where it runs."""
        contribution, state = self.step(columns, state)
        return total + contribution, state

    def skipped(self, total: Tensor, columns: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The gated region where it is skipped."""
        return total.clone(), state.clone()
