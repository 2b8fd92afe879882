"""A DSN whose policy is a quality meter: the `Predictor` of speech quality, trained before and frozen.

After PAPERS.md, section 5 (the use is ours). The meter's last layer is left out: a linear layer on the units
in which the told ratings are linear makes the logits of the gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from tinydsn.models.dsn import GATES, Dsn, DsnConfig
from tinydsn.models.predictor import BLOCKS, Listener, Predictor, PredictorConfig, leaky_mean, map_macs
from tinydsn.models.sequence import BINS, bands
from tinydsn.nn import FramePolicy


class Meter(Listener):
    """A `Predictor` up to the units of its head, over whole clips too. No gradient goes into it."""

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """The units ``[batch, frames, hidden]`` of whole clips ``[batch, frames, 256]``, from zero states."""
        image = bands(features).unsqueeze(1)
        for shape, conv, activation in zip(BLOCKS, self.convs, self.activations, strict=True):
            image = activation(conv(nn.functional.pad(image, (0, 0, shape.history, 0))))
        # [batch, channels, frames, positions] -> [batch, frames, positions * channels], as a frame has them
        pooled = torch.relu(self.pool(image.permute(0, 2, 3, 1).flatten(2)))
        return torch.relu(self.first(leaky_mean(pooled, self.config.rate)))

    def macs(self) -> int:
        """Multiply-accumulates of one frame; a map of bits needs only the sums of set ones."""
        maps = map_macs(conv.weight for conv in self.convs if isinstance(conv, nn.Conv2d))
        return BINS + maps + self.pool.weight.numel() + self.config.pooled + self.first.weight.numel()


class MeterPolicy(FramePolicy):
    """A meter, and a linear layer from its units to one logit a gate.

    config   the meter's sizes
    gates    number of logits; gate k is taken where logit k is above 0
    bias     start value of the logits' bias: +2 opens all gates at first
    """

    def __init__(self, config: PredictorConfig, gates: int, bias: float) -> None:
        super().__init__()
        self.meter = Meter(Predictor(config).eval())
        self.head = nn.Linear(config.hidden, gates)
        nn.init.constant_(self.head.bias, bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[batch, frames, gates]`` and the meter's units ``[batch, frames, hidden]`` of whole clips
        ``[batch, frames, 256]``."""
        units = self.meter(features)
        return self.head(units), units

    def start(self) -> dict[str, Tensor]:
        """The meter's states before the first frame."""
        return self.meter.start()

    def decide(self, frame: Tensor, states: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits ``[gates]`` and the meter's next states of one frame ``[256]``."""
        units, after = self.meter.listen(frame, states)
        return self.head(units), after

    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return self.meter.macs() + self.head.weight.numel()

    def take(self, trained: Predictor) -> None:
        """Copies a trained meter. Raises ConfigError for one that `check_meter` refuses."""
        check_meter(self.meter.config, trained.config)
        self.meter.load_state_dict(Meter(trained.eval()).state_dict())


def check_meter(wanted: PredictorConfig, given: PredictorConfig) -> None:
    """Raise ConfigError for a meter of other sizes than those wanted, or without maps of bits."""
    for name in ("channels", "pooled", "hidden", "seconds", "binary"):
        if getattr(given, name) != getattr(wanted, name):
            raise ConfigError(
                f"the meter's {name} is {getattr(given, name)} (must be {getattr(wanted, name)} for this "
                "network)"
            )


@dataclass(frozen=True)
class MeteredConfig(DsnConfig):
    """Sizes of a `MeteredDsn`: those of a `Dsn`, and of the meter in the place of its GRU.

    ``bins`` must be 256. ``policy_hidden`` is the meter's number of units; ``policy_bands`` has no use.

    meter_channels   of each of the meter's convolutions
    meter_pooled     features a frame that it averages over time
    meter_seconds    time constant of the average
    """

    meter_channels: int = 16
    meter_pooled: int = 32
    meter_seconds: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bins != BINS:
            raise ConfigError(f"MeteredConfig.bins is {self.bins} (must be {BINS}, which the meter hears)")
        _ = self.meter  # refuses impossible sizes

    @property
    def not_whole(self) -> tuple[str, ...]:
        """The settings that are no whole numbers."""
        return (*super().not_whole, "meter_seconds")

    @property
    def meter(self) -> PredictorConfig:
        """The meter's sizes."""
        return PredictorConfig(
            channels=self.meter_channels,
            pooled=self.meter_pooled,
            hidden=self.policy_hidden,
            seconds=self.meter_seconds,
        )


class MeteredDsn(Dsn):
    """A `Dsn` with a `MeterPolicy`."""

    origin = (
        "After Zhao et al. 2026 (dynamically slimmable speech enhancement), gated by a quality meter with "
        "binary activation maps; how the one decides for the other, sizes and training are this project's."
    )
    config: MeteredConfig

    def __init__(self, config: MeteredConfig | None = None) -> None:
        super().__init__(config or MeteredConfig())

    def make_policy(self) -> FramePolicy:
        """A meter with fresh weights; training puts a trained one in its place."""
        return MeterPolicy(self.config.meter, len(GATES), self.config.policy_bias)
