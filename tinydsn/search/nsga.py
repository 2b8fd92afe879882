"""NSGA-II (Deb et al. 2002) over genomes, with DEAP, and random search with the same budget.

Every generation draws from a random state of its own, made of the seed and the generation's number, and is a
function of the scores before it. So a run whose scores are known is replayed exactly, whoever computed them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from deap import base, tools

from quant.errors import ConfigError
from quant.nearest import unknown
from tinydsn.search.genome import Space
from tinydsn.search.score import Failure, Genome, Outcome, Score

STRATEGIES = ("nsga2", "random")
CROSSOVER = 0.9
SWAP = 0.5
ROUNDS = 60
"""Rounds of mating after which a generation stays smaller than asked: the space is nearly used up."""


@dataclass(frozen=True)
class Options:
    """How a search runs.

    population: a multiple of 4 (DEAP's tournament). generations: of ``population`` evaluations each, the
    first one included. refine_at: from this generation on single genes change, before it groups of them.
    max_flash (bytes), max_instructions (a frame): hard limits, or None. seeded: begin with the presets.
    """

    population: int = 40
    generations: int = 40
    refine_at: int = 20
    seed: int = 0
    strategy: str = "nsga2"
    max_flash: int | None = None
    max_instructions: float | None = None
    seeded: bool = True

    def __post_init__(self) -> None:
        if self.population < 8 or self.population % 4:
            raise ConfigError(f"population {self.population} (must be a multiple of 4, at least 8)")
        if self.generations < 1:
            raise ConfigError(f"{self.generations} generations (must be at least 1)")
        if self.strategy not in STRATEGIES:
            raise ConfigError(unknown("strategy", self.strategy, STRATEGIES))
        for name in ("max_flash", "max_instructions"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise ConfigError(f"--{name.replace('_', '-')} {limit} (must be above 0)")

    def violation(self, score: Score) -> float:
        """By what part the score exceeds its limits, summed; 0 within them."""
        pairs = ((score.flash, self.max_flash), (score.instructions, self.max_instructions))
        return sum(max(0.0, value / limit - 1) for value, limit in pairs if limit is not None)


class Loss(base.Fitness):
    """Three objectives to be small. What is within the limits dominates what is not, and less beyond more."""

    weights = (-1.0, -1.0, -1.0)

    def __init__(self, values: tuple[float, ...] = (), violation: float = 0.0) -> None:
        super().__init__(values)
        self.violation = violation

    def dominates(self, other: Loss, obj: slice = slice(None)) -> bool:
        """Constrained domination (Deb et al. 2002, section VI)."""
        if self.violation or other.violation:
            return bool(self.violation < other.violation)
        return bool(super().dominates(other, obj))


@dataclass(eq=False)
class Individual:
    """A scored genome; DEAP reads and marks its ``fitness``."""

    genome: Genome
    score: Score
    fitness: Loss


@dataclass
class Archive:
    """Every outcome of a run by key in the order of asking, the front within the limits, and failures."""

    scored: dict[str, Individual] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    front: list[Individual] = field(default_factory=list)

    @property
    def evaluations(self) -> int:
        """Genomes asked for."""
        return len(self.scored) + len(self.failures)

    def known(self, key: str) -> bool:
        """Whether the genome of this name was asked for."""
        return key in self.scored or key in self.failures


Evaluate = Callable[[int, Sequence[Genome]], Mapping[str, Outcome]]
"""Given the generation and new genomes, their outcomes by key."""
Watch = Callable[[int, Archive], None]


@contextmanager
def random_state(seed: int, generation: int) -> Iterator[None]:
    """DEAP draws from Python's global generator: give it a state of our own, and the caller's back."""
    before = random.getstate()
    random.seed(f"{seed}/{generation}")
    try:
        yield
    finally:
        random.setstate(before)


def evolve(
    space: Space,
    options: Options,
    presets: Mapping[str, Genome],
    evaluate: Evaluate,
    watch: Watch | None = None,
) -> Archive:
    """Run all generations. ``presets`` are scored first, and belong to the first generation when ``seeded``.

    ``watch`` is called with (generations done, archive) after each.
    """
    archive = Archive()
    population: list[Individual] = []
    if not options.seeded:
        # For comparison only: what begins without them must not meet them in its archive.
        evaluate(0, list(dict.fromkeys(presets.values())))
    for generation in range(options.generations):
        units = space.groups if generation < options.refine_at else space.singles
        with random_state(options.seed, generation):
            first = list(dict.fromkeys(presets.values())) if options.seeded and not generation else []
            asked = first[: options.population]
            count = options.population - len(asked)
            if generation and options.strategy == "nsga2" and population:
                asked += _children(space, population, count, units, archive)
            else:
                asked += _drawn(space, count, units, archive, asked)
        outcomes = evaluate(generation, asked)
        new = _added(archive, space, options, asked, outcomes)
        pool = [*population, *new]
        population = tools.selNSGA2(pool, min(options.population, len(pool))) if pool else []
        archive.front = pareto([*archive.front, *new])
        if watch is not None:
            watch(generation + 1, archive)
    return archive


def pareto(individuals: Sequence[Individual]) -> list[Individual]:
    """Those within the limits that none dominates, by flash, then quality; one of several equal ones."""
    legal = [item for item in individuals if not item.fitness.violation]
    if not legal:
        return []
    best = tools.sortNondominated(legal, len(legal), first_front_only=True)[0]
    ordered = sorted(best, key=lambda item: (item.score.flash, item.score.quality, item.score.instructions))
    distinct: dict[tuple[float, ...], Individual] = {}
    for item in ordered:
        distinct.setdefault(item.score.objectives, item)
    return list(distinct.values())


def _added(
    archive: Archive,
    space: Space,
    options: Options,
    asked: Sequence[Genome],
    outcomes: Mapping[str, Outcome],
) -> list[Individual]:
    new = []
    for genome in asked:
        key = space.key(genome)
        outcome = outcomes[key]
        if isinstance(outcome, Failure):
            archive.failures[key] = outcome
            continue
        loss = Loss(outcome.objectives, options.violation(outcome))
        archive.scored[key] = Individual(genome, outcome, loss)
        new.append(archive.scored[key])
    return new


def _drawn(
    space: Space, count: int, units: Sequence[Sequence[int]], archive: Archive, besides: Sequence[Genome]
) -> list[Genome]:
    """New genomes, each unit's width drawn uniformly."""
    made: dict[Genome, None] = {}
    for _ in range(ROUNDS * count):
        if len(made) == count:
            break
        places = [random.randrange(len(space.genes[unit[0]].choices)) for unit in units]
        genome = _decoded(space, places, units)
        if genome not in besides and not archive.known(space.key(genome)):
            made.setdefault(genome)
    return list(made)


def _children(
    space: Space,
    population: Sequence[Individual],
    count: int,
    units: Sequence[Sequence[int]],
    archive: Archive,
) -> list[Genome]:
    """New genomes of parents chosen by tournament: uniform crossover, then one mutated unit on average."""
    top = [len(space.genes[unit[0]].choices) - 1 for unit in units]
    made: dict[Genome, None] = {}
    for _ in range(ROUNDS):
        parents = list(population)
        if len(parents) >= 4:
            parents = tools.selTournamentDCD(parents, len(parents) // 4 * 4)
        for one, two in zip(parents, [*parents[1:], parents[0]], strict=True):
            pair = [_encoded(space, parent.genome, units) for parent in (one, two)]
            if random.random() < CROSSOVER:
                tools.cxUniform(*pair, SWAP)
            for places in pair:
                tools.mutUniformInt(places, [0] * len(top), top, 1 / len(top))
                child = _decoded(space, places, units)
                if not archive.known(space.key(child)):
                    made.setdefault(child)
                if len(made) == count:
                    return list(made)
    return list(made)


def _encoded(space: Space, genome: Genome, units: Sequence[Sequence[int]]) -> list[int]:
    """The place of each unit's width among its choices."""
    return [space.genes[unit[0]].choices.index(genome[unit[0]]) for unit in units]


def _decoded(space: Space, places: Sequence[int], units: Sequence[Sequence[int]]) -> Genome:
    bits = {
        index: space.genes[index].choices[place]
        for unit, place in zip(units, places, strict=True)
        for index in unit
    }
    return tuple(bits[index] for index in range(len(space.genes)))
