"""Conv-FSENet with dynamic channel pruning, after Miccini et al. 2025 (gate internals ours; PAPERS.md,
section 3).

A temporal convolutional network on spectral magnitudes: a linear layer, blocks of convolutions over time, and
a linear layer with a sigmoid that gives a real mask. The hidden channels of each block run in groups, each
behind a gate; each block's policy decides from the block's own input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from quant.gates import MAX_GATES
from tinydsn.models.network import Cost, MaskNetwork, MaskOutput
from tinydsn.models.settings import check_whole
from tinydsn.nn import GatedTemporalConv, Gating, RunningPolicy, gates_from_logits

DILATIONS = (1, 2, 4)
"""Of the blocks of a stack, in frames."""


@dataclass(frozen=True)
class FsenetConfig:
    """Sizes of a `Fsenet`; the default is 7.1 MMAC/s with all gates on.

    bins            features of a frame
    stacks          stacks of three blocks, with dilations 1, 2 and 4
    channels        channels between the blocks
    hidden          channels inside a block
    group           hidden channels behind one gate
    gated           False: the static sibling, the same network without policy and branches
    policy_width, policy_bias   of each block's policy: size of its state, and start value of its logits
    """

    bins: int = 256
    stacks: int = 3
    channels: int = 48
    hidden: int = 96
    group: int = 32
    gated: bool = True
    policy_width: int = 8
    policy_bias: float = 2.0

    def __post_init__(self) -> None:
        check_whole(self, ("policy_bias", "gated"))
        if self.gated and self.hidden % self.group:
            raise ConfigError(
                f"FsenetConfig.hidden is {self.hidden} (must be a multiple of group, {self.group})"
            )
        gates = self.blocks * self.groups
        if self.gated and gates > MAX_GATES:
            raise ConfigError(
                f"FsenetConfig: {self.blocks} blocks of {self.groups} groups make {gates} gates (must be at "
                f"most {MAX_GATES}; give group or stacks another size)"
            )

    @property
    def blocks(self) -> int:
        """Blocks of all stacks."""
        return self.stacks * len(DILATIONS)

    @property
    def groups(self) -> int:
        """Groups of hidden channels of a block; a static sibling needs no cut."""
        return self.hidden // self.group if self.gated else 1

    @property
    def policy_hidden(self) -> int:
        """Size of all policies' states."""
        return self.blocks * self.policy_width


def _blocks(modules: nn.ModuleList) -> list[GatedTemporalConv]:
    return cast(list[GatedTemporalConv], list(modules))


def _policies(modules: nn.ModuleList | None) -> list[RunningPolicy]:
    return cast(list[RunningPolicy], list(modules or ()))


class Fsenet(MaskNetwork):
    """The network over whole clips; `streaming` gives the same network frame by frame."""

    origin = (
        "After Miccini et al. 2025 (dynamic channel pruning of Conv-FSENet); gate internals, sizes and "
        "training are this project's."
    )
    config: FsenetConfig
    policy: nn.ModuleList | None

    def __init__(self, config: FsenetConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or FsenetConfig()
        names = [f"block{block}.{group}" for block in range(c.blocks) for group in range(c.groups)]
        self.gates = tuple(names) if c.gated else ()
        self.policy = None
        if c.gated:
            policies = (
                RunningPolicy(c.channels, c.policy_width, c.groups, c.policy_bias) for _ in range(c.blocks)
            )
            self.policy = nn.ModuleList(policies)
        self.first = nn.Linear(c.bins, c.channels)
        self.blocks = nn.ModuleList(
            GatedTemporalConv(c.channels, c.hidden, DILATIONS[block % len(DILATIONS)], c.groups)
            for block in range(c.blocks)
        )
        self.last = nn.Linear(c.channels, c.bins)
        with torch.no_grad():  # no norm keeps the sum of the blocks small: their start values do
            for block in _blocks(self.blocks):
                block.second.weight.mul_(c.blocks**-0.5)

    def forward(self, features: Tensor, gating: Gating | None = None) -> MaskOutput:
        """Whole clips from a zero state: features ``[batch, frames, bins]`` (compressed magnitudes)."""
        columns = self.first(features)
        gates: list[Tensor] = []
        logits: list[Tensor] = []
        states: list[Tensor] = []
        gating, policies = gating or Gating(), _policies(self.policy)
        for index, block in enumerate(_blocks(self.blocks)):
            on = None
            if policies:
                block_logits, state = policies[index](columns)
                begin = index * self.config.groups
                on = gates_from_logits(block_logits, gating.part(begin, begin + self.config.groups))
                gates.append(on)
                logits.append(block_logits)
                states.append(state)
            columns = block(columns, on)
        mask = torch.sigmoid(self.last(columns))
        none = features.new_zeros(*features.shape[:2], 0)
        return MaskOutput(mask, *(torch.cat([none, *parts], -1) for parts in (gates, logits, states)))

    def streaming(self) -> FsenetStep:
        """The same weights (shared, not copied) as a step function with its states in buffers."""
        return FsenetStep(self)

    def costs(self) -> tuple[Cost, ...]:
        """Multiply-accumulates of one frame, per part, static and gated."""
        c = self.config
        costs = [Cost("first", None, self.first.weight.numel())]
        costs += [Cost("policy", None, policy.macs()) for policy in _policies(self.policy)]
        for index, block in enumerate(_blocks(self.blocks)):
            for group in range(c.groups):
                gate = self.gates[index * c.groups + group] if c.gated else None
                costs.append(Cost(f"block{index}", gate, block.macs()))
        costs.append(Cost("last", None, self.last.weight.numel()))
        return tuple(costs)


class FsenetStep(nn.Module):
    """One frame of a `Fsenet`: ``forward(frame[bins]) -> mask[bins]``, states in buffers, gates as branches.

    Running it over a clip from `reset` equals `Fsenet.forward` with the device's gates. Its states are each
    group's past, ``past<block>_<group>`` ``[frames, channels of a group]``, and each policy's,
    ``policy_state<block>`` ``[1, policy_width]``.
    """

    def __init__(self, network: Fsenet) -> None:
        super().__init__()
        self.config = c = network.config
        self.frontend: FrontEnd | None = FrontEnd()
        self.policy = network.policy
        self.first = network.first
        self.blocks = network.blocks
        self.last = network.last
        for index, block in enumerate(_blocks(network.blocks)):
            for group in range(c.groups):
                zeros = torch.zeros(block.past, block.width)
                self.register_buffer(f"past{index}_{group}", zeros, persistent=False)
            if c.gated:
                zeros = torch.zeros(1, c.policy_width)
                self.register_buffer(f"policy_state{index}", zeros, persistent=False)

    def reset(self) -> None:
        """Sets all states to zero."""
        for state in self.buffers():
            state.zero_()

    def forward(self, frame: Tensor) -> Tensor:
        """The mask ``[bins]`` of one frame ``[bins]``."""
        groups = range(self.config.groups)
        row = self.first(frame.unsqueeze(0))
        policies = _policies(self.policy)
        for index, block in enumerate(_blocks(self.blocks)):
            predicates = None
            if policies:
                state = self.get_buffer(f"policy_state{index}")
                logits, next_state = policies[index].step(row, state)
                predicates = [logits[group] > 0 for group in groups]
                state.copy_(next_state)
            past = [self.get_buffer(f"past{index}_{group}") for group in groups]
            row, next_past = block.step(row, past, predicates)
            for old, new in zip(past, next_past, strict=True):
                old.copy_(new)
        return torch.sigmoid(self.last(row)).squeeze(0)
