"""Mixtures as recipes: which corpus files stand where, at which SNR and level; and their rendering.

A recipe decides every sample, so a list of recipes is a test set without audio in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import AudioError, ConfigError
from quant.model_file import write_atomically
from tinydsn.audio.corpus import RATE, decode
from tinydsn.audio.files import to_int16
from tinydsn.audio.mixing import active_power, reverberate

SCHEMA = 1
FADE = RATE * 5 // 1000
"""Samples of the linear fade at both ends of a piece, so that joints do not click."""
HIGHEST_PEAK = 0.99


@dataclass(frozen=True)
class Piece:
    """``length`` samples of a corpus file from ``start`` on, placed at sample ``at`` of the mixture."""

    file: str
    start: int
    length: int
    at: int


@dataclass(frozen=True)
class Recipe:
    """One mixture of ``samples`` samples at 16 kHz.

    snr: power of the active speech over the noise's, in dB. level: RMS of the mixture, in dB of full scale
    (lower where it would clip). kind: of the noise. room: file of a room response, or "".
    """

    name: str
    speaker: str
    kind: str
    snr: float
    level: float
    room: str
    speech: tuple[Piece, ...]
    noise: tuple[Piece, ...]
    samples: int

    def digest(self) -> str:
        """Names the recipe's content: SHA-256 of its JSON."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Audio:
    """int16 ``[samples]`` each, aligned: the mixture, the speech wanted of it, and the noise in it.

    In a room ``target`` is direct sound and early reflections; the late ones belong to neither.
    """

    noisy: np.ndarray
    target: np.ndarray
    noise: np.ndarray


@lru_cache(maxsize=256)
def _samples(path: Path) -> np.ndarray:
    return decode(path)


def _assemble(pieces: Sequence[Piece], samples: int, corpus: Path) -> np.ndarray:
    """The pieces in their places, float64 ``[samples]`` in [-1, 1), zeros between."""
    out = np.zeros(samples)
    for piece in pieces:
        source = _samples(corpus / piece.file)[piece.start : piece.start + piece.length]
        if len(source) < piece.length or piece.at + piece.length > samples:
            raise AudioError(
                f"{corpus / piece.file}: has no {piece.length} samples from {piece.start} on (the test list "
                "was made from another version of the corpus; restore it, or make a list of your own)"
            )
        wave = source / 32768.0
        fade = min(FADE, piece.length // 2)
        ramp = np.arange(1, fade + 1) / (fade + 1)
        wave[:fade] *= ramp
        wave[piece.length - fade :] *= ramp[::-1]
        out[piece.at : piece.at + piece.length] += wave
    return out


def render(recipe: Recipe, corpus: Path) -> Audio:
    """The mixture of a recipe. Raises AudioError when the corpus lacks a file or it is shorter."""
    speech = _assemble(recipe.speech, recipe.samples, corpus)
    noise = _assemble(recipe.noise, recipe.samples, corpus)
    target = speech
    if recipe.room:
        room = _samples(corpus / recipe.room).astype(np.float64)
        wet, early = reverberate(speech, room)
        speech, target = wet.astype(np.float64), early.astype(np.float64)
    speech_power, noise_power = active_power(speech), float(np.mean(noise**2))
    if speech_power == 0 or noise_power == 0:
        raise AudioError(f"{recipe.name}: its {'noise' if speech_power else 'speech'} is silent")
    noise = noise * np.sqrt(speech_power / noise_power) * 10 ** (-recipe.snr / 20)
    noisy = speech + noise
    rms, peak = float(np.sqrt(np.mean(noisy**2))), float(np.abs(noisy).max())
    scale = min(10 ** (recipe.level / 20) / rms, HIGHEST_PEAK / peak)
    return Audio(to_int16(scale * noisy), to_int16(scale * target), to_int16(scale * noise))


def committed_list() -> tuple[Recipe, ...]:
    """The committed list: 180 mixtures of 9.01 s of the corpus's test split, balanced in every beginning."""
    return read_list(Path(str(resources.files("tinydsn.evaluation") / "test_list.json")))


def read_list(path: Path) -> tuple[Recipe, ...]:
    """The recipes of a list. Raises ConfigError for a file of another form."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ConfigError(f"{path}: schema {content['schema']!r} (must be {SCHEMA})")
        return tuple(_recipe(entry, content["samples"]) for entry in content["mixtures"])
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a list of mixtures ({type(error).__name__}: {error})") from None


def _recipe(entry: dict[str, Any], samples: int) -> Recipe:
    pieces = {key: tuple(Piece(*piece) for piece in entry[key]) for key in ("speech", "noise")}
    return Recipe(**{**entry, **pieces, "samples": samples})


def write_list(recipes: Iterable[Recipe], path: Path) -> None:
    """One line a mixture; replaced as a whole. All must have one length."""
    recipes = tuple(recipes)
    (samples,) = {recipe.samples for recipe in recipes}
    lines = []
    for recipe in recipes:
        entry = {key: value for key, value in asdict(recipe).items() if key != "samples"}
        for key in ("speech", "noise"):
            entry[key] = [list(piece.values()) for piece in entry[key]]
        lines.append(json.dumps(entry, separators=(",", ":")))
    head = f'{{"schema":{SCHEMA},"samples":{samples},"mixtures":[\n'
    write_atomically(path, (head + ",\n".join(lines) + "\n]}\n").encode())
