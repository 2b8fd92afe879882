"""The six wake phrases of the corpus, and which split a recording belongs to.

The people who spoke them are not labelled, so recordings are dealt to the splits by a hash of their file's
name: one voice may be in two splits, and results say nothing about a speaker who was never heard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from quant.errors import AudioError
from tinydsn.audio.corpus import Clip

PHRASES = ("alexa", "computer", "jarvis", "smart_mirror", "snowboy", "view_glass")
PREFIX = "pv_ww__"
"""Of the files' names: ``pv_ww__<phrase>_<number>.opus``."""
BUCKETS, VALID_FROM, TEST_FROM = 10, 8, 9


def phrase_of(clip: Clip) -> int | None:
    """Index into `PHRASES` of a recording; None for other speech."""
    name = clip.path.name
    if clip.kind != "speech" or not name.startswith(PREFIX):
        return None
    spoken = name.removeprefix(PREFIX)
    return next((k for k, phrase in enumerate(PHRASES) if spoken.startswith(f"{phrase}_")), None)


def split_of(name: str) -> str:
    """``train``, ``valid`` or ``test`` (80, 10, 10 %) by the SHA-256 of a file's name without its folder."""
    bucket = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % BUCKETS
    return "train" if bucket < VALID_FROM else "valid" if bucket < TEST_FROM else "test"


def phrase_clips(listed: Sequence[Clip], split: str) -> tuple[tuple[Clip, ...], ...]:
    """The recordings of each phrase that belong to a split, sorted by name. Raises AudioError for none."""
    found: list[list[Clip]] = [[] for _ in PHRASES]
    for clip in sorted(listed, key=lambda clip: clip.path.name):
        phrase = phrase_of(clip)
        if phrase is not None and split_of(clip.path.name) == split:
            found[phrase].append(clip)
    missing = [name for name, clips in zip(PHRASES, found, strict=True) if not clips]
    if missing:
        raise AudioError(
            f"the corpus has no recording of the phrase {missing[0]!r} in the split {split!r} (files "
            f"{PREFIX}{missing[0]}_*, dealt 80/10/10 by a hash of their names)"
        )
    return tuple(tuple(clips) for clips in found)
