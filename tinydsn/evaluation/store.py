"""Finished files of an evaluation, one JSON line each, so that a killed run goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROWS = "rows.jsonl"


class Store:
    """Rows by key in ``folder``/rows.jsonl. A line that was cut off by a kill is passed over."""

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        self.path = folder / ROWS
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            self.path.unlink(missing_ok=True)
        self._rows: dict[str, dict[str, Any]] = {}
        content = self.path.read_bytes() if self.path.is_file() else b""
        for line in content.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                self._rows[entry["key"]] = entry["row"]
        self._torn = bool(content) and not content.endswith(b"\n")

    def get(self, key: str) -> dict[str, Any] | None:
        """The row stored under ``key``, or None."""
        return self._rows.get(key)

    def put(self, key: str, row: Mapping[str, Any]) -> None:
        """Appends a row in one write, on disk when this returns."""
        line = json.dumps({"key": key, "row": row}, separators=(",", ":")) + "\n"
        with self.path.open("a", encoding="utf-8") as file:
            # The rest of a line that a kill cut off must not swallow this one.
            file.write(("\n" if self._torn else "") + line)
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._rows[key] = dict(row)
