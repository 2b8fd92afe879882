"""Training that separates speakers: mixtures of two, and losses that do not care which output is whose.

The loss is the negative SI-SDR under the better assignment of the outputs to the speakers of a clip
(permutation-invariant training, Yu et al. 2017), limited to +-30 dB. A spectral loss beside it
(`tinydsn.training.losses`) holds the outputs' level, which the SI-SDR leaves open. What a frame's compute
costs is weighed by what it buys in its piece (`tinydsn.training.benefit`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinydsn.audio.voices import Speakers, draw_voices_batch, load_speakers
from tinydsn.training.data import Batch, TrainingData, drawn_anew
from tinydsn.training.losses import speech_loss
from tinydsn.training.recipe import Recipe

FLOOR = 1e-6
LIMIT = 1e-3
"""Share of the signal's power that error has at least, and the reverse: 30 dB."""


def separation_batch(speakers: Speakers, recipe: Recipe, seed: int, step: int, size: int) -> Batch:
    """New mixtures; the target is ``[batch, 2, samples]``, the condition the mixture's own SI-SDR in dB, mean
    over both speakers."""
    drawn = draw_voices_batch(speakers, recipe.mix, recipe.voices, seed, step, size)
    mixed = torch.from_numpy(np.stack([mixture.mixed for mixture in drawn]))
    target = torch.from_numpy(np.stack([mixture.voices for mixture in drawn]))
    return Batch(mixed, target, -si_sdr_loss(mixed.unsqueeze(1).expand_as(target), target).mean(-1))


def from_speakers(train: Speakers, valid: Speakers, recipe: Recipe) -> TrainingData:
    """Training on new mixtures of decoded clips."""
    return drawn_anew(partial(separation_batch, train), partial(separation_batch, valid), recipe)


def load_separation_data(corpus: Path, recipe: Recipe, say: Callable[[str], None]) -> TrainingData:
    """Decodes the corpus's train and valid split by speaker."""
    train, valid = (load_speakers(corpus, split, say) for split in ("train", "valid"))
    return from_speakers(train, valid, recipe)


def si_sdr_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """Negative SI-SDR in dB ``[...]`` of waves ``[..., samples]``, softly limited at 30 dB either way."""
    wanted = target - target.mean(-1, keepdim=True)
    found = estimate - estimate.mean(-1, keepdim=True)
    product = (found * wanted).sum(-1)
    signal = product.square() / (wanted.square().sum(-1) + FLOOR)
    error = (found.square().sum(-1) - signal).clamp_min(0.0)
    return 10 * torch.log10((error + LIMIT * signal + FLOOR) / (signal + LIMIT * error + FLOOR))


def assigned(estimate: Tensor, target: Tensor) -> Tensor:
    """The targets ``[batch, 2, samples]`` in the order of the estimates: that with the lower mean loss."""
    with torch.no_grad():
        swapped = target.flip(1)
        straight, crossed = (si_sdr_loss(estimate, order).mean(1) for order in (target, swapped))
        return torch.where((crossed < straight)[:, None, None], swapped, target)


def separation_losses(
    estimate: Tensor, target: Tensor, recipe: Recipe, compression: float
) -> dict[str, Tensor]:
    """Losses ``speech`` and ``sdr`` per clip ``[batch]`` of waves ``[batch, 2, samples]`` in one order, means
    over both speakers."""
    speech = speech_loss(estimate.flatten(0, 1), target.flatten(0, 1), recipe.train.windows, compression)
    return {
        "speech": speech.unflatten(0, estimate.shape[:2]).mean(1),
        "sdr": si_sdr_loss(estimate, target).mean(1),
    }


def at_best_level(estimate: Tensor, target: Tensor) -> Tensor:
    """Estimates ``[..., samples]`` times the factors that make their error the least, without a gradient: an
    SDR of these is scale-invariant."""
    with torch.no_grad():
        factor = (estimate * target).sum(-1) / (estimate.square().sum(-1) + FLOOR)
        return estimate * factor.unsqueeze(-1)
