"""The profile as one page (or one picture) without a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import ConfigError
from tinydsn.audio.files import replace_file
from tinydsn.profiling.data import FRONT_END, Profile
from tinydsn.profiling.tables import groups, tables
from tinydsn.report.render import page_environment
from tinydsn.report.svg import memory_map

COLOURS = ("#2f6fdb", "#d9730d", "#12908a", "#b4389a", "#7a8a10", "#7350d6", "#cc3d3d", "#4d7f96", "#8c6d3f")
WIDTH, BAR, GAP, TOP = 1000, 46, 26, 30
LABEL = 0.05
"""A piece of a bar needs this share of the width to carry its number."""
FORMATS = (".html", ".svg")


@dataclass(frozen=True)
class Piece:
    """A piece of a bar: x and width in units of the picture."""

    x: float
    width: float
    colour: str
    name: str
    value: float
    share: float


@dataclass(frozen=True)
class Bar:
    """A bar of pieces under a title; y is its upper edge."""

    title: str
    y: int
    pieces: tuple[Piece, ...]
    total: float


@dataclass(frozen=True)
class Chart:
    """Bars to one scale, and a colour a name."""

    bars: tuple[Bar, ...]
    colours: dict[str, str]
    height: int


def write_page(profile: Profile, path: Path) -> None:
    """Write ``path``: a page (.html) or its picture alone (.svg), replaced as a whole.

    Raises ConfigError for another ending.
    """
    check_path(path)
    environment = page_environment("tinydsn.profiling")
    values: dict[str, Any] = {"profile": profile, "groups": instruction_chart(profile), "width": WIDTH}
    values |= {"bar": BAR, "label": LABEL}
    if path.suffix == ".html":
        values |= {
            "tables": {key: value for key, value in tables(profile).items() if isinstance(value, list)},
            "steps": step_chart(profile),
            "flash": flash_chart(profile),
            "map": memory_map(profile.ram.plan, len(COLOURS)),
            "colours": COLOURS,
        }
    name = "profile.html.j2" if path.suffix == ".html" else "chart.svg.j2"
    replace_file(path, environment.get_template(name).render(**values).encode())


def check_path(path: Path) -> None:
    """Raise ConfigError unless the path ends in .html or .svg."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: a profile is a page or a picture (must end in {' or '.join(FORMATS)})")


def instruction_chart(profile: Profile) -> Chart:
    """A bar a gate pattern, in pieces by kind of work."""
    rows = groups(profile)
    bars = {
        f"gates {name}": {row["group"]: profile.by_group(name).get(row["group"], 0.0) for row in rows}
        for name in profile.patterns
    }
    return chart(bars)


def step_chart(profile: Profile) -> Chart:
    """One bar: the front end by step, in the first pattern."""
    pattern = profile.patterns[0]
    steps = {p.name: p.instructions[pattern] for p in profile.parts if p.group == FRONT_END}
    return chart({f"front end, gates {pattern}": steps})


def flash_chart(profile: Profile) -> Chart:
    """One bar: flash by group."""
    return chart({"flash": {name: float(size) for name, size in profile.flash_by_group().items()}})


def chart(bars: dict[str, dict[str, float]]) -> Chart:
    """Bars to one scale; a name has one colour in all of them."""
    names = list(dict.fromkeys(name for pieces in bars.values() for name in pieces))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    largest = max((sum(pieces.values()) for pieces in bars.values()), default=0.0) or 1.0
    made = []
    for index, (title, pieces) in enumerate(bars.items()):
        x, total, row = 0.0, sum(pieces.values()), []
        for name, value in pieces.items():
            width = WIDTH * value / largest
            share = value / total if total else 0.0
            row.append(Piece(round(x, 2), round(width, 2), colours[name], name, value, share))
            x += width
        made.append(Bar(title, TOP + index * (BAR + GAP), tuple(row), total))
    return Chart(tuple(made), colours, TOP + len(bars) * (BAR + GAP))
