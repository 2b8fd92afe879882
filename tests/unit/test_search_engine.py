"""NSGA-II over genomes: deterministic, within limits, better than random, and nothing is evaluated twice."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from search_example import OPTIONS, PRESETS, SPACE, Synthetic, front, search

from quant.errors import ConfigError
from tinydsn.search.nsga import Individual, Loss, Options, pareto
from tinydsn.search.run import hypervolume, hypervolumes, pick, table
from tinydsn.search.score import Score


def test_the_same_seed_gives_the_same_front_and_another_seed_another(tmp_path: Path) -> None:
    state = random.getstate()
    first = search(tmp_path / "a")
    assert random.getstate() == state
    random.seed(99)
    assert front(search(tmp_path / "b")) == front(first)
    assert front(search(tmp_path / "c", replace(OPTIONS, seed=2))) != front(first)


def test_nothing_is_evaluated_twice(tmp_path: Path) -> None:
    found = search(tmp_path / "run", factory=Synthetic(tmp_path / "log"))
    asked = (tmp_path / "log").read_text().split()
    assert max(Counter(asked).values()) == 1
    assert len(asked) == found.archive.evaluations == OPTIONS.population * OPTIONS.generations


def test_the_front_is_dominated_by_nothing_that_was_evaluated(tmp_path: Path) -> None:
    found = search(tmp_path)
    scores = [item.score.objectives for item in found.archive.scored.values()]
    for one, other in itertools.product((item.score.objectives for item in found.front), scores):
        assert not (all(np.array(other) <= one) and any(np.array(other) < one))
    flashes = [item.score.flash for item in found.front]
    assert flashes == sorted(flashes) and len(flashes) > 10


def test_groups_move_together_before_single_genes_do(tmp_path: Path) -> None:
    grouped = search(tmp_path / "grouped", replace(OPTIONS, refine_at=99))
    for item in grouped.archive.scored.values():
        assert all(len({item.genome[index] for index in members}) == 1 for members in SPACE.groups)
    single = search(tmp_path / "single")
    assert any(
        len({item.genome[index] for index in members}) > 1
        for item in single.archive.scored.values()
        for members in SPACE.groups
    )


def test_limits_are_kept_and_what_is_nearest_leads_to_them(tmp_path: Path) -> None:
    # no preset is within, w4a8 is nearest
    found = search(tmp_path, replace(OPTIONS, max_flash=330, max_instructions=1100, refine_at=1))
    assert found.front and all(item.score.flash <= 330 for item in found.front)
    assert all(item.score.instructions <= 1100 for item in found.front)
    with pytest.raises(ConfigError) as caught:
        search(tmp_path / "none", replace(OPTIONS, max_flash=20, generations=2))
    assert str(caught.value).startswith("no genome is within --max-flash 20: the nearest takes ")


def test_constrained_domination() -> None:
    good, better = Loss((2.0, 2.0, 2.0)), Loss((1.0, 2.0, 2.0))
    beyond, further = Loss((0.0, 0.0, 0.0), 0.1), Loss((0.0, 0.0, 0.0), 0.2)
    assert better.dominates(good) and not good.dominates(better)
    assert good.dominates(beyond) and not beyond.dominates(good)
    assert beyond.dominates(further) and not further.dominates(beyond)
    items = [Individual((bits,), Score(bits, 1, 1.0, 1.0), Loss((bits, 1.0, 1.0))) for bits in (3, 2, 2)]
    assert [item.genome for item in pareto(items)] == [(2,)]


def test_failures_are_kept_apart(tmp_path: Path) -> None:
    found = search(tmp_path)
    assert found.archive.failures
    assert {failure.reason for failure in found.archive.failures.values()} == {"op0 cannot have 2 bits"}
    assert all(item.genome[0] != 2 for item in found.front)


def test_the_front_beats_presets_and_random_search(tmp_path: Path) -> None:
    """On three of three seeds, by hypervolume in the box of the presets."""
    for seed in range(3):
        options = replace(OPTIONS, seed=seed, generations=12)
        ours = hypervolumes(search(tmp_path / f"nsga{seed}", options))
        drawn = hypervolumes(search(tmp_path / f"random{seed}", replace(options, strategy="random")))
        assert ours and drawn
        assert ours["front"] > drawn["front"] > drawn["homogeneous"] == ours["homogeneous"]


def test_hypervolume_of_boxes() -> None:
    assert hypervolume(np.array([[0.1, 0.1, 0.1]])) == pytest.approx(1.0)
    assert hypervolume(np.array([[0.6, 0.1, 0.1], [0.1, 0.6, 0.1]])) == pytest.approx(0.75)
    assert hypervolume(np.array([[1.2, 0.1, 0.1]])) == 0.0


def test_without_seeding_the_presets_only_stand_beside(tmp_path: Path) -> None:
    found = search(tmp_path, replace(OPTIONS, seeded=False, generations=2))
    assert set(table(found)["homogeneous"]) == set(PRESETS)
    assert not {SPACE.key(genome) for genome in PRESETS.values()} & set(found.archive.scored)
    assert found.archive.evaluations == 2 * OPTIONS.population


def test_a_small_space_is_used_up_and_no_more(tmp_path: Path) -> None:
    found = search(tmp_path, replace(OPTIONS, refine_at=99, generations=30))
    assert found.archive.evaluations <= 7 * 7 * 2 * 2


def test_pick_takes_the_least_loss_within_limits(tmp_path: Path) -> None:
    found = search(tmp_path)
    chosen = pick(found, 500, None, tmp_path).score
    assert chosen.flash <= 500
    assert chosen.quality == min(item.score.quality for item in found.front if item.score.flash <= 500)
    with pytest.raises(ConfigError) as caught:
        pick(found, 100, None, tmp_path)
    least = min(item.score.flash for item in found.front)
    assert str(caught.value).startswith(
        f"{tmp_path}: no point of the front is within the limits (it begins at {least} bytes of flash"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"population": 10}, "population 10 (must be a multiple of 4, at least 8)"),
        ({"generations": 0}, "0 generations (must be at least 1)"),
        ({"strategy": "luck"}, "unknown strategy 'luck' (must be nsga2 or random)"),
        ({"max_flash": 0}, "--max-flash 0 (must be above 0)"),
    ],
)
def test_wrong_options(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(Options(), **changes)  # type: ignore[arg-type]
    assert str(caught.value) == message
