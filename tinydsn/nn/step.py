"""An activation of one bit: the Heaviside step, with a surrogate gradient.

PAPERS.md, section 5: activations in {0, 1}; backwards the SuperSpike surrogate (Zenke and Ganguli, 2018).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BETA = 10.0
"""Steepness of the surrogate: its gradient is 1/4 of that at the threshold at a distance of 1 / BETA."""


class _SuperSpike(torch.autograd.Function):
    """Forwards 1 where x > 0, else 0; backwards as if its slope were ``1 / (1 + beta |x|)^2``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.beta = beta
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] / (1.0 + ctx.beta * x.abs()).square(), None


class Step(nn.Module):
    """1 where x > 0, else 0; lowers to one bit an element behind a convolution.

    In training mode with the surrogate of steepness ``beta``; else it is `torch.heaviside`, which can be
    exported.
    """

    zero: Tensor

    def __init__(self, beta: float = BETA) -> None:
        super().__init__()
        self.beta = beta
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Bits as numbers, of the shape of ``x``."""
        if self.training:
            bits: Tensor = _SuperSpike.apply(x, self.beta)  # type: ignore[no-untyped-call]
            return bits
        return torch.heaviside(x, self.zero)
