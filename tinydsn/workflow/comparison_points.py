"""What `tinydsn compare` knows of a shipped network: a point, and the card that it is read from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import ModelFileError
from tinydsn.cards import card_path, read_card
from tinydsn.workflow.family_pictures import QUALITY

GAIN = "SISDR_GAIN"
"""The metric of separators, whatever is asked for enhancers: SI-SDR improvement in dB over the mixture."""
HEADLINES = {
    "voice-activity": "balanced_accuracy",
    "wake-phrases": "balanced_accuracy",
    "log-mel": "rmse_db",
    "speech-quality": "pearson_ovrl",
}
"""The metric by which the networks of a task are compared."""
LOWER_IS_BETTER = ("rmse_db",)
LABELS = {
    **QUALITY,
    GAIN: "SI-SDR improvement, dB (two speakers)",
    "balanced_accuracy": "balanced accuracy",
    "rmse_db": "RMS error, dB (lower is better)",
    "pearson_ovrl": "correlation with DNSMOS OVRL",
}
BASE = "w8a8"
"""The precision that the others of a task's network are compared with."""
SHIPPED = "w8a16"
"""The precision of the integer graph beside a task's checkpoint."""
DEVICE = "mps2-an386"
"""The board whose instructions are compared of a task's networks, and on which their firmware is run."""


@dataclass(frozen=True)
class Scheme:
    """A system's number in PAPERS.md and what is dynamic (or small) about it."""

    number: int
    title: str


SCHEMES = {
    "dsn": Scheme(1, "DSN, metric-guided gates"),
    "slim": Scheme(2, "DynSlim, widths"),
    "fsenet": Scheme(3, "DynCP, channel gates"),
    "sequence": Scheme(4, "mixed-precision GRU"),
    "predictor": Scheme(5, "binary activation maps"),
    "nsnet2": Scheme(6, "nsNet2, exits"),
    "separator": Scheme(7, "slimmable separation"),
}
"""By the kind of network, as recipes name it."""
SAME_SYSTEM = {"metered": "dsn"}
"""Kinds that are variants of another system."""


@dataclass(frozen=True)
class Reference:
    """What a task's network is compared with: of a precision the same weights in ``w8a8``, of maps of one
    bit the network with ReLUs. ``loss``: paired difference of the task's score to it (cross entropy or
    squared error, above 0 is worse) with its 95 % interval, where it was noted."""

    point: str
    quality: float
    instructions: int
    weight_flash: int | None
    loss: Mapping[str, float] | None


@dataclass(frozen=True)
class Point:
    """A shipped network's firmware on its test list.

    system         kind of network, a key of ``SCHEMES``
    point          name of the checkpoint; behind it a level's gates, or a task's precision
    quality, low, high   ``metric`` with its 95 % interval; None where the card notes no interval
    instructions   mean of a frame on ``board``
    static_at_equal_cost   ``metric`` on the line between the system's static networks at the same mean cost;
                   None for static networks, for tasks (see ``reference``), and where the cost lies outside
                   the statics' range
    equal_bits     whether firmware and integer reference gave the same bits wherever they were compared; None
                   where no comparison is noted
    role           "scheme": as the system has it, with gates as the network decides, a precision, maps of one
                   bit; "level": its gates forced to one word; "static": a network without gates to compare
                   with; "reference": what a task's networks are compared with
    level          the gates of a level, such as "1100"
    variant_of     the network that this one is another form, ablation or seed of
    task           None for enhancers and separators
    weight_flash   bytes of packed weights, scales and tables; noted for tasks
    ram            bytes of context, as the linker has them
    counted        whether instructions were counted in an emulator; else they are predicted from those of
                   measured kernels
    float_quality  ``metric`` of the float network
    """

    system: str
    point: str
    metric: str
    quality: float
    low: float | None
    high: float | None
    instructions: int
    board: str
    static_at_equal_cost: float | None
    equal_bits: bool | None
    role: str = "scheme"
    level: str | None = None
    variant_of: str | None = None
    task: str | None = None
    weight_flash: int | None = None
    ram: int | None = None
    counted: bool = True
    float_quality: float | None = None
    reference: Reference | None = None


def network_of(point: Point) -> str:
    """The name of the checkpoint that a point is of."""
    return point.point.split(" ")[0]


def measured_card(checkpoint: Path) -> dict[str, Any]:
    """The card beside a checkpoint, checked against the graph beside it; raises ModelFileError."""
    path, card = card_path(checkpoint), read_card(checkpoint)
    try:
        graph = hashlib.sha256(checkpoint.with_suffix(".tdsn").read_bytes()).hexdigest()
        noted = card["integer"]["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path}: no card of a measured checkpoint ({error}); ship its run") from None
    if noted != graph:
        raise ModelFileError(f"{path}: is of another integer graph than the one beside it; ship it again")
    return card


def bits(status: str | None) -> bool | None:
    """Whether bits were equal, by the status of a comparison; None where there was none ("unchecked",
    "skipped", "failed", or nothing noted)."""
    return {"equal": True, "differs": False}.get(status or "")


def metadata(checkpoint: Path) -> dict[str, str]:
    """What a checkpoint says of itself: its kind under ``model``, its configuration as JSON."""
    from safetensors import safe_open

    with safe_open(str(checkpoint), "numpy") as file:
        return dict(file.metadata() or {})
