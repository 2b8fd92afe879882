"""A task's network at several precisions: how well it does, and what it costs; and shipping it.

``python -m tinydsn.workflow.task_table runs/voice --corpus corpus/ [--to voice-activity.safetensors]``
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quant.calibrate import calibrate
from quant.convert import convert
from quant.errors import ConfigError, TinydsnError
from quant.graph import Graph, IntegerGraph
from quant.model_file import save, to_bytes
from quant.precision import load_precision
from tinydsn.audio.files import replace_file
from tinydsn.codegen.board import load_board
from tinydsn.estimate.host import analyse
from tinydsn.estimate.predict import MeasuredCost
from tinydsn.estimate.runner import HostRunner
from tinydsn.evaluation.statistics import estimate, interval, resample
from tinydsn.workflow.comparison_points import BASE, DEVICE, SHIPPED
from tinydsn.workflow.models import Model
from tinydsn.workflow.quantization import float_graph
from tinydsn.workflow.tasks import TEST, mix_of, task_of
from tinydsn.workflow.verification import verify_model

if TYPE_CHECKING:
    from tinydsn.search.clips import Clip
    from tinydsn.tasks import Task

PRECISIONS = ("w8a16", "w8a8", "w6a16", "w6a8", "w4a16", "w4a8")
BOARDS = (DEVICE, "mps3-an547")
CALIBRATION = 30
CHECKED = 2
"""Clips on which firmware is compared with the reference."""
REPLICATES = 500
"""Of the bootstrap of the metrics, each of which is taken over all clips."""
NOTES = {
    "sequence": "A GRU and a linear head (PAPERS.md, section 4). See docs/tasks.md.",
    "predictor": "A causal predictor of DNSMOS ratings (PAPERS.md, section 5). See docs/speech-quality.md.",
}
SEED = 1
Say = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """A task's network with the test clips, and the float network's int16 output on them."""

    task: Task
    graph: Graph
    ranges: Any
    clips: Sequence[Clip]
    reference: Sequence[np.ndarray]


def prepare(model: str, corpus: Path, count: int, say: Say) -> Trial:
    """Draw the clips and run the float network. Raises ConfigError for a model without a task."""
    from tinydsn.search.task_clips import to_clip
    from tinydsn.tasks.data import draw_examples, load_sources

    task = task_of(model)
    if task is None:
        raise ConfigError(
            f"{model}: is no network of a task (must be a checkpoint of `tinydsn train` for one)"
        )
    mix, made = mix_of(task), {}
    for split, number in (("valid", CALIBRATION), ("test", count)):
        examples = draw_examples(task, load_sources(corpus, split, task), mix, number, SEED, split)
        made[split] = [to_clip(example) for example in examples]
    graph = float_graph(model)
    say(f"calibrating on {CALIBRATION} examples of the valid split")
    ranges = calibrate(graph, [clip.noisy for clip in made["valid"]])
    clips = made["test"]
    return Trial(task, graph, ranges, clips, float_outputs(model, graph, [clip.noisy for clip in clips]))


def float_outputs(model: str, graph: Graph, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The float network behind the device's front end: int16 [frames * hop] for each recording."""
    import torch

    from tinydsn.models.checkpoint import load_network
    from tinydsn.workflow.models import checkpoint_path

    checkpoint, front = checkpoint_path(model), graph.frontend
    assert checkpoint is not None and front is not None
    network, made = load_network(checkpoint), []
    for pcm in recordings:
        features = torch.from_numpy(
            analyse(graph, pcm).features * np.float32(2.0**-front.feature_fraction_bits)
        )
        with torch.no_grad():
            answers = network(features[None])[0].double().numpy()
        rows = np.zeros((len(answers), front.hop), np.int16)
        rows[:, : answers.shape[1]] = np.clip(np.rint(answers * 32768), -32768, 32767)
        made.append(rows.reshape(-1))
    return made


def judged(trial: Trial, outputs: Sequence[np.ndarray]) -> tuple[np.ndarray, dict[str, Any]]:
    """Each clip's score [clips], and of all: their mean ``score``, the task's metrics, and under
    ``intervals`` the 95 % interval of each metric (bootstrap over clips)."""
    from tinydsn.tasks.quality import clip_score, decoded
    from tinydsn.tasks.task import frames_of

    task = trial.task
    pairs = list(zip(outputs, trial.clips, strict=True))
    scores = np.array([clip_score(task, wave, clip.target) for wave, clip in pairs])
    heard = [(frames_of(wave, task.outputs), *decoded(clip.target, task.outputs)) for wave, clip in pairs]
    found: dict[str, Any] = {"score": round(float(scores.mean()), 5)}
    found |= {name: round(value, 4) for name, value in task.metrics(heard).items()}
    return scores, found | {"intervals": intervals(task, heard)}


def intervals(task: Task, heard: Sequence[tuple[np.ndarray, ...]]) -> dict[str, dict[str, float]]:
    """The 95 % interval of each metric of a task over clips (output, target, weight): bootstrap over clips.

    Replicates in which a metric is not defined are left out; so is a metric without any other.
    """
    drawn = resample([str(index) for index in range(len(heard))], REPLICATES)
    replicates: dict[str, list[float]] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of means over classes that a replicate lacks
        for picks, taken in zip(drawn.picks, drawn.taken, strict=True):
            for name, value in task.metrics([heard[index] for index in picks[taken]]).items():
                replicates.setdefault(name, []).append(value)
    spans = {name: interval(np.array(values)) for name, values in replicates.items()}
    return {
        name: {"low": round(low, 4), "high": round(high, 4)}
        for name, (low, high) in spans.items()
        if np.isfinite(low)
    }


