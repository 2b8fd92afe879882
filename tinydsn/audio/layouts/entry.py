"""One audio file of a corpus, as a layout's structure tells it; and what layouts share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".wav", ".flac", ".ogg", ".opus")


@dataclass(frozen=True)
class Entry:
    """A file, what it holds, and who speaks or what makes the noise.

    kind     speech, noise or rir
    split    train, valid or test; "" where the layout does not tell (see `fill_splits`)
    speaker  of speech; "" where the layout does not tell
    note     kind of noise, or whatever else the layout's names tell
    seconds  0 until the file's header was read
    group    files of one group stay in one split; "" means the speaker, else the file
    minus    the clean version of a noisy file: its noise is the difference
    """

    path: Path
    kind: str
    split: str
    source: str
    speaker: str = ""
    note: str = ""
    licence: str = ""
    lang: str = ""
    seconds: float = 0.0
    group: str = ""
    minus: Path | None = None


def audio_files(folder: Path) -> Iterator[Path]:
    """All audio files below a folder, by name."""
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file())


def first_folder(folder: Path, *names: str) -> Path | None:
    """The first of the sub-folders that is there."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)
