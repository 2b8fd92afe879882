"""A gated model beside the line through static ones: what the same mean cost would buy without gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinydsn.evaluation.compare import MARGINS, differences
from tinydsn.evaluation.table import Table


def head_of(name: str, alike: Iterable[str]) -> str | None:
    """Which network ``name`` is a variant or another seed of: the one of ``alike`` whose name, and a hyphen,
    its own begins with (``dsn-s-full`` of ``dsn-s-full-2``); None where there is none."""
    return min((other for other in alike if name.startswith(f"{other}-")), key=len, default=None)


def neighbours(cost: float, statics: Mapping[str, float]) -> tuple[str, str, float] | None:
    """The static models next below and above ``cost`` (mean instructions a frame), and the upper one's
    share (0 to 1) in the mixture of the two that costs the same; None where one of them is missing.
    """
    below = [name for name, value in statics.items() if value <= cost]
    above = [name for name, value in statics.items() if value >= cost]
    if not below or not above:
        return None
    low, high = max(below, key=lambda name: statics[name]), min(above, key=lambda name: statics[name])
    width = statics[high] - statics[low]
    return low, high, (cost - statics[low]) / width if width else 0.0


def beside_front(gated: Table, statics: Mapping[str, Table]) -> dict[str, Any] | None:
    """Paired differences of ``gated`` to the point of equal mean cost on the line between two static models.

    All tables hold the same mixtures in the same order. The line is what one gets by running each of the
    two static models for a share of the time. None where the cost lies outside the statics' range, or where
    instructions were not counted.
    """
    costs = {name: float(np.mean(table.cost)) for name, table in statics.items()}
    found = neighbours(float(np.mean(gated.cost)), costs) if np.all(np.isfinite(gated.cost)) else None
    if found is None:
        return None
    low, high, share = found
    drawn = gated.resampling()
    result: dict[str, Any] = {"below": low, "above": high, "share_above": round(share, 4)}
    for system in ("float", "firmware"):
        tables = [table.scores.get(system) for table in (gated, statics[low], statics[high])]
        if all(tables):
            own, lower, upper = tables
            assert own is not None and lower is not None and upper is not None
            line = {metric: (1 - share) * lower[metric] + share * upper[metric] for metric in MARGINS}
            result[system] = differences(own, line, drawn, MARGINS)
    return result
