"""A slimmable encoder and decoder with a grouped-GRU bottleneck, after Miccini et al. 2025 (DynSlim DEMUCS).

The mechanism of the paper at a Cortex-M's size, on spectra instead of samples: a router picks how much of the
hidden width of every block runs, an eighth, a quarter, half or all of it, and holds its decision for some
frames. Blocks, sizes and the router's form are this project's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from tinydsn.models.network import Cost, MaskNetwork, MaskOutput
from tinydsn.nn import Gating, Policy, conv_columns
from tinydsn.nn.conv import frequency_conv
from tinydsn.nn.depth import (
    TICK,
    nested_gates,
    nested_levels,
    nested_logits,
    nested_step,
    next_ring,
    tick_ring,
)
from tinydsn.nn.gate import kept
from tinydsn.nn.ladder import at_level
from tinydsn.nn.slim import SlimPair, SlimRecurrence

WIDTHS = ("quarter", "half", "whole")
"""Gate k of these brings the utilisation to ``WIDTHS[k]``; without them it is 1/8."""
EIGHTHS = (1, 2, 4, 8)
"""Of the full width, at each level."""
DECIDE = "decide"
GATES = (DECIDE, *WIDTHS)


@dataclass(frozen=True)
class SlimConfig:
    """Sizes of a `Slim`; the default costs 7.7 MMAC/s at full utilisation, 1.5 at an eighth.

    bins        features of a frame; a multiple of 16 and of ``policy_bands``
    first       channels at ``bins / 4`` positions
    middle      channels at ``bins / 8`` positions
    channels    channels of the core, at ``bins / 16`` positions
    down        hidden widths of the encoder's two blocks, from the outer to the inner one
    hidden      size of all GRU states at a position
    up          hidden widths of the decoder's two blocks, from the inner to the outer one
    kernel      size of the convolutions along frequency; odd
    hold        frames for which the router keeps a decision
    gated       False: a static sibling, the same network without router and branches. With gates
                ``channels``, ``down``, ``hidden`` and ``up`` are multiples of 8
    policy_bands, policy_hidden, policy_bias   the router's input, state, and start value of its logits
    """

    bins: int = 256
    first: int = 8
    middle: int = 12
    channels: int = 16
    down: tuple[int, int] = (16, 16)
    hidden: int = 32
    up: tuple[int, int] = (16, 16)
    kernel: int = 3
    hold: int = 4
    gated: bool = True
    policy_bands: int = 16
    policy_hidden: int = 12
    policy_bias: float = 2.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            values = value if isinstance(value, (tuple, list)) else (value,)
            whole = all(isinstance(item, int) and item >= 1 for item in values)
            if name not in ("policy_bias", "gated") and not whole:
                raise ConfigError(f"SlimConfig.{name} is {value!r} (must be whole numbers above 0)")
        for name in ("down", "up"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != 2:
                raise ConfigError(f"SlimConfig.{name} is {getattr(self, name)} (must be two widths)")
        for name in ("channels", "hidden", "down", "up") if self.gated else ():
            value = getattr(self, name)
            if any(width % EIGHTHS[-1] for width in (value if isinstance(value, tuple) else (value,))):
                raise ConfigError(f"SlimConfig.{name} is {value} (must be multiples of {EIGHTHS[-1]})")
        if self.bins % 16 or self.bins % self.policy_bands:
            raise ConfigError(
                f"SlimConfig.bins is {self.bins} (must be a multiple of 16 and of policy_bands, "
                f"{self.policy_bands})"
            )
        if self.kernel % 2 == 0:
            raise ConfigError(f"SlimConfig.kernel is {self.kernel} (must be odd)")
        if self.hold < 2:
            raise ConfigError(f"SlimConfig.hold is {self.hold} (must be at least 2 frames)")

    def widths(self, width: int) -> tuple[int, ...]:
        """A width at each level; the whole without gates."""
        return tuple(width * share // EIGHTHS[-1] for share in EIGHTHS) if self.gated else (width,)

    def groups(self, width: int) -> tuple[int, ...]:
        """What each level adds to a width."""
        widths = self.widths(width)
        return tuple(wide - narrow for narrow, wide in zip((0, *widths[:-1]), widths, strict=True))


class Slim(MaskNetwork):
    """The network over whole clips; `streaming` gives the same network frame by frame."""

    origin = (
        "After Miccini et al. 2025 (adaptive slimming with a router); blocks, sizes and training are this "
        "project's."
    )
    nested = True
    config: SlimConfig
    policy: Policy | None

    def __init__(self, config: SlimConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SlimConfig()
        self.gates = GATES if c.gated else ()
        self.policy = (
            Policy(c.bins, c.policy_bands, c.policy_hidden, len(WIDTHS), c.policy_bias) if c.gated else None
        )
        self.first = frequency_conv(4, c.first, c.kernel)
        self.down1 = SlimPair(c.first, c.widths(c.down[0]), c.middle, c.kernel, 2)
        self.down2 = SlimPair(c.middle, c.widths(c.down[1]), c.channels, c.kernel, 2)
        self.recurrence = SlimRecurrence(c.channels, c.widths(c.hidden))
        self.up1 = SlimPair(c.channels, c.widths(c.up[0]), 2 * c.middle, c.kernel)
        self.up2 = SlimPair(c.middle, c.widths(c.up[1]), 2 * c.first, c.kernel)
        self.last = frequency_conv(c.first, 4, c.kernel)

    def forward(self, features: Tensor, gating: Gating | None = None) -> MaskOutput:
        """Whole clips from a zero state: features ``[batch, frames, bins]`` (compressed magnitudes)."""
        on: tuple[Tensor, ...] = ()
        if self.policy is None:
            logits = states = gates = features.new_zeros(*features.shape[:2], 0)
        else:
            logits, states = self.policy(features)
            logits, gates = self._decided(logits, gating or Gating())
            on = torch.cumprod(gates[..., 1:], -1).unbind(-1)
        first = torch.relu(conv_columns(self.first, features.unflatten(-1, (-1, 4))))
        middle = torch.relu(self.down1(first, on))
        core = self.recurrence(torch.relu(self.down2(middle, on)), on)
        wide = torch.relu(shuffled(self.up1(core, on)) + middle)
        wide = torch.relu(shuffled(self.up2(wide, on)) + first)
        mask = torch.sigmoid(conv_columns(self.last, wide).flatten(-2))
        return MaskOutput(mask, gates, logits, states)

    def _decided(self, logits: Tensor, gating: Gating) -> tuple[Tensor, Tensor]:
        """The device's logits and the gates for the router's ``[batch, frames, widths]``: those of the last
        frame that decided."""
        frames, hold = logits.shape[1], self.config.hold
        decides = (torch.arange(frames, device=logits.device) % hold == 0).to(logits)
        decides = decides.expand(logits.shape[0], -1).unsqueeze(-1)
        made = logits[:, ::hold]
        held = nested_logits(made).repeat_interleave(hold, 1)[:, :frames]
        told = torch.cat([TICK * (2 * decides - 1), held], -1)
        gates = nested_gates(made, gating).repeat_interleave(hold, 1)[:, :frames]
        return told, kept(torch.cat([decides, gates], -1), gating.forced)

    def streaming(self) -> SlimStep:
        """The same weights (shared, not copied) as a step function with its states in buffers."""
        return SlimStep(self)

    def costs(self) -> tuple[Cost, ...]:
        """Multiply-accumulates of one frame, per part, static and gated."""
        c = self.config
        quarter, eighth, core = c.bins // 4, c.bins // 8, c.bins // 16
        costs = [Cost("first", None, quarter * self.first.weight.numel())]
        if self.policy is not None:
            head = self.policy.head.weight.numel()
            costs += [Cost("policy", None, self.policy.macs() - head), Cost("policy", DECIDE, head)]
        blocks = {
            "down1": self.down1.macs(eighth),
            "down2": self.down2.macs(core),
            "recurrence": self.recurrence.macs(core),
            "up1": self.up1.macs(core),
            "up2": self.up2.macs(eighth),
        }
        for name, levels in blocks.items():
            gates = (None, *WIDTHS)[: len(levels)]
            adds = [wide - narrow for narrow, wide in zip((0, *levels[:-1]), levels, strict=True)]
            costs += [Cost(name, gate, macs) for gate, macs in zip(gates, adds, strict=True)]
        return (*costs, Cost("last", None, quarter * self.last.weight.numel()))

    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The four utilisations, deciding in each frame."""
        return nested_levels(1, len(WIDTHS))


