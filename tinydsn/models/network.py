"""What every enhancement network offers, whatever its gates switch: training and shipping know only this."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tinydsn.nn import FramePolicy, Gating, RunningPolicy


class NetworkConfig(Protocol):
    """Sizes of a `MaskNetwork`: a frozen dataclass whose defaults make a network.

    bins            features of a frame
    gated           False: the static sibling, the same network without policy and branches
    policy_hidden   size of the policy's states
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def bins(self) -> int: ...

    @property
    def gated(self) -> bool: ...

    @property
    def policy_hidden(self) -> int: ...


class MaskOutput(NamedTuple):
    """What the whole-clip form gives.

    mask ``[batch, frames, bins]`` in [0, 1], of a network with more than one output channel ``[batch, frames,
    channels, bins]``; gates (0 or 1) and logits ``[batch, frames, gates]``; the
    policy's states ``[batch, frames, policy_hidden]``. Of a static sibling all but the mask have a last
    axis of 0.
    """

    mask: Tensor
    gates: Tensor
    logits: Tensor
    states: Tensor


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates of one frame of one part; ``gate`` is None for what always runs."""

    part: str
    gate: str | None
    macs: int


class MaskNetwork(nn.Module):
    """A network that masks a spectrum: over whole clips to train it, and frame by frame on the device.

    ``gates`` are the names of its gates in the order of their bits, and empty for a static sibling. All
    parameters of what decides about them have names that begin with ``policy.``.
    """

    origin: ClassVar[str]
    """A sentence for cards: after whom the network is, and what of it is this project's."""

    channels: ClassVar[int] = 1
    """Waves that come out, each by a mask of its own."""

    nested: ClassVar[bool] = False
    """Does a gate only count where all gates before it are open? Each of `levels` then opens one more."""

    config: NetworkConfig
    gates: tuple[str, ...]
    policy: nn.Module | None

    @abstractmethod
    def forward(self, features: Tensor, gating: Gating | None = None) -> MaskOutput:
        """Whole clips from a zero state: features ``[batch, frames, bins]`` (compressed magnitudes)."""

    @abstractmethod
    def streaming(self) -> nn.Module:
        """The same weights (shared, not copied) as a step function with its states in buffers: one frame
        ``[bins]`` to its mask ``[bins]`` (``[channels, bins]``), a ``torch.cond`` a gated region."""

    @abstractmethod
    def costs(self) -> tuple[Cost, ...]:
        """Multiply-accumulates of one frame, per part, static and gated."""

    def macs(self) -> tuple[int, tuple[int, ...]]:
        """Multiply-accumulates of one frame: what always runs, and what each gate adds."""
        costs = self.costs()
        static = sum(cost.macs for cost in costs if cost.gate is None)
        return static, tuple(sum(cost.macs for cost in costs if cost.gate == name) for name in self.gates)

    @torch.no_grad()
    def shift_logits(self, amount: float | Tensor) -> None:
        """Adds ``amount`` to all logits, as shifting the threshold does on the device; a tensor ``[K]`` has
        one for each. Without gates there is nothing to do."""
        policies = [] if self.policy is None else list(self.policy.modules())
        heads = [module.head.bias for module in policies if isinstance(module, (FramePolicy, RunningPolicy))]
        amounts = torch.as_tensor(amount).expand(sum(len(bias) for bias in heads))
        for bias, own in zip(heads, amounts.split([len(bias) for bias in heads]), strict=True):
            bias.add_(own)

    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The gate words that training may force, from the cheapest to the dearest: all off and all on."""
        return (0,) * len(self.gates), (1,) * len(self.gates)

    def opening_order(self) -> tuple[str, ...]:
        """The gates in the order in which a pretrained policy opens them as the wanted usage rises."""
        return self.gates
