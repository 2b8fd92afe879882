"""What each level of a gated network is worth: its exits or widths, or all gates off and all on, as firmware.

The same mixtures as of the routed evaluation, with the gates of a level in every frame. Only the firmware is
scored: scores take most of the time, and the noisy mixtures' are those of the routed evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from quant.errors import ModelFileError
from quant.reference import channels_of
from tinydsn.evaluation.statistics import estimate, resample
from tinydsn.evaluation.table import cost_json, section
from tinydsn.models.network import MaskNetwork
from tinydsn.workflow import separation
from tinydsn.workflow.comparison_points import GAIN
from tinydsn.workflow.evaluation import Built, Count, bench_of, gather, measure
from tinydsn.workflow.evaluation_table import Measured, equality
from tinydsn.workflow.subject import Subject, forced_gates, open_subject, word_of

Counts = Callable[[str], Count]


def level_words(model: MaskNetwork) -> tuple[str, ...]:
    """The gate words of a network's levels, from the cheapest to the dearest; none without gates."""
    return tuple(word_of(level) for level in model.levels()) if model.gates else ()


def measure_levels(
    target: str,
    words: Sequence[str],
    corpus: Path,
    board: str,
    limit: int | None = None,
    progress: Counts | None = None,
    check: int | None = None,
) -> list[dict[str, Any]]:
    """A part of the card for each of ``words``, on the test list of the corpus (at most ``limit`` mixtures).

    ``gates``: the word. ``firmware``: each metric's mean and interval. ``instructions``: a frame's mean and
    interval, None on the host. ``equal``: whether the bits are those of the integer reference, where they
    were compared (``check``: see `measure`). ``progress``: given a word, what to call with (jobs done, jobs).
    Raises ModelFileError where the bits differ.
    """
    if not words:
        return []
    routed = open_subject(target)
    count = progress or (lambda word: lambda done, total: None)
    levels = []
    with bench_of(routed, board) as built:
        run, told = _judge(routed, corpus, limit, built, check)
        for word in words:
            forced = forced_gates(target, word, routed.gates, routed.model.graph)
            measured = run(replace(routed, checkpoint=None, forced=forced), progress=count(word))
            equal = equality(measured.rows)
            if equal["status"] != "equal":
                raise ModelFileError(
                    f"{target}: with gates {word} firmware and reference differ: {equal['first_difference']}"
                )
            levels.append({"gates": word, **told(measured), "equal": equal["status"]})
    return levels


def _judge(
    routed: Subject, corpus: Path, limit: int | None, built: Built, check: int | None
) -> tuple[Callable[..., Any], Callable[[Any], dict[str, Any]]]:
    """What measures a subject on the test list of the corpus, and what tells its part of the card."""
    given: dict[str, Any] = {"board": built[0].board.name, "check": check, "built": built}
    if channels_of(routed.model.graph) > 1:
        return partial(separation.measure, items=separation.mixtures(corpus, limit), **given), _separated
    pairs, _ = gather(None, None, corpus, limit, None)
    return partial(measure, pairs=pairs, **given), _enhanced


def _enhanced(measured: Measured) -> dict[str, Any]:
    part = section(measured.table, measured.subject.gates)
    return {key: part[key] for key in ("firmware", "instructions")}


def _separated(measured: separation.Separated) -> dict[str, Any]:
    drawn = resample(list(measured.groups))
    gain = estimate(measured.gain("firmware"), drawn).to_json()
    return {"firmware": {GAIN: gain}, "instructions": cost_json(measured.cost, drawn)}
