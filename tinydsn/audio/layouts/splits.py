"""Splits that a layout does not have, drawn by hash: the same on every machine, and in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from tinydsn.audio.corpus import KINDS
from tinydsn.audio.layouts.entry import Entry

VALID_SHARE, TEST_SHARE = 0.1, 0.1


def share_of(name: str) -> float:
    """A name's place in [0, 1), from its SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:4], "big") / 2**32


def split_of(name: str) -> str:
    """A split drawn from a name alone: 10 % valid, 10 % test, the rest train."""
    share = share_of(name)
    return "valid" if share < VALID_SHARE else "test" if share < VALID_SHARE + TEST_SHARE else "train"


def group_of(entry: Entry) -> str:
    """What must not be torn apart: a speaker, or all pieces of one recording."""
    return entry.group or entry.speaker or entry.path.stem


def fill_splits(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Entries with no split left open; valid and test are made of train where a kind lacks them.

    Speech is drawn by speaker, noise and rooms by recording; a group's split depends on its name only, so
    that files may be added to a corpus without moving others. Where the draw leaves a split empty, it gets
    the group with the lowest hash, as long as train keeps one; an empty train gets the last. Speech of fewer
    speakers than there are splits is drawn by file.
    """
    drawn: dict[int, str] = {}
    for kind in KINDS:
        chosen = [(index, entry) for index, entry in enumerate(entries) if entry.kind == kind]
        there = {entry.split for _, entry in chosen}
        wanted = [split for split in ("valid", "test") if split not in there]
        opened = [(index, entry) for index, entry in chosen if entry.split in ("", "train")]
        names = {index: group_of(entry) for index, entry in opened}
        if len(set(names.values())) <= len(wanted):
            names = {index: str(entry.path.name) for index, entry in opened}
        splits = _draw(sorted(set(names.values()), key=lambda name: (share_of(name), name)), wanted)
        drawn |= {index: splits[name] for index, name in names.items()}
    return tuple(
        replace(entry, split=drawn[index]) if index in drawn else entry for index, entry in enumerate(entries)
    )


def _draw(names: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Splits of groups in the order of their hashes."""
    splits = {name: split if (split := split_of(name)) in wanted else "train" for name in names}
    if names and "train" not in splits.values():
        splits[names[-1]] = "train"
    for split in wanted:
        rest = [name for name in names if splits[name] == "train"]
        if split not in splits.values() and len(rest) > 1:
            splits[rest[0]] = split
    return splits


def at_most(entries: Sequence[Entry], hours: float) -> tuple[Entry, ...]:
    """Without the training speech, and training noise, beyond ``hours`` of each: kept by hash of the file."""
    dropped: set[int] = set()
    for kind in ("speech", "noise"):
        chosen = [
            (share_of(str(entry.path.name)), index)
            for index, entry in enumerate(entries)
            if (entry.kind, entry.split) == (kind, "train")
        ]
        total = 0.0
        for _, index in sorted(chosen):
            total += entries[index].seconds / 3600
            if total > hours:
                dropped.add(index)
    return tuple(entry for index, entry in enumerate(entries) if index not in dropped)
