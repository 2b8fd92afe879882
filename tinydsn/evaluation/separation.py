"""Two-speaker mixtures of the test split, the same each time, and what separating them is worth.

Every pair of the split's speakers occurs twice, once without and once with noise. A mixture is decided by its
place in the list alone, so that a shorter list begins like a longer one.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinydsn.audio.corpus import RATE
from tinydsn.audio.files import to_int16
from tinydsn.audio.metrics import si_sdr
from tinydsn.audio.mixing import MixOptions
from tinydsn.audio.voices import Speakers, VoiceOptions, draw_voices

SEED = 72
LEVEL_DB = 5.0
MIX = MixOptions(
    samples=8 * RATE, snr_low=5.0, snr_high=20.0, rir_share=0.0, level_low=-32.0, level_high=-18.0
)
"""Voices are up to `LEVEL_DB` apart, noise 5 to 20 dB below both together; no rooms."""
MOST_DB = 60.0
"""SI-SDRs are cut off here, either way; a silent output counts as the worst."""


@dataclass(frozen=True)
class Listed:
    """A mixture of the list: two speakers, with or without noise."""

    index: int
    speakers: tuple[str, str]
    noisy: bool

    @property
    def name(self) -> str:
        """What its separated file is called."""
        return f"{self.index:03d}-{'noisy' if self.noisy else 'clean'}"

    @property
    def group(self) -> str:
        """The pair of speakers."""
        return " + ".join(self.speakers)


@dataclass(frozen=True)
class Voices:
    """int16: the mixture ``[samples]`` and what each speaker adds to it ``[2, samples]``."""

    mixed: np.ndarray
    voices: np.ndarray

    def digest(self) -> str:
        """Names the content."""
        return hashlib.sha256(self.mixed.tobytes() + self.voices.tobytes()).hexdigest()


def separation_list(names: Sequence[str]) -> tuple[Listed, ...]:
    """All pairs of the named speakers in a random order, each without and then with noise."""
    pairs = list(itertools.combinations(sorted(names), 2))
    order = np.random.default_rng(SEED).permutation(len(pairs))
    return tuple(
        Listed(2 * place + noisy, pairs[index], bool(noisy))
        for place, index in enumerate(order)
        for noisy in (0, 1)
    )


def render_voices(listed: Listed, speakers: Speakers) -> Voices:
    """The mixture of one entry of the list."""
    two = Speakers({name: speakers.voices[name] for name in listed.speakers}, speakers.noise, speakers.rooms)
    options = VoiceOptions(LEVEL_DB, clean_share=0.0 if listed.noisy else 1.0)
    drawn = draw_voices(two, MIX, options, np.random.default_rng([SEED, listed.index]))
    return Voices(to_int16(drawn.mixed), to_int16(drawn.voices))


def separated_sdr(outputs: np.ndarray, voices: np.ndarray) -> float:
    """Mean SI-SDR in dB of two waves ``[2, samples]`` against the voices, under the better assignment."""
    return max(
        float(
            np.mean([_limited(outputs[channel], voice) for channel, voice in zip(order, voices, strict=True)])
        )
        for order in itertools.permutations(range(len(voices)))
    )


def mixed_sdr(audio: Voices) -> float:
    """Mean SI-SDR in dB of the mixture itself against both voices."""
    return float(np.mean([_limited(audio.mixed, voice) for voice in audio.voices]))


def _limited(wave: np.ndarray, voice: np.ndarray) -> float:
    return float(np.clip(si_sdr(wave, voice), -MOST_DB, MOST_DB)) if wave.any() else -MOST_DB
