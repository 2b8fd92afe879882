"""The front as a picture: quality loss over flash, instructions as colour, presets beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from tinydsn.search.run import Found
from tinydsn.search.score import Score

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 80, 130, 50, 60
CHEAP, DEAR, PRESET, OTHER = (31, 111, 235), (207, 34, 46), "#1f2328", "#d0d7de"
FONT = 'font-family="system-ui, sans-serif" fill="#1f2328"'
TICKS = 6
SHOWN = 1.5
"""The loss axis ends at this multiple of the front's and presets' 90th percentile, so that ruins do not
flatten the rest."""


def draw(found: Found) -> str:
    """An SVG file."""
    presets = {name: score for name, score in found.presets.items() if isinstance(score, Score)}
    front = [item.score for item in found.front]
    everything = [item.score for item in found.archive.scored.values()]
    shown = [*front, *presets.values()]
    low_x, high_x = _limits([score.flash for score in shown])
    low_y, high_y = _limits([score.quality for score in shown], SHOWN)
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(score: Score) -> tuple[float, float]:
        x = LEFT + across * (score.flash - low_x) / (high_x - low_x)
        return x, TOP + down * (1 - (score.quality - low_y) / (high_y - low_y))

    def visible(score: Score) -> bool:
        return low_x <= score.flash <= high_x and low_y <= score.quality <= high_y

    parts = _axes(low_x, high_x, low_y, high_y)
    for score in everything:
        if visible(score):
            x, y = place(score)
            parts.append(f'<circle class="other" cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{OTHER}"/>')
    costs = [score.instructions for score in front]
    for score in front:
        if visible(score):
            x, y = place(score)
            fill = _colour(score.instructions, min(costs), max(costs))
            parts.append(f'<circle class="front" cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}"/>')
    for name, score in presets.items():
        if visible(score):
            x, y = place(score)
            square = f'x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"'
            parts.append(f'<rect class="preset" {square} fill="none" stroke="{PRESET}" stroke-width="2"/>')
            parts.append(_text(x + 8, y + 4, name, 11))
    if costs:
        parts += _legend(min(costs), max(costs))
    head = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    white = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {head}>', white, *parts, "</svg>", ""])


def _limits(values: Sequence[float], spread: float | None = None) -> tuple[float, float]:
    low, high = min(values), max(values)
    if spread is not None:
        high = min(high, low + spread * (float(np.percentile(values, 90)) - low))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _axes(low_x: float, high_x: float, low_y: float, high_y: float) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#57606a"/>']
    for index in range(TICKS):
        share = index / (TICKS - 1)
        x, y = LEFT + share * (right - LEFT), bottom - share * (bottom - TOP)
        parts.append(_text(x, bottom + 18, f"{low_x + share * (high_x - low_x):,.0f}", 11, "middle"))
        parts.append(_text(LEFT - 8, y + 4, f"{low_y + share * (high_y - low_y):.2f}", 11, "end"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 14, "weights in flash, bytes", 13, "middle"))
    parts.append(_text(12, 24, "quality loss against the float network", 13))
    return parts


def _legend(low: float, high: float) -> list[str]:
    x, parts = WIDTH - RIGHT + 20, [_text(WIDTH - RIGHT + 20, TOP + 4, "instructions", 12)]
    for row, share in enumerate((0.0, 0.5, 1.0)):
        value, y = low + share * (high - low), TOP + 24 + 20 * row
        parts.append(f'<circle cx="{x + 5}" cy="{y - 4}" r="5" fill="{_colour(value, low, high)}"/>')
        parts.append(_text(x + 18, y, f"{value:,.0f}", 11))
    y = TOP + 90
    parts.append(f'<rect x="{x + 1}" y="{y - 8}" width="8" height="8" fill="none" stroke="{PRESET}"/>')
    return [*parts, _text(x + 18, y, "one width for all", 11)]


def _colour(value: float, low: float, high: float) -> str:
    share = (value - low) / (high - low) if high > low else 0.0
    mixed = [round(a + share * (b - a)) for a, b in zip(CHEAP, DEAR, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _text(x: float, y: float, text: str, size: int, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f"<text {place} {FONT}>{escape(text)}</text>"
