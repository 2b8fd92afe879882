"""A search on disk: replays what the journal holds, evaluates the rest, and tells the front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ConfigError
from tinydsn.search.executors import Executor
from tinydsn.search.genome import Space
from tinydsn.search.journal import Contents, Journal
from tinydsn.search.nsga import Archive, Evaluate, Individual, Options, Watch, evolve
from tinydsn.search.score import Failure, Genome, Outcome, Score


@dataclass(frozen=True)
class Found:
    """A finished search: every outcome, the front in its archive, the presets, and what it took."""

    space: Space
    options: Options
    archive: Archive
    presets: Mapping[str, Outcome]
    seconds: float
    corrupt: int

    @property
    def front(self) -> Sequence[Individual]:
        """Within the limits and dominated by none, by flash."""
        return self.archive.front


def run(
    space: Space,
    options: Options,
    presets: Mapping[str, Genome],
    journal: Journal,
    executor: Executor,
    watch: Watch | None = None,
) -> Found:
    """Search, or go on with the search of ``journal``.

    Raises ConfigError when nothing could be scored, or when no genome is within the limits.
    """

    def evaluate(generation: int, genomes: Sequence[Genome]) -> Mapping[str, Outcome]:
        new = [genome for genome in genomes if space.key(genome) not in journal.outcomes]
        for index, outcome in executor.run(new):
            journal.add(space.key(new[index]), new[index], outcome, generation)
        return {space.key(genome): journal.outcomes[space.key(genome)] for genome in genomes}

    found = _found(space, options, presets, journal.contents, evaluate, watch)
    return replace(found, seconds=journal.elapsed)


def replay(
    space: Space, options: Options, presets: Mapping[str, Genome], contents: Contents, folder: Path
) -> Found:
    """The finished search of a journal. Raises ConfigError when it is not finished; else as `run`."""

    def evaluate(generation: int, genomes: Sequence[Genome]) -> Mapping[str, Outcome]:
        keys = [space.key(genome) for genome in genomes]
        if any(key not in contents.outcomes for key in keys):
            raise ConfigError(
                f"{folder}: the search is not finished, it stopped in generation {generation + 1} "
                f"(finish it: tinydsn search extend {folder} --generations 0)"
            )
        return {key: contents.outcomes[key] for key in keys}

    return _found(space, options, presets, contents, evaluate, None)


def _found(
    space: Space,
    options: Options,
    presets: Mapping[str, Genome],
    contents: Contents,
    evaluate: Evaluate,
    watch: Watch | None,
) -> Found:
    options = replace(options, generations=options.generations + contents.extended)
    archive = evolve(space, options, presets, evaluate, watch)
    check(archive, options)
    outcomes = {name: contents.outcomes[space.key(genome)] for name, genome in presets.items()}
    return Found(space, options, archive, outcomes, contents.elapsed, contents.corrupt)


def check(archive: Archive, options: Options) -> None:
    """Raise ConfigError unless there is a front, saying what came nearest to the limits."""
    if not archive.scored:
        first = next(iter(archive.failures.values()))
        raise ConfigError(f"no genome could be evaluated; the first one: {first.reason}")
    if not archive.front:
        best = min(archive.scored.values(), key=lambda item: item.fitness.violation).score
        limits = {"--max-flash": options.max_flash, "--max-instructions": options.max_instructions}
        given = " ".join(f"{name} {limit:g}" for name, limit in limits.items() if limit is not None)
        raise ConfigError(
            f"no genome is within {given}: the nearest takes {best.flash:,} bytes and "
            f"{best.instructions:,.0f} instructions (raise the limits, or extend the search)"
        )


def table(found: Found) -> dict[str, Any]:
    """What ``--json`` prints."""
    presets = {
        name: {"failure": outcome.reason} if isinstance(outcome, Failure) else outcome.to_json()
        for name, outcome in found.presets.items()
    }
    return {
        "front": [
            {"genome": found.space.widths(item.genome), **item.score.to_json()} for item in found.front
        ],
        "homogeneous": presets,
        "evaluations": found.archive.evaluations,
        "failures": len(found.archive.failures),
        "corrupt_lines": found.corrupt,
        "hypervolume": hypervolumes(found),
        "seconds": round(found.seconds, 1),
    }


def hypervolumes(found: Found) -> dict[str, float] | None:
    """Hypervolume of the front and of the presets, in units of the presets' own box.

    Objectives are scaled so that the best preset is 0 and the worst 1 in each; the reference point is 1.1.
    None when fewer than two presets have a score.
    """
    scores = [outcome for outcome in found.presets.values() if isinstance(outcome, Score)]
    if len(scores) < 2:
        return None
    points = np.array([score.objectives for score in scores])
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    span = np.where(span > 0, span, 1.0)
    front = (np.array([item.score.objectives for item in found.front]) - low) / span
    legal = [score.objectives for score in scores if not found.options.violation(score)]
    uniform = (np.array(legal).reshape(-1, 3) - low) / span
    return {"front": hypervolume(front), "homogeneous": hypervolume(uniform)}


def hypervolume(points: np.ndarray, reference: float = 1.1) -> float:
    """Volume that ``points`` [n, objectives] dominate below the reference point (moocore)."""
    import moocore

    inside = points[np.all(points < reference, axis=1)]
    if not len(inside):
        return 0.0
    return round(float(moocore.hypervolume(inside, ref=[reference] * points.shape[1])), 6)


def nearest(found: Found, count: int) -> list[Individual]:
    """The ``count`` points within the limits that lie nearest to the front without being of it.

    Each objective is in units of the front's own range.
    """
    front = np.array([item.score.objectives for item in found.front])
    span = np.ptp(front, axis=0)
    span = np.where(span > 0, span, 1.0)
    chosen = {item.genome for item in found.front}
    others = [
        item
        for item in found.archive.scored.values()
        if item.genome not in chosen and not item.fitness.violation
    ]
    distances = [
        float(np.min(np.linalg.norm((front - item.score.objectives) / span, axis=1))) for item in others
    ]
    order = np.argsort(distances, kind="stable")[:count]
    return [others[index] for index in order]


def spread(points: Iterable[Individual], count: int) -> list[Individual]:
    """At most ``count`` of the points, evenly over the order of their loss."""
    ordered = sorted(points, key=lambda item: item.score.objectives)
    places = np.unique(np.rint(np.linspace(0, len(ordered) - 1, min(count, len(ordered)))).astype(int))
    return [ordered[place] for place in places]


def pick(found: Found, max_flash: int | None, max_instructions: float | None, folder: Path) -> Individual:
    """The point of the front with the least loss within the limits. Raises ConfigError when there is none."""
    wanted = replace(found.options, max_flash=max_flash, max_instructions=max_instructions)
    inside = [item for item in found.front if not wanted.violation(item.score)]
    if inside:
        return min(inside, key=lambda item: item.score.objectives)
    flash = min(item.score.flash for item in found.front)
    instructions = min(item.score.instructions for item in found.front)
    raise ConfigError(
        f"{folder}: no point of the front is within the limits (it begins at {flash:,} bytes of flash, and "
        f"at {instructions:,.0f} instructions)"
    )
