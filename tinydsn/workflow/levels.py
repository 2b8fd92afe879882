"""What each level of a gated network is worth: its exits or widths, or all gates off and all on, as firmware.

The same mixtures as of the routed evaluation, with the gates of a level in every frame. Only the firmware is
scored: scores take most of the time, and the noisy mixtures' are those of the routed evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quant.errors import ModelFileError
from tinydsn.evaluation.statistics import estimate, resample
from tinydsn.evaluation.table import cost_json, section
from tinydsn.models.network import MaskNetwork
from tinydsn.workflow import separation
from tinydsn.workflow.comparison_points import GAIN
from tinydsn.workflow.evaluation import Built, Count, bench_of, gather, measure
from tinydsn.workflow.evaluation_table import equality
from tinydsn.workflow.subject import Subject, open_subject, word_of

Counts = Callable[[str], Count]
Rows = Sequence[Mapping[str, Any]]


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
    subjects = {word: replace(open_subject(target, force=word), checkpoint=None) for word in words}
    of = _separated if separation.separates(target) else _enhanced
    count = progress or (lambda word: lambda done, total: None)
    levels = []
    with bench_of(routed, board) as built:
        for word, found, rows in of(built, routed, subjects, corpus, limit, count, check):
            equal = equality(rows)
            if equal["status"] != "equal":
                raise ModelFileError(
                    f"{target}: with gates {word} firmware and reference differ: {equal['first_difference']}"
                )
            levels.append({"gates": word, **found, "equal": equal["status"]})
    return levels


Level = tuple[str, dict[str, Any], Rows]


def _enhanced(
    built: Built,
    routed: Subject,
    subjects: Mapping[str, Subject],
    corpus: Path,
    limit: int | None,
    count: Counts,
    check: int | None,
) -> Iterator[Level]:
    """The levels of an enhancer; what the routed evaluation has measured is taken from the cache."""
    pairs, _ = gather(None, None, corpus, limit, None)
    board = built[0].board.name
    known = {row["name"]: row for row in measure(routed, pairs, board, check=check, built=built).rows}
    for word, subject in subjects.items():
        measured = measure(subject, pairs, board, known=known, progress=count(word), check=check, built=built)
        part = section(measured.table, subject.gates)
        yield word, {key: part[key] for key in ("firmware", "instructions")}, measured.rows


def _separated(
    built: Built,
    routed: Subject,
    subjects: Mapping[str, Subject],
    corpus: Path,
    limit: int | None,
    count: Counts,
    check: int | None,
) -> Iterator[Level]:
    """The levels of a separator."""
    items = separation.mixtures(corpus, limit)
    for word, subject in subjects.items():
        measured = separation.measure(
            subject, items, built[0].board.name, progress=count(word), check=check, built=built
        )
        drawn = resample(list(measured.groups))
        gain = estimate(measured.gain("firmware"), drawn).to_json()
        cost = cost_json(measured.cost, drawn)
        yield word, {"firmware": {GAIN: gain}, "instructions": cost}, measured.rows
