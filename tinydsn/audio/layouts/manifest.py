"""Our own manifest: read as a layout, and written for training."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinydsn.audio.corpus import read_manifest
from tinydsn.audio.files import replace_file
from tinydsn.audio.layouts.entry import Entry

COLUMNS = ("file", "type", "split", "source", "licence", "speaker", "lang", "seconds", "note")


def is_manifest(folder: Path) -> bool:
    """Holds manifest.csv."""
    return (folder / "manifest.csv").is_file()


def manifest(folder: Path) -> Iterator[Entry]:
    """The rows of manifest.csv, with its splits. Raises AudioError for a damaged one."""
    for clip in read_manifest(folder):
        texts = (clip.source, clip.speaker, clip.note, clip.licence, clip.lang)
        yield Entry(clip.path, clip.kind, clip.split, *texts)


def write_manifest(entries: Sequence[Entry], path: Path) -> None:
    """One row a file, replaced as a whole; files below the manifest's folder by their relative path."""
    folder = path.parent.resolve()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for e in entries:
        file = e.path.resolve()
        name = (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()
        seconds = f"{e.seconds:.2f}"
        writer.writerow((name, e.kind, e.split, e.source, e.licence, e.speaker, e.lang, seconds, e.note))
    replace_file(path, text.getvalue().encode())
