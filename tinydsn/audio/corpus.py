"""Reads the training corpus: one ``manifest.csv`` and one audio file a clip.

Files may have any rate from 16 kHz up, and are resampled when they are decoded; stereo is refused, because
the mean of two microphones is another recording (a comb filter), and which channel to keep is the user's
to say.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.errors import AudioError
from tinydsn.audio.files import to_int16

KINDS = ("speech", "noise", "rir")
SPLITS = ("train", "valid", "test")
RATE = 16000


@dataclass(frozen=True)
class Clip:
    """One row of the manifest; ``path`` is complete."""

    path: Path
    kind: str
    split: str
    source: str
    speaker: str
    seconds: float
    licence: str = ""
    lang: str = ""
    note: str = ""


COLUMNS = ("file", "type", "split", "source", "speaker", "seconds")
"""What a manifest must have; licence, lang and note may be missing."""


def read_manifest(corpus: Path) -> tuple[Clip, ...]:
    """All clips of a corpus folder, in the manifest's order; files by paths relative to it, or absolute.

    Raises AudioError when the manifest is missing, is no CSV in UTF-8, lacks a column, or names an unknown
    type or split.
    """
    path = corpus / "manifest.csv"
    if not path.is_file():
        raise AudioError(f"{path}: no such file (a corpus is a folder with manifest.csv; see --corpus)")
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = sorted(set(COLUMNS) - set(reader.fieldnames or ()))
            if missing:
                raise AudioError(f"{path}: column missing: {', '.join(missing)}")
            return tuple(_clip(corpus, row, f"{path}, line {reader.line_num}") for row in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise AudioError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def _clip(corpus: Path, row: dict[str, str | None], where: str) -> Clip:
    """One row; the reader gives None for a column that the row is too short for."""
    values = {name: row.get(name) or "" for name in (*COLUMNS, "licence", "lang", "note")}
    if not values["file"]:
        raise AudioError(f"{where}: names no file")
    for column, legal in (("type", KINDS), ("split", SPLITS)):
        if values[column] not in legal:
            raise AudioError(f"{where}: {column} is {values[column]!r} (must be one of {', '.join(legal)})")
    try:
        seconds = float(values["seconds"])
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise AudioError(f"{where}: seconds is {values['seconds']!r} (must be a number)")
    return Clip(
        corpus / values["file"],
        *(values["type"], values["split"], values["source"], values["speaker"]),
        seconds=seconds,
        licence=values["licence"],
        lang=values["lang"],
        note=values["note"],
    )


def select(clips: Sequence[Clip], kind: str, split: str) -> tuple[Clip, ...]:
    """The clips of one kind and split, in order. Raises AudioError when there are none."""
    chosen = tuple(clip for clip in clips if clip.kind == kind and clip.split == split)
    if not chosen:
        raise AudioError(f"the corpus holds no {kind} in the split {split!r}")
    return chosen


FLOATS = ("FLOAT", "DOUBLE")


def decode(path: Path) -> np.ndarray:
    """Samples of a corpus file (FLAC, Ogg/Opus, WAV) as int16 ``[samples]`` at 16 kHz; mono only.

    16-bit files at 16 kHz come as they are; of floating-point files 1.0 is full scale. Higher rates (DNS
    Challenge and VoiceBank have 48 kHz) go through scipy's polyphase filter. Raises AudioError for a file
    that is missing, damaged, empty, at a lower rate (its upper band would be empty) or in stereo.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate, channels, form = file.samplerate, file.channels, file.subtype
            # The library would give a floating-point file's values as integers unscaled: all 0.
            samples = file.read(dtype="float64" if form in FLOATS else "int16", always_2d=True)[:, 0]
    except (OSError, RuntimeError) as error:
        raise AudioError(f"{path}: cannot be decoded ({reason(error)}); restore the file") from None
    if rate < RATE or channels != 1:
        raise AudioError(f"{path}: {rate} Hz, {channels} channels (must be {RATE} Hz or more, mono)")
    if not samples.size:
        raise AudioError(f"{path}: holds no samples")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds samples that are no numbers; restore the file")
    if rate == RATE:
        return to_int16(samples) if form in FLOATS else samples
    return to_int16(_resampled(samples if form in FLOATS else samples / 32768, rate))


def reason(error: Exception) -> str:
    """What the audio library says of a file, without the file's path and in one line."""
    return " ".join(str(error).split(": ", 1)[-1].split()).rstrip(".") or type(error).__name__


def _resampled(wave: np.ndarray, rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    common = math.gcd(rate, RATE)
    return resample_poly(wave, RATE // common, rate // common)


@dataclass(frozen=True)
class Bank:
    """Decoded clips end to end in one int16 array; ``offsets`` has one more entry than clips."""

    samples: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def clip(self, index: int) -> np.ndarray:
        """Samples of one clip (a view)."""
        return self.samples[self.offsets[index] : self.offsets[index + 1]]

    @property
    def seconds(self) -> float:
        """Length of all clips together."""
        return len(self.samples) / RATE


MOST_UNREADABLE = 0.02
"""Share of files that may be skipped before a corpus counts as damaged."""


def load_bank(
    clips: Sequence[Clip],
    progress: Callable[[int], None] | None = None,
    skipped: Callable[[str], None] | None = None,
) -> Bank:
    """Decodes clips into memory; ``progress`` is called with the number of clips done.

    A file that cannot be read is left out, and ``skipped`` called with one line that names it. Raises
    AudioError when more than 2 % are unreadable.
    """
    parts, reasons = [np.zeros(0, np.int16)], []
    for count, clip in enumerate(clips, start=1):
        try:
            parts.append(decode(clip.path))
        except AudioError as error:
            reasons.append(str(error))
            if skipped:
                skipped(str(error))
        if progress:
            progress(count)
    if len(reasons) > MOST_UNREADABLE * len(clips):
        raise AudioError(
            f"{len(reasons)} of {len(clips)} files cannot be used (`tinydsn data` lists them); the first: "
            f"{reasons[0]}"
        )
    offsets = np.cumsum([len(part) for part in parts])
    return Bank(np.concatenate(parts), offsets.astype(np.int64))
