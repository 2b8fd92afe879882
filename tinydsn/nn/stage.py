"""A recurrent stage that adds to a stream, with its gate: what it adds, and whether its state goes on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinydsn.nn.linear import FeedForward
from tinydsn.nn.recurrent import gru_with_hold


class RecurrentStage(nn.Module):
    """``stream + gate * output(h)`` with ``h`` the state of a GRU over time, for rows ``[..., channels]``.

    always   False: where the gate is 0 the GRU does not run, and its state is held.
             True: the GRU runs in each frame, and only its contribution is gated
    """

    def __init__(self, inputs: int, hidden: int, channels: int, always: bool = False) -> None:
        super().__init__()
        self.always = always
        self.cell = nn.GRUCell(inputs, hidden)
        self.output = nn.Linear(hidden, channels)

    def forward(self, stream: Tensor, inputs: Tensor, gate: Tensor | None) -> tuple[Tensor, Tensor]:
        """Whole clips from a zero state: stream ``[batch, frames, channels]``, the GRU's inputs ``[batch,
        frames, inputs]``, gate ``[batch, frames]`` (None: always on). The stream, and the states ``[batch,
        frames, hidden]``."""
        states = gru_with_hold(self.cell, inputs, None if self.always else gate)
        return add_where(gate, stream, self.output(states)), states

    def _advance(self, stream: Tensor, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = self.cell(inputs, state)
        return stream + self.output(state), state

    def _hold(self, stream: Tensor, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return stream.clone(), state.clone()

    def _contribute(self, stream: Tensor, state: Tensor) -> Tensor:
        return stream + self.output(state)

    def _pass(self, stream: Tensor, state: Tensor) -> Tensor:
        return stream.clone()

    def step(
        self, stream: Tensor, inputs: Tensor, state: Tensor, predicate: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One frame: stream ``[1, channels]``, inputs ``[1, inputs]``, state ``[1, hidden]``; the stream and
        the next state. ``predicate`` is a boolean scalar, or None: no branch, always on."""
        if predicate is None:
            return self._advance(stream, inputs, state)
        if not self.always:
            return torch.cond(predicate, self._advance, self._hold, (stream, inputs, state))
        state = self.cell(inputs, state)
        return torch.cond(predicate, self._contribute, self._pass, (stream, state)), state

    def macs(self) -> tuple[int, int]:
        """Multiply-accumulates of one frame: those of the GRU, and those of the output."""
        return self.cell.weight_ih.numel() + self.cell.weight_hh.numel(), self.output.weight.numel()


class FeedForwardStage(nn.Module):
    """``stream + gate * second(relu(first(stream)))`` for rows ``[..., channels]``."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.block = FeedForward(channels, hidden)

    def forward(self, stream: Tensor, gate: Tensor | None) -> Tensor:
        """Whole clips ``[batch, frames, channels]``, gate ``[batch, frames]``; None: always on."""
        return add_where(gate, stream, self.block(stream))

    def _taken(self, stream: Tensor) -> Tensor:
        return stream + self.block(stream)

    def _skipped(self, stream: Tensor) -> Tensor:
        return stream.clone()

    def step(self, stream: Tensor, predicate: Tensor | None) -> Tensor:
        """One frame ``[1, channels]``; ``predicate`` is a boolean scalar, or None: no branch, always on."""
        if predicate is None:
            return self._taken(stream)
        return torch.cond(predicate, self._taken, self._skipped, (stream,))

    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return self.block.macs(1)


def add_where(gate: Tensor | None, stream: Tensor, contribution: Tensor) -> Tensor:
    """The sum of two ``[batch, frames, channels]`` where ``gate`` ``[batch, frames]`` is 1; None is 1."""
    return stream + (contribution if gate is None else gate[..., None] * contribution)
