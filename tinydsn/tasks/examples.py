"""Examples of each task: a noisy wave, what to answer in each frame, and how much the frame counts.

Frame t ends with hop t, as in the front end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from quant.frontend import FrontEnd
from tinydsn.audio.corpus import RATE, Bank
from tinydsn.audio.metrics import dnsmos
from tinydsn.audio.mixing import MixOptions, draw, mix
from tinydsn.audio.stft import analysis
from tinydsn.models.predictor import MIDDLE_RATING, RANGE_RATING
from tinydsn.models.sequence import bands

FRONT = FrontEnd(kind="stft-features")
HOP = FRONT.hop
ACTIVE = 1e-3
"""A hop of clean speech is active above this share of the loudest hop's power (-30 dB) ..."""
LEAST_POWER = 1e-8
"""... and above -80 dB of full scale."""
NONE_SHARE = 0.3
"""Of the wake examples: those without a phrase."""
BEFORE_END, AFTER_END = round(0.15 * RATE), round(0.35 * RATE)
"""A phrase is to be told from 0.15 s before its recording ends (that much silence was left there) until
0.35 s after; inside the phrase nothing is asked."""
PHRASE_WEIGHT = 3.0
FLOOR = 1e-6
MIDDLE_DB, RANGE_DB = -10.0, 64.0
"""Log-mel values in dB are told as (value - middle) / range, which is inside [-1, 1)."""
SETTLED = 125
"""Frames (2 s) in which no rating is asked for: an average over a second has hardly begun."""


@dataclass(frozen=True)
class Sources:
    """Decoded recordings of one split; ``phrases``: one bank for each wake phrase, or none."""

    speech: Bank
    noise: Bank
    rooms: Bank
    phrases: tuple[Bank, ...] = ()


@dataclass(frozen=True)
class Example:
    """A recording and what the network ought to answer.

    noisy: float32 [samples] in [-1, 1). target: float32 [frames, outputs]. weight: float32 [frames], how much
    a frame counts; 0 for one in which nothing can be asked.
    """

    noisy: np.ndarray
    target: np.ndarray
    weight: np.ndarray


def hop_power(wave: np.ndarray) -> np.ndarray:
    """Mean power of each whole hop of ``wave`` [samples], float64 [frames]."""
    frames = len(wave) // HOP
    return np.mean(wave[: frames * HOP].astype(np.float64).reshape(frames, HOP) ** 2, axis=1)


def active_hops(clean: np.ndarray) -> np.ndarray:
    """Which hops of clean speech ``[samples]`` hold voice, bool [frames], by their energy alone."""
    power = hop_power(clean)
    return power > max(ACTIVE * power.max(initial=0.0), LEAST_POWER)


def voice(sources: Sources, options: MixOptions, rng: np.random.Generator) -> Example:
    """A mixture; the target [frames, 1] is 1 where its clean speech has energy."""
    mixture = draw(sources.speech, sources.noise, sources.rooms, options, rng)
    target = active_hops(mixture.target).astype(np.float32)[:, None]
    return Example(mixture.noisy, target, np.ones(len(target), np.float32))


def wake(sources: Sources, options: MixOptions, rng: np.random.Generator) -> Example:
    """One phrase, other speech, or silence in noise; the target [frames, 7] is one-hot, with none first."""
    samples, frames = options.samples, options.samples // HOP
    clean, target = np.zeros(samples, np.float32), np.zeros((frames, len(sources.phrases) + 1), np.float32)
    target[:, 0], weight = 1.0, np.ones(frames, np.float32)
    if rng.random() < NONE_SHARE:
        piece = _cut(sources.speech, rng, samples)
        start = int(rng.integers(0, samples - len(piece) + 1))
        clean[start : start + len(piece)] = piece
    else:
        phrase = int(rng.integers(len(sources.phrases)))
        bank = sources.phrases[phrase]
        piece = bank.clip(int(rng.integers(len(bank))))[-(samples - AFTER_END) :] / np.float32(32768)
        start = int(rng.integers(0, samples - AFTER_END - len(piece) + 1))
        end = start + len(piece)
        clean[start:end] = piece
        told, last = max(0, end - BEFORE_END) // HOP, (end + AFTER_END) // HOP
        weight[start // HOP : told] = 0.0
        weight[told:last], target[told:last] = PHRASE_WEIGHT, 0.0
        target[told:last, phrase + 1] = 1.0
    snr = float(rng.uniform(options.snr_low, options.snr_high))
    level = float(rng.uniform(options.level_low, options.level_high))
    mixture = mix(clean, _noise(sources.noise, rng, samples), snr, level)
    return Example(mixture.noisy, target, weight)


def log_mel(sources: Sources, options: MixOptions, rng: np.random.Generator) -> Example:
    """A mixture; the target [frames, 40] is the next frame's log-mel spectrum, unknown in the last frame."""
    noisy = draw(sources.speech, sources.noise, sources.rooms, options, rng).noisy
    levels = log_bands(noisy)
    target = np.concatenate([levels[1:], levels[-1:]])
    weight = np.ones(len(target), np.float32)
    weight[-1] = 0.0
    return Example(noisy, target, weight)


def log_bands(wave: np.ndarray) -> np.ndarray:
    """Level of each band in each frame, float32 [frames, 40] in [-1, 1): ``10 log10`` of the mean power
    ``|X|^2`` of its bins, from -60 dB, scaled by `MIDDLE_DB` and `RANGE_DB`."""
    spectrum = analysis(torch.from_numpy(wave)[None], FRONT)[0]
    power = bands(spectrum.real.square() + spectrum.imag.square())
    levels = (10 * torch.log10(power + FLOOR) - MIDDLE_DB) / RANGE_DB
    return levels.clamp(-1.0, 32767 / 32768).numpy()


def rated(sources: Sources, options: MixOptions, rng: np.random.Generator) -> Example:
    """A mixture; the target [frames, 3] is its DNSMOS rating (SIG, BAK, OVRL) in every frame. The model of
    the rating hears 9.01 s; it loops shorter mixtures, and rates them lower for that."""
    noisy = draw(sources.speech, sources.noise, sources.rooms, options, rng).noisy
    frames = len(noisy) // HOP
    target = np.tile(scaled_rating(np.array(dnsmos(noisy), np.float32)), (frames, 1))
    return Example(noisy, target, rating_weight(frames))


def scaled_rating(ratings: np.ndarray) -> np.ndarray:
    """Ratings from 1 to 5 as a network tells them, float32 in [-1, 1)."""
    scaled = (ratings.astype(np.float32) - MIDDLE_RATING) / RANGE_RATING
    return scaled.clip(-1.0, 32767 / 32768)


def rating_weight(frames: int) -> np.ndarray:
    """float32 [frames]: 0 for `SETTLED` frames, at most the first half, then 1."""
    weight = np.ones(frames, np.float32)
    weight[: min(SETTLED, frames // 2)] = 0.0
    return weight


def _cut(bank: Bank, rng: np.random.Generator, samples: int) -> np.ndarray:
    """One random recording, at most ``samples`` long, in [-1, 1)."""
    clip = bank.clip(int(rng.integers(len(bank))))
    start = int(rng.integers(0, max(0, len(clip) - samples) + 1))
    return clip[start : start + samples] / np.float32(32768)


def _noise(bank: Bank, rng: np.random.Generator, samples: int) -> np.ndarray:
    """A piece of one noise, repeated where it is too short."""
    piece = _cut(bank, rng, samples)
    return np.resize(piece, samples)
