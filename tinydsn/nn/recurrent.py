"""Grouped GRU over time, one sequence per frequency position, with a group that can be held."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinydsn.nn.gate import gated as gated_by
from tinydsn.nn.scan import gru_over_time

HOLD = 60.0
"""Added to the update gate of a held frame: the sigmoid is then exactly 1 in float32, so h = h."""


def gru_with_hold(cell: nn.GRUCell, inputs: Tensor, gate: Tensor | None) -> Tensor:
    """A GRU over time that keeps its state where ``gate`` is 0 (PAPERS.md, section 1, "Our build").

    inputs  ``[sequences, frames, features]``
    gate    ``[sequences, frames]`` of 0 and 1, or None for a group without a gate
    Returns the state after each frame, ``[sequences, frames, hidden]``, from a zero state.

    The fused GRU has no way to skip a frame, so ``1 - gate`` becomes one more input feature with a fixed
    weight on the update gate alone. The gate's gradient does not go this way (its slope would be 60 times
    too steep): it comes from the contribution that the gate multiplies.
    """
    weight = cell.weight_ih
    if gate is not None:
        column = weight.new_zeros(weight.shape[0], 1)
        column[cell.hidden_size : 2 * cell.hidden_size] = HOLD
        weight = torch.cat([weight, column], 1)
        inputs = torch.cat([inputs, (1 - gate.detach()).unsqueeze(-1)], -1)
    return gru_over_time(cell, inputs, weight)


class GruGroup(nn.Module):
    """One group: GRU over time on ``features`` channels, then a projection to all ``channels``."""

    def __init__(self, features: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)
        self.output = nn.Linear(hidden, channels)

    def forward(self, columns: Tensor, gate: Tensor | None) -> Tensor:
        """Whole clips ``[batch, frames, P, features]`` to ``[batch, frames, P, channels]``."""
        batch, frames, positions, features = columns.shape
        sequences = columns.transpose(1, 2).reshape(batch * positions, frames, features)
        if gate is not None:
            gate = gate.repeat_interleave(positions, 0)
        states = gru_with_hold(self.cell, sequences, gate)
        return self.output(states).unflatten(0, (batch, positions)).transpose(1, 2)

    def step(self, columns: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One frame ``[P, features]`` and state ``[P, hidden]``: the contribution and the next state."""
        state = self.cell(columns, state)
        return self.output(state), state

    def macs(self, positions: int) -> int:
        """Multiply-accumulates of one frame."""
        weights = self.cell.weight_ih.numel() + self.cell.weight_hh.numel() + self.output.weight.numel()
        return positions * weights


class GatedRecurrence(nn.Module):
    """``x + static(norm(x)[:, :split]) + gate * gated(norm(x)[:, split:])`` for
    ``x`` of ``[..., P, channels]``.

    The static group sees the first ``split`` channels, the gated group the others. Where the gate is 0 the
    gated group's state is held.
    """

    def __init__(self, channels: int, split: int, static_hidden: int, gated_hidden: int) -> None:
        super().__init__()
        self.split = split
        self.norm = nn.LayerNorm(channels)
        self.static = GruGroup(split, static_hidden, channels)
        self.gated = GruGroup(channels - split, gated_hidden, channels)

    def forward(self, columns: Tensor, gate: Tensor | None) -> Tensor:
        """Whole clips ``[batch, frames, P, channels]``, gate ``[batch, frames]``; None: always on."""
        normal = self.norm(columns)
        static = self.static(normal[..., : self.split], None)
        return columns + static + gated_by(gate, self.gated(normal[..., self.split :], gate))

    def _taken(self, total: Tensor, normal: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        contribution, state = self.gated.step(normal[:, self.split :], state)
        return total + contribution, state

    def _skipped(self, total: Tensor, normal: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return total.clone(), state.clone()

    def step(
        self, columns: Tensor, static_state: Tensor, gated_state: Tensor, predicate: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One frame ``[P, channels]`` and both states ``[P, hidden]``: output and next states.

        ``predicate`` is a boolean scalar, or None: no branch, always on.
        """
        normal = self.norm(columns)
        contribution, static_state = self.static.step(normal[:, : self.split], static_state)
        total = columns + contribution
        operands = (total, normal, gated_state)
        if predicate is None:
            total, gated_state = self._taken(*operands)
        else:
            total, gated_state = torch.cond(predicate, self._taken, self._skipped, operands)
        return total, static_state, gated_state
