"""Golden files: what a recording gave when its result was last approved, as a small text file."""

from __future__ import annotations

import hashlib
import tomllib
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from quant.errors import ConfigError
from tinydsn.audio.files import replace_file

SCHEMA = 1
COUNTS = ("min", "mean", "p99", "max", "total")


@dataclass(frozen=True)
class Fingerprint:
    """What instruction counts depend on besides the model: counts are compared under an equal one only."""

    compiler: str
    flags: str
    cmsis_nn: str

    def changes(self, other: Fingerprint) -> str:
        """How ``other`` differs, for people."""
        pairs = zip(asdict(self).items(), asdict(other).values(), strict=True)
        return "; ".join(f"{name} was {was!r}, is {now!r}" for (name, was), now in pairs if was != now)


@dataclass(frozen=True)
class Golden:
    """One recording on one board.

    - model: SHA-256 of the integer graph
    - pcm, gates: SHA-256 of the output samples (int16, little-endian) and of the gate trace (uint8)
    - frames: CRC-32 of each frame's samples and gates, so that the first one that differs is known
    - instructions: a frame's min, mean, p99 and max, and the total; None on the host
    """

    model: str
    pcm: str
    gates: str
    frames: tuple[int, ...]
    instructions: dict[str, int] | None
    fingerprint: Fingerprint

    def first_difference(self, other: Golden) -> int | None:
        """The first frame whose samples or gates differ, None when all that both have are equal."""
        for index, (one, two) in enumerate(zip(self.frames, other.frames, strict=False)):
            if one != two:
                return index
        return None if len(self.frames) == len(other.frames) else min(len(self.frames), len(other.frames))


def make_golden(
    model: str,
    pcm: np.ndarray,
    gates: np.ndarray,
    instructions: dict[str, int] | None,
    fingerprint: Fingerprint,
) -> Golden:
    """The golden record of a run: int16 ``[frames * hop]``, uint8 ``[frames, gates]``."""
    samples = np.ascontiguousarray(pcm, "<i2")
    taken = np.ascontiguousarray(gates, np.uint8)
    hops = samples.reshape(len(taken), -1)
    crcs = tuple(zlib.crc32(g.tobytes(), zlib.crc32(h.tobytes())) for h, g in zip(hops, taken, strict=True))
    return Golden(
        model,
        hashlib.sha256(samples.tobytes()).hexdigest(),
        hashlib.sha256(taken.tobytes()).hexdigest(),
        crcs,
        instructions,
        fingerprint,
    )


def write_golden(golden: Golden, path: Path) -> None:
    """Writes a golden file as a whole."""
    lines = [
        "# What this recording gave when it was last approved; `pytest --update-golden` renews it.",
        f"schema = {SCHEMA}",
        f'model = "{golden.model}"',
        f'pcm = "{golden.pcm}"',
        f'gates = "{golden.gates}"',
        "",
        "[fingerprint]",
        *(f"{name} = {_quoted(value)}" for name, value in asdict(golden.fingerprint).items()),
        "",
    ]
    if golden.instructions is not None:
        lines += ["[instructions]", *(f"{name} = {golden.instructions[name]}" for name in COUNTS), ""]
    words = [f"{crc:08x}" for crc in golden.frames]
    lines += ["[frames]", 'crc32 = """', *(" ".join(words[i : i + 12]) for i in range(0, len(words), 12))]
    replace_file(path, ("\n".join([*lines, '"""']) + "\n").encode())


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_golden(path: Path) -> Golden:
    """Reads a golden file. Raises ConfigError for a missing, damaged or foreign one."""
    renew = "renew it: pytest --update-golden"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such golden file (make it: pytest --update-golden)") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: damaged golden file ({error}); {renew}") from None
    if table.get("schema") != SCHEMA:
        raise ConfigError(
            f"{path}: golden file of schema {table.get('schema')!r}, this version reads {SCHEMA}; {renew}"
        )
    try:
        counts = table.get("instructions")
        return Golden(
            str(table["model"]),
            str(table["pcm"]),
            str(table["gates"]),
            tuple(int(word, 16) for word in table["frames"]["crc32"].split()),
            None if counts is None else {name: int(counts[name]) for name in COUNTS},
            Fingerprint(**{name: str(value) for name, value in table["fingerprint"].items()}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: damaged golden file ({type(error).__name__}: {error}); {renew}") from None


def compare(expected: Golden, found: Golden, slack: float | None) -> tuple[list[str], str | None]:
    """What is wrong, a line each, and a remark when counts could not be compared exactly.

    Hashes must be equal always. Counts must be equal under an equal fingerprint; under another one they
    may differ by ``slack`` percent, and are not compared when that is None.
    """
    wrong = []
    if expected.pcm != found.pcm or expected.gates != found.gates:
        what = "samples and gates" if expected.gates != found.gates else "samples"
        if expected.pcm == found.pcm:
            what = "gates"
        wrong.append(
            f"{what} differ, first in frame {expected.first_difference(found)} of {len(found.frames)}"
        )
        if expected.model != found.model:
            wrong.append(f"the model is another one: {found.model[:12]}, was {expected.model[:12]}")
    if expected.instructions is None or found.instructions is None:
        return wrong, None
    if expected.fingerprint == found.fingerprint:
        for name in COUNTS:
            was, now = expected.instructions[name], found.instructions[name]
            if was != now:
                wrong.append(f"instructions {name}: {now:,}, was {was:,} ({100 * (now / was - 1):+.3f} %)")
        return wrong, None
    changes = expected.fingerprint.changes(found.fingerprint)
    if slack is None:
        return wrong, f"instruction counts not compared: {changes} (--tinydsn-slack PERCENT compares them)"
    for name in COUNTS:
        was, now = expected.instructions[name], found.instructions[name]
        if abs(now - was) > was * slack / 100:
            wrong.append(f"instructions {name}: {now:,}, was {was:,}, more than {slack:g} % off ({changes})")
    return wrong, f"instruction counts compared within {slack:g} %: {changes}"
