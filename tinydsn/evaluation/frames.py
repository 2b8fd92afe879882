"""What each hop of a mixture is (speech, a pause in noise, silence), and levels by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASSES = ("speech", "pause", "silence")

SPEECH_RANGE_DB = 40.0
"""Speech is where the target is within so many dB of its loudest hop."""
SILENCE_DB = -60.0
"""Below this level, in dB of full scale, a hop without speech is silence."""
ROUNDING_POWER = 1 / 12
"""Power of int16 rounding, in square steps: the floor of every level, -101.1 dB of full scale."""


def hops_of(wave: np.ndarray, hop: int) -> np.ndarray:
    """int16 ``[samples]`` -> float64 ``[frames, hop]``; the last hop is filled with zeros."""
    frames = -(-len(wave) // hop)
    padded = np.zeros(frames * hop)
    padded[: len(wave)] = wave
    return padded.reshape(frames, hop)


def hop_power(wave: np.ndarray, hop: int) -> np.ndarray:
    """Mean square of each hop ``[frames]``, in square int16 steps."""
    return np.asarray(np.mean(hops_of(wave, hop) ** 2, axis=1))


def decibels(power: float) -> float:
    """Power in square int16 steps as dB of full scale (a full-scale square wave is 0 dB)."""
    return float(10 * np.log10((power + ROUNDING_POWER) / 32768.0**2))


def classify(target: np.ndarray, noise: np.ndarray, hop: int) -> dict[str, np.ndarray]:
    """Class -> bool ``[frames]``; each hop has exactly one. ``target``, ``noise``: int16 ``[samples]``.

    A hop is speech by the target alone, whatever the SNR; the rest is a pause where target and noise
    together reach -60 dB of full scale, else silence.
    """
    wanted, unwanted = hop_power(target, hop), hop_power(noise, hop)
    loudest = float(wanted.max(initial=0.0))
    speech = (wanted > loudest * 10 ** (-SPEECH_RANGE_DB / 10)) & (wanted > 0)
    quiet = wanted + unwanted < 32768.0**2 * 10 ** (SILENCE_DB / 10)
    return {"speech": speech, "pause": ~speech & ~quiet, "silence": ~speech & quiet}


@dataclass(frozen=True)
class ClassFigures:
    """One class of one mixture: its hops, and per system the level in dB of full scale and the usage.

    usage: share of open frames of each gate.
    """

    frames: int
    level: dict[str, float]
    usage: dict[str, list[float]]


def by_class(
    classes: dict[str, np.ndarray],
    waves: dict[str, np.ndarray],
    gates: dict[str, np.ndarray],
    hop: int,
) -> dict[str, ClassFigures]:
    """Figures of the classes that occur. ``waves``: aligned int16; ``gates``: bool ``[frames, K]``."""
    powers = {system: hop_power(wave, hop) for system, wave in waves.items()}
    return {
        name: ClassFigures(
            int(chosen.sum()),
            {system: decibels(float(power[chosen].mean())) for system, power in powers.items()},
            {system: rows[chosen].mean(axis=0).tolist() for system, rows in gates.items()},
        )
        for name, chosen in classes.items()
        if chosen.any()
    }
