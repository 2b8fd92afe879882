"""The numbers of a report: the content of ``report.json``, from which the page is filled too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from quant.gates import to_words
from tinydsn.report.data import STATUSES, ReportData

SCHEMA = 1


def report_json(data: ReportData) -> dict[str, Any]:
    """The report as plain values, as SCHEMA.md describes it. Numbers that are not finite become None."""
    counts = data.instructions
    return _finite(
        {
            "schema": SCHEMA,
            "title": data.title,
            "model": {"name": data.model_name, "sha256": data.model_sha256},
            "board": {"name": data.board, "clock_hz": data.clock_hz},
            "audio": {
                "sample_rate": data.sample_rate,
                "hop": data.hop,
                "samples": len(data.noisy),
                "seconds": len(data.noisy) / data.sample_rate,
                "clean": data.clean is not None,
            },
            "summary": summary(data),
            "gates": [
                {"name": name, "usage": usage}
                for name, usage in zip(data.gate_names, gate_usage(data.gates), strict=True)
            ],
            "frames": {
                "gates": to_words(data.gates).tolist(),
                "instructions": None if counts is None else np.asarray(counts).tolist(),
            },
            "patterns": [asdict(row) for row in data.patterns],
            "operators": [asdict(row) for row in data.operators],
            "states": [asdict(row) for row in data.states],
            "widths": widths(data),
            "memory": asdict(data.memory),
            "search": None if data.search is None else asdict(data.search),
            "results": [dict(row) for row in data.results],
            "metrics": {
                name: None if pair is None else {"before": pair[0], "after": pair[1]}
                for name, pair in data.metrics.items()
            },
            "toolchain": dict(data.toolchain),
            "notes": list(data.notes),
        }
    )


def summary(data: ReportData) -> dict[str, Any]:
    """Equality, instructions a frame, load of the clock, and gate usage."""
    counts = None if data.instructions is None else statistics(data.instructions)
    rate = data.sample_rate / data.hop
    second = None if counts is None else {key: counts[key] * rate for key in ("mean", "max")}
    clock = data.clock_hz
    share = None if second is None or clock is None else {key: value / clock for key, value in second.items()}
    return {
        "bits_equal": bits_equal(data),
        "cells": {status: sum(row["status"] == status for row in data.results) for status in STATUSES},
        "instructions": counts,
        "instructions_per_second": second,
        "clock_share": share,
        "gate_usage": float(np.mean(data.gates)) if data.gates.size else None,
    }


def bits_equal(data: ReportData) -> bool | None:
    """False when a cell differs or failed; None when none ran; else True (skipped cells do not count)."""
    statuses = {row["status"] for row in data.results}
    if statuses & {"differs", "failed"}:
        return False
    return True if "equal" in statuses else None


def statistics(counts: np.ndarray) -> dict[str, float] | None:
    """min, mean, 99th percentile (nearest rank) and max of counts ``[frames]``; None without frames."""
    if not len(counts):
        return None
    ordered = np.sort(np.asarray(counts, np.int64))
    rank = -(-len(ordered) * 99 // 100) - 1
    low, p99, high = int(ordered[0]), int(ordered[rank]), int(ordered[-1])
    return {"min": low, "mean": float(np.mean(ordered)), "p99": p99, "max": high}


def gate_usage(gates: np.ndarray) -> list[float]:
    """Share of the frames in which each gate of bool ``[frames, gates]`` was taken, 0..1."""
    if not len(gates):
        return [0.0] * gates.shape[1]
    return [float(value) for value in np.mean(gates, axis=0)]


def widths(data: ReportData) -> dict[str, list[dict[str, int]]]:
    """How many operators, weights and states have each width, the narrowest first."""
    weights: dict[int, list[int]] = {}
    outputs: dict[int, int] = {}
    states: dict[int, list[int]] = {}
    for row in data.operators:
        if row.weight_bits is not None:
            weights.setdefault(row.weight_bits, []).append(row.weights)
        if row.activation_bits is not None:
            outputs[row.activation_bits] = outputs.get(row.activation_bits, 0) + 1
    for state in data.states:
        states.setdefault(state.bits, []).append(state.bytes)
    return {
        "weights": [
            {"bits": bits, "operators": len(counts), "weights": sum(counts)}
            for bits, counts in sorted(weights.items())
        ],
        "activations": [{"bits": bits, "operators": count} for bits, count in sorted(outputs.items())],
        "states": [
            {"bits": bits, "states": len(sizes), "bytes": sum(sizes)}
            for bits, sizes in sorted(states.items())
        ],
    }


def by_pattern(data: ReportData) -> list[tuple[str, float, list[tuple[str, float]]]]:
    """(gate pattern, mean instructions a frame, (gate or "", instructions) in the operators' order)."""
    patterns = list(dict.fromkeys(name for row in data.operators for name in row.patterns))
    regions = list(dict.fromkeys(["", *(row.region for row in data.operators)]))
    found = []
    for pattern in patterns:
        parts = [
            (region, sum(row.patterns.get(pattern, 0.0) for row in data.operators if row.region == region))
            for region in regions
        ]
        found.append((pattern, sum(count for _, count in parts), parts))
    return found


def shares(data: ReportData, by: str) -> list[tuple[str, int, float]]:
    """(name, operators, share of all instructions), summed by "region" or "kind", the largest first."""
    totals: dict[str, tuple[int, float]] = {}
    for row in data.operators:
        if row.share is not None:
            name = getattr(row, by)
            number, total = totals.get(name, (0, 0.0))
            totals[name] = (number + 1, total + row.share)
    found = [(name, number, total) for name, (number, total) in totals.items()]
    return sorted(found, key=lambda item: -item[2])


def _finite(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