class SlimStep(nn.Module):
    """One frame of a `Slim`: ``forward(frame[bins]) -> mask[bins]``, states in buffers, gates as branches.

    Running it over a clip from `reset` equals `Slim.forward` with the device's gates. In a frame that
    decides (gate ``decide``, every ``hold``-th) the router's head runs; in the others its logits are held.
    """

    policy_state: Tensor | None
    held: Tensor | None
    ring: Tensor | None

    def __init__(self, network: Slim) -> None:
        super().__init__()
        self.config = c = network.config
        self.frontend: FrontEnd | None = FrontEnd()
        self.policy = network.policy
        self.first = network.first
        self.down1, self.down2 = network.down1, network.down2
        self.recurrence = network.recurrence
        self.up1, self.up2 = network.up1, network.up2
        self.last = network.last
        self.inner = ((2, c.middle), (4, c.channels))
        self.groups = c.groups(c.hidden)
        for index, width in enumerate(self.groups):
            self.register_buffer(f"state{index}", torch.zeros(c.bins // 16, width), persistent=False)
        # What may be None comes last: torch.export counts it, and looks beyond its inputs for what follows.
        policy_state = torch.zeros(1, c.policy_hidden) if c.gated else None
        self.register_buffer("policy_state", policy_state, persistent=False)
        self.register_buffer("held", torch.zeros(len(WIDTHS)) if c.gated else None, persistent=False)
        self.register_buffer("ring", tick_ring(c.hold) if c.gated else None, persistent=False)

    def reset(self) -> None:
        """Sets all states to zero, and the count of frames to its start."""
        for state in self.buffers():
            state.zero_()
        if self.ring is not None:
            self.ring.copy_(tick_ring(self.config.hold))

    def _decide(self, state: Tensor, held: Tensor) -> Tensor:
        assert self.policy is not None
        return nested_step(self.policy.head(state).squeeze(0))

    def _keep(self, state: Tensor, held: Tensor) -> Tensor:
        return held.clone()

    def _gates(self, frame: Tensor) -> Tensor | None:
        """The logits of the gated levels, none without gates; the router's states go on."""
        if self.policy is None or self.policy_state is None or self.held is None or self.ring is None:
            return None
        state = self.policy.listen(frame, self.policy_state)
        held = torch.cond(self.ring[0] > 0, self._decide, self._keep, (state, self.held))
        self.policy_state.copy_(state)
        self.held.copy_(held)
        self.ring.copy_(next_ring(self.ring))
        return held

    def forward(self, frame: Tensor) -> Tensor:
        """The mask ``[bins]`` of one frame ``[bins]``."""
        logits = self._gates(frame)
        first = torch.relu(conv_columns(self.first, frame.view(-1, 4)))
        inner = [first.new_zeros(len(first) // part, width) for part, width in self.inner]
        middle, core = at_level(logits, self._encoded, (inner[0], inner[1]), (first,))
        after = self._listened(core, logits)
        outer = torch.zeros_like(first)
        (wide,) = at_level(logits, self._decoded, (outer,), (core, middle, first, *after))
        mask = torch.sigmoid(conv_columns(self.last, wide).flatten(-2))
        for index, state in enumerate(after):
            self.get_buffer(f"state{index}").copy_(state)
        return mask

    def _encoded(self, first: Tensor, level: int) -> tuple[Tensor, ...]:
        """What goes around and into the recurrence, of one frame at a level."""
        middle = torch.relu(self.down1.step(first, level))
        return middle, torch.relu(self.down2.step(middle, level))

    def _listened(self, core: Tensor, logits: Tensor | None) -> list[Tensor]:
        """The next states of all groups; that of a closed one is held."""
        after = []
        for group in range(len(self.groups)):
            state = self.get_buffer(f"state{group}")
            run = partial(self.recurrence.listen, group=group)
            if logits is not None and group:
                state = torch.cond(logits[group - 1] > 0, run, _held, (core, state))
            else:
                state = run(core, state)
            after.append(state)
        return after

    def _decoded(
        self, core: Tensor, middle: Tensor, first: Tensor, *states: Tensor, level: int
    ) -> tuple[Tensor, ...]:
        """The columns behind the decoder, of one frame at a level."""
        core = self.recurrence.step(core, states, level)
        wide = torch.relu(shuffled(self.up1.step(core, level)) + middle)
        return (torch.relu(shuffled(self.up2.step(wide, level)) + first),)


def shuffled(columns: Tensor) -> Tensor:
    """``[..., P, 2 * channels]`` as twice the positions."""
    return columns.reshape(*columns.shape[:-2], 2 * columns.shape[-2], columns.shape[-1] // 2)


def _held(core: Tensor, state: Tensor) -> Tensor:
    """A group's state in a frame that does not run it."""
    return state.clone()
