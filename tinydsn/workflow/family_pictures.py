"""Pictures of a family of models and of training runs, drawn with matplotlib (extra ``pictures``)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.errors import ConfigError, ModelFileError
from tinydsn.evaluation.front import head_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUALITY = {"OVRL": "DNSMOS OVRL", "PESQ": "PESQ-WB", "SISDR": "SI-SDR, dB"}
SIZE = (10.5, 3.6)
GREY, BLUE = "#8a929c", "#1f6feb"


def figure(panels: int) -> tuple[Figure, Sequence[Any]]:
    """A figure with panels beside each other. Raises ConfigError when matplotlib is missing."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("matplotlib is not installed (pip install 'tinydsn[pictures]')") from None
    # The same file from the same numbers: no date, and names of elements that do not change.
    matplotlib.rcParams["svg.hashsalt"] = "tinydsn"
    found = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasSVG(found)
    axes = [found.add_subplot(1, panels, index + 1) for index in range(panels)]
    for axis in axes:
        axis.grid(alpha=0.3)
    return found, axes


def as_svg(drawn: Figure) -> str:
    """The figure as the text of an SVG file."""
    out = io.StringIO()
    drawn.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def draw_tradeoff(family: Mapping[str, Any]) -> str:
    """Quality of the firmware against mean instructions a frame: statics as a grey front, their other seeds
    (``NAME-2``) as grey points, the gated model as a curve over thresholds, other gated ones as points; an
    SVG file."""
    drawn, axes = figure(len(QUALITY))
    still = sorted((m for m in family["members"] if m["static"]), key=_cost)
    seeds = [m for m in still if head_of(m["model"], [other["model"] for other in still])]
    statics = [m for m in still if m not in seeds]
    own = [m for m in family["members"] if m["model"] == family["name"]]
    others = [m for m in family["members"] if not m["static"] and m["model"] != family["name"]]
    for axis, (metric, label) in zip(axes, QUALITY.items(), strict=True):
        _line(axis, statics, metric, GREY, "s", "static")
        for seed in seeds:
            axis.plot(_cost(seed), seed["firmware"][metric]["mean"], "s", color=GREY, alpha=0.5)
        _line(axis, sorted([*own, *family["curve"]], key=_cost), metric, BLUE, "o", family["name"])
        for index, other in enumerate(others):
            place = (_cost(other), other["firmware"][metric]["mean"])
            axis.plot(*place, "^v<>DP"[index % 6], color=f"C{index + 1}", label=other["model"])
        axis.set_xlabel("thousand instructions a frame")
        axis.set_title(label)
    axes[0].legend(fontsize=8)
    return as_svg(drawn)


def draw_usage(family: Mapping[str, Any]) -> str:
    """Usage by SNR of every gated member; an SVG file."""
    drawn, (axis,) = figure(1)
    drawn.set_size_inches(6.0, SIZE[1])
    for member in family["members"]:
        if member["static"]:
            continue
        parts = [part for part in member["by_snr"] if None not in (part["from"], part["to"])]
        middles = [(part["from"] + part["to"]) / 2 for part in parts]
        shares = [part["usage"]["firmware"]["mean"] for part in parts]
        axis.plot(middles, shares, "o-", label=member["model"])
    axis.set_xlabel("SNR of the mixture, dB")
    axis.set_ylabel("share of the gated cost in use")
    axis.set_ylim(0, 1)
    axis.legend(fontsize=8)
    return as_svg(drawn)


def draw_training(runs: Sequence[Path]) -> str:
    """Validation loss and SDR over hours of mixtures seen (warm start counted), one line a run's folder.

    Raises ModelFileError where a folder holds no run.
    """
    drawn, axes = figure(2)
    for run in runs:
        record, entries = _read(run)
        hours = [record["hours_before"] + entry["done"] * record["hours"] for entry in entries]
        for axis, key in zip(axes, ("speech", "sdr"), strict=True):
            axis.plot(hours, [entry[key] for entry in entries], label=record["name"])
    axes[0].set_title("speech loss, valid split")
    axes[1].set_title("SDR, dB, valid split")
    for axis in axes:
        axis.set_xlabel("hours of mixtures seen")
    axes[0].legend(fontsize=8)
    return as_svg(drawn)


def _read(run: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return record, [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{run}: holds no readable run ({error})") from None


def _cost(member: Mapping[str, Any]) -> float:
    return float(member["instructions"]["mean"]) / 1000


def _line(
    axis: Any, members: Sequence[Mapping[str, Any]], metric: str, colour: str, mark: str, name: str
) -> None:
    if not members:
        return
    values = [member["firmware"][metric] for member in members]
    means = [value["mean"] for value in values]
    below = [value["mean"] - value["low"] for value in values]
    above = [value["high"] - value["mean"] for value in values]
    costs = [_cost(member) for member in members]
    axis.errorbar(costs, means, [below, above], fmt=f"{mark}-", color=colour, capsize=2, label=name)
