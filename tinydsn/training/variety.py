"""What keeps gates from deciding once and for all."""

from __future__ import annotations

import torch
from torch import Tensor


def variety_loss(gates: Tensor, least: float) -> Tensor:
    """How far gates are from being open, and from being shut, in a share ``least`` of a batch's frames.

    gates ``[batch, frames, K]``; a number: the mean over gates of the squared shortfall. A wanted mean usage
    alone is reached the soonest by gates that are always open or always shut, which is a smaller static
    network. (Ours; Bejnordi et al. 2020 shape the whole distribution of a gate to the same end.)
    """
    share = gates.mean((0, 1))
    short = torch.relu(least - share) + torch.relu(share - (1 - least))
    return short.square().mean()
