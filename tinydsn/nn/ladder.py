"""Levels that replace each other: of several regions side by side exactly one runs in a frame.

Nested gates make a ladder: level 0 runs where all of them are closed, level k where gate k - 1 is open and
gate k is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Level = Callable[..., tuple[Tensor, ...]]
"""``level(*operands, level=index) -> outputs``, whose shapes are the same at each level."""


def at_level(
    logits: Tensor | None, level: Level, nothing: tuple[Tensor, ...], operands: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """What one frame's level computes of ``operands``.

    logits   those of the nested gates ``[levels - 1]``; None where there is only one level
    nothing  zeros in the shapes of the outputs
    """
    if logits is None:
        return level(*operands, level=0)
    found, count = nothing, len(logits)
    for index in range(count + 1):
        wanted = logits[index - 1] > 0 if index else logits[0] <= 0
        if 0 < index < count:
            wanted = torch.logical_and(wanted, logits[index] <= 0)
        taken = partial(_taken, partial(level, level=index), len(nothing))
        found = torch.cond(wanted, taken, partial(_kept, len(nothing)), (*found, *operands))
    return found


def _taken(level: Level, outputs: int, *operands: Tensor) -> tuple[Tensor, ...]:
    return level(*operands[outputs:])


def _kept(outputs: int, *operands: Tensor) -> tuple[Tensor, ...]:
    return tuple(output.clone() for output in operands[:outputs])
