"""Numbers as a person reads them: the filters of the templates."""

from __future__ import annotations

import math
import re

from markupsafe import Markup

MISSING = "–"
GAP = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""


def count(value: float | None) -> str:
    """1,234,567."""
    return MISSING if value is None else f"{value:,.0f}"


def compact(value: float | None) -> str:
    """Three digits and a unit: 950, 12.3 k, 1.23 M, 4.56 G."""
    if value is None:
        return MISSING
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{_digits(value / factor)}{GAP}{unit}"
    return f"{value:.0f}"


def size(value: int | None) -> str:
    """Bytes with three digits and a binary unit: 812 B, 12.3 KiB, 1.23 MiB."""
    if value is None:
        return MISSING
    for factor, unit in ((2**20, "MiB"), (2**10, "KiB")):
        if abs(value) >= factor:
            return f"{_digits(value / factor)}{GAP}{unit}"
    return f"{value}{GAP}B"


def percent(value: float | None) -> str:
    """12.3 % of a share 0..1; one digit below 10 %."""
    if value is None:
        return MISSING
    shown = 100 * value
    return f"{shown:.1f}{GAP}%" if abs(shown) < 9.95 and shown else f"{shown:.0f}{GAP}%"


def plain(value: float) -> str:
    """At most four digits, without trailing zeros: 16, 22.05."""
    return f"{value:.4g}"


def signed(value: float) -> str:
    """+1.23 or −1.23, with a true minus."""
    return f"{value:+.2f}".replace("-", "−") if math.isfinite(value) else MISSING


def number(value: float) -> str:
    """-1.23 with a true minus."""
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else MISSING


def loss(value: float) -> str:
    """-0.0012 with three digits after the point and a true minus."""
    return f"{value:.3f}".replace("-", "−")


def breakable(name: str) -> Markup:
    """A dotted name, escaped, that may be broken into lines after each dot and underscore."""
    parts = re.split(r"(?<=[._])(?=.)", name)
    return Markup("<wbr>").join(parts)


def _digits(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"
