"""Audio that a corpus lacks and that can be made: noise from pairs of files, and simulated rooms."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from quant.errors import AudioError
from tinydsn.audio.corpus import RATE, SPLITS
from tinydsn.audio.layouts.entry import Entry
from tinydsn.audio.layouts.inspect import Inspected, samples_of
from tinydsn.audio.layouts.rooms import COUNTS, room

FOLDER = "derived"
"""Beside the manifest."""


@contextmanager
def derived_folder(beside: Path) -> Iterator[Path]:
    """A temporary folder whose files move to ``derived`` when all went well.

    Otherwise they are gone, and so are the folders that had to be made for them.
    """
    made = [path for path in (beside, *beside.parents) if not path.exists()]
    beside.mkdir(parents=True, exist_ok=True)
    temporary = beside / f".{FOLDER}.{os.getpid()}.tmp"
    try:
        yield temporary
        for file in sorted(path for path in temporary.rglob("*") if path.is_file()):
            place = beside / FOLDER / file.relative_to(temporary)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        made.clear()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            for path in made:
                path.rmdir()


def derive_noise(
    entries: Sequence[Entry], folder: Path, progress: Callable[[int, int], None] | None = None
) -> Inspected:
    """The entries, those of pairs replaced by FLAC files of their noise, written below ``folder``.

    The files' paths are as they will be once ``derived_folder`` has moved them. Files that turn out to be of
    no use are among the problems.
    """
    good, problems = [], []
    for count, entry in enumerate(entries, start=1):
        try:
            good.append(_noise_file(entry, folder) if entry.minus else entry)
        except AudioError as error:
            problems.append((entry.path, str(error).removeprefix(f"{entry.path}: ")))
        if progress:
            progress(count, len(entries))
    return Inspected(tuple(good), tuple(problems))


def _noise_file(entry: Entry, folder: Path) -> Entry:
    import soundfile

    samples = samples_of(entry)
    # Two corpora may have files of equal names.
    mark = hashlib.sha256(str(entry.path.resolve()).encode()).hexdigest()[:8]
    name = Path("noise", entry.split, f"{entry.path.stem[:80]}-{mark}.flac")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, samples, RATE)
    return replace(entry, path=folder.parent / FOLDER / name, seconds=len(samples) / RATE, minus=None)


def simulated_rooms(entries: Sequence[Entry], folder: Path) -> tuple[Entry, ...]:
    """Rooms for the splits that have speech and no room, written below ``folder`` as FLAC files."""
    import soundfile

    there = {(entry.kind, entry.split) for entry in entries}
    made = []
    for number, split in enumerate(SPLITS):
        if ("rir", split) in there or ("speech", split) not in there:
            continue
        for index in range(COUNTS[split]):
            samples, name = room(1000 * number + index), Path("rir", split, f"room-{index:02d}.flac")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / name, samples, RATE)
            path, seconds = folder.parent / FOLDER / name, len(samples) / RATE
            made.append(
                Entry(path, "rir", split, "simulated rooms", licence="none (generated)", seconds=seconds)
            )
    return tuple(made)
