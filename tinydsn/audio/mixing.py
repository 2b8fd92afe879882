"""Noisy mixtures with a known target, deterministic by seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tinydsn.audio.corpus import RATE, Bank

SPEEDS = 40
"""Speeds are multiples of 1 / SPEEDS, so that the ratio of the rates is of small numbers."""
EARLY = RATE * 50 // 1000
"""Reflections up to this many samples after the direct sound stay in the target."""


@dataclass(frozen=True)
class MixOptions:
    """How mixtures are drawn.

    samples              length of a mixture
    snr_low, snr_high    speech-to-noise ratio, uniform, in dB
    high_snr_share       share of mixtures drawn between ``snr_high`` and ``snr_high + 20`` dB instead
    rir_share            share of mixtures with a room
    level_low, level_high   RMS of the mixture, uniform, in dB below full scale
    babble_share         share of mixtures whose noise is other voices of the same bank
    voices_low, voices_high   number of those voices, uniform
    speech_speed, noise_speed   speech and noise are played up to ``exp(speed)`` times faster or slower
    second_noise_share   share of mixtures with noise that has a second noise added to it
    colour_share         share of speech and of noise (drawn apart) that goes through a random filter
    clip_share           share of mixtures whose noisy wave is clipped
    silent_share         share of mixtures without speech: their target is silence
    """

    samples: int = 48000
    snr_low: float = -5.0
    snr_high: float = 20.0
    high_snr_share: float = 0.1
    rir_share: float = 0.3
    level_low: float = -38.0
    level_high: float = -18.0
    babble_share: float = 0.0
    voices_low: int = 2
    voices_high: int = 8
    speech_speed: float = 0.0
    noise_speed: float = 0.0
    second_noise_share: float = 0.0
    colour_share: float = 0.0
    clip_share: float = 0.0
    silent_share: float = 0.0


def unaugmented(options: MixOptions) -> MixOptions:
    """The options for mixtures that measure: without what only makes much of a small corpus."""
    return replace(
        options,
        speech_speed=0.0,
        noise_speed=0.0,
        second_noise_share=0.0,
        colour_share=min(options.colour_share, 0.3),
    )


@dataclass(frozen=True)
class Mixture:
    """Float32 waves ``[samples]`` in [-1, 1]; ``target`` is the speech inside ``noisy``."""

    noisy: np.ndarray
    target: np.ndarray
    snr_db: float


def active_power(wave: np.ndarray) -> float:
    """Mean power of the 16 ms pieces that are within 40 dB of the loudest, so that pauses do not count."""
    pieces = wave[: len(wave) // 256 * 256].reshape(-1, 256)
    power = np.mean(pieces.astype(np.float64) ** 2, axis=1)
    if not power.size or power.max() == 0:
        return 0.0
    return float(power[power > power.max() * 1e-4].mean())


def mix(speech: np.ndarray, noise: np.ndarray, snr_db: float, level_db: float) -> Mixture:
    """``speech`` plus ``noise`` scaled to ``snr_db`` (active speech power over noise power).

    The sum is set to ``level_db`` (RMS, dB of full scale), less where it would go over full scale. Silent
    speech or noise is added as it is.
    """
    speech_power, noise_power = active_power(speech), float(np.mean(noise.astype(np.float64) ** 2))
    gain = 1.0
    if speech_power > 0 and noise_power > 0:
        gain = float(np.sqrt(speech_power / noise_power) * 10 ** (-snr_db / 20))
    noisy = speech + gain * noise
    rms = float(np.sqrt(np.mean(noisy.astype(np.float64) ** 2)))
    peak = float(np.abs(noisy).max())
    scale = 1.0 if rms == 0 else min(10 ** (level_db / 20) / rms, 0.99 / peak)
    return Mixture((scale * noisy).astype(np.float32), (scale * speech).astype(np.float32), snr_db)


def reverberate(speech: np.ndarray, rir: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Speech in a room, and the target: direct sound and early reflections, with the same delay."""
    from scipy.signal import oaconvolve

    direct = int(np.abs(rir).argmax())
    room = rir / np.sqrt(np.sum(rir**2))
    wet = oaconvolve(speech, room)[direct : direct + len(speech)]
    early = oaconvolve(speech, room[: direct + EARLY])[direct : direct + len(speech)]
    return wet.astype(np.float32), early.astype(np.float32)


def at_another_speed(wave: np.ndarray, rng: np.random.Generator, most: float) -> np.ndarray:
    """``wave`` played up to ``exp(most)`` times faster or slower, and higher or lower with it.

    Speed perturbation (Ko et al. 2015): few voices and noises become many.
    """
    from scipy.signal import resample_poly

    up = round(SPEEDS * float(np.exp(rng.uniform(-most, most))))
    return resample_poly(wave.astype(np.float32), up, SPEEDS).astype(np.float32)


