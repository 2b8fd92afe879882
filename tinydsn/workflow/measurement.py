"""What a worker of an evaluation does: one recording through every executor of a model, and its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from quant.gates import GatePattern
from quant.graph import IntegerGraph, Node, Operator
from quant.model_file import load
from quant.ops.common import integer
from quant.reference import Enhanced, Pipeline, hop_of
from tinydsn.audio.files import read_wav, write_wav
from tinydsn.codegen.board import Board
from tinydsn.emulation import RunResult, run_host, run_qemu
from tinydsn.evaluation.frames import by_class, classify, decibels
from tinydsn.evaluation.pairs import Pair
from tinydsn.evaluation.scores import Scores, score
from tinydsn.workflow.verification import compare

ROOM_TONE_DB = -75.0
SILENCE_SAMPLES = 144160


@dataclass(frozen=True)
class Bench:
    """A model on one board, by files, so that any process can run it.

    checkpoint: None when only the integer graph is there. bias: as of ``tinydsn_set_bias``, in steps of the
    policy's logits. forced: gates ``[K]`` that hold in every frame of every executor; None: the policy's.
    """

    checkpoint: Path | None
    graph: Path
    bias: int
    elf: Path
    board: Board
    forced: tuple[bool, ...] | None = None


def with_bias(graph: IntegerGraph, bias: int) -> IntegerGraph:
    """The graph whose gates decide as with ``tinydsn_set_bias(bias)``: their thresholds are lower by it."""

    def shifted(node: Node) -> Node:
        if not isinstance(node, Operator) or node.kind != "gate":
            return node
        threshold = integer(node.attributes, "threshold") - bias
        return replace(node, attributes={**node.attributes, "threshold": threshold})

    return replace(graph, nodes=tuple(shifted(node) for node in graph.nodes)) if bias else graph


def logit_scale(graph: IntegerGraph) -> float:
    """The real value of one step of the policy's logits; 0 without gates."""
    for operator in graph.operators():
        if operator.kind == "gate":
            quantization = graph.tensors[operator.inputs[0]].quantization
            assert quantization is not None
            return float(quantization.scale[0])
    return 0.0


@lru_cache(maxsize=2)
def _graph(path: Path, bias: int) -> IntegerGraph:
    return with_bias(load(path)[0], bias)


@lru_cache(maxsize=2)
def _network(path: Path, shift: float) -> Any:
    import torch

    from tinydsn.models.checkpoint import load_checkpoint

    torch.set_num_threads(1)
    model = load_checkpoint(path)
    if shift:
        model.shift_logits(shift)
    return model


@dataclass(frozen=True)
class Outcome:
    """Enhanced int16 ``[samples]``, aligned with the input, bool gates ``[frames, K]``, and instructions."""

    pcm: np.ndarray
    gates: np.ndarray
    instructions: np.ndarray | None = None


