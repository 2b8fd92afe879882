"""The journal of a run: one JSON line an evaluation, on disk before the next step depends on it.

The first line says what is searched (model, board, options, versions); each further one carries a check sum.
A line that a kill or a disk left damaged is skipped and counted, and its genome evaluated again.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from quant.errors import ConfigError
from tinydsn.search.score import Failure, Genome, Outcome, Score

NAME = "journal.jsonl"
SCHEMA = 1


@dataclass
class Contents:
    """What a journal holds.

    header: what the run is known by. arguments: what it was started with, not compared. outcomes: by key.
    extended: generations added since. corrupt: damaged lines. elapsed: seconds that searching took until
    the last line.
    """

    header: dict[str, Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    extended: int = 0
    corrupt: int = 0
    elapsed: float = 0.0


def read(folder: Path) -> Contents:
    """The journal of a run's folder. Raises ConfigError when there is none, or its first line is damaged."""
    path = folder / NAME
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: no journal of a search ({error.strerror})") from None
    header = from_line(lines[0]) if lines else None
    if header is None or header.get("schema") != SCHEMA or not isinstance(header.get("identity"), dict):
        raise ConfigError(f"{path}: its first line is not the header of a search; name another folder")
    found = Contents(header["identity"], header.get("arguments", {}))
    for line in lines[1:]:
        if line.strip() and not _take(found, from_line(line)):
            found.corrupt += 1
    return found


def to_line(record: Mapping[str, Any]) -> bytes:
    """A line that holds a record and its check sum."""
    return (_text({**record, "crc": _check_sum(record)}) + "\n").encode()


def from_line(line: bytes) -> dict[str, Any] | None:
    """What `to_line` wrote, or None when it is damaged."""
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or record.pop("crc") != _check_sum(record):
            return None
    except (ValueError, KeyError):
        return None
    return record


def _take(found: Contents, record: dict[str, Any] | None) -> bool:
    try:
        if record is None:
            return False
        if "extend" in record:
            found.extended += int(record["extend"])
        elif "failure" in record:
            found.outcomes[record["key"]] = Failure(str(record["failure"]))
        else:
            found.outcomes[record["key"]] = Score.from_json(record["score"])
        found.elapsed = max(found.elapsed, float(record.get("elapsed", 0.0)))
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _check_sum(record: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(_text(record).encode()):08x}"


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Journal:
    """A journal open for writing; only one process may have it so.

    ``outcomes`` are those on disk. Raises ConfigError for the journal of another search (naming the first
    difference), or one that another process writes.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], arguments: Mapping[str, Any] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._file: BinaryIO = open(self.path, "a+b")  # noqa: SIM115 (open as long as the journal)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.contents = self._begin(folder, identity, arguments or {})
        except BlockingIOError:
            self._file.close()
            raise ConfigError(f"{folder}: another process is searching there (wait, or end it)") from None
        except BaseException:
            self._file.close()
            raise
        self._started = time.monotonic() - self.contents.elapsed

    def _begin(self, folder: Path, identity: Mapping[str, Any], arguments: Mapping[str, Any]) -> Contents:
        plain = json.loads(json.dumps(identity))
        size = self.path.stat().st_size
        if not size or not ends_line(self.path) and b"\n" not in self.path.read_bytes():
            # New, or killed within its first line.
            self._file.truncate(0)
            self._append({"schema": SCHEMA, "identity": plain, "arguments": dict(arguments)})
            return Contents(plain, dict(arguments))
        if not ends_line(self.path):
            self._file.write(b"\n")
        contents = read(folder)
        for key in dict.fromkeys([*plain, *contents.header]):
            if contents.header.get(key) != plain.get(key):
                raise ConfigError(
                    f"{folder}: holds another search: its {key} is {contents.header.get(key)!r}, not "
                    f"{plain.get(key)!r} (name another folder, or give the same options)"
                )
        return contents

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Outcomes on disk by key."""
        return self.contents.outcomes

    @property
    def elapsed(self) -> float:
        """Seconds of searching, those before a kill included."""
        return time.monotonic() - self._started

    def add(self, key: str, genome: Genome, outcome: Outcome, generation: int) -> None:
        """Write one evaluation; on disk when this returns."""
        content = (
            {"failure": outcome.reason} if isinstance(outcome, Failure) else {"score": outcome.to_json()}
        )
        record = {"key": key, "genome": list(genome), "generation": generation, **content}
        self._append({**record, "elapsed": round(self.elapsed, 3)})
        self.outcomes[key] = outcome

    def extend(self, generations: int) -> None:
        """Note that the run shall have this many generations more."""
        self._append({"extend": generations, "elapsed": round(self.elapsed, 3)})
        self.contents.extended += generations

    def _append(self, record: Mapping[str, Any]) -> None:
        append_line(self._file, record)

    def close(self) -> None:
        """Let other processes write."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def append_line(file: BinaryIO, record: Mapping[str, Any]) -> None:
    """Write a record as a line; on disk when this returns."""
    file.write(to_line(record))
    file.flush()
    os.fsync(file.fileno())


def ends_line(path: Path) -> bool:
    """Whether the last line of a file that is not empty was written whole."""
    return path.read_bytes()[-1:] == b"\n"
