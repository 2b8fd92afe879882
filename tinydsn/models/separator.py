"""Separation of two speakers by a slimmable dual-path network, after Elminshawi et al. 2025.

The mechanism of the paper at a Cortex-M's size: a light gate looks at each frame and picks for each
dual-path block whether it runs at its narrow or at its whole width. Blocks, sizes and the gate's form are
this project's (PAPERS.md, section 7). The split into bands is that of band-split networks (Luo and Yu 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from tinydsn.models.network import Cost, MaskNetwork, MaskOutput
from tinydsn.models.settings import check_whole
from tinydsn.nn import Gating, Policy, gates_from_logits
from tinydsn.nn.depth import nested_levels
from tinydsn.nn.dual import DualPath

SPEAKERS = 2
MOST_BLOCKS = 8


@dataclass(frozen=True)
class SeparatorConfig:
    """Sizes of a `Separator`; the default costs 7.9 MMAC/s at whole width, 3.4 at the narrow one.

    bins        features of a frame; a multiple of ``bands`` and of ``policy_bands``
    bands       equal pieces of the spectrum
    channels    numbers that stand for a band
    blocks      dual-path blocks; gate k belongs to block k
    mixed       width of a block across bands
    hidden      size of a block's GRU state for each band
    gated_mixed, gated_hidden   the same of the part behind the gate; nothing without gates
    gated       False: a static sibling, the same network without gates
    policy_bands, policy_hidden, policy_bias   the policy's input, state, and start value of its logits
    """

    bins: int = 256
    bands: int = 8
    channels: int = 32
    blocks: int = 2
    mixed: int = 8
    hidden: int = 8
    gated_mixed: int = 12
    gated_hidden: int = 20
    gated: bool = True
    policy_bands: int = 16
    policy_hidden: int = 16
    policy_bias: float = 2.0

    def __post_init__(self) -> None:
        check_whole(self, ("policy_bias", "gated"))
        if self.bins % self.bands or self.bins % self.policy_bands:
            raise ConfigError(
                f"SeparatorConfig.bins is {self.bins} (must be a multiple of bands, {self.bands}, and of "
                f"policy_bands, {self.policy_bands})"
            )
        if self.blocks > MOST_BLOCKS:
            raise ConfigError(f"SeparatorConfig.blocks is {self.blocks} (must be at most {MOST_BLOCKS})")

    @property
    def slices(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Widths of a block's slices across bands, and along time."""
        if not self.gated:
            return (self.mixed,), (self.hidden,)
        return (self.mixed, self.gated_mixed), (self.hidden, self.gated_hidden)