class Executors:
    """A bench with its graph loaded. Inputs are int16 ``[samples]``; outputs as long, delay removed."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.graph = _graph(bench.graph, bench.bias)
        self.hop = hop_of(self.graph)
        self.latency = self.graph.frontend.latency if self.graph.frontend else 0

    def fed(self, pcm: np.ndarray) -> np.ndarray:
        """The input followed by the zeros that drive its end out."""
        return np.concatenate([pcm, np.zeros(self.latency, np.int16)])

    def aligned(self, raw: Any, samples: int) -> Outcome:
        """What an executor gave for `fed`, without delay and without the hops after the input's end."""
        frames = -(-samples // self.hop)
        counts = getattr(raw, "instructions", None)
        return Outcome(
            raw.pcm[..., self.latency : self.latency + samples],
            raw.gates[:frames].astype(bool),
            None if counts is None else counts[:frames],
        )

    def pattern(self, fed: np.ndarray, forced: tuple[bool, ...] | None = None) -> GatePattern:
        """Who decides in the frames of ``fed``: ``forced`` ``[K]`` in all of them, or what the bench says."""
        gates = self.bench.forced if forced is None else forced
        if gates is None:
            return GatePattern("learned")
        return GatePattern("forced", np.tile(np.array(gates, bool), (-(-len(fed) // self.hop), 1)))

    def run(self, fed: np.ndarray, forced: tuple[bool, ...] | None = None) -> RunResult:
        """The firmware on its board. ``forced``: `pattern`."""
        words = self.pattern(fed, forced).words(-(-len(fed) // self.hop), self.graph.gates)
        board, elf = self.bench.board, self.bench.elf
        return run_host(elf, fed, words) if board.is_host else run_qemu(elf, board, fed, words)

    def reference(self, fed: np.ndarray) -> Enhanced:
        """The integer reference, with the gates of the firmware's run."""
        return Pipeline(self.graph).run(fed, self.pattern(fed))

    def float_network(self, pcm: np.ndarray) -> dict[str, Outcome]:
        """What the float network gives, under the key ``float``; nothing without a checkpoint."""
        if self.bench.checkpoint is None:
            return {}
        from tinydsn.evaluation.network import enhance

        assert self.graph.frontend is not None
        network = _network(self.bench.checkpoint, self.bench.bias * logit_scale(self.graph))
        return {"float": Outcome(*enhance(network, pcm, self.graph.frontend, self.bench.forced))}

    def networks(self, pcm: np.ndarray) -> dict[str, Outcome]:
        """The float network, when there is a checkpoint, and the firmware."""
        firmware = self.aligned(self.run(self.fed(pcm)), len(pcm))
        return self.float_network(pcm) | {"firmware": firmware}


UNCHECKED = {"status": "unchecked", "frames": 0}
"""Stands for the comparison of a file that was not given to the integer reference."""


def measure_pair(
    bench: Bench, pair: Pair, save: Path | None, known: Scores | None, check: bool = True
) -> dict[str, Any]:
    """A row: scores, usage, classes of frames, instructions, and equality with the integer reference.

    ``known``: the noisy input's scores, when another model's evaluation has them. ``save``: a folder for the
    enhanced files, ``float/NAME.wav`` and ``firmware/NAME.wav``. ``check``: False leaves the reference out,
    which takes longer than all else together.
    """
    executors, audio = Executors(bench), pair.load()
    fed = executors.fed(audio.noisy)
    raw = executors.run(fed)
    reference = executors.reference(fed) if check else None
    outcomes = executors.float_network(audio.noisy)
    outcomes["firmware"] = executors.aligned(raw, len(audio.noisy))
    equal = compare(reference, raw.pcm, raw.gates, executors.hop) if reference else UNCHECKED
    scores = {"noisy": known or score(audio.noisy, audio.target)}
    scores |= {name: score(outcome.pcm, audio.target) for name, outcome in outcomes.items()}
    if reference is None or equal["status"] == "equal":
        scores["integer"] = scores["firmware"]
    else:
        expected = executors.aligned(reference, len(audio.noisy))
        scores["integer"] = score(expected.pcm, audio.target)
    waves = {"noisy": audio.noisy} | {name: outcome.pcm for name, outcome in outcomes.items()}
    gates = {name: outcome.gates for name, outcome in outcomes.items()}
    classes = classify(audio.target, audio.noise, executors.hop)
    if save is not None:
        for name in outcomes:
            write_wav(save / name / f"{pair.name}.wav", waves[name])
    return {
        "name": pair.name,
        "group": pair.group,
        "snr": pair.snr,
        "samples": len(audio.noisy),
        "scores": scores,
        "level": _level(waves),
        **_behaviour(outcomes),
        "classes": {
            name: asdict(figures) for name, figures in by_class(classes, waves, gates, executors.hop).items()
        },
        "equal": equal,
        "pcm": {name: digest(outcome.pcm) for name, outcome in outcomes.items()},
    }


def _behaviour(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Usage of each network, and the firmware's instructions frame by frame."""
    counts = outcomes["firmware"].instructions
    return {
        "usage": {name: outcome.gates.mean(axis=0).tolist() for name, outcome in outcomes.items()},
        "instructions": None if counts is None else counts.tolist(),
    }


def measure_mix(bench: Bench, pair: Pair, mix: str) -> dict[str, Any]:
    """A row of a named mix: ``speech`` (the target alone) or ``noise`` (the noise alone) of a pair."""
    audio = pair.load()
    wave = audio.target if mix == "speech" else audio.noise
    return {"mix": mix, "name": pair.name, "group": pair.group, **_levels(bench, wave)}


def _levels(bench: Bench, wave: np.ndarray) -> dict[str, Any]:
    outcomes = Executors(bench).networks(wave)
    waves = {"noisy": wave} | {name: outcome.pcm for name, outcome in outcomes.items()}
    peak = {name: int(np.abs(pcm.astype(np.int32)).max()) for name, pcm in waves.items()}
    return {"level": _level(waves), "peak": peak, **_behaviour(outcomes)}


def _level(waves: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Mean level of each wave, in dB of full scale."""
    return {name: decibels(float(np.mean(pcm.astype(np.float64) ** 2))) for name, pcm in waves.items()}


def measure_silence(bench: Bench, name: str) -> dict[str, Any]:
    """A row for ``digital_silence`` (zeros) or ``room_tone`` (white noise at -75 dB of full scale)."""
    wave = np.zeros(SILENCE_SAMPLES, np.int16)
    if name == "room_tone":
        scale = 32768 * 10 ** (ROOM_TONE_DB / 20)
        noise = np.random.default_rng(75).standard_normal(SILENCE_SAMPLES)
        wave = np.rint(scale * noise).astype(np.int16)
    return {"name": name, **_levels(bench, wave)}


def measure_cost(bench: Bench, pair: Pair, forced: tuple[bool, ...]) -> dict[str, Any]:
    """Mean instructions a frame of the noisy file with the gates forced; None on the host."""
    executors, audio = Executors(bench), pair.load()
    raw = executors.run(executors.fed(audio.noisy), forced)
    counts = executors.aligned(raw, len(audio.noisy)).instructions
    return {"forced": list(forced), "mean": None if counts is None else float(np.mean(counts))}


def digest(pcm: np.ndarray) -> str:
    """SHA-256 of int16 samples."""
    return hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest()


def is_saved(row: Mapping[str, Any], save: Path) -> bool:
    """Whether the enhanced files of a finished row lie in ``save`` as they were."""
    from quant.errors import AudioError

    try:
        return all(
            digest(read_wav(save / name / f"{row['name']}.wav")) == wanted
            for name, wanted in row["pcm"].items()
        )
    except AudioError:
        return False
