"""Folders of equally named noisy and clean files, as test sets have them; the DNS Challenge's among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tinydsn.audio.layouts.entry import Entry, audio_files
from tinydsn.audio.layouts.plain import SPLIT_NAMES

FILE = re.compile(r"fileid_(\d+)")
SPEAKER = re.compile(r"(p\d{3})_\d+")
BELOW = ("", "no_reverb", "synthetic/no_reverb", "test_set/synthetic/no_reverb")
"""Where a DNS test set has its pairs, from wherever in it one starts."""


def roots_of(folder: Path) -> list[tuple[str, Path]]:
    """(split, folder that holds clean and noisy); the split "" where nothing tells it."""
    for below in BELOW:
        if _is_pair(folder / below):
            root = (folder / below).resolve()
            return [("test" if root.name == "no_reverb" else "", folder / below)]
    return [(split, folder / name) for name, split in SPLIT_NAMES.items() if _is_pair(folder / name)]


def _is_pair(folder: Path) -> bool:
    return (folder / "clean").is_dir() and (folder / "noisy").is_dir() and not (folder / "noise").is_dir()


def is_pairs(folder: Path) -> bool:
    """Holds clean and noisy (and no noise), or folders train, valid, test with them."""
    return bool(roots_of(folder))


def pairs(folder: Path) -> Iterator[Entry]:
    """Clean speech, and as noise what a noisy file has more than its clean version.

    Files belong together by equal names, or by equal numbers in ``..._fileid_12.wav``. Speakers are told by
    names such as p226_001.wav only.
    """
    for split, root in roots_of(folder):
        challenge = root.resolve().name == "no_reverb"
        source = "DNS Challenge test set" if challenge else folder.resolve().name
        noisy = {_key(file, root / "noisy"): file for file in audio_files(root / "noisy")}
        for file in audio_files(root / "clean"):
            found = SPEAKER.fullmatch(file.stem)
            speaker = found[1] if found else ""
            yield Entry(file, "speech", split, source, speaker)
            pair = noisy.get(_key(file, root / "clean"))
            if pair:
                group = speaker or file.stem
                yield Entry(pair, "noise", split, source, note="noisy - clean", group=group, minus=file)


def _key(file: Path, root: Path) -> str:
    found = FILE.search(file.stem)
    return f"fileid {found[1]}" if found else str(file.relative_to(root).with_suffix(""))