class Separator(MaskNetwork):
    """The network over whole clips; `streaming` gives the same network frame by frame."""

    origin = (
        "After Elminshawi et al. 2025 (dynamic slimmable separation); blocks, sizes and training are this "
        "project's."
    )
    channels: ClassVar[int] = SPEAKERS
    config: SeparatorConfig
    policy: Policy | None

    def __init__(self, config: SeparatorConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SeparatorConfig()
        self.gates = tuple(f"block{index}" for index in range(c.blocks)) if c.gated else ()
        self.policy = (
            Policy(c.bins, c.policy_bands, c.policy_hidden, c.blocks, c.policy_bias) if c.gated else None
        )
        width = c.bins // c.bands
        self.encoder = nn.Linear(width, c.channels)
        self.blocks = nn.ModuleList(DualPath(c.bands, c.channels, *c.slices) for _ in range(c.blocks))
        self.heads = nn.ModuleList(nn.Linear(c.channels, width) for _ in range(SPEAKERS))

    def dual_paths(self) -> list[DualPath]:
        """The blocks in their order."""
        return [block for block in self.blocks if isinstance(block, DualPath)]

    def forward(self, features: Tensor, gating: Gating | None = None) -> MaskOutput:
        """Whole clips from a zero state: features ``[batch, frames, bins]`` (compressed magnitudes); the
        mask is ``[batch, frames, 2, bins]``."""
        if self.policy is None:
            logits = states = gates = features.new_zeros(*features.shape[:2], 0)
        else:
            logits, states = self.policy(features)
            gates = gates_from_logits(logits, gating or Gating())
        stream = self.encoder(features.unflatten(-1, (self.config.bands, -1)))
        for index, block in enumerate(self.dual_paths()):
            stream = block(stream, gates.unbind(-1)[index : index + 1])
        return MaskOutput(two_masks(self.heads, stream), gates, logits, states)

    def streaming(self) -> SeparatorStep:
        """The same weights (shared, not copied) as a step function with its states in buffers."""
        return SeparatorStep(self)

    def costs(self) -> tuple[Cost, ...]:
        """Multiply-accumulates of one frame, per part, static and gated."""
        c = self.config
        costs = [Cost("policy", None, self.policy.macs())] if self.policy else []
        costs.append(Cost("encoder", None, c.bands * self.encoder.weight.numel()))
        for index, block in enumerate(self.dual_paths()):
            name = f"block{index}"
            costs += [Cost(name, gate, macs) for gate, macs in zip((None, name), block.macs(), strict=False)]
        return (*costs, Cost("masks", None, SPEAKERS * c.channels * c.bins))

    def levels(self) -> tuple[tuple[int, ...], ...]:
        """From all blocks narrow to all at whole width, the first blocks first."""
        return nested_levels(0, len(self.gates))


def two_masks(heads: nn.ModuleList, stream: Tensor) -> Tensor:
    """The masks ``[..., 2, bins]`` of a stream ``[..., bands, channels]``."""
    return torch.sigmoid(torch.cat([head(stream).flatten(-2).unsqueeze(-2) for head in heads], -2))


class SeparatorStep(nn.Module):
    """One frame of a `Separator`: ``forward(frame[bins]) -> masks[2, bins]``, states in buffers, gates as
    branches. Running it over a clip from `reset` equals `Separator.forward` with the device's gates."""

    policy_state: Tensor | None

    def __init__(self, network: Separator) -> None:
        super().__init__()
        self.config = c = network.config
        self.frontend: FrontEnd | None = FrontEnd(channels=SPEAKERS)
        self.policy = network.policy
        self.encoder, self.heads = network.encoder, network.heads
        self.blocks, self.dual_paths = network.blocks, network.dual_paths
        sizes = c.slices[1]
        self.names = [[f"state{block}_{part}" for part in range(len(sizes))] for block in range(c.blocks)]
        for row in self.names:
            for name, width in zip(row, sizes, strict=True):
                self.register_buffer(name, torch.zeros(c.bands, width), persistent=False)
        # What may be None comes last: torch.export counts it, and looks beyond its inputs for what follows.
        policy_state = torch.zeros(1, c.policy_hidden) if c.gated else None
        self.register_buffer("policy_state", policy_state, persistent=False)

    def reset(self) -> None:
        """Sets all states to zero."""
        for state in self.buffers():
            state.zero_()

    def _gates(self, frame: Tensor) -> Sequence[Tensor | None]:
        """A boolean scalar for each block, none without gates; the policy's state goes on."""
        if self.policy is None or self.policy_state is None:
            return ()
        logits, state = self.policy.step(frame, self.policy_state)
        self.policy_state.copy_(state)
        return [logits[index] > 0 for index in range(self.config.blocks)]

    def forward(self, frame: Tensor) -> Tensor:
        """The masks ``[2, bins]`` of one frame ``[bins]``."""
        on = self._gates(frame)
        stream = self.encoder(frame.view(self.config.bands, -1))
        for index, (block, names) in enumerate(zip(self.dual_paths(), self.names, strict=True)):
            states = [self.get_buffer(name) for name in names]
            stream, after = block.step(stream, states, on[index : index + 1])
            for state, new in zip(states, after, strict=True):
                state.copy_(new)
        return two_masks(self.heads, stream)
