"""Two systems on the same mixtures: paired differences, intervals, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinydsn.evaluation.statistics import Estimate, Resampling, direction, estimate, interval, verdict
from tinydsn.evaluation.table import Table, difference

MARGINS = {"SIG": 0.03, "BAK": 0.03, "OVRL": 0.03, "PESQ": 0.03, "STOI": 0.01, "SISDR": 0.3}
"""A system is as good as another when the whole interval of the paired difference lies above -margin."""
QUANTIZATION_MARGINS = {**MARGINS, "SIG": 0.02, "OVRL": 0.02}
"""What quantization may cost."""


def differences(
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
    drawn: Resampling,
    margins: Mapping[str, float],
) -> dict[str, Any]:
    """Per metric: mean, low and high of ``first - second``, verdict and direction."""
    result = {}
    for metric, margin in margins.items():
        found = difference(first[metric], second[metric], drawn)
        result[metric] = {
            **found.to_json(),
            "verdict": verdict(found, margin),
            "direction": direction(found),
        }
    return result


def cost_ratio(first: np.ndarray, second: np.ndarray, drawn: Resampling) -> dict[str, Any] | None:
    """Mean cost of the first over that of the second, with its interval; None where it is not counted."""
    top, bottom = estimate(first, drawn), estimate(second, drawn)
    if not (np.isfinite(top.mean) and np.isfinite(bottom.mean)):
        return None
    low, high = interval(drawn.means(first) / drawn.means(second))
    return Estimate(top.mean / bottom.mean, low, high, top.count).to_json()


def compare(first: Table, second: Table) -> dict[str, Any]:
    """What ``first`` is worth beside ``second``; both must hold the same mixtures in the same order."""
    assert first.names == second.names
    drawn = first.resampling()
    systems = [name for name in ("float", "firmware") if name in first.scores and name in second.scores]
    result: dict[str, Any] = {
        system: differences(first.scores[system], second.scores[system], drawn, MARGINS) for system in systems
    }
    result["cost_ratio"] = cost_ratio(first.cost, second.cost, drawn)
    return result
