"""What an evaluation gives, and the protocol of who gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from quant.errors import BoardError, GraphError, QuantizationError

Genome = tuple[int, ...]
"""Bits of each gene, in the order of the search space's genes."""


@dataclass(frozen=True)
class Score:
    """A genome's objectives, all to be small, and what stands beside them.

    quality: loss against the float network (dB of SI-SDR, or what the user's function gives). flash: bytes of
    the weights section. instructions: a frame, with the genome's own gates; ``all_on``: with all gates on.
    usage: share of frames in which each gate is open. departs: a gate is open more, or less, often than the
    float network's by more than 0.05.
    """

    quality: float
    flash: int
    instructions: float
    all_on: float
    usage: tuple[float, ...] = ()
    departs: bool = False

    @property
    def objectives(self) -> tuple[float, float, float]:
        """Quality loss, flash bytes, instructions."""
        return self.quality, float(self.flash), self.instructions

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "usage": list(self.usage)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Score:
        """What `to_json` gave. Raises KeyError, TypeError or ValueError for something else."""
        return cls(
            float(values["quality"]),
            int(values["flash"]),
            float(values["instructions"]),
            float(values["all_on"]),
            tuple(float(share) for share in values["usage"]),
            bool(values["departs"]),
        )


@dataclass(frozen=True)
class Failure:
    """A genome that has no score (it cannot be quantized, or does not fit the board), and why."""

    reason: str


Outcome = Score | Failure


class Evaluator(Protocol):
    """Scores genomes one after the other; the same genome always gets the same score.

    A search needs a `Score`; executors carry whatever else is asked of genomes too.
    """

    def score(self, genome: Genome) -> Any:
        """The genome's score. Raises QuantizationError, GraphError or BoardError when it has none."""
        ...


Factory = Callable[[], Evaluator]
"""Makes an evaluator. It is sent to each worker process once, so it must be picklable."""


def attempt(evaluator: Evaluator, genome: Genome) -> Any:
    """The genome's score, or the failure that is its own; any other error is the run's and is raised."""
    try:
        return evaluator.score(genome)
    except (QuantizationError, GraphError, BoardError) as error:
        return Failure(str(error))
