"""Gate patterns: who decides, frame by frame, which gated regions run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.errors import ConfigError
from quant.nearest import unknown

MAX_GATES = 32
"""A gate word has a bit for each."""
PATTERNS = ("learned", "min", "max", "cycle")


@dataclass(frozen=True)
class GatePattern:
    """``learned``: the policy decides. ``min``/``max``: all off / all on. ``cycle``: every gate changes in
    every frame (gate k is on in frame t iff t + k is even). Otherwise ``trace``, one row of 0/1 a frame."""

    name: str
    trace: np.ndarray | None = None

    def forced(self, frames: int, gates: int) -> np.ndarray | None:
        """Forced decisions, bool [frames, gates], or None when the policy decides.

        Raises ConfigError when a trace is too short or has another number of gates.
        """
        if self.name == "learned":
            return None
        if self.name in ("min", "max"):
            return np.full((frames, gates), self.name == "max")
        if self.name == "cycle":
            return (np.arange(frames)[:, None] + np.arange(gates)[None, :]) % 2 == 0
        assert self.trace is not None
        if self.trace.shape[1] != gates or self.trace.shape[0] < frames:
            rows, columns = self.trace.shape
            raise ConfigError(
                f"gate trace {self.name} has {rows} rows of {columns} gates "
                f"(must be at least {frames} rows of {gates}, one row a frame)"
            )
        return self.trace[:frames]

    def words(self, frames: int, gates: int) -> np.ndarray | None:
        """`forced` as gate words, uint32 [frames]; see `to_words`."""
        forced = self.forced(frames, gates)
        return None if forced is None else to_words(forced)


def parse_pattern(text: str) -> GatePattern:
    """A pattern by name, or a trace file of one row of 0/1 a frame, separated by blanks or commas."""
    if text in PATTERNS:
        return GatePattern(text)
    path = Path(text)
    if not path.is_file():
        raise ConfigError(unknown("gate pattern", text, PATTERNS, "or a trace file"))
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a gate trace ({error})") from error
    rows = [line.replace(",", " ").split() for line in lines if line.strip()]
    if not rows or any(len(row) != len(rows[0]) or set(row) - {"0", "1"} for row in rows):
        raise ConfigError(f"{path}: a gate trace has one row a frame, the same number of 0 or 1 in each")
    return GatePattern(text, np.array(rows) == "1")


def to_words(gates: np.ndarray) -> np.ndarray:
    """bool [frames, gates] -> uint32 [frames]; bit k is gate k."""
    weights = np.left_shift(np.uint64(1), np.arange(gates.shape[1], dtype=np.uint64))
    return (gates.astype(np.uint64) @ weights).astype(np.uint32)


def from_words(words: np.ndarray, gates: int) -> np.ndarray:
    """uint32 [frames] -> bool [frames, gates]."""
    return ((words[:, None] >> np.arange(gates, dtype=np.uint32)) & 1).astype(bool)
