"""``tinydsn diff``: two models, or two generated projects, beside each other on one board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ConfigError
from quant.gates import GatePattern
from quant.graph import Graph, IntegerGraph, Operator
from tinydsn.audio.corpus import RATE
from tinydsn.codegen.board import Board, load_board
from tinydsn.codegen.build import BuildResult, build
from tinydsn.codegen.project import read_manifest
from tinydsn.emulation import RunResult
from tinydsn.workflow.firmware import build_firmware, run_program, statistics
from tinydsn.workflow.models import load_model
from tinydsn.workflow.verification import compare_outputs

SCHEMA = 1
DEFAULT_BOARD = "mps2-an386"
PATTERNS = ("learned", "min", "max")
FIELDS = ("kind", "shape", "dtype", "weight_bits")
Row = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One of the two: a linked program, gates, hop, sample rate (Hz), and the graph (None of a project)."""

    name: str
    sha256: str
    board: Board
    built: BuildResult
    gates: int
    hop: int
    rate: int
    graph: IntegerGraph | None


def chosen_board(a: str, b: str, wanted: str | None) -> str:
    """The board to compare on: ``wanted``, else that of the generated projects, else the Cortex-M4's.

    Raises ConfigError for projects of two boards.
    """
    if wanted is not None:
        return wanted
    names = [str(read_manifest(Path(text))["board"]) for text in (a, b) if Path(text).is_dir()]
    if len(set(names)) > 1:
        raise ConfigError(
            f"{a} is made for {names[0]}, {b} for {names[1]}: nothing to compare (generate one of them for "
            "the other's board)"
        )
    return names[0] if names else DEFAULT_BOARD


def open_side(text: str, board_name: str, folder: Path, kernels: str) -> Side:
    """A model, built into ``folder``, or a folder that `tinydsn generate` wrote, linked where it lies.

    Raises ModelFileError for neither of the two, ConfigError for a project of another board.
    """
    board, path = load_board(board_name), Path(text)
    if not path.is_dir():
        model = load_model(text)
        firmware = build_firmware(model, board_name, folder, kernels=kernels)
        manifest = firmware.project.manifest
        return _side(text, board, firmware.built, manifest, model.graph)
    manifest = read_manifest(path)
    if manifest["board"] != board.name:
        raise ConfigError(
            f"{path}: made for {manifest['board']}, not for {board.name} (choose --board {manifest['board']})"
        )
    return _side(text, board, build(path, board), manifest, None)


def _side(
    text: str, board: Board, built: BuildResult, manifest: Mapping[str, Any], graph: IntegerGraph | None
) -> Side:
    front = manifest["frontend"]
    rate = front["sample_rate"] if front else RATE
    return Side(text, manifest["model_sha256"], board, built, manifest["gates"], manifest["hop"], rate, graph)


