"""Depth by nested gates: stage k of a stack runs only where all stages before it run (early exits)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tinydsn.nn.gate import Gating, gates_from_logits

TICK = 1.0
"""Logit of a frame that refreshes; -TICK is that of the others."""


def nested_logits(logits: Tensor) -> Tensor:
    """``min(logits[0], ..., logits[k])`` along the last axis of ``[..., stages]``."""
    return torch.cummin(logits, -1).values


def nested_gates(logits: Tensor, gating: Gating) -> Tensor:
    """Gates of 0 or 1 for logits ``[batch, frames, stages]``; a 0 is followed by zeros only.

    Each logit decides whether to go on from its stage: gate k is the product of the decisions 0 to k. With
    the device's gate that is ``nested_logits(logits) > 0``. Forced gates are not looked at, see `kept`.
    """
    return torch.cumprod(gates_from_logits(logits, replace(gating, forced=None)), -1)


def nested_step(logits: Tensor) -> Tensor:
    """`nested_logits` of one frame ``[stages]``, of operators that lowering knows:
    ``min(a, b) = a - relu(a - b)``.

    In integers too a stage is closed behind a closed one: a logit that is not above 0 less something that
    is not below 0 rounds to one that is not above 0.
    """
    least = logits[0:1]
    nested = [least]
    for stage in range(1, logits.shape[0]):
        least = least - torch.relu(least - logits[stage : stage + 1])
        nested.append(least)
    return torch.cat(nested)


def nested_levels(always: int, stages: int) -> tuple[tuple[int, ...], ...]:
    """The gate words with the first ``always`` gates open and then 0, 1, ..., ``stages`` of the others."""
    return tuple((1,) * (always + depth) + (0,) * (stages - depth) for depth in range(stages + 1))


def ticks(frames: int, period: int) -> Tensor:
    """1 in frame 0 and every ``period``-th after it, else 0: ``[frames]``."""
    return (torch.arange(frames) % period == 0).float()


def tick_ring(period: int) -> Tensor:
    """Start of the state that counts frames ``[period]``: its first element is the frame's tick logit."""
    ring = torch.full((period,), -TICK)
    ring[0] = TICK
    return ring


def next_ring(ring: Tensor) -> Tensor:
    """The ring of the next frame ``[period]``."""
    return torch.cat([ring[1:], ring[:1]])


def ticked_step(nested: Tensor, ring: Tensor, stages: int) -> tuple[Tensor, Tensor]:
    """One frame's logits ``[n]`` of which the first ``stages`` are at least the ring's tick logit, and the
    next ring; ``max(a, b) = b + relu(a - b)``."""
    tick = ring[0:1]
    opened = torch.relu(nested[:stages] - tick) + tick
    return torch.cat([opened, nested[stages:]]), next_ring(ring)


def ticked_logits(nested: Tensor, tick: Tensor, stages: int) -> Tensor:
    """The same over whole clips: nested logits ``[batch, frames, n]``, ticks ``[frames]`` of 0 and 1."""
    logit = TICK * (2 * tick - 1)
    opened = torch.maximum(nested[..., :stages], logit[:, None])
    return torch.cat([opened, nested[..., stages:]], -1)


def ticked_gates(gates: Tensor, tick: Tensor, stages: int) -> Tensor:
    """Gates ``[batch, frames, n]`` of which the first ``stages`` are 1 in frames that tick."""
    keep = (1 - tick)[:, None]
    opened = 1 - (1 - gates[..., :stages]) * keep
    return torch.cat([opened, gates[..., stages:]], -1)
