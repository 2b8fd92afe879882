"""The bench as a picture: for each core and kernel two bars, instructions a multiply-accumulate."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tinydsn.bench.rows import KernelRow

WIDTH, ROW, BAR = 860, 34, 11
LABEL, MARGIN = 330, 60
OURS, THEIRS = "#1f6feb", "#b0b8c4"
FONT = 'font-family="system-ui, sans-serif"'


def draw(rows: Sequence[KernelRow]) -> str:
    """An SVG file: one section a core, bars scaled by the core's largest value."""
    parts, y = [], 40
    for core in dict.fromkeys(row.core for row in rows):
        mine = [row for row in rows if row.core == core]
        parts.append(_text(0, y, f"{core}: instructions a multiply-accumulate", 15, weight="600"))
        y += 14
        top = max(max(row.ours, row.cmsis_nn or 0) / row.macs for row in mine)
        for row in mine:
            parts += _bars(row, y, (WIDTH - LABEL - MARGIN) / top)
            y += ROW
        y += 36
    legend = [
        f'<rect x="{LABEL}" y="4" width="12" height="12" fill="{OURS}"/>',
        _text(LABEL + 18, 15, "tinydsn", 13),
        f'<rect x="{LABEL + 90}" y="4" width="12" height="12" fill="{THEIRS}"/>',
        _text(LABEL + 108, 15, "CMSIS-NN", 13),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">'
    white = f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>'
    return "\n".join([head, white, *legend, *parts, "</svg>", ""])


def _bars(row: KernelRow, y: int, scale: float) -> list[str]:
    found = [_text(0, y + 16, f"{row.kernel}  {row.shape}", 12)]
    for place, (value, colour) in enumerate(((row.ours, OURS), (row.cmsis_nn, THEIRS))):
        if value is None:
            continue
        each, top = value / row.macs, y + 2 + place * (BAR + 1)
        width = max(1.0, each * scale)
        found.append(f'<rect x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
        found.append(_text(LABEL + width + 5, top + BAR - 1, f"{each:.2f}", 11))
    return found


def _text(x: float, y: float, text: str, size: int, weight: str = "400") -> str:
    place = f'x="{x:.1f}" y="{y}" font-size="{size}" font-weight="{weight}"'
    return f'<text {place} {FONT} fill="#1f2328">{escape(text)}</text>'
