"""What a model costs at some precision: as predicted from the cost table, and as built and run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.calibrate import Range, calibrate
from quant.convert import convert
from quant.gates import GatePattern
from quant.graph import Graph, IntegerGraph
from quant.precision import PRESETS, Precision, check_names, genome_of, legal_names, load_precision
from quant.reference import hop_of
from tinydsn.codegen.board import Board, load_board
from tinydsn.codegen.build import build
from tinydsn.codegen.project import generate
from tinydsn.emulation import run_qemu
from tinydsn.estimate.predict import MeasuredCost, Prediction
from tinydsn.estimate.runner import HostRunner
from tinydsn.workflow.firmware import forced_words

Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """A prediction's figures as linker and emulator have them; ``image``: bytes of the whole program."""

    instructions: float
    all_on: float
    flash: int
    image: int


def cost(
    target: str,
    precision: str,
    board_name: str,
    calibration: Path | None = None,
    wav: Path | None = None,
    frames: int = 400,
    progress: Say | None = None,
) -> dict[str, Any]:
    """Predicted and measured cost of ``target`` (as `tinydsn quantize` takes it) at a precision.

    Instructions are means a frame over ``frames`` hops of a recording, or of speech-like sound in noise, with
    the model's own gates and with all on; ranges come from ``calibration``, or from that same sound. Raises
    ConfigError for a wrong precision, BoardError for a board without an emulator or without room.
    """
    from tinydsn.workflow.quantization import calibration_clips, calibration_files, float_graph

    say = progress or (lambda _: None)
    table, board = load_precision(precision), load_board(board_name)
    costs = MeasuredCost(board)
    files = calibration_files(calibration) if calibration else None
    graph = float_graph(target)
    check_names(table, graph)
    pcm = _recording(graph, wav, frames)
    rate = graph.frontend.sample_rate if graph.frontend else 16000
    say("calibrating")
    ranges = calibrate(graph, calibration_clips(files, rate) if files else [pcm])
    integer = convert(graph, ranges, table)
    predicted = predict(costs, graph, ranges, table, pcm, say)
    say(f"building and running {graph.name} at {table.name} on {board.name}")
    measured = measure(integer, board, pcm)
    return {
        "model": graph.name,
        "precision": table.name,
        "board": board.name,
        "frames": len(pcm) // hop_of(graph),
        "predicted": _figures(predicted),
        "measured": {**_figures(measured), "image": measured.image},
        "deviation": {
            "mean": round(predicted.instructions / measured.instructions - 1, 5),
            "all_on": round(predicted.all_on / measured.all_on - 1, 5),
            "flash": predicted.flash - measured.flash,
        },
        "programs_measured": costs.table.measured,
    }


def _figures(found: Prediction | Built) -> dict[str, Any]:
    counts = {"mean": round(found.instructions, 1), "all_on": round(found.all_on, 1)}
    return {"instructions": counts, "flash": found.flash}


def predict(
    costs: MeasuredCost,
    graph: Graph,
    ranges: Mapping[str, Range],
    precision: Precision,
    pcm: np.ndarray,
    say: Say,
) -> Prediction:
    """The cost of a genome from the table, with its own gates over ``pcm``.

    Where the table lacks something, the homogeneous models of the genome's widths are measured first, so that
    the genome itself is built only for what those do not have (a change of width between two operators).
    """
    integer = convert(graph, ranges, precision)
    (outcome,) = HostRunner([pcm]).run(integer)
    if costs.missing(integer):
        for name in homogeneous(graph, precision):
            say(f"measuring the operators of {graph.name} at {name} on {costs.table.board.name}")
            costs.prepare([convert(graph, ranges, PRESETS[name])])
            if not costs.missing(integer):
                break
    return costs.cost(integer, outcome.gates)


def homogeneous(graph: Graph, precision: Precision) -> list[str]:
    """Names of the presets whose operators a genome has."""
    genome, names = genome_of(precision, graph), legal_names(graph)
    weights = sorted({precision.width("weights", name) for name in names["weights"]} or {8}, reverse=True)
    activations = sorted({genome[name] for name in names["activations"]} or {16}, reverse=True)
    return [f"w{bits}a{wide}" for bits in weights for wide in activations]


def measure(graph: IntegerGraph, board: Board, pcm: np.ndarray) -> Built:
    """Build ``graph`` and run int16 ``pcm`` on the emulated board, with its own gates and with all on."""
    with tempfile.TemporaryDirectory(prefix="tinydsn-cost-") as name:
        project = generate(graph, board, Path(name) / "project", model_sha256="")
        built = build(project.folder, board)
        means = []
        for pattern in ("learned", "max"):
            run = run_qemu(built.elf, board, pcm, forced_words(graph, pcm, GatePattern(pattern)))
            assert run.instructions is not None
            means.append(float(np.mean(run.instructions)))
    return Built(means[0], means[1], built.weights, built.flash)


def _recording(graph: Graph, wav: Path | None, frames: int) -> np.ndarray:
    """int16, at most ``frames`` hops."""
    from tinydsn.audio.files import read_wav
    from tinydsn.profiling.signal import speech_like

    rate = graph.frontend.sample_rate if graph.frontend else 16000
    samples = frames * hop_of(graph)
    return speech_like(samples, rate) if wav is None else read_wav(wav, rate)[:samples]
