"""All shipped networks of the seven systems side by side: quality against cost, dynamic beside static.

Enhancers are judged by one metric, separators by another, tasks by their own. The numbers are those of the
cards, each measured on a test list by ``tinydsn.workflow.ship`` or ``tinydsn.workflow.task_table``: nothing
runs here, and a card that is not of the graph beside it is refused. Tables of the points are made by
``tinydsn.workflow.comparison_table``, the picture by ``tinydsn.workflow.comparison_picture``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from quant.errors import ConfigError
from quant.nearest import unknown
from tinydsn.evaluation.front import head_of, neighbours
from tinydsn.workflow.comparison_points import (
    GAIN,
    HEADLINES,
    SAME_SYSTEM,
    SCHEMES,
    Point,
    bits,
    measured_card,
    metadata,
    network_of,
)
from tinydsn.workflow.comparison_tasks import task_points
from tinydsn.workflow.family_pictures import QUALITY
from tinydsn.workflow.models import pretrained, pretrained_tasks


def compare(
    metric: str = "OVRL",
    shipped: Mapping[str, Path] | None = None,
    tasks: Mapping[str, Path] | None = None,
) -> list[Point]:
    """The points of all shipped checkpoints whose instructions were counted or predicted, by system, task,
    board and cost; ``metric``: of enhancers. ``shipped`` without ``tasks``: no tasks.

    Raises ConfigError for an unknown metric, ModelFileError for a checkpoint without a card of its graph.
    """
    if metric not in QUALITY:
        raise ConfigError(unknown("metric", metric, QUALITY))
    if shipped is None:
        shipped, tasks = pretrained(), pretrained_tasks() if tasks is None else tasks
    found = [point for name, path in shipped.items() for point in _points(name, path, metric)]
    known = _beside_heads(found)
    points = [_beside_statics(point, known) for point in known]
    return sorted([*points, *task_points(tasks or {})], key=_order)


def rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The points ready for JSON."""
    return [asdict(point) for point in points]


def _points(name: str, checkpoint: Path, metric: str) -> Iterator[Point]:
    """The point of an enhancer or separator and those of its levels; none where its card has no
    instructions."""
    card = measured_card(checkpoint)
    test = card["test"]
    if not test.get("instructions"):
        return
    if "conditions" in test:
        metric, scores = GAIN, test["conditions"]["all"]["improvement"]
    else:
        scores = {key: test.get(key, {}).get(metric) for key in ("firmware", "float")}
    kind, score = str(metadata(checkpoint).get("model")), scores["firmware"]
    gated = bool(card["cost"]["macs_per_frame_per_gate"])
    point = Point(
        system=SAME_SYSTEM.get(kind, kind),
        point=name,
        metric=metric,
        quality=score["mean"],
        low=score["low"],
        high=score["high"],
        instructions=test["instructions"]["mean"],
        board=test["board"],
        static_at_equal_cost=None,
        equal_bits=bits(test["equal"]["status"]),
        role="scheme" if gated else "static",
        ram=test.get("memory", {}).get("ram"),
        float_quality=(scores.get("float") or {}).get("mean"),
    )
    yield point
    yield from _levels(point, test.get("levels") or ())


def _levels(point: Point, levels: Sequence[Mapping[str, Any]]) -> Iterator[Point]:
    """A network with its gates forced to one word after the other."""
    for level in levels:
        score = level["firmware"].get(point.metric)
        if not score or not level.get("instructions"):
            continue
        yield replace(
            point,
            point=f"{point.point} {level['gates']}",
            quality=score["mean"],
            low=score["low"],
            high=score["high"],
            instructions=level["instructions"]["mean"],
            equal_bits=bits(level.get("equal")),
            role="level",
            level=level["gates"],
            float_quality=None,
        )


def _beside_heads(points: Sequence[Point]) -> list[Point]:
    """The points, each with the network of the same system and role that its own one is a variant of."""
    networks = [point for point in points if point.role != "level"]
    made: dict[str, str | None] = {}
    for one in networks:
        alike = [other.point for other in networks if (other.system, other.role) == (one.system, one.role)]
        made[one.point] = head_of(one.point, alike)
    return [replace(point, variant_of=made[network_of(point)]) for point in points]


def _beside_statics(point: Point, points: Sequence[Point]) -> Point:
    """The point with what the line through its system's static networks gives; another seed of one of these
    is not on the line."""
    if point.role == "static":
        return point
    own = (point.system, point.board, point.metric)
    first = [p for p in points if p.role == "static" and p.variant_of is None]
    statics = {p.point: p for p in first if (p.system, p.board, p.metric) == own}
    found = neighbours(point.instructions, {name: p.instructions for name, p in statics.items()})
    if found is None:
        return point
    low, high, share = found
    line = (1 - share) * statics[low].quality + share * statics[high].quality
    return replace(point, static_at_equal_cost=round(line, 5))


def _order(point: Point) -> tuple[int, int, str, int, str]:
    names = list(HEADLINES)
    task = names.index(point.task) if point.task in names else -1
    number = SCHEMES[point.system].number if point.system in SCHEMES else len(SCHEMES) + 1
    cost = point.instructions if point.system != "sequence" else -(point.weight_flash or 0)
    return number, task, point.board, cost, point.point
