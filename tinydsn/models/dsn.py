"""DSN: a dynamically slimmable enhancement network, after Zhao et al. 2026 (gate internals ours).

The order of blocks is HyST-Net's (PAPERS.md, section 1): convolutions along frequency, attention over
frequency, a GRU over time per position, feed-forward, decoder, a real mask. Each block has a static half
and a gated half; the policy, which stands first, decides per frame which gated halves run.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from tinydsn.models.network import Cost, MaskNetwork, MaskOutput
from tinydsn.models.settings import check_whole
from tinydsn.nn import (
    FramePolicy,
    GatedAttention,
    GatedConvPair,
    GatedDecoder,
    GatedFeedForward,
    GatedRecurrence,
    Gating,
    Policy,
    conv_columns,
    gates_from_logits,
)
from tinydsn.nn.conv import frequency_conv

GATES = ("encoder", "attention", "recurrence", "feedforward", "decoder")
"""Gate k belongs to block ``GATES[k]``."""


@dataclass(frozen=True)
class DsnConfig:
    """Sizes of a `Dsn`; the default is ``dsn-s``, 10.6 MMAC/s with all gates on.

    bins            features of a frame; a multiple of 16 and of ``policy_bands``
    first           channels after the first convolution, at ``bins / 4`` positions
    middle          channels between the convolutions of the pair, at ``bins / 8`` positions
    channels        channels of the core, at ``bins / 16`` positions
    heads, width    attention heads, and the size of a head
    split           channels of the core that the static GRU group sees; the gated group sees the others
    hidden          state size of the GRU group
    ffn             hidden size of the feed-forward block
    up              channels of the decoder at ``bins / 8`` positions
    kernel          size of the convolutions along frequency; odd
    gated           False: the static sibling, the same network without policy and branches
    policy_bands, policy_hidden, policy_bias   the policy's input, state, and start value of its logits

    ``gated_`` before a name: the same of the part behind the gate.
    """

    bins: int = 256
    first: int = 8
    middle: int = 8
    gated_middle: int = 8
    channels: int = 24
    heads: int = 2
    gated_heads: int = 2
    width: int = 4
    split: int = 12
    hidden: int = 16
    gated_hidden: int = 16
    ffn: int = 8
    gated_ffn: int = 16
    up: int = 4
    gated_up: int = 4
    kernel: int = 3
    gated: bool = True
    policy_bands: int = 16
    policy_hidden: int = 16
    policy_bias: float = 2.0

    def __post_init__(self) -> None:
        check_whole(self, self.not_whole)
        if self.bins % 16 or self.bins % self.policy_bands:
            raise ConfigError(
                f"DsnConfig.bins is {self.bins} (must be a multiple of 16 and of policy_bands, "
                f"{self.policy_bands})"
            )
        if self.split >= self.channels:
            raise ConfigError(
                f"DsnConfig.split is {self.split} (must be below channels, {self.channels}: the gated GRU "
                "group sees the rest)"
            )
        if self.kernel % 2 == 0:
            raise ConfigError(f"DsnConfig.kernel is {self.kernel} (must be odd)")

    @property
    def not_whole(self) -> tuple[str, ...]:
        """The settings that are no whole numbers."""
        return ("policy_bias", "gated")


class Dsn(MaskNetwork):
    """The network over whole clips; `streaming` gives the same network frame by frame."""

    origin = (
        "After Zhao et al. 2026 (dynamically slimmable speech enhancement); gate internals, sizes and "
        "training are this project's."
    )
    config: DsnConfig
    policy: FramePolicy | None

    def __init__(self, config: DsnConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or DsnConfig()
        self.gates = GATES if c.gated else ()
        self.policy = self.make_policy() if c.gated else None
        self.first = nn.Conv2d(1, c.first, (2, 5), (1, 4), (0, 1))
        self.encoder = GatedConvPair(c.first, c.middle, c.gated_middle, c.channels, c.kernel)
        self.attention = GatedAttention(c.channels, c.heads, c.gated_heads, c.width)
        self.recurrence = GatedRecurrence(c.channels, c.split, c.hidden, c.gated_hidden)
        self.feedforward = GatedFeedForward(c.channels, c.ffn, c.gated_ffn)
        self.decoder = GatedDecoder(c.channels, c.up, c.gated_up, c.middle, c.first, c.kernel)
        self.last = frequency_conv(c.first, 4, c.kernel)

    def make_policy(self) -> FramePolicy:
        """What decides the gates, with fresh weights."""
        c = self.config
        return Policy(c.bins, c.policy_bands, c.policy_hidden, len(GATES), c.policy_bias)

    def forward(self, features: Tensor, gating: Gating | None = None) -> MaskOutput:
        """Whole clips from a zero state: features ``[batch, frames, bins]`` (compressed magnitudes)."""
        if self.policy is None:
            logits = states = gates = features.new_zeros(*features.shape[:2], 0)
            on: tuple[Tensor | None, ...] = (None,) * len(GATES)
        else:
            logits, states = self.policy(features)
            gates = gates_from_logits(logits, gating or Gating())
            on = gates.unbind(-1)
        padded = nn.functional.pad(features, (0, 0, 1, 0)).unsqueeze(-1)
        first = torch.relu(conv_columns(self.first, padded))
        core, middle = self.encoder(first, on[0])
        core = self.attention(core, on[1])
        core = self.recurrence(core, on[2])
        core = self.feedforward(core, on[3])
        wide = self.decoder(core, middle, first, on[4])
        mask = torch.sigmoid(conv_columns(self.last, wide).flatten(-2))
        return MaskOutput(mask, gates, logits, states)

    def streaming(self) -> DsnStep:
        """The same weights (shared, not copied) as a step function with its states in buffers."""
        return DsnStep(self)

    def costs(self) -> tuple[Cost, ...]:
        """Multiply-accumulates of one frame, per part, static and gated."""
        c = self.config
        quarter, core = c.bins // 4, c.bins // 16
        decoder = self.decoder.macs(core)
        halves = {
            "encoder": (self.encoder.static.macs(quarter), self.encoder.gated.macs(quarter)),
            "attention": (self.attention.static.macs(core), self.attention.gated.macs(core)),
            "recurrence": (self.recurrence.static.macs(core), self.recurrence.gated.macs(core)),
            "feedforward": (self.feedforward.static.macs(core), self.feedforward.gated.macs(core)),
            "decoder": decoder,
        }
        costs = [Cost("policy", None, self.policy.macs())] if self.policy else []
        costs.append(Cost("first", None, quarter * self.first.weight.numel()))
        for name, (static, gated) in halves.items():
            costs += [Cost(name, None, static), Cost(name, name if c.gated else None, gated)]
        costs.append(Cost("last", None, quarter * self.last.weight.numel()))
        return tuple(costs)

    def opening_order(self) -> tuple[str, ...]:
        """By how often they were open where training chose freely (0.88 0.49 0.30 0.10 0.02)."""
        return ("encoder", "attention", "decoder", "feedforward", "recurrence")


class DsnStep(nn.Module):
    """One frame of a `Dsn`: ``forward(frame[bins]) -> mask[bins]``, states in buffers, gates as branches.

    Frame in: compressed magnitudes, as the front end makes them. Running it over a clip from `reset`
    equals `Dsn.forward` with the device's gates. It exports with `torch.export` (one ``cond`` a gate).
    """

    previous: Tensor
    static_state: Tensor
    gated_state: Tensor

    def __init__(self, network: Dsn) -> None:
        super().__init__()
        self.config = c = network.config
        self.frontend: FrontEnd | None = FrontEnd()
        self.policy = network.policy
        self.first = network.first
        self.encoder = network.encoder
        self.attention = network.attention
        self.recurrence = network.recurrence
        self.feedforward = network.feedforward
        self.decoder = network.decoder
        self.last = network.last
        core = c.bins // 16
        self.register_buffer("previous", torch.zeros(1, c.bins), persistent=False)
        start = self.policy.start() if self.policy is not None else {}
        self.policy_states = tuple(start)
        for name, zeros in start.items():
            self.register_buffer(f"policy_{name}", zeros, persistent=False)
        self.register_buffer("static_state", torch.zeros(core, c.hidden), persistent=False)
        self.register_buffer("gated_state", torch.zeros(core, c.gated_hidden), persistent=False)

    def reset(self) -> None:
        """Sets all states to zero."""
        for state in self.buffers():
            state.zero_()

    def _gates(self, frame: Tensor) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        """A boolean scalar for each gate (None: no gate), and the policy's next states."""
        if self.policy is None:
            return [None] * len(GATES), {}
        before = {name: self.get_buffer(f"policy_{name}") for name in self.policy_states}
        logits, after = self.policy.decide(frame, before)
        return [logits[index] > 0 for index in range(len(GATES))], after

    def forward(self, frame: Tensor) -> Tensor:
        """The mask ``[bins]`` of one frame ``[bins]``."""
        on, policy_states = self._gates(frame)
        row = frame.unsqueeze(0)
        pair = torch.cat([self.previous, row], 0).unsqueeze(0).unsqueeze(0)
        first = torch.relu(self.first(pair)).permute(0, 2, 3, 1).squeeze(0).squeeze(0)
        core, middle = self.encoder.step(first, on[0])
        core = self.attention.step(core, on[1])
        core, static_state, gated_state = self.recurrence.step(
            core, self.static_state, self.gated_state, on[2]
        )
        core = self.feedforward.step(core, on[3])
        wide = self.decoder.step(core, middle, first, on[4])
        mask = torch.sigmoid(conv_columns(self.last, wide).flatten(-2))
        self.previous.copy_(row)
        for name, state in policy_states.items():
            self.get_buffer(f"policy_{name}").copy_(state)
        self.static_state.copy_(static_state)
        self.gated_state.copy_(gated_state)
        return mask
