"""Fine-tuning for integers: rounded weights with learned scales, and the integer network's own output.

Two straight-through steps. Each weight is rounded as the converter rounds it, with a scale a channel that is
learned (LSQ: Esser et al. 2020). And the loss is that of the integer network's output, bit for bit: the float
network with the same rounded weights and the integer network's gates only carries the gradient back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.learned import LearnedScale
from quant.ops.linear import quantize_weights
from tinydsn.models.network import MaskNetwork


@dataclass(frozen=True)
class QuantizationOptions:
    """Fine-tuning of a trained network for integers.

    precision    bit widths to train for, as `quant.precision.load_precision` takes them; "": none, an
                 ordinary run
    scale_rate   learning rate of the scales' logarithms as a multiple of the run's
    imitation    share of the loss that compares with the float network's output instead of clean speech
    gates        weight of the loss that keeps the policy's decisions those of the float network
    """

    precision: str = ""
    scale_rate: float = 1.0
    imitation: float = 0.5
    gates: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.imitation <= 1:
            raise ConfigError(f"imitation is {self.imitation} (must be 0 to 1)")
        for name in ("scale_rate", "gates"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)} (must not be negative)")


@dataclass(frozen=True)
class IntegerOutput:
    """What the integer network makes of a batch: ``waves`` [batch, frames * hop] in [-1, 1), delayed as on
    the device, and ``gates`` [batch, frames, K] of 0 and 1."""

    waves: Tensor
    gates: Tensor


class IntegerNetwork(Protocol):
    """The converter and an executor of its graphs, for one network, precision and set of value ranges."""

    @property
    def widths(self) -> Mapping[str, int]:
        """Bits of each weight, by its name in the network."""
        ...

    def run(
        self, values: Mapping[str, Tensor], scales: Mapping[str, LearnedScale], noisy: Tensor
    ) -> IntegerOutput:
        """Waves ``noisy`` [batch, samples] from reset states, with the network's parameters ``values``."""
        ...


@dataclass(frozen=True)
class Target:
    """What a run is trained for: the integer network, and the float network that it shall stay close to."""

    network: IntegerNetwork
    teacher: MaskNetwork


class WeightScales(nn.Module):
    """A scale for each output channel (axis 0) of each weight that has a width.

    It starts with the converter's own; its logarithm is what is learned, so that it stays above 0.
    """

    def __init__(self, model: MaskNetwork, widths: Mapping[str, int]) -> None:
        super().__init__()
        parameters = dict(model.named_parameters())
        self.widths = dict(widths)
        self.moved = nn.ParameterList()
        for index, (name, bits) in enumerate(self.widths.items()):
            start = torch.tensor(converter_scales(parameters[name], bits))
            self.register_buffer(f"start{index}", start)
            self.moved.append(nn.Parameter(torch.zeros_like(start)))

    def values(self) -> dict[str, Tensor]:
        """float32 [channels] by weight."""
        names = enumerate(self.widths)
        return {name: self.get_buffer(f"start{index}") * self.moved[index].exp() for index, name in names}

    def learned(self) -> dict[str, LearnedScale]:
        """The same for the converter and for checkpoints."""
        values = self.values()
        return {
            name: LearnedScale(bits, tuple(values[name].detach().cpu().tolist()))
            for name, bits in self.widths.items()
        }


def converter_scales(weight: Tensor, bits: int) -> tuple[float, ...]:
    """The scales that the converter gives a weight whose output channels are its first axis.

    Without the converter's floor, which holds only where a bias is above 2**29 steps of the sum.
    """
    values = weight.detach().cpu().numpy()
    return quantize_weights(values, 0, bits, np.zeros(len(values)), 1.0)[1]


def fake_quantize(weight: Tensor, scale: Tensor, bits: int) -> Tensor:
    """A weight as its integers of ``bits`` bits times their scale [channels of axis 0], float32.

    The integers are the converter's: the quotient in float64, rounded half to even, clipped. The gradient
    passes rounding as if it were not there, and stops at the clip; a scale's is that of LSQ.
    """
    top = 2 ** (bits - 1) - 1
    wide = scale.double().view(-1, *(1,) * (weight.dim() - 1))
    clipped = torch.clamp(weight.double() / wide, -top, top)
    rounded = clipped + (torch.round(clipped) - clipped).detach()
    return (rounded * wide).to(weight.dtype)


def rounded_parameters(model: MaskNetwork, scales: WeightScales) -> dict[str, Tensor]:
    """All parameters by name, those with a width rounded."""
    parameters: dict[str, Tensor] = dict(model.named_parameters())
    values = scales.values()
    return parameters | {
        name: fake_quantize(parameters[name], values[name], bits) for name, bits in scales.widths.items()
    }


class StraightThrough(torch.autograd.Function):
    """``apply(carrier, exact)`` is ``exact``; its gradient goes to ``carrier``, of the same shape."""

    @staticmethod
    def forward(context: Any, carrier: Tensor, exact: Tensor) -> Tensor:  # noqa: D102
        return exact.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        return gradients[0], None
