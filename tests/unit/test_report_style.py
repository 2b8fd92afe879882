"""Colours of the style sheet: text and pictures stand out from what is behind them, in both schemes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tinydsn.report

CSS = (Path(tinydsn.report.__file__).parent / "templates" / "report.css").read_text()
TEXT, GRAPHIC = 4.5, 3.0
"""WCAG 2.2: least contrast of text (1.4.3), and of what a picture tells (1.4.11)."""
HUES = [f"hue{index}" for index in range(8)]
PAIRS = [
    *(("ink", back) for back in ("back", "surface", "sunken", "warningback", "badback", "goodback")),
    *(("muted", back) for back in ("back", "surface", "sunken")),
    *(("muted", back) for back in ("warningback", "badback", "goodback")),
    *(("accent", back) for back in ("back", "surface")),
    *((tone, back) for tone in ("good", "warning", "bad") for back in ("surface", f"{tone}back")),
    ("bad", "sunken"),
]
MARKS = [(mark, "sunken") for mark in (*HUES, "accent", "muted", "cheap", "dear", "ink")]
MAP_OPACITY = 0.45


def scheme(name: str) -> dict[str, str]:
    """Variable -> colour, "#rrggbb"; the dark ones replace the light ones."""
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    held = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", light))
    return held if name == "light" else {**held, **dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", dark))}


def channels(colour: str) -> list[float]:
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def luminance(values: list[float]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG's ratio, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast(channels("#000000"), channels("#ffffff")) == pytest.approx(21)
    assert contrast(channels("#777777"), channels("#ffffff")) == pytest.approx(4.478, abs=1e-3)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_can_be_read(name: str) -> None:
    colours = {key: channels(value) for key, value in scheme(name).items()}
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in PAIRS}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < TEXT} == {}


@pytest.mark.parametrize("name", ["light", "dark"])
def test_marks_can_be_seen(name: str) -> None:
    colours = {key: channels(value) for key, value in scheme(name).items()}
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in MARKS}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < GRAPHIC} == {}


@pytest.mark.parametrize("name", ["light", "dark"])
def test_names_in_the_memory_map_can_be_read(name: str) -> None:
    colours = {key: channels(value) for key, value in scheme(name).items()}
    assert f"fill-opacity: {MAP_OPACITY};" in CSS
    for hue in HUES:
        mixed = [
            MAP_OPACITY * over + (1 - MAP_OPACITY) * under
            for over, under in zip(colours[hue], colours["sunken"], strict=True)
        ]
        assert contrast(colours["ink"], mixed) >= TEXT, hue


def test_all_colours_are_of_the_scheme() -> None:
    # A colour that is written outside of :root would be the same in the dark; the spectrogram's is.
    rules = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b", rules) == ["#0a0c22"]
    assert "prefers-color-scheme: dark" in CSS
