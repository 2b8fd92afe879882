"""What changes over a run, as functions of the share of steps done (0 to 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from quant.errors import ConfigError


@dataclass(frozen=True)
class GateSchedule:
    """The gate's course (PAPERS.md, section 1, "Gate"); all values but temperatures are shares of the run.

    open           gates are forced open up to here
    ramp           then the usage loss grows from 0 to its full weight over this share
    temperature_start, temperature_end, temperature_until   geometric course of the temperature
    noise_fade, noise_end   the sampling noise fades from 1 to 0 between these two; after that the gate is
                            the device's
    levels         share of a batch's clips whose gates are forced to one of the network's levels, the
                   cheapest and the dearest first (the sandwich rule of slimmable networks, Yu and Huang
                   2019); they have no usage loss
    """

    open: float = 0.1
    ramp: float = 0.15
    temperature_start: float = 2.0
    temperature_end: float = 0.5
    temperature_until: float = 0.6
    noise_fade: float = 0.5
    noise_end: float = 0.75
    levels: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.levels < 1:
            raise ConfigError(f"levels is {self.levels} (must be at least 0 and below 1)")

    def forced_open(self, done: float) -> bool:
        """Are all gates held open?"""
        return done < self.open

    def usage_weight(self, done: float) -> float:
        """Factor of the usage loss, 0 to 1."""
        return min(1.0, max(0.0, (done - self.open) / self.ramp))

    def temperature(self, done: float) -> float:
        """Temperature of the gate's gradient."""
        position = min(1.0, done / self.temperature_until)
        return self.temperature_start * (self.temperature_end / self.temperature_start) ** position

    def noise(self, done: float) -> float:
        """Amplitude of the sampling noise."""
        return min(1.0, max(0.0, (self.noise_end - done) / (self.noise_end - self.noise_fade)))


def learning_rate(done: float, peak: float, warmup: float, last: float) -> float:
    """Linear warm-up over the share ``warmup``, then a cosine from ``peak`` to ``last * peak``."""
    if done < warmup:
        return peak * (done / warmup) if done > 0 else peak * 1e-3
    position = min(1.0, (done - warmup) / (1 - warmup))
    return peak * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * position)))
