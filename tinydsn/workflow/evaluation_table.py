"""What ``tinydsn evaluate`` prints of one model, from everything that was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant import ops
from quant.reference import hop_of
from tinydsn.audio.metrics import RATE
from tinydsn.codegen.toolchain import versions
from tinydsn.evaluation.summary import summarize
from tinydsn.evaluation.table import Table, tabulate
from tinydsn.workflow.firmware import statistics
from tinydsn.workflow.subject import Subject, gate_macs, word_of

SCHEMA = 1


@dataclass(frozen=True)
class Measured:
    """Everything that was measured of one subject. ``weights``: what each gate costs, summing to 1.

    With forced gates ``mixes`` and ``silences`` are empty, and ``all_on`` is None.
    """

    subject: Subject
    rows: tuple[dict[str, Any], ...]
    mixes: tuple[dict[str, Any], ...]
    silences: tuple[dict[str, Any], ...]
    weights: np.ndarray
    all_on: float | None
    sizes: Mapping[str, int | None]

    @property
    def table(self) -> Table:
        """The pairs as arrays."""
        return tabulate(self.rows, self.weights)


def report(measured: Measured, board: str, source: str) -> dict[str, Any]:
    """What the verb prints of one subject; ``source`` says where the pairs came from."""
    subject, rows = measured.subject, measured.rows
    table = measured.table
    gates = dict(zip(subject.gates, (round(float(w), 4) for w in measured.weights), strict=True))
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "model": subject.name,
        "model_sha256": subject.model.sha256,
        "bias": subject.bias,
        "forced": None if subject.forced is None else word_of(subject.forced),
        "board": board,
        "source": source,
        "files": len(rows),
        "speakers": len(set(table.groups)),
        "seconds": round(sum(row["samples"] for row in rows) / RATE, 2),
        "toolchain": versions(),
        "memory": {key: measured.sizes[key] for key in ("flash", "ram")},
    }
    result |= summarize(rows, measured.mixes, subject.gates, measured.weights)
    result["instructions"] = instructions(measured, result["instructions"])
    result["gate_weights"] = gates
    result["macs"] = macs(measured)
    result["leak"] = leak(measured, result["mixes"])
    result["equal"] = equality(rows)
    if subject.forced is not None:
        result["usage_falls_with_snr"] = None
    return result


def instructions(measured: Measured, interval: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Instructions a frame over all frames: mean with its interval, p99, max, and all gates on (not where
    the gates were forced)."""
    if interval is None:
        return None
    pooled = statistics(np.concatenate([row["instructions"] for row in measured.rows]))
    found = {
        **{key: pooled[key] for key in ("mean", "p99", "max")},
        "low": interval["low"],
        "high": interval["high"],
    }
    if measured.subject.forced is not None:
        return found
    all_on = pooled["mean"] if measured.all_on is None else round(measured.all_on)
    return {**found, "all_on": all_on, "share_of_all_on": round(pooled["mean"] / all_on, 4)}


def macs(measured: Measured) -> dict[str, float]:
    """MMAC/s: all gates on, and what each network uses."""
    graph = measured.subject.model.graph
    hops = RATE / hop_of(graph)
    gated = gate_macs(graph)
    total = sum(ops.definition(op.kind).macs(op, graph.tensors) for op in graph.operators())
    result = {"all_on": total * hops / 1e6}
    for network, usage in measured.table.usage.items():
        result[network] = (total - float(gated.sum()) + float(usage.mean(axis=0) @ gated)) * hops / 1e6
    return {key: round(value, 3) for key, value in result.items()}


def leak(measured: Measured, mixes: Mapping[str, Any]) -> dict[str, Any]:
    """What comes out where nobody speaks: levels in dB of full scale, and peaks in int16 steps."""
    result: dict[str, Any] = {}
    for row in measured.silences:
        result[row["name"]] = {
            "level_db": {system: round(level, 2) for system, level in row["level"].items()},
            "peak": row["peak"],
        }
    if mixes.get("noise"):
        result["noise_only"] = {
            network: part["reduction_db"]
            for network, part in mixes["noise"].items()
            if isinstance(part, Mapping) and "reduction_db" in part
        }
    return result


def equality(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether the firmware was the integer reference, bit for bit, and the first file where it was not."""
    wrong = [row for row in rows if row["equal"]["status"] == "differs"]
    return {
        "status": "differs" if wrong else "equal",
        "frames": sum(row["equal"].get("frames", 0) for row in rows),
        "differing_files": len(wrong),
        "first_difference": {"file": wrong[0]["name"], **wrong[0]["equal"]} if wrong else None,
    }
