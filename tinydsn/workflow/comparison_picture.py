"""The points of `tinydsn compare` as one picture of panels: enhancers, separators, and a panel for each task.

Colour and mark are those of the system. A static network is a grey mark of its system, and a grey line goes
through all static ones of the system. A dynamic network is a filled mark with its name and 95 % interval. Its
levels (gates forced to one word) are small open marks, joined by a thin line. Variants of a network (other
forms, ablations, seeds: ``dsn-s-constant``, ``dsn-s-2``, ``dsn-s-full-2``) are small faint marks without a
name, on no line; their levels are not drawn. All of them are in the table and in the JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.errors import ConfigError
from tinydsn.audio.files import replace_file
from tinydsn.workflow.comparison_points import (
    BASE,
    GAIN,
    LABELS,
    LOWER_IS_BETTER,
    SCHEMES,
    Point,
    network_of,
)
from tinydsn.workflow.comparison_table import scheme_title
from tinydsn.workflow.family_pictures import GREY, as_svg, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = "oDvsP^*"
"""By a system's number."""
WIDTH, TALL, LOW = 11.0, 4.4, 3.0
COLUMNS = 12
SMALL = 7.5
NARROW = 2.5
"""A range of costs for which a linear axis does."""
RIGHT, RIGHT_BELOW, ABOVE, BELOW = (6, 3), (6, -9), (0, 5), (0, -12)
"""Where a mark's name stands, in points."""
LEAST_SPAN = {"balanced_accuracy": 0.04, "rmse_db": 1.0, "pearson_ovrl": 0.1}
"""Of the vertical axis, so that small differences look small."""
MAPS = {"scheme": "one bit", "reference": "ReLUs"}
"""What the two networks with maps are called."""
Group = list[Point]


def draw(points: Sequence[Point]) -> str:
    """Quality against instructions (of precisions: against bytes of weights); an SVG file.

    Raises ConfigError when matplotlib is missing.
    """
    return as_svg(panels(points))


def write(points: Sequence[Point], picture: Path) -> None:
    """Writes the picture; raises ConfigError for a name that is not of an SVG file."""
    if picture.suffix != ".svg":
        raise ConfigError(f"{picture}: must end with .svg")
    replace_file(picture, draw(points).encode())


def panels(points: Sequence[Point]) -> Figure:
    """The picture: enhancers and separators above, tasks below."""
    upper, lower = _groups([p for p in points if not p.task]), _groups([p for p in points if p.task])
    heights = [height for own, height in ((upper, TALL), (lower, LOW)) if own]
    drawn, _ = figure(0)
    drawn.set_size_inches(WIDTH, sum(heights) or TALL)
    grid = drawn.add_gridspec(max(1, len(heights)), COLUMNS, height_ratios=heights or [1])
    for row, own in enumerate(own for own in (upper, lower) if own):
        begin = 0
        for group, width in zip(own, _widths(own), strict=True):
            axis = drawn.add_subplot(grid[row, begin : begin + width])
            axis.grid(alpha=0.3)
            _panel(axis, group)
            begin += width
    return drawn


def _groups(points: Sequence[Point]) -> list[Group]:
    """Points that one panel shows: those of one metric, or of one task."""
    found: dict[tuple[str, str], Group] = {}
    for point in points:
        found.setdefault((point.task or "", point.metric), []).append(point)
    return list(found.values())


