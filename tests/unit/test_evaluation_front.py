"""A gated model beside the line through static ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_evaluation_summary import ROWS, WEIGHTS

from tinydsn.evaluation.front import beside_front, neighbours
from tinydsn.evaluation.table import Table, tabulate

STATICS = {"half": 500.0, "three-quarters": 750.0, "full": 1000.0}


def shifted(table: Table, value: float, cost: float) -> Table:
    """The same mixtures with every metric raised by ``value``, at a fixed cost."""
    scores = {
        system: {metric: column + value for metric, column in columns.items()}
        for system, columns in table.scores.items()
    }
    return replace(table, scores=scores, cost=np.full(len(table), cost))


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (800.0, ("three-quarters", "full", 0.2)),
        (500.0, ("half", "half", 0.0)),
        (750.0, ("three-quarters", "three-quarters", 0.0)),
    ],
)
def test_neighbours(cost: float, expected: tuple[str, str, float]) -> None:
    assert neighbours(cost, STATICS) == pytest.approx(expected)


@pytest.mark.parametrize("cost", [499.0, 1001.0])
def test_no_line_outside_the_statics(cost: float) -> None:
    assert neighbours(cost, STATICS) is None


def test_difference_to_the_line_is_paired() -> None:
    table = tabulate(ROWS, WEIGHTS)  # mean cost: 801
    low, high = shifted(table, -0.5, 601.0), shifted(table, 0.3, 1001.0)
    found = beside_front(table, {"low": low, "high": high})
    assert found is not None
    assert (found["below"], found["above"], found["share_above"]) == ("low", "high", 0.5)
    # Half of -0.5 and half of 0.3 lie 0.1 below the gated model on each mixture: no spread is left.
    ovrl = found["firmware"]["OVRL"]
    assert (ovrl["mean"], ovrl["low"], ovrl["high"]) == pytest.approx((0.1, 0.1, 0.1))
    assert (ovrl["verdict"], ovrl["direction"]) == ("within 0.03", "higher")


def test_no_line_without_counts() -> None:
    table = tabulate(ROWS, WEIGHTS)
    uncounted = replace(table, cost=np.full(len(table), np.nan))
    statics = {"low": shifted(table, 0.0, 1.0), "high": shifted(table, 0.0, 2000.0)}
    assert beside_front(uncounted, statics) is None
    assert beside_front(table, {}) is None
