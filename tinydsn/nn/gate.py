"""Hard gates with a straight-through gradient (PAPERS.md, section 1, "Gate")."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

FREE = -1.0
"""In forced gates: as the network decides."""


@dataclass(frozen=True)
class Gating:
    """How logits become gates in the whole-clip form.

    The default is the gate of the device: ``logit > 0`` forward, a sigmoid's gradient backward.

    noise        amplitude of the logistic noise (1 = Gumbel-sigmoid sampling, 0 = the device's gate)
    temperature  divides logits and noise in the gradient's sigmoid; the hard decision does not change
    forced       None, or values that replace the gates, broadcast to ``[batch, frames, gates]``: 0 or 1, or
                 `FREE` where the gate stays as it was decided
    """

    noise: float = 0.0
    temperature: float = 1.0
    forced: Tensor | None = None

    def part(self, begin: int, end: int) -> Gating:
        """The same for the gates ``begin`` to ``end - 1``, where these are decided apart from the others."""
        if self.forced is None or self.forced.dim() == 0 or self.forced.shape[-1] == 1:
            return self
        return replace(self, forced=self.forced[..., begin:end])


def gated(gate: Tensor | None, contribution: Tensor) -> Tensor:
    """A contribution ``[batch, frames, P, channels]`` where ``gate`` ``[batch, frames]`` is 1; None is 1."""
    return contribution if gate is None else gate[..., None, None] * contribution


def gates_from_logits(logits: Tensor, gating: Gating) -> Tensor:
    """Gates of exactly 0 or 1 for logits ``[batch, frames, gates]``, with the gradient of a sigmoid."""
    if gating.forced is not None and not bool((gating.forced == FREE).any()):
        return gating.forced.to(logits).expand_as(logits)
    noisy = logits
    if gating.noise > 0:
        uniform = torch.rand_like(logits).clamp_(1e-6, 1 - 1e-6)
        noisy = logits + gating.noise * (uniform.log() - (-uniform).log1p())
    soft = torch.sigmoid(noisy / gating.temperature)
    hard = (noisy > 0).to(logits.dtype)
    gates = hard + (soft - soft.detach())
    return kept(gates, gating.forced)


def kept(gates: Tensor, forced: Tensor | None) -> Tensor:
    """Gates ``[batch, frames, gates]``, replaced by the forced values where those are not `FREE`."""
    return gates if forced is None else torch.where(forced == FREE, gates, forced.to(gates))
