"""The points of `tinydsn compare` as tables for people: one a system and metric, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinydsn.workflow.comparison_points import BASE, LABELS, SCHEMES, Point
from tinydsn.workflow.markdown import markdown_table

WHAT = {"scheme": "dynamic", "level": "forced gates", "static": "static", "reference": "reference"}
EQUAL = {True: "equal", False: "differ", None: "not noted"}


@dataclass(frozen=True)
class Section:
    """A table: its title, and rows with the same keys, empty ones left out of all."""

    title: str
    rows: Sequence[Mapping[str, Any]]


def sections(points: Sequence[Point]) -> list[Section]:
    """A table for each system, task, metric and board.

    Columns: ``what`` says which networks are static, and what is a variant of what; ``instructions`` a frame,
    with ~ where they are predicted and not counted; ``static`` is the metric on the line through the static
    networks at the same cost; ``weights`` and ``RAM`` are bytes; ``x`` is a ratio to the reference.
    """
    groups: dict[tuple[str, ...], list[Point]] = {}
    for point in points:
        key = (point.system, point.task or "", point.metric, point.board)
        groups.setdefault(key, []).append(point)
    return [Section(_title(own[0]), _filled([_row(point) for point in own])) for own in groups.values()]


def markdown(points: Sequence[Point]) -> str:
    """The tables as Markdown, under a line each."""
    return "\n".join(f"**{section.title}**\n\n{_table(section.rows)}" for section in sections(points))


def scheme_title(system: str) -> str:
    """``1 DSN, metric-guided gates``."""
    scheme = SCHEMES.get(system)
    return f"{scheme.number} {scheme.title}" if scheme else system


def _title(point: Point) -> str:
    task = f": {point.task}" if point.task else ""
    return f"{scheme_title(point.system)}{task} ({LABELS.get(point.metric, point.metric)}; {point.board})"


def _row(point: Point) -> dict[str, Any]:
    row: dict[str, Any] = {"network": point.point, "what": _what(point)}
    row["instructions"] = f"{'' if point.counted else '~'}{point.instructions:,}"
    row[point.metric] = _span(point.quality, point.low, point.high)
    row["float"] = _number(point.float_quality)
    row["static"] = _number(point.static_at_equal_cost)
    row["weights"] = _number(point.weight_flash)
    row["RAM"] = _number(point.ram)
    return row | _beside(point) | {"bits": EQUAL[point.equal_bits]}


def _beside(point: Point) -> dict[str, str]:
    """What a task's network has of its reference: bytes of weights, instructions, and loss."""
    given = point.reference
    if given is None:
        return {"x weights": "", "x instr.": "", f"loss less {BASE}'s": ""}
    flash = point.weight_flash / given.weight_flash if point.weight_flash and given.weight_flash else None
    return {
        "x weights": "" if flash is None else f"{flash:.2f}",
        "x instr.": f"{point.instructions / given.instructions:.2f}",
        f"loss less {BASE}'s": _span(**given.loss, form="+.4f") if given.loss else "",
    }


def _what(point: Point) -> str:
    what = "" if point.task and point.role == "scheme" else WHAT.get(point.role, point.role)
    return f"{what}, variant of {point.variant_of}" if point.variant_of and point.role != "level" else what


def _span(mean: float, low: float | None, high: float | None, form: str = ".3f") -> str:
    text = f"{mean:{form}}"
    return text if low is None or high is None else f"{text} [{low:{form[-3:]}}, {high:{form[-3:]}}]"


def _number(value: float | int | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _filled(given: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without the columns in which all are empty."""
    columns = [key for key in given[0] if any(row[key] for row in given)]
    return [{key: row[key] for key in columns} for row in given]


def _table(given: Sequence[Mapping[str, Any]]) -> str:
    return markdown_table(list(given[0]), [list(map(str, row.values())) for row in given])