def table(
    trial: Trial, precisions: Sequence[str], boards: Sequence[str], say: Say, check: int = 0
) -> list[dict[str, Any]]:
    """A row a precision, after one of the float network: score, metrics with intervals, paired differences
    with their 95 % intervals (bootstrap over clips; above 0 is worse), bytes of weights and instructions by
    board; and ``device``, see `run_on_device`, over the first ``check`` clips."""
    base, found = judged(trial, trial.reference)
    rows: list[dict[str, Any]] = [{"precision": "float", **found}]
    costs = {board: MeasuredCost(load_board(board)) for board in boards}
    runner, scores = HostRunner([clip.noisy for clip in trial.clips]), {}
    for name in precisions:
        integer = convert(trial.graph, trial.ranges, load_precision(name))
        scores[name], found = judged(trial, [outcome.pcm for outcome in runner.run(integer)])
        row: dict[str, Any] = {"precision": name, **found}
        row["loss"] = difference(scores[name], base)
        for board, cost in costs.items():
            said = cost.cost(integer, np.zeros((1, 0), bool))
            row[board] = {"flash": said.flash, "instructions": round(said.instructions)}
        if check:
            row["device"] = run_on_device(integer, [clip.noisy for clip in trial.clips[:check]])
        rows.append(row)
        say(json.dumps(row))
    for row in rows[1:]:
        if BASE in scores and row["precision"] != BASE:
            row[f"against_{BASE}"] = difference(scores[row["precision"]], scores[BASE])
    return rows


def run_on_device(graph: IntegerGraph, recordings: Sequence[np.ndarray]) -> dict[str, Any]:
    """The firmware on the emulated ``DEVICE``, bit for bit against the integer reference, on int16
    ``recordings`` one behind the other.

    Returns board, clips, status ("equal", "differs", "failed", or "skipped" without compiler or emulator)
    with its reason, frames, differing samples, counted instructions a frame, and bytes of flash and RAM.
    """
    model = Model(graph, Path(graph.name), hashlib.sha256(to_bytes(graph)).hexdigest())
    with tempfile.TemporaryDirectory() as scratch:
        pcm = np.concatenate(recordings)
        done = verify_model(model, pcm, [DEVICE], ["learned"], Path(scratch), workers=1)
    cell, built = done.cells[0].result, done.firmware.get(DEVICE)
    noted = {key: cell[key] for key in ("status", "reason", "frames", "differing_samples", "instructions")}
    memory = {"flash": built.built.flash, "ram": built.built.ram} if built else None
    return {"board": DEVICE, "clips": len(recordings), **noted, "memory": memory}


def difference(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """The paired difference of scores [clips]."""
    found = estimate(one - other, resample([str(index) for index in range(len(one))]))
    return {"mean": round(found.mean, 5), "low": round(found.low, 5), "high": round(found.high, 5)}


def ship(checkpoint: Path, trial: Trial, rows: Sequence[dict[str, Any]], to: Path) -> IntegerGraph:
    """Write checkpoint, integer graph (w8a16) and card to ``to``. Raises ConfigError for a wrong name."""
    from tinydsn.models.checkpoint import load_network, save_checkpoint
    from tinydsn.training.record import record_of

    if to.suffix != ".safetensors":
        raise ConfigError(f"{to}: must end with .safetensors")
    graph = convert(trial.graph.replace(name=to.stem), trial.ranges, load_precision(SHIPPED))
    sha256, network = save(graph, to.with_suffix(".tdsn")), load_network(checkpoint)
    card = {
        "name": to.stem,
        "task": trial.task.name,
        "note": NOTES[trial.task.network],
        "parameters": sum(value.numel() for value in network.parameters()),
        "training": record_of(checkpoint),
        "integer": {"precision": SHIPPED, "sha256": sha256},
        "test": {"clips": len(trial.clips), "rows": list(rows)},
    }
    if trial.task.phrases:
        card["caution"] = (
            "Recordings were dealt to the splits by a hash of their names; speakers are not labelled, so the "
            "figures say nothing about a voice that was never heard."
        )
    save_checkpoint(network, to, card)
    return graph


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 2 after one line that says what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tinydsn.workflow.task_table", description=__doc__)
    parser.add_argument("source", help="a run's folder, a checkpoint, or a shipped name")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--precision", nargs="+", default=list(PRECISIONS), help="w2a8 to w8a16, or files")
    parser.add_argument("--board", nargs="+", default=list(BOARDS))
    parser.add_argument("--clips", type=int, default=TEST, help="examples of the test split")
    parser.add_argument(
        "--check", type=int, default=CHECKED, help=f"clips to run on the emulated {DEVICE} too; 0: none"
    )
    parser.add_argument("--to", type=Path, help="checkpoint to write, with graph and card beside it")
    parser.add_argument("-o", "--output", type=Path, help="the table as JSON")
    options = parser.parse_args(arguments)
    folder = Path(options.source)
    source = str(folder / "model.safetensors") if folder.is_dir() else options.source
    try:
        trial = prepare(source, options.corpus, options.clips, print)
        rows = table(trial, options.precision, options.board, print, options.check)
        if options.output:
            replace_file(options.output, (json.dumps(rows, indent=2) + "\n").encode())
        if options.to:
            ship(Path(source), trial, rows, options.to)
    except TinydsnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
