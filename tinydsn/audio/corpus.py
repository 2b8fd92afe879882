"""Reads the training corpus: one ``manifest.csv`` and one audio file a clip."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.errors import AudioError

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


def read_manifest(corpus: Path) -> tuple[Clip, ...]:
    """All clips of a corpus folder, in the manifest's order.

    Raises AudioError when the manifest is missing, lacks a column, or names an unknown type or split.
    """
    path = corpus / "manifest.csv"
    if not path.is_file():
        raise AudioError(f"{path}: no such file (a corpus is a folder with manifest.csv; see --corpus)")
    clips = []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        wanted = {"file", "type", "split", "source", "speaker", "seconds"}
        missing = sorted(wanted - set(reader.fieldnames or ()))
        if missing:
            raise AudioError(f"{path}: column missing: {', '.join(missing)}")
        for number, row in enumerate(reader, start=2):
            clips.append(_clip(corpus, row, f"{path}, line {number}"))
    return tuple(clips)


def _clip(corpus: Path, row: dict[str, str], where: str) -> Clip:
    for column, legal in (("type", KINDS), ("split", SPLITS)):
        if row[column] not in legal:
            raise AudioError(f"{where}: {column} is {row[column]!r} (must be one of {', '.join(legal)})")
    try:
        seconds = float(row["seconds"])
    except ValueError:
        raise AudioError(f"{where}: seconds is {row['seconds']!r} (must be a number)") from None
    return Clip(corpus / row["file"], row["type"], row["split"], row["source"], row["speaker"], seconds)


def select(clips: Sequence[Clip], kind: str, split: str) -> tuple[Clip, ...]:
    """The clips of one kind and split, in order. Raises AudioError when there are none."""
    chosen = tuple(clip for clip in clips if clip.kind == kind and clip.split == split)
    if not chosen:
        raise AudioError(f"the corpus holds no {kind} in the split {split!r}")
    return chosen


def decode(path: Path) -> np.ndarray:
    """Samples of a corpus file (FLAC, Ogg/Opus, WAV) as int16 ``[samples]``; 16 kHz mono only.

    Raises AudioError for a file that is missing, damaged, at another rate or in stereo.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise AudioError(f"{path}: cannot be decoded ({error}); restore the file") from None
    if rate != RATE or samples.shape[1] != 1:
        raise AudioError(f"{path}: {rate} Hz, {samples.shape[1]} channels (must be {RATE} Hz mono)")
    return samples[:, 0]


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


def load_bank(clips: Sequence[Clip], progress: Callable[[int], None] | None = None) -> Bank:
    """Decodes clips into memory; ``progress`` is called with the number of clips done."""
    parts = []
    for count, clip in enumerate(clips, start=1):
        parts.append(decode(clip.path))
        if progress:
            progress(count)
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return Bank(np.concatenate(parts), offsets.astype(np.int64))