def fill(bank: Bank, rng: np.random.Generator, samples: int, gaps: bool, speed: float) -> np.ndarray:
    """Random clips end to end (speech with pauses between), cut to ``samples``, in [-1, 1)."""
    out = np.zeros(samples, np.float32)
    position = int(rng.integers(0, RATE // 2)) if gaps else 0
    while position < samples:
        clip = bank.clip(int(rng.integers(len(bank))))
        wanted = math.ceil((samples - position) * math.exp(speed)) if speed else samples - position
        spare = len(clip) - wanted
        start = int(rng.integers(0, spare + 1)) if spare > 0 else 0
        piece = clip[start : start + wanted]
        if speed:
            piece = at_another_speed(piece, rng, speed)[: samples - position]
        out[position : position + len(piece)] = piece
        position += len(piece) + (int(rng.integers(RATE // 10, RATE)) if gaps else 0)
    return out / 32768


def babble(
    speech: Bank, rng: np.random.Generator, samples: int, voices: int, speed: float = 0.0
) -> np.ndarray:
    """Several voices at once, each at the same power; float32 ``[samples]``."""
    total = np.zeros(samples, np.float32)
    for _ in range(voices):
        voice = fill(speech, rng, samples, False, speed)
        power = active_power(voice)
        total += voice / np.float32(np.sqrt(power)) if power > 0 else voice
    return total / np.float32(voices)


def colour(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random second-order filter, as another microphone or another room's absorption would be.

    Zeros and poles come from coefficients drawn from ±3/8 (the spectral augmentation of RNNoise, Valin
    2018), which changes the spectrum by some dB and is always stable.
    """
    from scipy.signal import lfilter

    zeros, poles = rng.uniform(-3 / 8, 3 / 8, (2, 2))
    return lfilter([1, *zeros], [1, *poles], wave).astype(np.float32)


def clipped(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The wave cut off at a random level between its RMS and its peak."""
    peak, rms = float(np.abs(wave).max()), float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))
    limit = float(rng.uniform(min(2 * rms, peak), peak))
    return np.clip(wave, -limit, limit)


def _disturbance(speech: Bank, noise: Bank, options: MixOptions, rng: np.random.Generator) -> np.ndarray:
    """Babble, or noise, at times with a second noise 5 dB louder to 10 dB softer than it."""
    if rng.random() < options.babble_share:
        voices = int(rng.integers(options.voices_low, options.voices_high + 1))
        return babble(speech, rng, options.samples, voices, options.speech_speed)
    first = fill(noise, rng, options.samples, False, options.noise_speed)
    # Where there never is a second noise nothing is drawn for it: mixtures that measure stay as they were.
    if not options.second_noise_share or rng.random() >= options.second_noise_share:
        return first
    second = fill(noise, rng, options.samples, False, options.noise_speed)
    powers = active_power(first), active_power(second)
    if not all(powers):
        return first + second
    gain = np.sqrt(powers[0] / powers[1]) * 10 ** (rng.uniform(-10, 5) / 20)
    return first + np.float32(gain) * second


def draw(speech: Bank, noise: Bank, rooms: Bank, options: MixOptions, rng: np.random.Generator) -> Mixture:
    """One random mixture; the same generator state gives the same mixture."""
    clean = fill(speech, rng, options.samples, True, options.speech_speed)
    disturbance = _disturbance(speech, noise, options, rng)
    if rng.random() < options.silent_share:
        clean = np.zeros_like(clean)
    if rng.random() < options.colour_share:
        clean = colour(clean, rng)
    if rng.random() < options.colour_share:
        disturbance = colour(disturbance, rng)
    wet, target = clean, clean
    if rng.random() < options.rir_share:
        room = rooms.clip(int(rng.integers(len(rooms)))).astype(np.float64)
        wet, target = reverberate(clean, room)
    snr = float(rng.uniform(options.snr_low, options.snr_high))
    if rng.random() < options.high_snr_share:
        snr = float(rng.uniform(options.snr_high, options.snr_high + 20))
    level = float(rng.uniform(options.level_low, options.level_high))
    mixture = mix(wet, disturbance, snr, level)
    peak = float(np.abs(wet).max())
    scale = float(np.abs(mixture.target).max()) / peak if peak > 0 else 1.0
    noisy = mixture.noisy
    if rng.random() < options.clip_share:
        noisy = clipped(noisy, rng)
    return Mixture(noisy, (scale * target).astype(np.float32), snr)


def draw_batch(
    speech: Bank, noise: Bank, rooms: Bank, options: MixOptions, seed: int, step: int, size: int
) -> list[Mixture]:
    """The mixtures of training step ``step``; depends on seed and step only, so a run can be resumed."""
    rng = np.random.default_rng([seed, step])
    return [draw(speech, noise, rooms, options, rng) for _ in range(size)]
