"""Ratings of a search's genomes, on disk as each is made.

Rating goes on after a kill, and points that were rated once on the same clips are not rated again, be it to
check the proxy or to rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tinydsn.audio.metrics import measures_digest
from tinydsn.search.clips import Clips
from tinydsn.search.journal import append_line, ends_line, from_line

NAME = "ratings.jsonl"


class RatingLog:
    """The ratings in a run's folder that were made on ``clips`` with the installed measures.

    ``folder``: the run's. ``known``: by the genome's key. Damaged lines, as a kill leaves them, are left out.
    """

    def __init__(self, folder: Path, clips: Clips) -> None:
        self.folder, self._path = folder, folder / NAME
        self._measured = f"{clips.digest[:16]}-{measures_digest()}"
        lines = self._path.read_bytes().splitlines() if self._path.is_file() else []
        records = (from_line(line) for line in lines)
        self.known: dict[str, dict[str, float]] = {
            str(record["key"]): dict(record["rating"])
            for record in records
            if record is not None and record.get("measured") == self._measured
        }

    def add(self, key: str, rating: Mapping[str, float]) -> None:
        """Write one rating; on disk when this returns."""
        with self._path.open("ab") as file:
            if file.tell() and not ends_line(self._path):
                file.write(b"\n")
            append_line(file, {"measured": self._measured, "key": key, "rating": dict(rating)})
        self.known[key] = dict(rating)
