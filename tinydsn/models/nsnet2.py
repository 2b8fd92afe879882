"""Dynamic nsNet2: a recurrent mask network with early exits, after Miccini et al. 2023 (exits ours).

NSNet2 is FC, GRU, GRU, FC, FC, FC. Here the front layer makes a stream of ``hidden`` numbers; each GRU and
the pair of late layers add to it, and the last layer turns the stream into a mask wherever the frame stops.
An exit is then the plain absence of the later terms: one mask layer serves all of them, an exit costs no
weights of its own but the GRU's projection onto the stream, and nothing that was computed for an earlier exit
is thrown away by a later one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from quant.nearest import unknown
from tinydsn.models.exits import ExitNetwork
from tinydsn.models.network import Cost, MaskOutput
from tinydsn.models.settings import check_whole
from tinydsn.nn import Gating, Policy
from tinydsn.nn.depth import (
    nested_gates,
    nested_levels,
    nested_logits,
    nested_step,
    tick_ring,
    ticked_gates,
    ticked_logits,
    ticked_step,
    ticks,
)
from tinydsn.nn.gate import kept
from tinydsn.nn.stage import FeedForwardStage, RecurrentStage

GATES = ("gru1", "gru2", "late")
"""Gate k opens stage ``GATES[k]``; exit k is the one before it, the last exit the one behind all."""
RECURRENT = 2
STATES = ("freeze", "every", "always")


@dataclass(frozen=True)
class NsNet2Config:
    """Sizes of an `NsNet2`; the default costs 21.6 MMAC/s with all stages on, 4.2 at the first exit.

    bins      features of a frame; a multiple of ``policy_bands``
    hidden    size of the stream and of the GRUs' states
    wide      hidden size of the late layers
    state     what becomes of the GRUs' states in frames that stop before them: ``freeze``: they are held;
              ``every``: held too, but every ``period``-th frame goes through both GRUs at least;
              ``always``: both GRUs run in each frame, and only what they add and the late layers are gated
    period    of ``every``, frames
    gated     False: the static sibling, the same network without policy and branches
    policy_bands, policy_hidden, policy_bias   the policy's input, state, and start value of its logits
    """

    bins: int = 256
    hidden: int = 128
    wide: int = 192
    state: str = "freeze"
    period: int = 8
    gated: bool = True
    policy_bands: int = 16
    policy_hidden: int = 16
    policy_bias: float = 2.0

    def __post_init__(self) -> None:
        check_whole(self, ("policy_bias", "gated", "state"))
        if self.bins % self.policy_bands:
            raise ConfigError(
                f"NsNet2Config.bins is {self.bins} (must be a multiple of policy_bands, {self.policy_bands})"
            )
        if self.state not in STATES:
            raise ConfigError(f"NsNet2Config.state: {unknown('state policy', self.state, STATES)}")
        if self.state == "every" and self.period < 2:
            raise ConfigError('NsNet2Config.period is 1 (must be at least 2; state = "always" is for each)')


class NsNet2(ExitNetwork):
    """The network over whole clips; `streaming` gives the same network frame by frame."""

    origin = (
        "After Miccini et al. 2023 (dynamic nsNet2 with early exits); the exits' form, sizes and training "
        "are this project's."
    )
    nested = True
    heads: ClassVar[tuple[str, ...]] = ("gru1.output.", "gru2.output.", "late.", "mask.")
    config: NsNet2Config
    policy: Policy | None

    def __init__(self, config: NsNet2Config | None = None) -> None:
        super().__init__()
        self.config = c = config or NsNet2Config()
        self.gates = GATES if c.gated else ()
        self.policy = (
            Policy(c.bins, c.policy_bands, c.policy_hidden, len(GATES), c.policy_bias) if c.gated else None
        )
        always = c.state == "always"
        self.front = nn.Linear(c.bins, c.hidden)
        self.gru1 = RecurrentStage(c.hidden, c.hidden, c.hidden, always)
        self.gru2 = RecurrentStage(c.hidden, c.hidden, c.hidden, always)
        self.late = FeedForwardStage(c.hidden, c.wide)
        self.mask = nn.Linear(c.hidden, c.bins)

    def forward(self, features: Tensor, gating: Gating | None = None) -> MaskOutput:
        """Whole clips from a zero state: features ``[batch, frames, bins]`` (compressed magnitudes)."""
        if self.policy is None:
            logits = states = gates = features.new_zeros(*features.shape[:2], 0)
            on: tuple[Tensor | None, ...] = (None,) * len(GATES)
        else:
            logits, states = self.policy(features)
            logits, gates = self._decided(logits, gating or Gating())
            on = gates.unbind(-1)
        return MaskOutput(self._masked(self._streams(features, on)[-1]), gates, logits, states)

    def _decided(self, logits: Tensor, gating: Gating) -> tuple[Tensor, Tensor]:
        """The device's logits and the gates for the policy's ``[batch, frames, gates]``."""
        gates, nested = nested_gates(logits, gating), nested_logits(logits)
        if self.config.state == "every":
            tick = ticks(logits.shape[1], self.config.period).to(logits)
            gates, nested = ticked_gates(gates, tick, RECURRENT), ticked_logits(nested, tick, RECURRENT)
        return nested, kept(gates, gating.forced)

    def _streams(self, features: Tensor, on: tuple[Tensor | None, ...]) -> list[Tensor]:
        """The stream ``[batch, frames, hidden]`` after the front layer and after each stage."""
        front = torch.relu(self.front(features))
        first, states = self.gru1(front, front, on[0])
        second, _ = self.gru2(first, states, on[1])
        return [front, first, second, self.late(second, on[2])]

    def _masked(self, stream: Tensor) -> Tensor:
        return torch.sigmoid(self.mask(torch.relu(stream)))

    def exit_masks(self, features: Tensor) -> Tensor:
        """The masks ``[exits, batch, frames, bins]`` of all exits, see `ExitNetwork`."""
        return self._masked(torch.stack(self._streams(features, (None,) * len(GATES))))

    def streaming(self) -> NsNet2Step:
        """The same weights (shared, not copied) as a step function with its states in buffers."""
        return NsNet2Step(self)

    def costs(self) -> tuple[Cost, ...]:
        """Multiply-accumulates of one frame, per part, static and gated."""
        gated = self.config.gated
        costs = [Cost("policy", None, self.policy.macs())] if self.policy else []
        costs.append(Cost("front", None, self.front.weight.numel()))
        for name, stage in (("gru1", self.gru1), ("gru2", self.gru2)):
            cell, output = stage.macs()
            costs.append(Cost(name, name if gated and not stage.always else None, cell))
            costs.append(Cost(f"{name}.output", name if gated else None, output))
        costs.append(Cost("late", "late" if gated else None, self.late.macs()))
        costs.append(Cost("mask", None, self.mask.weight.numel()))
        return tuple(costs)

    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The four exits."""
        return nested_levels(0, len(GATES))


