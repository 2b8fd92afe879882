"""Folders named by what they hold, with or without splits below."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tinydsn.audio.corpus import KINDS
from tinydsn.audio.layouts.entry import Entry, audio_files

NAMES = {"speech": ("speech", "clean"), "noise": ("noise", "noises"), "rir": ("rir", "rirs", "rooms")}
SPLIT_NAMES = {"train": "train", "valid": "valid", "val": "valid", "dev": "valid", "test": "test"}


def kinds_of(folder: Path) -> list[tuple[str, str, Path]]:
    """(kind, split, folder) of ``speech``, or of ``train/speech``; the split is "" for the former."""
    named = (
        (kind, split, folder / below / name)
        for kind in KINDS
        for name in NAMES[kind]
        for below, split in (("", ""), *SPLIT_NAMES.items())
    )
    return [(kind, split, path) for kind, split, path in named if path.is_dir()]


def is_plain(folder: Path) -> bool:
    """Holds a folder called speech or clean, or noise; itself, or in a folder train."""
    return any(kind != "rir" for kind, _, _ in kinds_of(folder))


def plain(folder: Path) -> Iterator[Entry]:
    """``speech/[train/][SPEAKER/]file``, ``noise/[train/][KIND/]file``, ``rir/[train/]file``.

    The split may come first, too (``train/speech/...``). Speech without a folder for the speaker has no
    speaker, and its split is drawn by file.
    """
    source = folder.resolve().name
    for kind, outer, where in kinds_of(folder):
        for file in audio_files(where):
            groups = list(file.relative_to(where).parts[:-1])
            inner = SPLIT_NAMES.get(groups[0].lower(), "") if groups and not outer else ""
            first = "".join(groups[1:2] if inner else groups[:1])
            speaker, note = (first, "") if kind == "speech" else ("", first)
            yield Entry(file, kind, outer or inner, source, speaker, note)
