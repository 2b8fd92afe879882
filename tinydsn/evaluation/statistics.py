"""Means with bootstrap intervals over speakers and then mixtures, paired differences, rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

REPLICATES = 4000
COVERAGE = 0.95
SEED = 95
DIGITS = 5


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % bootstrap interval; ``missing`` values took no part. NaN where none was left."""

    mean: float
    low: float
    high: float
    count: int
    missing: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as None; ``missing`` only where there is one."""
        values = {
            key: None if not np.isfinite(value) else round(value, DIGITS)
            for key, value in asdict(self).items()
            if key not in ("count", "missing")
        }
        return {**values, **({"missing": self.missing} if self.missing else {})}


@dataclass(frozen=True)
class Resampling:
    """Bootstrap replicates of ``groups`` (a label an item), shared by all measures of the same items.

    picks: int ``[replicates, slots]``, indices of items; taken: bool, which slots count. Each replicate
    draws as many groups as there are, with replacement, and from each drawn group as many items as it has.
    """

    picks: np.ndarray
    taken: np.ndarray

    def means(self, values: np.ndarray) -> np.ndarray:
        """The mean of each replicate ``[replicates]`` of ``values`` ``[items]``; NaN is left out."""
        known = np.isfinite(values)
        counts = np.sum(self.taken & known[self.picks], axis=1)
        sums = np.sum(np.where(self.taken, np.where(known, values, 0.0)[self.picks], 0.0), axis=1)
        return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)


def resample(groups: Sequence[str], replicates: int = REPLICATES, seed: int = SEED) -> Resampling:
    """Two-level bootstrap: groups (speakers) first, then items (mixtures) within each drawn group."""
    labels, members = np.unique(np.asarray(groups), return_inverse=True)
    members = members.reshape(-1)
    sizes = np.bincount(members, minlength=len(labels))
    order, starts = np.argsort(members, kind="stable"), np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(labels), size=(replicates, len(labels)))
    inside = rng.random((replicates, len(labels), int(sizes.max())))
    offsets = np.floor(inside * sizes[drawn][..., None]).astype(np.int64)
    picks = order[starts[drawn][..., None] + offsets]
    taken = np.arange(int(sizes.max())) < sizes[drawn][..., None]
    return Resampling(picks.reshape(replicates, -1), taken.reshape(replicates, -1))


def interval(replicates: np.ndarray) -> tuple[float, float]:
    """The central 95 % of the replicates; NaN when none is finite."""
    known = replicates[np.isfinite(replicates)]
    if not len(known):
        return float("nan"), float("nan")
    tail = 50 * (1 - COVERAGE)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def estimate(values: np.ndarray, resampling: Resampling) -> Estimate:
    """The mean of ``values`` ``[items]`` with its interval; values that are not finite are counted apart."""
    known = np.isfinite(values)
    if not known.any():
        return Estimate(float("nan"), float("nan"), float("nan"), 0, len(values))
    low, high = interval(resampling.means(values))
    return Estimate(float(values[known].mean()), low, high, int(known.sum()), int((~known).sum()))


def verdict(difference: Estimate, margin: float) -> str:
    """What a paired difference (higher is better) says about being at most ``margin`` worse.

    "within MARGIN": the whole interval lies above -margin; "below": the whole interval lies at or below
    it; "inconclusive": the interval straddles it, or there is none.
    """
    if difference.low > -margin:
        return f"within {margin:g}"
    return "below" if difference.high <= -margin else "inconclusive"


def direction(difference: Estimate) -> str:
    """ "higher" or "lower" when the whole interval lies on one side of 0, else "undecided"."""
    return "higher" if difference.low > 0 else "lower" if difference.high < 0 else "undecided"


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two series ``[items]``, ties at their mean rank; NaN for a constant."""
    a, b = (_ranks(series) for series in (first, second))
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")


def spearman_estimate(first: np.ndarray, second: np.ndarray, resampling: Resampling) -> Estimate:
    """Spearman's correlation with its bootstrap interval; pairs with a value missing are left out."""
    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < 3:
        return Estimate(float("nan"), float("nan"), float("nan"), 0, int((~known).sum()))
    replicates = []
    for picks, taken in zip(resampling.picks, resampling.taken, strict=True):
        chosen = picks[taken & known[picks]]
        replicates.append(spearman(first[chosen], second[chosen]) if len(chosen) > 2 else float("nan"))
    low, high = interval(np.array(replicates))
    value = spearman(first[known], second[known])
    return Estimate(value, low, high, int(known.sum()), int((~known).sum()))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[places.reshape(-1)]
