"""Generated noises for demonstrations and tests: deterministic by seed, nothing to download."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quant.errors import ConfigError
from quant.nearest import unknown

RATE = 16000


def _unit(wave: np.ndarray) -> np.ndarray:
    """Float32 with an RMS of 0.05 (-26 dB of full scale)."""
    return (wave * (0.05 / np.sqrt(np.mean(wave**2)))).astype(np.float32)


def _coloured(samples: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls with ``frequency ** -slope`` above 40 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / RATE)
    return np.fft.irfft(spectrum * np.maximum(frequency, 40.0) ** (-slope / 2), samples)


def hum(samples: int, seed: int, mains: float = 50.0) -> np.ndarray:
    """Mains hum: harmonics with random phases and a slow wobble, over faint noise; float32 ``[samples]``."""
    rng = np.random.default_rng([seed, 1])
    time = np.arange(samples) / RATE
    wobble = 1 + 0.1 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 6))
    wave = np.zeros(samples)
    for harmonic in range(1, 24):
        level = rng.uniform(0.4, 1.0) / harmonic**0.8
        wave += level * np.sin(2 * np.pi * mains * harmonic * time + rng.uniform(0, 2 * np.pi))
    faint = _coloured(samples, 1.0, rng)
    return _unit(wobble * wave + 0.2 * np.std(wave) * faint / np.std(faint))


def fan(samples: int, seed: int) -> np.ndarray:
    """Fan: low-pass noise that the blades modulate, with weak tones; float32 ``[samples]``."""
    rng = np.random.default_rng([seed, 2])
    time = np.arange(samples) / RATE
    blades = rng.uniform(60, 140)
    noise = _coloured(samples, 1.2, rng)
    wave = noise / np.std(noise) * (1 + 0.25 * np.sin(2 * np.pi * blades * time))
    for harmonic in range(1, 6):
        wave += 0.25 / harmonic * np.sin(2 * np.pi * blades * harmonic * time + rng.uniform(0, 6))
    return _unit(wave)


def white(samples: int, seed: int) -> np.ndarray:
    """White Gaussian noise; float32 ``[samples]``."""
    return _unit(np.random.default_rng([seed, 3]).standard_normal(samples))


def babble(samples: int, seed: int, voices: Sequence[np.ndarray], talkers: int = 6) -> np.ndarray:
    """Several talkers at once, made of ``voices`` (int16 or float clips); float32 ``[samples]``.

    Each talker repeats clips drawn from ``voices`` without pauses. Raises ConfigError without voices.
    """
    usable = [np.asarray(voice, np.float64) for voice in voices if len(voice) and np.any(voice)]
    if not usable:
        raise ConfigError("babble needs at least one voice that is not silent")
    rng = np.random.default_rng([seed, 4])
    wave = np.zeros(samples)
    for _ in range(talkers):
        track = np.zeros(0)
        while len(track) < samples:
            voice = usable[int(rng.integers(len(usable)))]
            track = np.concatenate([track, voice / np.std(voice)])
        start = int(rng.integers(len(track) - samples + 1))
        wave += track[start : start + samples]
    return _unit(wave)


NOISES: dict[str, Callable[[int, int], np.ndarray]] = {"hum": hum, "fan": fan, "white": white}
"""Noises that need nothing but a length and a seed."""


def noise(name: str, samples: int, seed: int) -> np.ndarray:
    """The noise called ``name``; raises ConfigError for an unknown name or no samples."""
    if name not in NOISES:
        raise ConfigError(unknown("noise", name, NOISES))
    if samples < 1:
        raise ConfigError(f"noise of {samples} samples (must be at least 1)")
    return NOISES[name](samples, seed)
