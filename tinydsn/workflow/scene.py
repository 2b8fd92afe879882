"""The demo's audio: a real voice, noise made here, and other mixtures of the same kind to calibrate on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinydsn.audio.files import read_wav, to_int16
from tinydsn.audio.mixing import mix
from tinydsn.audio.prompts import CREDIT, read_prompts
from tinydsn.audio.sources import babble, noise

RATE = 16000
DEMO_SECONDS = 12.0
CALIBRATION_SECONDS = 36.0
LEVEL_DB = -26.0
CALIBRATION_SNRS = (-5.0, 0.0, 5.0, 10.0, 20.0, 30.0)


@dataclass(frozen=True)
class Scene:
    """int16 waves: ``clean`` is the speech inside ``noisy``; ``calibration`` holds other mixtures."""

    clean: np.ndarray
    noisy: np.ndarray
    calibration: tuple[np.ndarray, ...]
    notes: tuple[str, ...]


def make_scene(wav: Path | None, snr_db: float) -> Scene:
    """Speech (``wav``, else recorded prompts) in a cafe: babble and a fan, mixed at ``snr_db``.

    Calibration uses later speech of the same source, other noises, and six SNRs. Raises AudioError.
    """
    if wav is None:
        speech = read_prompts(DEMO_SECONDS + CALIBRATION_SECONDS)
        first, rest = np.split(speech, [round(DEMO_SECONDS * RATE)])
        notes = (f"Voice: {CREDIT}",)
    else:
        first = rest = read_wav(wav, RATE)
        notes = (f"Voice: {wav}; the integer graph was calibrated on other mixtures of the same recording.",)
    wave = first / 32768.0
    scene = mix(wave, _cafe(len(wave), rest), snr_db, LEVEL_DB)
    pieces = np.array_split(rest / 32768.0, len(CALIBRATION_SNRS))
    kinds = ("fan", "hum", "white")
    calibration = []
    for index, (piece, snr) in enumerate(zip(pieces, CALIBRATION_SNRS, strict=True)):
        if len(piece):
            disturbance = noise(kinds[index % len(kinds)], len(piece), 100 + index)
            calibration.append(to_int16(mix(piece, disturbance, snr, LEVEL_DB - 2 * index).noisy))
    made = f"Noise: generated babble of six talkers and a fan, {snr_db:g} dB SNR."
    return Scene(to_int16(scene.target), to_int16(scene.noisy), tuple(calibration), (*notes, made))


def _cafe(samples: int, voices: np.ndarray) -> np.ndarray:
    talkers = np.array_split(voices, max(1, len(voices) // (3 * RATE)))
    return babble(samples, 7, talkers) + 0.7 * noise("fan", samples, 8)
