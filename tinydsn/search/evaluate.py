"""A genome of a network: quantized, run over the clips, compared with the float network, and costed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from quant.calibrate import Range, input_frames
from quant.convert import convert
from quant.frontend import FrontEndReference
from quant.graph import Graph, IntegerGraph
from quant.reference import Executor, filled, hop_of, split_hops
from tinydsn.estimate.host import Outcome
from tinydsn.estimate.predict import Prediction
from tinydsn.search.clips import Clip, Clips
from tinydsn.search.genome import Space
from tinydsn.search.quality import Quality
from tinydsn.search.score import Genome, Score

USAGE_MARGIN = 0.05
"""A genome one of whose gates is open this much more or less often than the float network's is marked."""


class Runner(Protocol):
    """Runs integer graphs over the recordings that it was made with."""

    def run(self, graph: IntegerGraph) -> Sequence[Outcome]:
        """Each recording from a reset state."""
        ...


class CostModel(Protocol):
    """What an integer graph costs on a board."""

    def cost(self, graph: IntegerGraph, gates: np.ndarray) -> Prediction:
        """``gates``: bool [frames, K], the graph's own decisions."""
        ...


class NetworkEvaluator:
    """Scores genomes of one float graph on one set of clips. ``runner`` was made with the clips `fed`."""

    def __init__(
        self,
        space: Space,
        graph: Graph,
        ranges: Mapping[str, Range],
        clips: Clips,
        quality: Quality,
        runner: Runner,
        cost: CostModel,
    ) -> None:
        self._space, self._graph, self._ranges = space, graph, ranges
        self._clips, self._quality, self._runner, self._cost = clips, quality, runner, cost

    def enhance(self, genome: Genome) -> tuple[IntegerGraph, list[np.ndarray], np.ndarray]:
        """The genome's integer graph, its outputs aligned with the clips, and its gates over all frames."""
        integer = convert(self._graph, self._ranges, self._space.precision(genome))
        outputs = self._runner.run(integer)
        pairs = zip(outputs, self._clips.items, strict=True)
        waves = [aligned(self._graph, output.pcm, len(clip.noisy)) for output, clip in pairs]
        return integer, waves, np.concatenate([output.gates for output in outputs])

    def score(self, genome: Genome) -> Score:
        """Quality, flash, and instructions. Raises QuantizationError when there is no such integer graph."""
        integer, waves, gates = self.enhance(genome)
        cost = self._cost.cost(integer, gates)
        usage = tuple(float(share) for share in gates.mean(axis=0))
        return Score(
            self._quality(waves, self._clips.items),
            cost.flash,
            cost.instructions,
            cost.all_on,
            usage,
            departs(usage, self._clips.usage),
        )


def departs(usage: Sequence[float], expected: Sequence[float]) -> bool:
    """Whether a gate is open in more, or fewer, frames than expected by more than `USAGE_MARGIN`."""
    return any(abs(a - b) > USAGE_MARGIN for a, b in zip(usage, expected, strict=True))


def fed(graph: Graph, pcm: np.ndarray) -> np.ndarray:
    """The input followed by the zeros that drive its end out of the front end."""
    return np.concatenate([pcm, np.zeros(graph.frontend.latency if graph.frontend else 0, np.int16)])


def aligned(graph: Graph, pcm: np.ndarray, samples: int) -> np.ndarray:
    """The output for `fed` input of ``samples`` samples, without the front end's delay."""
    latency = graph.frontend.latency if graph.frontend else 0
    return pcm[..., latency : latency + samples]


def float_output(graph: Graph, pcm: np.ndarray) -> Outcome:
    """A float graph over int16 ``pcm``, with the integer front end of the device."""
    executor = Executor(graph)
    front = FrontEndReference(graph.frontend) if graph.frontend else None
    if front is not None:
        front.reset()
    waves, gates = [], []
    for hop, frame in zip(split_hops(pcm, hop_of(graph)), input_frames(graph, pcm), strict=True):
        made = executor.step(frame)
        values = np.clip(np.rint(made.outputs[0].reshape(-1) * 32768), -32768, 32767).astype(np.int16)
        if front is not None:
            front.analysis(hop)
            values = front.synthesis(values) if front.config.masks else filled(values, front.config.hop)
        waves.append(values)
        gates.append(made.gates)
    return Outcome(np.concatenate(waves), np.array(gates))


def with_reference(graph: Graph, clips: Clips, outputs: Sequence[Outcome]) -> Clips:
    """The clips with the float network's outputs for `fed` input, and its usage of the gates."""
    items = []
    for clip, output in zip(clips.items, outputs, strict=True):
        reference = aligned(graph, output.pcm, len(clip.noisy))
        items.append(Clip(clip.noisy, clip.target, reference, clip.snr))
    gates = np.concatenate([output.gates for output in outputs])
    return Clips(tuple(items), tuple(float(share) for share in gates.mean(axis=0)))
