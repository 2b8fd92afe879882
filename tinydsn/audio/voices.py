"""Mixtures of two different speakers, with and without noise, deterministic by seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quant.errors import AudioError, ConfigError
from tinydsn.audio.corpus import Bank, load_bank, read_manifest, select
from tinydsn.audio.mixing import MixOptions, active_power, colour, fill, reverberate

if TYPE_CHECKING:
    from collections.abc import Callable

UNLABELLED = "unlabelled"
"""A speaker's name that begins so stands for many: two clips of that name may be of one person or of two."""
VOICES = 2


@dataclass(frozen=True)
class VoiceOptions:
    """How two speakers are mixed, beside `MixOptions`.

    level_db      the second voice is up to so many dB louder or softer than the first, uniform
    clean_share   share of mixtures without noise
    """

    level_db: float = 5.0
    clean_share: float = 0.5

    def __post_init__(self) -> None:
        if self.level_db < 0 or not 0 <= self.clean_share <= 1:
            raise ConfigError("two voices: level_db must be at least 0, and clean_share in 0..1")


@dataclass(frozen=True)
class Speakers:
    """A split's decoded clips: one bank a speaker, by name; noise, and room responses."""

    voices: dict[str, Bank]
    noise: Bank
    rooms: Bank


@dataclass(frozen=True)
class TwoVoices:
    """Float32 waves in [-1, 1]: ``mixed [samples]`` holds ``voices [2, samples]`` and the noise.

    speakers: their names. snr_db: of both voices together over the noise, None without noise.
    """

    mixed: np.ndarray
    voices: np.ndarray
    speakers: tuple[str, str]
    snr_db: float | None


def load_speakers(corpus: Path, split: str, say: Callable[[str], None] | None = None) -> Speakers:
    """A split of a corpus by speaker; clips whose speaker is not known are left out.

    Raises AudioError where fewer than two speakers are left.
    """
    clips, by_name = read_manifest(corpus), dict[str, list[int]]()
    speech = select(clips, "speech", split)
    for index, clip in enumerate(speech):
        if clip.speaker and not clip.speaker.startswith(UNLABELLED):
            by_name.setdefault(clip.speaker, []).append(index)
    if len(by_name) < VOICES:
        raise AudioError(
            f"{corpus}: the split {split!r} has {len(by_name)} speakers with a name (must be at least "
            f"{VOICES}; the manifest's column speaker has the names)"
        )
    banks = {
        name: load_bank([speech[index] for index in members], skipped=say)
        for name, members in sorted(by_name.items())
    }
    noise, rooms = (load_bank(select(clips, kind, split), skipped=say) for kind in ("noise", "rir"))
    if say:
        hours = sum(bank.seconds for bank in banks.values()) / 3600
        say(f"{split} speech: {len(banks)} speakers, {hours:.2f} h; noise {noise.seconds / 3600:.2f} h")
    return Speakers({name: bank for name, bank in banks.items() if len(bank)}, noise, rooms)


def draw_voices(
    speakers: Speakers, options: MixOptions, pair: VoiceOptions, rng: np.random.Generator
) -> TwoVoices:
    """One random mixture of two speakers; the same generator state gives the same mixture.

    A speaker is drawn by the square root of their seconds. Of ``options`` those of length, SNR (uniform, no
    ``high_snr_share``), level, rooms (one for each voice), speeds and colours are used.
    """
    names = list(speakers.voices)
    weights = np.sqrt([speakers.voices[name].seconds for name in names])
    chosen = rng.choice(len(names), VOICES, replace=False, p=weights / weights.sum())
    heard, wanted = [], []
    for index in chosen:
        voice = fill(speakers.voices[names[index]], rng, options.samples, True, options.speech_speed)
        if rng.random() < options.colour_share:
            voice = colour(voice, rng)
        wet = early = voice
        if rng.random() < options.rir_share:
            room = speakers.rooms.clip(int(rng.integers(len(speakers.rooms)))).astype(np.float64)
            wet, early = reverberate(voice, room)
        heard.append(wet)
        wanted.append(early)
    gains = _voice_gains(heard, float(rng.uniform(-pair.level_db, pair.level_db)))
    speech = np.tensordot(gains, np.stack(heard), 1)
    noise, snr = np.zeros_like(speech), None
    if rng.random() >= pair.clean_share:
        snr = float(rng.uniform(options.snr_low, options.snr_high))
        noise = fill(speakers.noise, rng, options.samples, False, options.noise_speed)
        power, disturbed = active_power(speech), float(np.mean(noise.astype(np.float64) ** 2))
        if power > 0 and disturbed > 0:
            noise = noise * np.sqrt(power / disturbed) * 10 ** (-snr / 20)
    mixed = speech + noise
    scale = _scale(mixed, float(rng.uniform(options.level_low, options.level_high)))
    voices = (scale * gains[:, None] * np.stack(wanted)).astype(np.float32)
    first, second = (names[index] for index in chosen)
    return TwoVoices((scale * mixed).astype(np.float32), voices, (first, second), snr)


def _voice_gains(heard: list[np.ndarray], level_db: float) -> np.ndarray:
    """Factors ``[2]`` after which the second voice is ``level_db`` louder than the first."""
    first, second = (active_power(wave) for wave in heard)
    if first == 0 or second == 0:
        return np.ones(VOICES)
    return np.array([1.0, np.sqrt(first / second) * 10 ** (level_db / 20)])


def _scale(wave: np.ndarray, level_db: float) -> float:
    """The factor that brings a wave to an RMS in dB of full scale, less where it would go over that."""
    rms, peak = float(np.sqrt(np.mean(wave**2))), float(np.abs(wave).max())
    return 1.0 if rms == 0 else min(10 ** (level_db / 20) / rms, 0.99 / peak)


def draw_voices_batch(
    speakers: Speakers, options: MixOptions, pair: VoiceOptions, seed: int, step: int, size: int
) -> list[TwoVoices]:
    """The mixtures of training step ``step``; depends on seed and step only, so a run can be resumed."""
    rng = np.random.default_rng([seed, step])
    return [draw_voices(speakers, options, pair, rng) for _ in range(size)]
