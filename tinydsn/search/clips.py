"""What genomes are judged on: mixtures of the valid split by SNR, with the float network's output.

The split's recordings are dealt to two parts that share no file, so that what was chosen on the one can be
judged on the other.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from quant.errors import AudioError, ConfigError
from tinydsn.audio.corpus import Bank, load_bank, read_manifest, select
from tinydsn.audio.corpus import Clip as Recording
from tinydsn.audio.files import replace_file, to_int16
from tinydsn.audio.mixing import MixOptions, active_power, draw

SNR_RANGE = (-5.0, 20.0)
PARTS = 2
SEED = 64
SPLIT = "valid"
MIX = MixOptions(high_snr_share=0.0, babble_share=0.15, colour_share=0.3)
LEAST_POWER = 1e-7
"""Of the target's active pieces (-70 dB of full scale): a draw with less speech is drawn again."""
TRIES = 100


@dataclass(frozen=True)
class Clip:
    """int16 ``[samples]`` each, aligned: a mixture, the speech wanted of it, and what the float network makes
    of it (empty until that was run). snr: in dB."""

    noisy: np.ndarray
    target: np.ndarray
    reference: np.ndarray
    snr: float


@dataclass(frozen=True)
class Clips:
    """Clips of one length, and the share of frames in which the float network opens each gate."""

    items: tuple[Clip, ...]
    usage: tuple[float, ...] = ()

    @property
    def digest(self) -> str:
        """Names the content."""
        content = hashlib.sha256(repr(self.usage).encode())
        for clip in self.items:
            for wave in (clip.noisy, clip.target, clip.reference):
                content.update(wave.astype("<i2").tobytes())
        return content.hexdigest()


def draw_clips(corpus: Path, count: int, samples: int, part: int) -> Clips:
    """``count`` mixtures of one part of the valid split, mixture i in the i-th of ``count`` bins of SNR.

    The same each time. Raises AudioError when corpus or split are not there, or too small to be parted.
    """
    listed = read_manifest(corpus)
    speech, noise, rooms = (_bank(listed, kind, part) for kind in ("speech", "noise", "rir"))
    (low, high), made = SNR_RANGE, []
    for index in range(count):
        bottom, top = (low + (high - low) * step / count for step in (index, index + 1))
        options = replace(MIX, samples=samples, snr_low=bottom, snr_high=top)
        made.append(_draw(speech, noise, rooms, options, (SEED, part, index)))
    return Clips(tuple(made))


def _bank(listed: Sequence[Recording], kind: str, part: int) -> Bank:
    chosen = sorted(select(listed, kind, SPLIT), key=lambda clip: str(clip.path))[part::PARTS]
    if not chosen:
        raise AudioError(f"the corpus has one file of {kind} in the split {SPLIT!r} (must be at least two)")
    return load_bank(chosen)


def _draw(speech: Bank, noise: Bank, rooms: Bank, options: MixOptions, seed: tuple[int, ...]) -> Clip:
    for turn in range(TRIES):
        mixture = draw(speech, noise, rooms, options, np.random.default_rng([*seed, turn]))
        if active_power(mixture.target) > LEAST_POWER:
            waves = to_int16(mixture.noisy), to_int16(mixture.target)
            return Clip(*waves, np.zeros(0, np.int16), mixture.snr_db)
    raise AudioError(f"the corpus's speech in the split {SPLIT!r} is silent")


def save_clips(clips: Clips, path: Path) -> None:
    """One .npz file, replaced as a whole."""
    rows = [(clip.noisy, clip.target, clip.reference) for clip in clips.items]
    noisy, target, reference = (np.stack(waves) for waves in zip(*rows, strict=True))
    snr, usage = np.array([clip.snr for clip in clips.items]), np.array(clips.usage, np.float64)
    file = io.BytesIO()
    np.savez(file, noisy=noisy, target=target, reference=reference, snr=snr, usage=usage)
    replace_file(path, file.getvalue())


def load_clips(path: Path) -> Clips:
    """What `save_clips` wrote. Raises ConfigError for a missing or damaged file."""
    try:
        with np.load(path) as file:
            columns = [file[name] for name in ("noisy", "target", "reference", "snr")]
            usage = tuple(float(share) for share in file["usage"])
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); search again in a new folder") from None
    items = tuple(Clip(a, b, c, float(snr)) for a, b, c, snr in zip(*columns, strict=True))
    return Clips(items, usage)
