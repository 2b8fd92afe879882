"""Networks whose gates change often, for tests of widths: the policy's head is made steep and centred."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from tinydsn.models.network import MaskNetwork

FRAMES = 42
Network = TypeVar("Network", bound=MaskNetwork)


def changing_level(bins: int, seed: int = 1) -> Tensor:
    """Magnitudes ``[1, FRAMES, bins]`` of changing level."""
    torch.manual_seed(seed)
    return torch.rand(1, FRAMES, bins) * torch.rand(1, FRAMES, 1) * 3


def restless(model: Network) -> Network:
    """``model`` with each gate open in 65 of 100 frames."""
    with torch.no_grad():
        assert model.policy is not None
        model.policy.head.weight.mul_(30)
        model.policy.head.bias.zero_()
        logits = model.policy(changing_level(model.config.bins))[0]
        model.policy.head.bias.sub_(logits.quantile(torch.tensor(0.35), dim=1)[0])
    return model
