"""A test signal for profiles without a recording: something like speech, in noise, made here."""

from __future__ import annotations

import numpy as np

from tinydsn.audio.files import to_int16
from tinydsn.audio.sources import fan

DESCRIPTION = "generated: voiced syllables at changing levels in a fan's noise"
LEVEL = 0.08
FORMANTS = ((500.0, 90.0, 1.0), (1500.0, 120.0, 0.5), (2500.0, 160.0, 0.3))
"""Frequency, bandwidth and weight of three resonances."""


def speech_like(samples: int, rate: int, seed: int = 4) -> np.ndarray:
    """int16 [samples]: syllables of about four a second with pauses, pitch and vowel changing, in noise whose
    level rises from faint to loud, so that gates see easy and hard frames."""
    rng = np.random.default_rng([seed, 5])
    time = np.arange(samples) / rate
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.6 * time) + 10 * np.sin(2 * np.pi * 2.3 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    vowel = 1 + 0.25 * np.sin(2 * np.pi * 1.7 * time + 1)
    voice = np.zeros(samples)
    for harmonic in range(1, 30):
        frequency = harmonic * pitch
        gain = sum(
            weight / (1 + ((frequency - centre * vowel) / width) ** 2) for centre, width, weight in FORMANTS
        )
        audible = frequency < 0.45 * rate
        voice += audible * gain * np.sin(harmonic * phase + rng.uniform(0, 6))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time), 0, 1) * (np.sin(2 * np.pi * 0.35 * time) > -0.4)
    noise = fan(samples, seed) * 10 ** (-1.5 + 1.5 * time / max(time[-1], 1e-9))
    wave = LEVEL * voice / max(float(np.std(voice)), 1e-9) * syllables + noise
    return to_int16(np.clip(wave, -0.99, 0.99))
