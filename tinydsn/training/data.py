"""Loads what a run needs into memory: about 0.5 GB for the corpus's 4 hours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tinydsn.audio.corpus import load_bank, read_manifest, select
from tinydsn.training.loop import TrainingData, batch_tensors
from tinydsn.training.recipe import Recipe

VALID_MIXTURES = 48


def load_training_data(corpus: Path, recipe: Recipe, say: Callable[[str], None]) -> TrainingData:
    """Decodes the train split and draws fixed mixtures from the valid split (seed 0)."""
    clips = read_manifest(corpus)
    banks = {}
    for split in ("train", "valid"):
        for kind in ("speech", "noise", "rir"):
            chosen = select(clips, kind, split)
            banks[split, kind] = bank = load_bank(chosen)
            say(f"{split} {kind}: {len(bank)} clips, {bank.seconds / 3600:.2f} h")
    speech, noise, rooms = (banks["valid", kind] for kind in ("speech", "noise", "rir"))
    valid = batch_tensors(speech, noise, rooms, recipe, 0, 0, VALID_MIXTURES)
    return TrainingData(banks["train", "speech"], banks["train", "noise"], banks["train", "rir"], valid)
