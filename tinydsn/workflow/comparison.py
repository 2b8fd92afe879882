"""All shipped networks in one picture: quality against instructions, gated beside static ones.

Enhancers are judged by one metric, separators by another, each in a panel of its own. The numbers are those
of the cards, each measured on the committed test list by ``tinydsn.workflow.ship``, so nothing runs here; a
card that is not of the graph beside it is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quant.errors import ConfigError, ModelFileError
from quant.nearest import unknown
from tinydsn.audio.files import replace_file
from tinydsn.evaluation.front import neighbours
from tinydsn.workflow.family_pictures import GREY, QUALITY, as_svg, figure
from tinydsn.workflow.models import pretrained

MARKS = "o^Dv<>P*"
GAIN = "SISDR_GAIN"
"""The metric of separators, whatever is asked for enhancers: SI-SDR improvement in dB over the mixture."""
LABELS = {**QUALITY, GAIN: "SI-SDR improvement, dB (two speakers)"}


@dataclass(frozen=True)
class Point:
    """A shipped network's firmware on the test list.

    system         kind of network, as recipes name it
    point          name of the checkpoint
    quality, low, high   mean of ``metric`` and its 95 % interval
    instructions   mean of a frame on ``board``
    gated          False: a static network
    static_at_equal_cost   ``metric`` on the line between the system's static networks at the same mean cost;
                   None for static networks, and where the cost lies outside their range
    equal_bits     whether firmware and integer reference gave the same bits wherever they were compared
    """

    system: str
    point: str
    metric: str
    quality: float
    low: float
    high: float
    instructions: int
    board: str
    gated: bool
    static_at_equal_cost: float | None
    equal_bits: bool


def compare(metric: str = "OVRL", shipped: Mapping[str, Path] | None = None) -> list[Point]:
    """A point for each shipped checkpoint whose instructions were counted, by system, then by cost;
    ``metric``: of enhancers.

    Raises ConfigError for an unknown metric, ModelFileError for a checkpoint without a card of its graph.
    """
    if metric not in QUALITY:
        raise ConfigError(unknown("metric", metric, QUALITY))
    found = [_point(name, path, metric) for name, path in (shipped or pretrained()).items()]
    points = [point for point in found if point is not None]
    compared = [_beside_statics(point, points) for point in points]
    return sorted(compared, key=lambda point: (point.system, point.board, point.instructions))


def draw(points: Sequence[Point]) -> str:
    """Quality against instructions, static networks as grey lines; an SVG file."""
    metrics = list(dict.fromkeys(point.metric for point in points))
    drawn, axes = figure(max(1, len(metrics)))
    drawn.set_size_inches(2.5 + 5 * len(axes), 4.5)
    for axis, metric in zip(axes, metrics, strict=False):
        _panel(axis, [point for point in points if point.metric == metric])
    return as_svg(drawn)


def _panel(axis: Any, points: Sequence[Point]) -> None:
    """The systems that one metric judges."""
    for index, system in enumerate(dict.fromkeys(point.system for point in points)):
        own = [point for point in points if point.system == system]
        mark = MARKS[index % len(MARKS)]
        statics = [point for point in own if not point.gated]
        axis.plot(*_places(statics), f"{mark}--", color=GREY, markersize=4, linewidth=0.8)
        gated = [point for point in own if point.gated]
        errors = [[p.quality - p.low for p in gated], [p.high - p.quality for p in gated]]
        axis.errorbar(*_places(gated), errors, fmt=mark, color=f"C{index}", capsize=2, label=system)
    axis.set_xscale("log")
    axis.set_xlabel("thousand instructions a frame (mean of the test list)")
    axis.set_ylabel(LABELS[points[0].metric])
    axis.legend(fontsize=8)


def write(points: Sequence[Point], picture: Path) -> None:
    """Writes the picture; raises ConfigError for a name that is not of an SVG file."""
    if picture.suffix != ".svg":
        raise ConfigError(f"{picture}: must end with .svg")
    replace_file(picture, draw(points).encode())


def rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The points ready for JSON."""
    return [asdict(point) for point in points]


def _point(name: str, checkpoint: Path, metric: str) -> Point | None:
    """The point of a checkpoint; None where its card has no instructions."""
    card = _card(checkpoint)
    test = card["test"]
    if not test.get("instructions"):
        return None
    if "conditions" in test:
        metric, score = GAIN, test["conditions"]["all"]["improvement"]["firmware"]
    else:
        score = test["firmware"][metric]
    return Point(
        system=_kind(checkpoint),
        point=name,
        metric=metric,
        quality=score["mean"],
        low=score["low"],
        high=score["high"],
        instructions=test["instructions"]["mean"],
        board=test["board"],
        gated=bool(card["cost"]["macs_per_frame_per_gate"]),
        static_at_equal_cost=None,
        equal_bits=test["equal"]["status"] == "equal",
    )


def _card(checkpoint: Path) -> dict[str, Any]:
    """The card beside a checkpoint, checked against the graph beside it."""
    path = checkpoint.with_suffix(".card.json")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        graph = hashlib.sha256(checkpoint.with_suffix(".tdsn").read_bytes()).hexdigest()
        noted = card["integer"]["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path}: no card of a measured checkpoint ({error}); ship it") from None
    if noted != graph:
        raise ModelFileError(f"{path}: is of another integer graph than the one beside it; ship it again")
    return dict(card)


def _kind(checkpoint: Path) -> str:
    from safetensors import safe_open

    with safe_open(str(checkpoint), "numpy") as file:
        return str((file.metadata() or {}).get("model"))


def _beside_statics(point: Point, points: Sequence[Point]) -> Point:
    if not point.gated:
        return point
    own = (point.system, point.board, point.metric)
    statics = {p.point: p for p in points if not p.gated and (p.system, p.board, p.metric) == own}
    found = neighbours(point.instructions, {name: p.instructions for name, p in statics.items()})
    if found is None:
        return point
    low, high, share = found
    line = (1 - share) * statics[low].quality + share * statics[high].quality
    return replace(point, static_at_equal_cost=round(line, 5))


def _places(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.instructions / 1000 for point in points], [point.quality for point in points]
