"""What a run trains on: mixtures drawn anew at every step, or segments of the rated pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quant.errors import ConfigError
from tinydsn.audio.mixing import draw_batch, unaugmented
from tinydsn.training.pool import (
    Banks,
    PoolOptions,
    Segments,
    load_banks,
    read_scores,
    read_table,
    recipe_hash,
    rendered_pool,
    shipped_table,
)
from tinydsn.training.recipe import Recipe

VALID_MIXTURES = 48
POLICY_CLIPS, POLICY_SAMPLES = 64, 72000
POLICY_SEED = 1000
"""Added to the recipe's seed: the policy's clips are not those of the first steps."""


def policy_batches(hours: float) -> int:
    """How many batches of the policy's clips last so long, at least 1."""
    return max(1, round(hours * 3600 * 16000 / (POLICY_CLIPS * POLICY_SAMPLES)))


@dataclass(frozen=True)
class Batch:
    """Waves ``[batch, samples]`` in [-1, 1], and what the guidance goes by: OVRL or SNR ``[batch]``."""

    noisy: Tensor
    target: Tensor
    condition: Tensor

    def to(self, device: str) -> Batch:
        """The same on another device."""
        return Batch(self.noisy.to(device), self.target.to(device), self.condition.to(device))


@dataclass(frozen=True)
class TrainingData:
    """``batch(step)`` depends on the recipe and the step only; ``valid`` has SNRs as its condition.

    ``policy_batch`` gives more and longer clips, for the policy alone.
    """

    batch: Callable[[int], Batch]
    policy_batch: Callable[[int], Batch]
    valid: Batch


Draw = Callable[[Recipe, int, int, int], Batch]
"""``draw(recipe, seed, step, size)``: a batch of a split's new mixtures."""


def mixed_batch(banks: Banks, recipe: Recipe, seed: int, step: int, size: int) -> Batch:
    """New mixtures; the condition is their SNR."""
    mixtures = draw_batch(banks.speech, banks.noise, banks.rooms, recipe.mix, seed, step, size)
    noisy = torch.from_numpy(np.stack([mixture.noisy for mixture in mixtures]))
    target = torch.from_numpy(np.stack([mixture.target for mixture in mixtures]))
    return Batch(noisy, target, torch.tensor([mixture.snr_db for mixture in mixtures]))


def pool_batch(segments: Segments, samples: int, seed: int, step: int, size: int) -> Batch:
    """Segments of the pool; the condition is the OVRL of their mixtures."""
    waves = segments.batch(samples, seed, step, size)
    return Batch(*(torch.from_numpy(part) for part in waves))


def drawn_anew(train: Draw, valid: Draw, recipe: Recipe) -> TrainingData:
    """Training on new mixtures at every step; validation draws the same ones each time."""
    seed, size = recipe.train.seed, recipe.train.batch
    longer = replace(recipe, mix=replace(recipe.mix, samples=POLICY_SAMPLES))
    heard = replace(recipe, mix=unaugmented(recipe.mix))
    return TrainingData(
        lambda step: train(recipe, seed, step, size),
        lambda step: train(longer, POLICY_SEED + seed, step, POLICY_CLIPS),
        valid(heard, 0, 0, VALID_MIXTURES),
    )


def from_banks(train: Banks, valid: Banks, recipe: Recipe) -> TrainingData:
    """Training on new mixtures of decoded clips."""
    return drawn_anew(partial(mixed_batch, train), partial(mixed_batch, valid), recipe)


def load_training_data(
    corpus: Path,
    recipe: Recipe,
    say: Callable[[str], None],
    cache: Path | None = None,
    scores: Path | None = None,
) -> TrainingData:
    """Decodes the corpus's train and valid split (0.5 GB for 4 hours); ``cache`` and ``scores``: the pool's.

    Without ``scores`` the ratings that come with the package. Raises ConfigError when the recipe wants the
    pool and its folder is not given, or its ratings neither are given nor come with the package.
    """
    train, valid = (load_banks(corpus, split, say) for split in ("train", "valid"))
    data = from_banks(train, valid, recipe)
    if not recipe.train.pool:
        return data
    if cache is None:
        raise ConfigError("the recipe trains on the rated pool: give --pool, a folder for it (3.5 GB)")
    options = PoolOptions() if scores is None else PoolOptions(size=len(read_table(scores)[1]))
    key = recipe_hash(train, options)
    ratings = read_scores(scores or shipped_table(key), key)  # before minutes go into the waves

    def tell(done: int, total: int) -> None:
        if done % 500 == 0:
            say(f"pool: {done} of {total} mixtures rendered")

    segments = Segments(rendered_pool(train, options, cache, tell), ratings)
    say(f"pool: {options.size} mixtures, mean OVRL {segments.scores[:, 2].mean():.2f}")
    seed, size, samples = recipe.train.seed, recipe.train.batch, recipe.mix.samples
    return TrainingData(
        lambda step: pool_batch(segments, samples, seed, step, size),
        lambda step: pool_batch(segments, POLICY_SAMPLES, POLICY_SEED + seed, step, POLICY_CLIPS),
        data.valid,
    )
