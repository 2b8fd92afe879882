"""Reads each file's header, or all of it, and tells which are of no use and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quant.errors import AudioError
from tinydsn.audio.corpus import RATE, decode, reason
from tinydsn.audio.layouts.entry import Entry

SHORTEST = 0.3
"""Seconds; of speech and noise. A room response may be shorter."""


class Header(NamedTuple):
    """What a file's header tells."""

    rate: int
    channels: int
    samples: int


@dataclass(frozen=True)
class Inspected:
    """Usable files with their lengths, and (path, reason) of the others."""

    entries: tuple[Entry, ...]
    problems: tuple[tuple[Path, str], ...]


def inspect_entries(
    entries: Sequence[Entry], whole: bool, progress: Callable[[int, int], None] | None = None
) -> Inspected:
    """Looks at every file; ``whole``: decodes it, instead of its header alone."""
    good, problems = [], []
    for count, entry in enumerate(entries, start=1):
        try:
            seconds = look(entry, whole)
        except AudioError as error:
            problems.append((entry.path, str(error).removeprefix(f"{entry.path}: ")))
        else:
            good.append(replace(entry, seconds=seconds))
        if progress:
            progress(count, len(entries))
    return Inspected(tuple(good), tuple(problems))


def look(entry: Entry, whole: bool) -> float:
    """Length in seconds. Raises AudioError with what is wrong with the file."""
    header = header_of(entry.path)
    if entry.minus and (clean := header_of(entry.minus)) != header:
        raise AudioError(
            f"{entry.path}: {header.samples} samples at {header.rate} Hz (must be as its clean version "
            f"{entry.minus.name}: {clean.samples} at {clean.rate} Hz)"
        )
    if header.channels != 1:
        raise AudioError(f"{entry.path}: {header.channels} channels (must be 1, mono)")
    if header.rate < RATE:
        raise AudioError(f"{entry.path}: {header.rate} Hz (must be {RATE} Hz or more)")
    seconds = header.samples / header.rate
    if seconds < SHORTEST and entry.kind != "rir":
        raise AudioError(f"{entry.path}: {seconds:.2f} s long (must be {SHORTEST} s or more)")
    if whole:
        samples_of(entry)
    return seconds


def header_of(path: Path) -> Header:
    """Rate, channels and length. Raises AudioError for a file that is missing or of another kind."""
    import soundfile

    if not path.is_file():
        raise AudioError(f"{path}: no such file")
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise AudioError(f"{path.parent}: holds a file whose name is not UTF-8; rename it") from None
    try:
        info = soundfile.info(str(path))
    except (OSError, RuntimeError) as error:
        raise AudioError(f"{path}: cannot be read ({reason(error)})") from None
    return Header(info.samplerate, info.channels, info.frames)


def samples_of(entry: Entry) -> np.ndarray:
    """The entry's samples, int16 ``[samples]`` at 16 kHz; of a noisy file less its clean version.

    Raises AudioError for a file that cannot be decoded or is silent.
    """
    samples = decode(entry.path)
    if entry.minus:
        difference = samples.astype(np.int32) - decode(entry.minus)
        samples = np.clip(difference, -32768, 32767).astype(np.int16)
    if not samples.any():
        raise AudioError(f"{entry.path}: {'equals its clean version' if entry.minus else 'silent'}")
    return samples
