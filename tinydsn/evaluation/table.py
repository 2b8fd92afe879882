"""Rows of an evaluation as arrays, and their means with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinydsn.evaluation.scores import METRICS
from tinydsn.evaluation.statistics import Estimate, Resampling, estimate, resample

SYSTEMS = ("noisy", "float", "integer", "firmware")
NETWORKS = ("float", "firmware")
"""Systems with gates of their own; the integer reference has the firmware's, bit for bit."""


@dataclass(frozen=True)
class Table:
    """Items are mixtures. ``scores``: system -> metric -> ``[items]``, NaN where a metric is not defined.

    usage: network -> ``[items, K]``, share of open frames. weights: ``[K]``, what each gate costs when open,
    summing to 1. cost: mean instructions a frame ``[items]``, NaN where they are not counted. snr: dB, NaN
    where it is not known.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    snr: np.ndarray
    scores: Mapping[str, Mapping[str, np.ndarray]]
    usage: Mapping[str, np.ndarray]
    weights: np.ndarray
    cost: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def resampling(self) -> Resampling:
        """The two-level bootstrap of the items."""
        return resample(self.groups)

    def weighted_usage(self, network: str) -> np.ndarray:
        """Share of the gated cost that is used ``[items]``; NaN without gates."""
        if not len(self.weights):
            return np.full(len(self), np.nan)
        return np.asarray(self.usage[network] @ self.weights)

    def select(self, chosen: np.ndarray) -> Table:
        """The items where ``chosen`` (bool ``[items]``) is true."""
        index = np.nonzero(chosen)[0]
        return Table(
            tuple(self.names[i] for i in index),
            tuple(self.groups[i] for i in index),
            self.snr[index],
            {system: {key: v[index] for key, v in table.items()} for system, table in self.scores.items()},
            {network: rows[index] for network, rows in self.usage.items()},
            self.weights,
            self.cost[index],
        )


def numbers(values: Sequence[float | None]) -> np.ndarray:
    """float64, None as NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def mean_cost(row: Mapping[str, Any]) -> float | None:
    """Mean instructions a frame of a row, None where they were not counted."""
    counts = row["instructions"]
    return None if counts is None else float(np.mean(counts))


def tabulate(rows: Sequence[Mapping[str, Any]], weights: np.ndarray) -> Table:
    """The rows of `measure_pair` as arrays."""
    systems = [system for system in SYSTEMS if system in rows[0]["scores"]]
    networks = [network for network in NETWORKS if network in rows[0]["usage"]]
    return Table(
        tuple(row["name"] for row in rows),
        tuple(row["group"] for row in rows),
        numbers([row["snr"] for row in rows]),
        {
            system: {metric: numbers([row["scores"][system][metric] for row in rows]) for metric in METRICS}
            for system in systems
        },
        {
            network: np.array([row["usage"][network] for row in rows], np.float64).reshape(len(rows), -1)
            for network in networks
        },
        weights,
        numbers([mean_cost(row) for row in rows]),
    )


def usage_json(table: Table, network: str, names: Sequence[str], drawn: Resampling) -> dict[str, Any]:
    """Cost-weighted usage with its interval, and the plain mean of each gate; None without gates."""
    gates = {
        name: round(float(share), 4)
        for name, share in zip(names, table.usage[network].mean(axis=0), strict=True)
    }
    if not gates:
        return {"mean": None, "low": None, "high": None, "gates": {}}
    return {**estimate(table.weighted_usage(network), drawn).to_json(), "gates": gates}


def section(table: Table, names: Sequence[str]) -> dict[str, Any]:
    """One part of the table: each system's metrics, the usage, the mean instructions; all with intervals."""
    drawn = table.resampling()
    result: dict[str, Any] = {"files": len(table)}
    for system, columns in table.scores.items():
        result[system] = {metric: estimate(values, drawn).to_json() for metric, values in columns.items()}
    result["usage"] = {network: usage_json(table, network, names, drawn) for network in table.usage}
    result["instructions"] = cost_json(table.cost, drawn)
    return result


def cost_json(cost: np.ndarray, drawn: Resampling) -> dict[str, Any] | None:
    """Mean instructions a frame with its interval, whole numbers; None where they are not counted."""
    found = estimate(cost, drawn)
    if not np.isfinite(found.mean):
        return None
    return {key: round(getattr(found, key)) for key in ("mean", "low", "high")}


def difference(first: np.ndarray, second: np.ndarray, drawn: Resampling) -> Estimate:
    """Paired differences ``first - second`` with their interval."""
    return estimate(first - second, drawn)


def bins(values: np.ndarray, edges: Sequence[float]) -> list[tuple[float | None, float | None, np.ndarray]]:
    """(from, to, items) of each bin that holds any; None is an open end. Values: dB ``[items]``."""
    bounds = [-np.inf, *edges, np.inf]
    result = []
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        chosen = (values >= low) & (values < high)
        if chosen.any():
            ends = [float(end) if np.isfinite(end) else None for end in (low, high)]
            result.append((ends[0], ends[1], chosen))
    return result