class NsNet2Step(nn.Module):
    """One frame of an `NsNet2`: ``forward(frame[bins]) -> mask[bins]``, states in buffers, gates as branches.

    Running it over a clip from `reset` equals `NsNet2.forward` with the device's gates. Gate words that are
    not nested (forced ones) have a meaning too: a stage that does not run adds nothing, and a stage behind
    it reads its held state.
    """

    state1: Tensor
    state2: Tensor
    policy_state: Tensor | None
    ring: Tensor | None

    def __init__(self, network: NsNet2) -> None:
        super().__init__()
        self.config = c = network.config
        self.frontend: FrontEnd | None = FrontEnd()
        self.policy = network.policy
        self.front = network.front
        self.gru1 = network.gru1
        self.gru2 = network.gru2
        self.late = network.late
        self.mask = network.mask
        self.register_buffer("state1", torch.zeros(1, c.hidden), persistent=False)
        self.register_buffer("state2", torch.zeros(1, c.hidden), persistent=False)
        # What may be None comes last: torch.export counts it, and looks beyond its inputs for what follows.
        policy_state = torch.zeros(1, c.policy_hidden) if c.gated else None
        self.register_buffer("policy_state", policy_state, persistent=False)
        ring = tick_ring(c.period) if c.gated and c.state == "every" else None
        self.register_buffer("ring", ring, persistent=False)

    def reset(self) -> None:
        """Sets all states to zero, and the count of frames to its start."""
        for state in self.buffers():
            state.zero_()
        if self.ring is not None:
            self.ring.copy_(tick_ring(self.config.period))

    def _gates(self, frame: Tensor) -> tuple[list[Tensor | None], Tensor | None, Tensor | None]:
        """A boolean scalar for each gate (None: no gate), the policy's next state and the next ring."""
        if self.policy is None or self.policy_state is None:
            return [None] * len(GATES), None, None
        logits, policy_state = self.policy.step(frame, self.policy_state)
        logits, ring = nested_step(logits), None
        if self.ring is not None:
            logits, ring = ticked_step(logits, self.ring, RECURRENT)
        return [logits[index] > 0 for index in range(len(GATES))], policy_state, ring

    def forward(self, frame: Tensor) -> Tensor:
        """The mask ``[bins]`` of one frame ``[bins]``."""
        on, policy_state, ring = self._gates(frame)
        front = torch.relu(self.front(frame.unsqueeze(0)))
        stream, state1 = self.gru1.step(front, front, self.state1, on[0])
        stream, state2 = self.gru2.step(stream, state1, self.state2, on[1])
        stream = self.late.step(stream, on[2])
        mask = torch.sigmoid(self.mask(torch.relu(stream))).squeeze(0)
        if policy_state is not None and self.policy_state is not None:
            self.policy_state.copy_(policy_state)
        if ring is not None and self.ring is not None:
            self.ring.copy_(ring)
        self.state1.copy_(state1)
        self.state2.copy_(state2)
        return mask
