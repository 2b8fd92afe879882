"""Value ranges of every tensor of a float graph, measured on audio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quant.errors import QuantizationError
from quant.frontend import FrontEndReference
from quant.gates import GatePattern
from quant.graph import Graph, Operator
from quant.reference import Executor, hop_of, split_hops

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Range:
    """Smallest and largest value seen."""

    low: float
    high: float

    def join(self, other: Range) -> Range:
        """The range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


def input_frames(graph: Graph, pcm: np.ndarray) -> np.ndarray:
    """PCM int16 -> the float input frames the network sees, float64 [frames, *input shape].

    With a front end these are its integer features times their scale, so calibration sees what the device
    sees; without one they are the samples in [-1, 1).
    """
    shape = graph.tensors[graph.inputs[0]].shape
    hops = split_hops(pcm, hop_of(graph))
    if graph.frontend is None:
        return hops.reshape(-1, *shape) / 32768.0
    front = FrontEndReference(graph.frontend)
    front.reset()
    features = np.stack([front.analysis(hop) for hop in hops])
    return features.reshape(-1, *shape) * 2.0**-graph.frontend.feature_fraction_bits


def calibrate(
    graph: Graph, clips: Sequence[np.ndarray], progress: Progress | None = None
) -> Mapping[str, Range]:
    """Range of every tensor over int16 clips, each run with learned gates and with all gates on, and with
    each of the regions that replace each other.

    Raises QuantizationError when there is no audio.
    """
    if sum(len(clip) for clip in clips) == 0:
        raise QuantizationError("calibration needs audio: no clip with any sample was given")
    ranges: dict[str, Range] = {}

    def observe(operator: Operator | None, name: str, value: np.ndarray) -> None:
        seen = Range(float(np.min(value)), float(np.max(value)))
        ranges[name] = ranges[name].join(seen) if name in ranges else seen

    executor = Executor(graph, observe)
    frames = [input_frames(graph, clip) for clip in clips if len(clip)]
    patterns = _patterns(graph, max(len(clip) for clip in frames))
    total = sum(len(clip) for clip in frames) * len(patterns)
    done = 0
    for clip in frames:
        for pattern in patterns:
            forced = pattern.forced(len(clip), graph.gates)
            executor.reset()
            for index, frame in enumerate(clip):
                executor.step(frame, forced=None if forced is None else forced[index])
                done += 1
                if progress is not None:
                    progress(done, total)
    return ranges


def _patterns(graph: Graph, frames: int) -> list[GatePattern]:
    """Gates under which every region runs: as decided, all open, and each step of a ladder."""
    found = [GatePattern("learned"), *([GatePattern("max")] if graph.branches else [])]
    closing = {item.gate for branch in graph.branches for item in branch.conditions if not item.opened}
    for gate in sorted(closing):
        row = np.ones(graph.gates, bool)
        row[[gate, *graph.behind(gate)]] = False
        found.append(GatePattern(f"below gate {gate}", np.broadcast_to(row, (frames, graph.gates))))
    return found
