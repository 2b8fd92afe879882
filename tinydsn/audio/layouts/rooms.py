"""Simulated rooms, for corpora that have none."""

from __future__ import annotations

import numpy as np

from tinydsn.audio.corpus import RATE
from tinydsn.audio.files import to_int16

SOUND = 343.0
"""Metres a second."""
COUNTS = {"train": 44, "valid": 8, "test": 8}


def room(seed: int) -> np.ndarray:
    """Impulse response of a random shoebox room, int16 ``[samples]`` at 16 kHz with a peak of 0.9.

    Image method (Allen and Berkley 1979). Size, positions and reverberation time (0.15 to 0.6 s, of which the
    first 0.4 s are kept) are drawn from ``seed``; the walls' absorption follows by Eyring's formula.
    """
    rng = np.random.default_rng([seed, 7])
    size = rng.uniform((3.0, 3.0, 2.4), (8.0, 7.0, 3.5))
    source, microphone = rng.uniform(0.4, size - 0.4), rng.uniform(0.4, size - 0.4)
    seconds = rng.uniform(0.15, 0.6)
    surface = 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    reflection = np.exp(-0.161 * np.prod(size) / (surface * seconds) / 2)
    reach = SOUND * min(seconds, 0.4)
    distances, bounces = _images(size, source, microphone, reach)
    return to_int16(_response(distances, reflection**bounces / distances, reach))


def _images(
    size: np.ndarray, source: np.ndarray, microphone: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distances in metres of the mirror images up to ``reach``, and how many walls each has met."""
    squares, bounces = np.zeros(1), np.zeros(1)
    for axis in range(3):
        order = np.arange(-np.ceil(reach / (2 * size[axis])), np.ceil(reach / (2 * size[axis])) + 1)
        offsets = 2 * order * size[axis] - microphone[axis]
        here = np.concatenate([offsets + source[axis], offsets - source[axis]]) ** 2
        walls = np.concatenate([np.abs(2 * order), np.abs(2 * order - 1)])
        squares = (squares[:, None] + here).ravel()
        bounces = (bounces[:, None] + walls).ravel()
        near = squares < reach**2
        squares, bounces = squares[near], bounces[near]
    return np.sqrt(np.maximum(squares, 0.1**2)), bounces


def _response(distances: np.ndarray, gains: np.ndarray, reach: float) -> np.ndarray:
    """Each image as an impulse shared by the two samples next to its delay, and a high-pass at 80 Hz.

    All impulses of the image method are positive; without the high-pass low frequencies would pile up.
    """
    from scipy.signal import butter, lfilter

    samples = int(reach / SOUND * RATE) + 2
    delay = distances / SOUND * RATE
    first = delay.astype(np.int64)
    late = delay - first
    wave = np.bincount(first, gains * (1 - late), samples) + np.bincount(first + 1, gains * late, samples)
    wave = lfilter(*butter(2, 80, "high", fs=RATE), wave)
    return 0.9 / np.abs(wave).max() * wave
