"""A search problem without a network: six operators with known losses, scored in no time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quant.errors import QuantizationError
from tinydsn.search.executors import Executor, executor
from tinydsn.search.genome import Gene, Space
from tinydsn.search.journal import Journal
from tinydsn.search.nsga import Archive, Options
from tinydsn.search.run import Found, run
from tinydsn.search.score import Genome, Score

SIZES = (120, 40, 300, 80, 200, 60)
PAINS = (9.0, 1.0, 0.5, 6.0, 2.0, 3.0)
"""How much the loss of each operator grows as its weights lose bits."""
GENES = tuple(
    gene
    for index in range(len(SIZES))
    for gene in (
        Gene(f"op{index}.weight", (2, 3, 4, 5, 6, 7, 8), f"block{index // 3}/weights"),
        Gene(f"op{index}", (8, 16), f"block{index // 3}/activations"),
    )
)
SPACE = Space(GENES, (("policy", 16),))
PRESETS: dict[str, Genome] = {
    f"w{weights}a{activations}": (weights, activations) * len(SIZES)
    for weights in (4, 6, 8)
    for activations in (8, 16)
}
OPTIONS = Options(population=12, generations=8, refine_at=3, seed=1)
IDENTITY = {"model": "synthetic", "seed": 1}


@dataclass(frozen=True)
class Synthetic:
    """Scores a genome of `SPACE`; notes each in ``log`` and takes ``seconds`` for it.

    Genomes whose first operator has 2 bits cannot be quantized.
    """

    log: Path | None = None
    seconds: float = 0.0

    def __call__(self) -> Synthetic:
        return self

    def score(self, genome: Genome) -> Score:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{SPACE.key(genome)}\n")
        time.sleep(self.seconds)
        if genome[0] == 2:
            raise QuantizationError("op0 cannot have 2 bits")
        weights, activations = genome[::2], genome[1::2]
        loss = sum(pain * 4.0 ** (4 - bits) for pain, bits in zip(PAINS, weights, strict=True))
        loss += sum(pain / 5 for pain, bits in zip(PAINS, activations, strict=True) if bits == 8)
        flash = sum(-(-size * bits // 8) for size, bits in zip(SIZES, weights, strict=True))
        speed = {16: 2.0, 8: 1.2}
        slow = sum(
            size * (speed[act] + (bits not in (4, 8)) / 4)
            for size, bits, act in zip(SIZES, weights, activations, strict=True)
        )
        return Score(loss, flash, slow, slow + 10.0)


def search(
    folder: Path,
    options: Options = OPTIONS,
    name: str = "serial",
    factory: Synthetic | None = None,
    watch: Callable[[int, Archive], None] | None = None,
) -> Found:
    """A whole search in ``folder``."""
    work: Executor = executor(name, factory or Synthetic(), 2)
    try:
        with Journal(folder, IDENTITY) as journal:
            return run(SPACE, options, PRESETS, journal, work, watch)
    finally:
        work.close()


def front(found: Found) -> list[tuple[Genome, Score]]:
    """The front as values that can be compared."""
    return [(item.genome, item.score) for item in found.front]
