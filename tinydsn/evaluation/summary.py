"""From the rows of an evaluation to what ``tinydsn evaluate --json`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinydsn.evaluation.build_list import SNR_EDGES
from tinydsn.evaluation.compare import QUANTIZATION_MARGINS, differences
from tinydsn.evaluation.frames import CLASSES
from tinydsn.evaluation.statistics import Resampling, estimate, resample, spearman_estimate
from tinydsn.evaluation.table import (
    NETWORKS,
    Table,
    bins,
    cost_json,
    difference,
    mean_cost,
    numbers,
    section,
    tabulate,
)

LARGEST_USAGE_DIFFERENCE = 0.02
"""Between the gates of the float network and the integer one; more is a fault."""

Rows = Sequence[Mapping[str, Any]]


def summarize(rows: Rows, mixes: Rows, gates: Sequence[str], weights: np.ndarray) -> dict[str, Any]:
    """Everything that follows from the rows of pairs and of named mixes; K gate names and weights."""
    table = tabulate(rows, weights)
    drawn = table.resampling()
    result = section(table, gates)
    result["improvement"] = {
        network: {
            metric: difference(table.scores[network][metric], table.scores["noisy"][metric], drawn).to_json()
            for metric in table.scores[network]
        }
        for network in table.usage
    }
    if "float" in table.scores:
        result["quantization"] = differences(
            table.scores["firmware"], table.scores["float"], drawn, QUANTIZATION_MARGINS
        )
    result["by_snr"] = by_range(table, table.snr, SNR_EDGES, gates)
    edges = (-10.0, *SNR_EDGES)
    result["by_input_sisdr"] = by_range(table, table.scores["noisy"]["SISDR"], edges, gates)
    result["usage_falls_with_snr"] = falls(result["by_snr"])
    result["spearman"] = {
        f"usage_{network}_with_noisy_OVRL": spearman_estimate(
            table.weighted_usage(network), table.scores["noisy"]["OVRL"], drawn
        ).to_json()
        for network in table.usage
    } | {"snr_with_noisy_OVRL": spearman_estimate(table.snr, table.scores["noisy"]["OVRL"], drawn).to_json()}
    result["frames"] = {name: class_section(rows, name, weights) for name in CLASSES}
    result["mixes"] = {"test": mix_section(rows, weights)} | {
        name: mix_section([row for row in mixes if row["mix"] == name], weights)
        for name in dict.fromkeys(row["mix"] for row in mixes)
    }
    result["undefined"] = undefined(table)
    result["faults"] = faults(table, gates)
    return result


def by_range(
    table: Table, values: np.ndarray, edges: Sequence[float], gates: Sequence[str]
) -> list[dict[str, Any]]:
    """A section for each range of ``values`` (dB) that holds a mixture."""
    return [
        {"from": low, "to": high, **section(table.select(chosen), gates)}
        for low, high, chosen in bins(values, edges)
    ]


def falls(by_snr: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether the firmware's weighted usage falls from each SNR bin to the next; None without gates."""
    usages = [part["usage"]["firmware"]["mean"] for part in by_snr]
    if len(usages) < 2 or None in usages:
        return None
    return all(later < earlier for earlier, later in zip(usages[:-1], usages[1:], strict=True))


def class_section(rows: Rows, name: str, weights: np.ndarray) -> dict[str, Any] | None:
    """One class of frames: level reduction in dB and weighted usage; None where it never occurs."""
    found = [row for row in rows if name in row["classes"]]
    if not found:
        return None
    parts = [row["classes"][name] for row in found]
    drawn = resample([row["group"] for row in found])
    result: dict[str, Any] = {
        "files": len(found),
        "frames": sum(part["frames"] for part in parts),
        "level_noisy": estimate(numbers([part["level"]["noisy"] for part in parts]), drawn).to_json(),
    }
    for network in NETWORKS:
        if network in parts[0]["level"]:
            result[network] = _behaviour(parts, network, weights, drawn)
    return result


def mix_section(rows: Rows, weights: np.ndarray) -> dict[str, Any] | None:
    """Mean cost, usage and level reduction of a named mix."""
    if not rows:
        return None
    drawn = resample([row["group"] for row in rows])
    result: dict[str, Any] = {
        "files": len(rows),
        "instructions": cost_json(numbers([mean_cost(row) for row in rows]), drawn),
    }
    for network in NETWORKS:
        if network in rows[0]["usage"]:
            result[network] = _behaviour(rows, network, weights, drawn)
    return result


def _behaviour(
    parts: Sequence[Mapping[str, Any]], network: str, weights: np.ndarray, drawn: Resampling
) -> dict[str, Any]:
    reduction = [part["level"]["noisy"] - part["level"][network] for part in parts]
    usage = [float(np.dot(part["usage"][network], weights)) if len(weights) else None for part in parts]
    return {
        "reduction_db": estimate(numbers(reduction), drawn).to_json(),
        "usage": estimate(numbers(usage), drawn).to_json(),
    }


def undefined(table: Table) -> dict[str, dict[str, int]]:
    """How many mixtures a metric is not defined for, by system; only where there are any."""
    counts = {
        system: {metric: int(np.isnan(values).sum()) for metric, values in columns.items()}
        for system, columns in table.scores.items()
    }
    kept = {system: {key: n for key, n in columns.items() if n} for system, columns in counts.items()}
    return {system: columns for system, columns in kept.items() if columns}


def faults(table: Table, gates: Sequence[str]) -> list[str]:
    """Sentences about gates that the integer network opens in another share of frames than the float one."""
    if "float" not in table.usage:
        return []
    found, wanted = (table.usage[network].mean(axis=0) for network in ("firmware", "float"))
    return [
        f"gate {name} is open in {100 * integer:.1f} % of the frames, in the float network in "
        f"{100 * real:.1f} % (a difference above {100 * LARGEST_USAGE_DIFFERENCE:g} points is a fault)"
        for name, integer, real in zip(gates, found, wanted, strict=True)
        if abs(integer - real) > LARGEST_USAGE_DIFFERENCE
    ]
