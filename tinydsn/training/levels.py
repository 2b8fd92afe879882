"""The sandwich rule: some clips of a batch run at a fixed level of the network, whatever its policy says.

A narrow network that only ever runs where the policy asked for it learns little, and the wide one is never
heard on easy clips; so the cheapest and the dearest level have clips of their own in every step. Where a step
has too few clips for that and for a level between, one of the two and one between take turns at random.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinydsn.models.network import MaskNetwork
from tinydsn.nn.gate import FREE
from tinydsn.training.schedule import GateSchedule


def forced_gates(
    model: MaskNetwork, clips: int, schedule: GateSchedule, done: float
) -> tuple[Tensor | None, Tensor]:
    """What replaces the gates of a batch at the share ``done`` of a run, for `Gating`, and which clips are
    decided by the policy, bool ``[clips]``."""
    opened = schedule.forced_open(done)
    count = round(schedule.levels * clips) if model.gates else 0
    free = torch.arange(clips) >= count
    if not count:
        return (torch.ones(1) if opened else None), free
    levels = torch.tensor(model.levels(), dtype=torch.float32)
    order = _order(len(levels), count)
    rest = torch.full((clips - count, levels.shape[1]), 1.0 if opened else FREE)
    return torch.cat([levels[order], rest])[:, None], free


def _order(levels: int, clips: int) -> Tensor:
    """Which level each of the forced clips runs at ``[clips]``."""
    ends = torch.tensor([0, levels - 1])
    if levels > 2 and clips < 3:
        ends = torch.stack([ends[torch.randint(2, ())], torch.randint(1, levels - 1, ())])
        ends = ends[torch.randperm(2)]
    return torch.cat([ends, torch.randint(levels, (clips,))])[:clips]
