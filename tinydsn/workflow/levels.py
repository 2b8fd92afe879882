"""What each level of a gated network is worth: its exits or widths, or all gates off and all on, as firmware.

The same mixtures as of the routed evaluation, with the gates of a level in every frame. Only the firmware is
scored: scores take most of the time, and the noisy mixtures' are those of the routed evaluation. Beside them
stands what the router is worth: how far the routed network lies above the line between the two levels next
to it in cost, which is what choosing between them at random would give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from quant.errors import ModelFileError
from quant.reference import channels_of
from tinydsn.evaluation.front import beside_front
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
) -> dict[str, Any]:
    """Two parts of the card, on the test list of the corpus (at most ``limit`` mixtures); none without words.

    ``levels``, for each of ``words``: ``gates``, the word; ``firmware``, each metric's mean and interval;
    ``instructions``, a frame's mean and interval, None on the host; ``equal``, whether the bits are those of
    the integer reference, where they were compared (``check``: see `measure`).

    ``beside_levels``: paired differences of the routed firmware to the line between its neighbouring levels
    at equal mean instructions; None where it has no such neighbours, or on the host.

    ``progress``: given a word, what to call with (jobs done, jobs).
    Raises ModelFileError where the bits differ.
    """
    if not words:
        return {}
    routed = open_subject(target)
    count = progress or (lambda word: lambda done, total: None)
    levels, found = [], {}
    with bench_of(routed, board) as built:
        run, told, beside = _judge(routed, corpus, limit, built, check)
        for word in words:
            forced = forced_gates(target, word, routed.gates, routed.model.graph)
            measured = run(replace(routed, checkpoint=None, forced=forced), progress=count(word))
            equal = equality(measured.rows)
            if equal["status"] != "equal":
                raise ModelFileError(
                    f"{target}: with gates {word} firmware and reference differ: {equal['first_difference']}"
                )
            levels.append({"gates": word, **told(measured), "equal": equal["status"]})
            found[word] = measured
        return {"levels": levels, "beside_levels": beside(run(routed, progress=count("as routed")), found)}


def _judge(
    routed: Subject, corpus: Path, limit: int | None, built: Built, check: int | None
) -> tuple[Callable[..., Any], Callable[[Any], dict[str, Any]], Callable[..., dict[str, Any] | None]]:
    """What measures a subject on the test list of the corpus, what tells its part of the card, and what
    compares one with the line between others."""
    given: dict[str, Any] = {"board": built[0].board.name, "check": check, "built": built}
    if channels_of(routed.model.graph) > 1:
        run = partial(separation.measure, items=separation.mixtures(corpus, limit), **given)
        return run, _separated, separation.beside_statics
    pairs, _ = gather(None, None, corpus, limit, None)
    return partial(measure, pairs=pairs, **given), _enhanced, _beside


def _enhanced(measured: Measured) -> dict[str, Any]:
    part = section(measured.table, measured.subject.gates)
    return {key: part[key] for key in ("firmware", "instructions")}


def _beside(first: Measured, others: Mapping[str, Measured]) -> dict[str, Any] | None:
    return beside_front(first.table, {word: other.table for word, other in others.items()})


def _separated(measured: separation.Separated) -> dict[str, Any]:
    drawn = resample(list(measured.groups))
    gain = estimate(measured.gain("firmware"), drawn).to_json()
    return {"firmware": {GAIN: gain}, "instructions": cost_json(measured.cost, drawn)}