def run_side(side: Side, pcm: np.ndarray, pattern: GatePattern) -> RunResult:
    """Send int16 ``pcm`` through one side."""
    words = pattern.words(-(-len(pcm) // side.hop), side.gates)
    return run_program(side.built.elf, side.board, pcm, words)


def diff(first: Side, second: Side, pcm: np.ndarray) -> dict[str, Any]:
    """Graphs, outputs, instructions, memory; changes are ``second - first``.

    Raises ConfigError when the two take frames of different lengths or audio of different rates.
    """
    if first.rate != second.rate:
        raise ConfigError(
            f"{first.name} runs at {first.rate} Hz, {second.name} at {second.rate} Hz: nothing to compare"
        )
    if first.hop != second.hop:
        raise ConfigError(
            f"{first.name} takes frames of {first.hop} samples, {second.name} of {second.hop}: nothing to "
            "compare"
        )
    runs = [
        {name: run_side(side, pcm, GatePattern(name)) for name in PATTERNS[: 3 if side.gates else 1]}
        for side in (first, second)
    ]
    return {
        "schema": SCHEMA,
        "board": first.board.name,
        "frames": len(runs[0]["learned"].gates),
        "a": {"name": first.name, "sha256": first.sha256},
        "b": {"name": second.name, "sha256": second.sha256},
        "graph": graph_rows(first.graph, second.graph) if first.graph and second.graph else None,
        "outputs": outputs(runs[0]["learned"], runs[1]["learned"], first.hop),
        "instructions": instruction_rows(runs[0], runs[1]),
        "operators": operator_rows(runs[0]["learned"], runs[1]["learned"]),
        "memory": memory_rows(first.built, second.built, runs[0]["learned"], runs[1]["learned"]),
        "symbols": change_rows("symbol", first.built.symbols, second.built.symbols),
    }


def graph_rows(first: Graph, second: Graph) -> list[Row]:
    """A row for each operator that is not in both, or not the same in both: what changed, "a -> b"."""
    known = [{operator.name: operator for operator in graph.operators()} for graph in (first, second)]
    rows: list[Row] = []
    for name in dict.fromkeys([*known[0], *known[1]]):
        if name not in known[0] or name not in known[1]:
            rows.append({"operator": name, "change": "only in a" if name in known[0] else "only in b"})
            continue
        facts = [_facts(first, known[0][name]), _facts(second, known[1][name])]
        changed = {
            key: f"{facts[0][key]} -> {facts[1][key]}" for key in FIELDS if facts[0][key] != facts[1][key]
        }
        constants = facts[0]["constants"] != facts[1]["constants"]
        if changed or constants:
            rows.append({"operator": name, "change": "weights" if constants else "form", **changed})
    return rows


def _facts(graph: Graph, operator: Operator) -> Row:
    output = graph.tensors[operator.outputs[0]]
    return {
        "kind": operator.kind,
        "shape": "x".join(map(str, output.shape)) or "1",
        "dtype": output.dtype,
        "weight_bits": operator.attributes.get("weight_bits"),
        "constants": [
            graph.constants[tensor].tobytes() for tensor in operator.inputs if tensor in graph.constants
        ],
    }


def outputs(first: RunResult, second: RunResult, hop: int) -> Row:
    """Whether audio and gates are the same, where they first differ, and the difference's level.

    ``snr_db``: power of a's audio over the power of the difference; None where they are equal.
    """
    if first.gates.shape != second.gates.shape:
        same = first.gates[:, :0], second.gates[:, :0]
    else:
        same = first.gates, second.gates
    found = compare_outputs(first.pcm, same[0], second.pcm, same[1], hop)
    error = first.pcm.astype(np.float64) - second.pcm
    power = float(np.mean(first.pcm.astype(np.float64) ** 2))
    difference = float(np.mean(error**2))
    ratio = round(10 * np.log10(power / difference), 2) if difference and power else None
    place = found["first_difference"]
    return {
        "status": found["status"],
        "differing_samples": found["differing_samples"],
        "differing_gates": found["differing_gates"],
        "first_frame": place["frame"] if place else None,
        "snr_db": ratio,
        "usage": {"a": _usage(first), "b": _usage(second)},
    }


def _usage(run: RunResult) -> list[float]:
    return [round(float(share), 4) for share in run.gates.mean(axis=0)]


def instruction_rows(first: Mapping[str, RunResult], second: Mapping[str, RunResult]) -> list[Row]:
    """Mean and largest instructions a frame by gate pattern; nothing where they are not counted."""
    rows: list[Row] = []
    for pattern in first:
        if pattern not in second:
            continue
        one, other = first[pattern].instructions, second[pattern].instructions
        if one is None or other is None:
            continue
        a, b = statistics(one), statistics(other)
        rows += [_change("gates", f"{pattern}, {key}", a[key], b[key]) for key in ("mean", "max")]
    return rows


def operator_rows(first: RunResult, second: RunResult) -> list[Row]:
    """Mean instructions a frame by function of an operator, for those that changed, largest first."""
    means = [_operator_means(run) for run in (first, second)]
    return change_rows("operator", means[0], means[1])


def _operator_means(run: RunResult) -> dict[str, int]:
    if run.operator_instructions is None:
        return {}
    means = np.rint(run.operator_instructions.mean(axis=0)).astype(int).tolist()
    # The number that keeps C names apart is the place in the graph, which a change elsewhere moves.
    return {_plain(name): mean for name, mean in zip(run.operator_names, means, strict=True)}


def _plain(function: str) -> str:
    prefix, _, rest = function.partition("tinydsn_op_")
    return rest.split("_", 1)[-1] if not prefix and rest else function


def memory_rows(first: BuildResult, second: BuildResult, one: RunResult, other: RunResult) -> list[Row]:
    """Flash, RAM, weights and stack in bytes."""
    rows = [
        _change("memory", key, getattr(first, key), getattr(second, key))
        for key in ("flash", "ram", "weights")
    ]
    if one.stack is not None and other.stack is not None:
        rows.append(_change("memory", "stack", one.stack, other.stack))
    return rows


def change_rows(title: str, first: Mapping[str, int], second: Mapping[str, int]) -> list[Row]:
    """What changed, by name, largest change first; a name that one side lacks counts 0 there."""
    rows = [
        _change(title, name, first.get(name, 0), second.get(name, 0))
        for name in dict.fromkeys([*first, *second])
        if first.get(name, 0) != second.get(name, 0)
    ]
    return sorted(rows, key=lambda row: -abs(row["change"]))


def _change(title: str, name: str, first: int, second: int) -> Row:
    share = round(100 * (second - first) / first, 2) if first else None
    return {title: name, "a": first, "b": second, "change": second - first, "percent": share}


def same(found: Mapping[str, Any]) -> bool:
    """Whether the two give the same audio and gates at the same cost in the same memory."""
    parts: Sequence[Sequence[Row]] = (found["instructions"], found["memory"])
    unchanged = all(row["change"] == 0 for rows in parts for row in rows)
    return found["outputs"]["status"] == "equal" and unchanged and not found["graph"]


def _rate(model: str) -> int:
    front = load_model(model).graph.frontend
    return front.sample_rate if front else RATE


def quality(a: str, b: str, board: str, corpus: Path, limit: int | None) -> dict[str, Any]:
    """Paired differences b - a of the two firmwares on the list. Raises ConfigError for a project."""
    from tinydsn.workflow.evaluation import evaluate, gather

    for text in (a, b):
        if Path(text).is_dir():
            raise ConfigError(f"{text}: quality needs models, not generated projects (leave --corpus out)")
        rate = _rate(text)
        if rate != RATE:
            raise ConfigError(
                f"{text}: runs at {rate} Hz; quality on a corpus needs {RATE} Hz (leave --corpus out)"
            )
    pairs, source = gather(None, None, corpus, limit, None)
    beside = evaluate(b, pairs, source, board, against=[a])["against"][0]
    rows = [{"metric": metric, **part} for metric, part in beside["firmware"].items()]
    return {"files": len(pairs), "rows": rows, "cost_ratio": beside["cost_ratio"]}
