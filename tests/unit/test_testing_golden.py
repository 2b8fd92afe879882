"""Golden files: exact round trip, and what counts as a difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.errors import ConfigError
from tinydsn.testing.golden import Fingerprint, Golden, compare, make_golden, read_golden, write_golden

PRINT = Fingerprint("arm-none-eabi-gcc 12.2.1", '-O3 -DNAME="x\\y"', "12.5.1")
COUNTS = {"min": 90, "mean": 100, "p99": 110, "max": 120, "total": 500}
HOP, FRAMES = 4, 5


def golden(change: int | None = None, gate: int | None = None, **counts: int) -> Golden:
    pcm = np.arange(HOP * FRAMES, dtype=np.int16)
    gates = np.zeros((FRAMES, 2), np.uint8)
    if change is not None:
        pcm[change] += 1
    if gate is not None:
        gates[gate, 1] = 1
    return make_golden("ab" * 32, pcm, gates, COUNTS | counts, PRINT)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.golden"
    for made in (golden(), replace(golden(), instructions=None)):
        write_golden(made, path)
        assert read_golden(path) == made
    assert path.stat().st_size < 1000


def test_equal_runs_are_equal() -> None:
    assert compare(golden(), golden(), None) == ([], None)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (golden(change=9), "samples differ, first in frame 2 of 5"),
        (golden(gate=3), "gates differ, first in frame 3 of 5"),
        (golden(change=19, gate=1), "samples and gates differ, first in frame 1 of 5"),
        (golden(mean=101), "instructions mean: 101, was 100 (+1.000 %)"),
    ],
)
def test_each_difference_is_seen(found: Golden, line: str) -> None:
    assert compare(golden(), found, None) == ([line], None)


def test_fewer_frames_are_a_difference() -> None:
    short = make_golden("ab" * 32, np.arange(8, dtype=np.int16), np.zeros((2, 2), np.uint8), COUNTS, PRINT)
    assert compare(golden(), short, None)[0] == ["samples and gates differ, first in frame 2 of 2"]


def test_another_model_is_named() -> None:
    found = replace(golden(change=0), model="cd" * 32)
    assert compare(golden(), found, None)[0] == [
        "samples differ, first in frame 0 of 5",
        "the model is another one: cdcdcdcdcdcd, was abababababab",
    ]


def test_counts_of_another_compiler() -> None:
    found = replace(golden(mean=103), fingerprint=replace(PRINT, compiler="gcc 14"))
    changes = "compiler was 'arm-none-eabi-gcc 12.2.1', is 'gcc 14'"
    assert compare(golden(), found, None) == (
        [],
        f"instruction counts not compared: {changes} (--tinydsn-slack PERCENT compares them)",
    )
    assert compare(golden(), found, 3.0) == ([], f"instruction counts compared within 3 %: {changes}")
    wrong, _ = compare(golden(), found, 2.0)
    assert wrong == [f"instructions mean: 103, was 100, more than 2 % off ({changes})"]
    moved = replace(golden(change=0), fingerprint=replace(PRINT, compiler="gcc 14"))
    assert compare(golden(), moved, 50.0)[0] == ["samples differ, first in frame 0 of 5"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such golden file (make it: pytest --update-golden)"),
        ("[[[", "damaged golden file ("),
        ("schema = 2\n", "golden file of schema 2, this version reads 1; renew it: pytest --update-golden"),
        ("schema = 1\n", "damaged golden file (KeyError: 'model'); renew it: pytest --update-golden"),
    ],
)
def test_bad_files(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.golden"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_golden(path)
    assert str(caught.value).startswith(f"{path}: {words}") and "\n" not in str(caught.value)
