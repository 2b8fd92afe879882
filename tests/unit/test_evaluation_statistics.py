"""Bootstrap intervals against analytic cases, verdicts at their edges, rank correlation against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest

from tinydsn.evaluation.statistics import (
    Estimate,
    direction,
    estimate,
    interval,
    resample,
    spearman,
    spearman_estimate,
    verdict,
)

SPEAKERS = [f"s{index % 9}" for index in range(180)]


def half_width(item: Estimate) -> float:
    return (item.high - item.low) / 2


def test_one_group_is_the_plain_bootstrap_of_the_mean() -> None:
    values = np.random.default_rng(0).standard_normal(400)
    found = estimate(values, resample(["a"] * 400))
    assert found.mean == values.mean() and found.count == 400 and found.missing == 0
    assert half_width(found) == pytest.approx(1.96 * values.std() / 20, rel=0.06)


def test_a_difference_between_speakers_is_drawn_over_speakers() -> None:
    """Mixtures of a speaker agree: the interval is that of 9 values, not of 180."""
    levels = np.random.default_rng(1).standard_normal(9)
    values = levels[np.arange(180) % 9]
    found = estimate(values, resample(SPEAKERS))
    assert half_width(found) == pytest.approx(1.96 * levels.std() / 3, rel=0.08)
    alone = estimate(values, resample(["a"] * 180))
    assert half_width(alone) < half_width(found) / 3


def test_both_levels_add_up() -> None:
    """Variance of the mean: between / 9 of the means of speakers, and within / 180."""
    rng = np.random.default_rng(2)
    values = rng.standard_normal(9)[np.arange(180) % 9] + 3 * rng.standard_normal(180)
    table = values.reshape(20, 9)
    between, within = table.mean(0).var(), table.var(axis=0).mean()
    found = estimate(values, resample(SPEAKERS))
    assert half_width(found) == pytest.approx(1.96 * np.sqrt(between / 9 + within / 180), rel=0.06)


def test_groups_of_unequal_size_stay_whole() -> None:
    drawn = resample(["a", "b", "b", "b"], replicates=2000)
    groups = np.array([0, 1, 1, 1])[drawn.picks]
    for row, taken in zip(groups, drawn.taken, strict=True):
        assert sorted(row[taken]) in ([0, 0], [0, 1, 1, 1], [1] * 6)
    chosen = drawn.picks[drawn.taken]
    assert set(chosen) == {0, 1, 2, 3}


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.arange(180.0)
    first, second = (estimate(values, resample(SPEAKERS)) for _ in range(2))
    assert first == second
    assert estimate(values, resample(SPEAKERS, seed=1)) != first


def test_missing_values_are_counted_and_never_averaged() -> None:
    values = np.array([1.0, np.nan, 3.0, np.inf])
    found = estimate(values, resample(["a", "b", "c", "d"]))
    assert (found.mean, found.count, found.missing) == (2.0, 2, 2)
    assert 1 <= found.low <= found.high <= 3
    assert found.to_json() == {"mean": 2.0, "low": 1.0, "high": 3.0, "missing": 2}
    nothing = estimate(np.full(3, np.nan), resample(["a", "b", "c"]))
    assert nothing.to_json() == {"mean": None, "low": None, "high": None, "missing": 3}
    assert np.isnan(interval(np.full(5, np.nan))).all()


def test_a_constant_has_no_width() -> None:
    assert estimate(np.full(6, 2.5), resample(list("aabbcc"))) == Estimate(2.5, 2.5, 2.5, 6)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.0299, 0.1, "within 0.03"),
        (-0.03, 0.1, "inconclusive"),
        (-0.05, -0.0299, "inconclusive"),
        (-0.05, -0.03, "below"),
        (0.1, 0.2, "within 0.03"),
        (float("nan"), float("nan"), "inconclusive"),
    ],
)
def test_verdicts(low: float, high: float, said: str) -> None:
    assert verdict(Estimate(0.0, low, high, 9), 0.03) == said


def test_direction() -> None:
    cases = {(0.01, 0.2): "higher", (-0.2, -0.01): "lower", (-0.1, 0.1): "undecided", (0.0, 0.1): "undecided"}
    for (low, high), said in cases.items():
        assert direction(Estimate(0.0, low, high, 9)) == said


def test_spearman() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    first = rng.integers(0, 12, 180).astype(float)
    second = first + rng.standard_normal(180) * 4
    assert spearman(first, second) == pytest.approx(scipy_stats.spearmanr(first, second).statistic)
    assert spearman(np.arange(9.0), -np.exp(np.arange(9.0))) == pytest.approx(-1)
    assert np.isnan(spearman(np.ones(9), np.arange(9.0)))
    found = spearman_estimate(first, second, resample(SPEAKERS, replicates=500))
    assert found.low < found.mean < found.high
    # Fisher's interval of 180 independent pairs, 1.06 / (n - 3) for ranks
    width = (1 - found.mean**2) * 1.96 * np.sqrt(1.06 / 177)
    assert half_width(found) == pytest.approx(width, rel=0.35)
    assert spearman_estimate(np.ones(2), np.ones(2), resample(["a", "b"])).count == 0
