"""The drawings: PNG, spectrogram, paths, memory map, numbers as text."""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np
import pytest
from report_example import example

from tinydsn.report import PlanRow, text
from tinydsn.report.spectrogram import COLUMNS, ROWS, colours, loudest, picture, png, power
from tinydsn.report.svg import gate_path, memory_map, steps_path
from tinydsn.report.timeline import timeline


def decode(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Indices and palette of an 8-bit indexed PNG without row filters, with every checksum checked."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        kind, body = content[position + 4 : position + 8], content[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", content, position + 8 + length)[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        position += 12 + length
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 3, 0, 0, 0] and list(chunks)[-1] == b"IEND"
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)


def test_png_comes_back() -> None:
    indices = np.random.default_rng(3).integers(0, 64, (7, 13)).astype(np.uint8)
    shown, palette = decode(png(indices, colours()))
    assert np.array_equal(shown, indices) and np.array_equal(palette, colours())


def test_colours_grow_lighter() -> None:
    lightness = colours() @ np.array([0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(lightness) > 0)


@pytest.mark.parametrize("hertz", [250, 1000, 3300, 7900])
def test_tone_lies_at_its_frequency_and_level(hertz: float) -> None:
    tone = np.rint(16384 * np.sin(2 * np.pi * hertz * np.arange(16000) / 16000)).astype(np.int16)
    levels = power(tone)
    assert levels.shape == (ROWS, 250)
    assert np.all(np.abs(np.argmax(levels[:, 4:-4], axis=0) - hertz / 62.5) <= 1)
    # -6 dB of full scale, less the mean over the two lines that a row holds.
    assert -13 < np.median(levels.max(axis=0)) < -6


def test_click_lies_at_its_time() -> None:
    click = np.zeros(16000, np.int16)
    click[12000] = 30000
    loud = np.flatnonzero(power(click).max(axis=0) > -90)
    assert abs(loud.mean() / 250 - 0.75) < 0.01


@pytest.mark.parametrize("length", [1, 64, 511, 16001, 30 * 16000])
def test_any_length(length: int) -> None:
    levels = power(np.ones(length, np.int16))
    assert levels.shape[0] == ROWS and 1 <= levels.shape[1] <= COLUMNS
    assert np.isfinite(levels).all()


def test_silence_is_the_quietest_colour() -> None:
    levels = power(np.zeros(16000, np.int16))
    shown, _ = decode(picture(levels, loudest(levels) + 75))
    assert not shown.any()


def test_low_frequencies_are_at_the_bottom() -> None:
    levels = np.full((4, 3), -90.0)
    levels[0] = -20
    shown, _ = decode(picture(levels, -20))
    assert shown[:, 0].tolist() == [4, 4, 4, 63]


def test_gate_path_has_a_box_a_run() -> None:
    assert gate_path(np.array([1, 1, 0, 0, 1], bool)) == "M0 0H2V1H0zM4 0H5V1H4z"
    assert gate_path(np.array([0, 1], bool), 3) == "M3 0H6V1H3z"
    assert gate_path(np.zeros(4, bool)) == gate_path(np.zeros(0, bool)) == ""


def test_steps_path_is_a_staircase() -> None:
    assert steps_path(np.array([0, 50, 100]), 100) == "M0 1000H1V500H2V0H3"
    assert steps_path(np.array([5]), 0, 2) == "M0 -4000H2"


def test_memory_map_places_boxes() -> None:
    rows = (PlanRow("a", 0, 60, 0, 1), PlanRow("b", 60, 40, 1, 3), PlanRow("none", 0, 0, 0, 9))
    made = memory_map(rows)
    assert made is not None
    assert (made.size, made.steps, made.busiest, made.in_use) == (100, 4, 1, 100)
    assert [(box.x, box.width, box.height) for box in made.boxes] == [(0, 0.5, 0.6), (0.25, 0.75, 0.4)]
    assert [box.y for box in made.boxes] == [0.4, 0]
    assert memory_map(()) is None


def test_many_frames_are_drawn_several_a_column() -> None:
    frames, hop = 6000, 16
    gates = np.zeros((frames, 5), bool)
    gates[4000, 2] = True
    counts = np.full(frames, 10)
    counts[4000] = 99
    noise = np.ones(frames * hop, np.int16)
    data = example(1.0, noisy=noise, enhanced=noise, clean=None, hop=hop, gates=gates, instructions=counts)
    made = timeline(data, 30)
    assert (made.step, made.frames, len(made.words)) == (3, 6000, 2000)
    assert made.counts is not None and made.words[1333] == 4 and made.counts[1333] == 99
    assert made.strips[2].path == "M3999 0H4002V1H3999z"
    assert made.strips[2].changes == 2


def test_deadline_is_drawn_where_it_is_near() -> None:
    near, far = (timeline(example(1.0, clock_hz=clock), 30).curve for clock in (25_000_000, 168_000_000))
    assert near is not None and near.budget == 400_000
    assert far is not None and far.budget is None


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (text.count(1234567.4), "1,234,567"),
        (text.count(None), "–"),
        (text.compact(950), "950"),
        (text.compact(12345), "12.3 k"),
        (text.compact(999_600), "1000 k"),
        (text.compact(1_234_567), "1.23 M"),
        (text.size(812), "812 B"),
        (text.size(186_432), "182 KiB"),
        (text.size(1 << 20), "1.00 MiB"),
        (text.percent(0.0), "0 %"),
        (text.percent(0.0234), "2.3 %"),
        (text.percent(0.0996), "10 %"),
        (text.percent(1.04), "104 %"),
        (text.signed(-0.5), "−0.50"),
        (text.signed(1.25), "+1.25"),
    ],
)
def test_numbers_as_text(made: str, shown: str) -> None:
    assert re.sub("\xa0", " ", made) == shown