def _widths(groups: Sequence[Group]) -> list[int]:
    """Columns of each panel in a row; separators get half as much as enhancers."""
    parts = [1 if group[0].metric == GAIN or group[0].task else 2 for group in groups]
    return [COLUMNS * part // sum(parts) for part in parts]


def _panel(axis: Any, group: Group) -> None:
    systems = list(dict.fromkeys(point.system for point in group))
    by_bytes = systems == ["sequence"]
    for system in systems:
        own = [point for point in group if point.system == system]
        if system == "sequence":
            _precisions(axis, own)
            _float_line(axis, own)
        else:
            _system(axis, own)
    if group[0].task:
        axis.set_title(f"{scheme_title(systems[0])}:\n{group[0].task}", fontsize=9)
        axis.margins(0.2, 0.15)
        _widen(axis, LEAST_SPAN.get(group[0].metric, 0.0))
    else:
        _thousands(axis)
        if any(point.role == "static" for point in group):
            axis.plot([], [], "--", color=GREY, label="static networks")
        if any(point.role == "level" for point in group):
            open_mark = {"color": "black", "linewidth": 0.7, "mfc": "none", "markersize": 4}
            axis.plot([], [], "o-", label="gates forced", **open_mark)
        axis.legend(fontsize=8, loc="best")
    axis.set_xlabel("weights, thousand bytes" if by_bytes else "thousand instructions a frame", fontsize=9)
    axis.set_ylabel(LABELS.get(group[0].metric, group[0].metric), fontsize=9)
    axis.tick_params(labelsize=8)
    if group[0].metric in LOWER_IS_BETTER:
        axis.invert_yaxis()


def _system(axis: Any, points: Group) -> None:
    """A system judged by instructions: static line, levels, variants, and dynamic networks by name."""
    number = SCHEMES[points[0].system].number if points[0].system in SCHEMES else len(MARKS)
    mark, colour = MARKS[(number - 1) % len(MARKS)], f"C{number - 1}"
    statics = [p for p in points if p.role == "static" and not p.variant_of]
    axis.plot(*_places(statics), f"{mark}--", color=GREY, markersize=4, linewidth=0.9)
    for faint, shade in (("static", GREY), ("scheme", colour)):
        variants = [p for p in points if p.role == faint and p.variant_of]
        axis.plot(*_places(variants), mark, color=shade, markersize=4, alpha=0.4, markeredgewidth=0)
    heads = [p for p in points if p.role in ("scheme", "reference") and not p.variant_of]
    for head in heads:
        levels = [p for p in points if p.role == "level" and network_of(p) == head.point]
        axis.plot(*_places(levels), f"{mark}-", color=colour, markersize=4, linewidth=0.7, mfc="none")
        shade, beside = colour if head.role == "scheme" else GREY, RIGHT if number % 2 else RIGHT_BELOW
        name, beside = (MAPS[head.role], ABOVE) if head.task else (head.point, beside)
        _named(axis, head, _places([head]), shade, mark, name, beside)
    if heads:
        axis.plot([], [], mark, color=colour, label=scheme_title(points[0].system))


def _precisions(axis: Any, points: Group) -> None:
    """A GRU by bytes of weights; grey is the precision that the others are compared with."""
    number = SCHEMES["sequence"].number
    for point in points:
        precision = point.point.removeprefix(f"{point.task} ")
        shade = GREY if precision == BASE else f"C{number - 1}"
        place = [(point.weight_flash or 0) / 1000], [point.quality]
        beside = ABOVE if precision.endswith("a16") else BELOW
        _named(axis, point, place, shade, MARKS[number - 1], precision, beside)


def _named(
    axis: Any,
    point: Point,
    place: tuple[list[float], list[float]],
    colour: str,
    mark: str,
    name: str,
    beside: tuple[int, int],
) -> None:
    """A filled mark with its interval, where there is one, and its name."""
    low, high = (point.quality if value is None else value for value in (point.low, point.high))
    errors = [[abs(point.quality - low)], [abs(high - point.quality)]]
    axis.errorbar(*place, errors, fmt="none", ecolor=colour, capsize=2, elinewidth=0.8, alpha=0.5)
    axis.plot(*place, mark, color=colour, markersize=6)
    side = {"ha": "left" if beside[0] else "center", "fontsize": SMALL, "color": colour}
    text = axis.annotate(name, (place[0][0], place[1][0]), beside, textcoords="offset points", **side)
    text.set_in_layout(False)


def _float_line(axis: Any, group: Group) -> None:
    """The float network of the first point, dotted."""
    told = group[0].float_quality
    if told is not None:
        axis.axhline(told, color=GREY, linewidth=0.9, linestyle=":")
        place = {"xycoords": ("axes fraction", "data"), "fontsize": SMALL, "color": GREY, "va": "bottom"}
        axis.annotate("float", (0.01, told), **place).set_in_layout(False)


def _widen(axis: Any, span: float) -> None:
    """A vertical axis of at least that span, what it shows in the middle."""
    low, high = axis.get_ylim()
    more = max(0.0, span - (high - low)) / 2
    axis.set_ylim(low - more, high + more)


def _thousands(axis: Any) -> None:
    """A logarithmic axis with plain numbers, where a linear one would crowd the small ones."""
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    low, high = axis.get_xlim()
    if high < NARROW * low:
        return
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6, 8)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(ScalarFormatter())


def _places(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.instructions / 1000 for point in points], [point.quality for point in points]
