"""What opening a gate buys, piece by piece: a price that is known, not told by how good the output is.

How well a piece is enhanced already says little of whether more compute would help: silence has a bad SDR,
and no width mends it. So each gate is tried (ours; the complexity loss whose weight depends on the local
signal is that of Elminshawi et al. 2025, PAPERS.md, section 7).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from quant.frontend import FrontEnd
from tinydsn.models.network import MaskNetwork
from tinydsn.nn import Gating
from tinydsn.training.guidance import Guidance, piece_energy
from tinydsn.training.recipe import Recipe
from tinydsn.training.separation import at_best_level
from tinydsn.training.waves import rendered

QUIET = 1e-2
"""Share of a clip's mean power that counts as error in every piece: in silence there is nothing to buy."""


@torch.no_grad()
def benefits(model: MaskNetwork, seen: Tensor, spectrum: Tensor, target: Tensor, recipe: Recipe) -> Tensor:
    """By how many dB each gate, open all the time, lowers the error of each piece ``[batch, pieces, K]``:
    below that with all gates shut, or, of a nested network, with those before it open.

    ``seen``: features ``[batch, frames, bins]`` of ``spectrum``. Costs a forward pass of
    (1 + K) as many clips. A gate that all levels of a nested network hold open buys 0.
    """
    size = recipe.guidance.segment * FrontEnd().hop
    count = len(model.gates)
    words = (
        torch.tensor(model.levels()) if model.nested else torch.cat([torch.zeros(1, count), torch.eye(count)])
    ).to(seen)
    # All words at once: networks of this size spend their time on calls, not on clips.
    seen, spectrum, target = (torch.cat([each] * len(words)) for each in (seen, spectrum, target))
    forced = words.repeat_interleave(len(seen) // len(words), 0).unsqueeze(1)
    estimate, aligned = rendered(model(seen, Gating(forced=forced)).mask, spectrum, target, recipe)
    if recipe.separates:
        estimate = at_best_level(estimate, aligned)
    pieces = min(estimate.shape[-1] // size, seen.shape[1] // recipe.guidance.segment)
    quiet = QUIET * piece_energy(aligned, pieces, size).mean(-1, keepdim=True)
    errors = piece_energy(estimate - aligned, pieces, size) + quiet
    levels = 10 * torch.log10(errors.unflatten(0, (len(words), -1)))
    found = (levels[:-1] if model.nested else levels[0]) - levels[1:]
    return functional.pad(found.movedim(0, -1), (count - len(found), 0))


def benefit_loss(gates: Tensor, found: Tensor, guidance: Guidance) -> Tensor:
    """A gate's usage costs in pieces where it buys less than in the mean, and pays where it buys more, per
    clip ``[batch]``: up to ``price``, with the slope ``1 / softness`` about the mean.

    gates ``[batch, frames, K]``, ``found`` of `benefits`.
    """
    cost = -guidance.price * torch.tanh((found - found.mean((0, 1))) / guidance.softness)
    return (by_piece(gates, found, guidance).mean(2) * cost).mean((1, 2))


def by_piece(frames: Tensor, found: Tensor, guidance: Guidance) -> Tensor:
    """``[batch, frames, K]`` as ``[batch, pieces, segment, K]``, with the pieces of ``found``."""
    pieces = found.shape[1]
    return frames[:, : pieces * guidance.segment].unflatten(1, (pieces, guidance.segment))
