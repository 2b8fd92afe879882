"""A dual-path block of which an upper part is gated: across the bands of a frame, then along time.

Both paths add to a stream ``[..., bands, channels]``. Each is a sum of slices (`tinydsn.nn.slices`): the
first one always runs, and the others, together the block's upper part, only where its gate is open. Slices
are few and large: a small one spends more on adding its output than on computing it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tinydsn.nn.gate import gated as gated_by
from tinydsn.nn.slices import Gates, Slice, SlicedGroup, SlicedSum


class Across(SlicedSum):
    """``x + sum of second(relu(first(all of x)))``: every band and channel of a frame hears every other."""

    def __init__(self, bands: int, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        whole = bands * channels
        self.parts = nn.ModuleList(Slice(whole, width, whole) for width in widths)

    def forward(self, stream: Tensor, gates: Gates) -> Tensor:
        """Whole clips ``[batch, frames, bands, channels]``, gates ``[batch, frames]``."""
        return stream + self.summed(stream.flatten(-2).unsqueeze(-2), gates).reshape(stream.shape)

    def step(self, stream: Tensor, predicates: Gates) -> Tensor:
        """One frame ``[bands, channels]``."""
        return stream + self.summed_step(stream.reshape(1, -1), predicates).reshape(stream.shape)

    def macs(self) -> tuple[int, ...]:
        """Multiply-accumulates of one frame of each slice."""
        return tuple(part.macs() for part in self.slices())


class Along(nn.Module):
    """``x + sum of group(norm(x))``: GRUs over time, one sequence a band, with weights that bands share.

    Where a slice's gate is 0 its state is held.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.parts = nn.ModuleList(SlicedGroup(channels, width, channels) for width in widths)

    def _groups(self) -> list[SlicedGroup]:
        return [part for part in self.parts if isinstance(part, SlicedGroup)]

    def forward(self, stream: Tensor, gates: Gates) -> Tensor:
        """Whole clips ``[batch, frames, bands, channels]`` from a zero state, gates ``[batch, frames]``."""
        normal = self.norm(stream)
        for part, gate in zip(self._groups(), (None, *gates), strict=True):
            stream = stream + gated_by(gate, part(normal, gate))
        return stream

    def step(
        self, stream: Tensor, states: Sequence[Tensor], predicates: Gates
    ) -> tuple[Tensor, list[Tensor]]:
        """One frame ``[bands, channels]``, states ``[bands, hidden]`` a slice: output and next states."""
        normal, after = self.norm(stream), []
        for part, state, predicate in zip(self._groups(), states, (None, *predicates), strict=True):
            if predicate is None:
                stream, state = part.taken(stream, normal, state)
            else:
                stream, state = torch.cond(predicate, part.taken, part.skipped, (stream, normal, state))
            after.append(state)
        return stream, after

    def macs(self, bands: int) -> tuple[int, ...]:
        """Multiply-accumulates of one frame of each slice."""
        return tuple(part.macs(bands) for part in self._groups())


class DualPath(nn.Module):
    """`Across`, then `Along`. ``mixed`` and ``hidden`` are the slices' widths: one each without a gate, two
    with."""

    def __init__(self, bands: int, channels: int, mixed: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.bands = bands
        self.across = Across(bands, channels, mixed)
        self.along = Along(channels, hidden)

    def forward(self, stream: Tensor, gates: Gates) -> Tensor:
        """Whole clips ``[batch, frames, bands, channels]`` from a zero state, gates ``[batch, frames]``."""
        return self.along(self.across(stream, gates), gates)

    def step(
        self, stream: Tensor, states: Sequence[Tensor], predicates: Gates
    ) -> tuple[Tensor, list[Tensor]]:
        """One frame ``[bands, channels]``, states ``[bands, hidden]`` a slice: output and next states."""
        return self.along.step(self.across.step(stream, predicates), states, predicates)

    def macs(self) -> tuple[int, ...]:
        """Multiply-accumulates of one frame of each slice, both paths together."""
        return tuple(a + b for a, b in zip(self.across.macs(), self.along.macs(self.bands), strict=True))
