"""A gated model with its static siblings and ablations on the committed list: tables and pictures.

``python -m tinydsn.workflow.family dsn-s --corpus DIR -o docs/family`` takes ``dsn-s`` and every shipped
``dsn-s-*`` from their cards, evaluates what no card holds (``dsn-s`` at shifted thresholds, and its paired
differences to each other), and writes ``dsn-s.json`` (everything), ``dsn-s.md`` (the tables),
``dsn-s-tradeoff.svg`` (quality against instructions) and ``dsn-s-usage.svg`` (usage by SNR). ``--against``
names the siblings to pair with instead of all: each that the cache does not hold is evaluated, some minutes.
With ``--runs DIR ...``, folders of ``tinydsn train``, it also draws ``dsn-s-training.svg``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quant.errors import ModelFileError, TinydsnError
from tinydsn.audio.files import replace_file
from tinydsn.evaluation.compare import compare
from tinydsn.evaluation.front import beside_front
from tinydsn.evaluation.pairs import Pair
from tinydsn.workflow.comparison_points import measured_card
from tinydsn.workflow.evaluation import gather, measure
from tinydsn.workflow.evaluation_table import Measured, report
from tinydsn.workflow.family_pictures import draw_tradeoff, draw_training, draw_usage
from tinydsn.workflow.markdown import markdown_table
from tinydsn.workflow.measurement import logit_scale
from tinydsn.workflow.models import pretrained
from tinydsn.workflow.subject import open_subject

BOARD = "mps2-an386"
METRICS = ("OVRL", "SIG", "BAK", "PESQ", "STOI", "SISDR")
PAIRED = ("OVRL", "SIG", "PESQ", "SISDR")
CHECKED = 9
"""Files that are compared with the integer reference, one a speaker; the cards tell of more."""
SHIFTS = (-1.0, 1.0)
"""Shifts of the policy's logits that draw the gated model's curve."""


def siblings(name: str) -> list[str]:
    """Shipped names that begin with ``name-``. Raises ModelFileError when ``name`` itself is not shipped."""
    shipped = pretrained()
    if name not in shipped:
        raise ModelFileError(f"{name}: no such shipped model (`tinydsn quantize --help` lists them)")
    return [other for other in shipped if other.startswith(f"{name}-")]


def member(name: str) -> dict[str, Any]:
    """What a shipped model's card says of its test. Raises ModelFileError for a card that is missing."""
    test = measured_card(pretrained()[name])["test"]
    return {"model": name, "bias": 0, "static": not test["usage"]["firmware"]["gates"], **test}


def measured(name: str, pairs: Sequence[Pair], bias: int = 0) -> Measured:
    """One model at one threshold, with progress on standard error. At a shifted threshold only the firmware:
    that float network and firmware lie together is told of the model as it is."""
    subject = open_subject(name, bias)
    if bias:
        subject = replace(subject, checkpoint=None)

    def progress(done: int, total: int) -> None:
        if done == total or done % 60 == 0:
            print(f"{name} {bias:+d}: {done}/{total}", file=sys.stderr)

    return measure(subject, pairs, BOARD, progress=progress, check=CHECKED)


def family(
    name: str,
    corpus: Path,
    limit: int | None = None,
    against: Sequence[str] | None = None,
    shifts: Sequence[float] = SHIFTS,
) -> dict[str, Any]:
    """All members, the curve over ``shifts`` of the policy's logits, and the paired differences to the
    siblings of ``against`` (None: all), with those to the line through their static ones in ``front``.

    Raises ModelFileError where one of them is no sibling.
    """
    family_names = [name, *siblings(name)]
    beside = family_names[1:] if against is None else list(against)
    if strangers := [other for other in beside if other not in family_names[1:]]:
        raise ModelFileError(f"{strangers[0]}: no shipped sibling of {name} ({', '.join(family_names[1:])})")
    pairs, source = gather(None, None, corpus, limit, None)
    head = measured(name, pairs)
    others = {other: measured(other, pairs) for other in beside}
    statics = {other: one.table for other, one in others.items() if not one.subject.gates}
    curve = []
    for shift in shifts if head.subject.gates else ():
        shifted = measured(name, pairs, round(shift / logit_scale(head.subject.model.graph)))
        entry = report(shifted, BOARD, source)
        curve.append({**entry, "front": beside_front(shifted.table, statics)})
    return {
        "schema": 2,
        "name": name,
        "members": [member(other) for other in family_names],
        "curve": curve,
        "paired": {other: compare(head.table, one.table) for other, one in others.items()},
        "front": beside_front(head.table, statics) if head.subject.gates else None,
    }


def table(found: Mapping[str, Any]) -> str:
    """The Markdown table: a row a system, ``mean [low, high]``."""
    head = ["system", "instructions a frame", "usage", *METRICS]
    first = found["members"][0]
    rows = [["noisy", "", "", *_cells(first["noisy"])]]
    for entry in found["members"]:
        systems = ("firmware",) if entry["static"] else ("float", "firmware")
        for system in systems:
            usage = entry["usage"][system]["mean"]
            spent = f"{entry['instructions']['mean']:,}" if system == "firmware" else ""
            share = "" if usage is None else f"{usage:.3f}"
            rows.append([f"{entry['model']}, {system}", spent, share, *_cells(entry[system])])
    for entry in found["curve"]:
        usage = f"{entry['usage']['firmware']['mean']:.3f}"
        label = f"{entry['model']}, threshold {entry['bias']:+d}"
        rows.append([label, f"{entry['instructions']['mean']:,}", usage, *_cells(entry["firmware"])])
    return markdown_table(head, rows)


def paired_table(found: Mapping[str, Any]) -> str:
    """The Markdown table of the model's firmware less each other member's on the same clips; bold where the
    interval leaves out zero."""
    rows = []
    for name, beside in found["paired"].items():
        ratio = beside["cost_ratio"]
        cells = ["" if ratio is None else f"x {_span(ratio)}"]
        for metric in PAIRED:
            cell = _span(beside["firmware"][metric], "+")
            cells.append(cell if beside["firmware"][metric]["direction"] == "undecided" else f"**{cell}**")
        rows.append([name, *cells])
    return markdown_table(["less", "instructions", *PAIRED], rows)


def _span(value: Mapping[str, float], sign: str = "") -> str:
    return f"{value['mean']:{sign}.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def _cells(metrics: Mapping[str, Any]) -> list[str]:
    return [_span(metrics[key]) for key in METRICS]


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 2 after one line that says what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tinydsn.workflow.family", description=__doc__)
    parser.add_argument("name", help="a shipped gated model, such as dsn-s")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--output", "-o", type=Path, required=True, help="folder for table and pictures")
    parser.add_argument("--limit", type=int, help="only so many test mixtures, for a quick look")
    parser.add_argument(
        "--shifts", type=float, nargs="*", default=SHIFTS, help="of the policy's logits (default: -1 1)"
    )
    parser.add_argument("--against", nargs="*", help="siblings to pair with (default: all)")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="runs whose curves are drawn")
    options = parser.parse_args(arguments)
    try:
        curves = draw_training(options.runs) if options.runs else None
        found = family(options.name, options.corpus, options.limit, options.against, options.shifts)
        tables = f"{table(found)}\n{paired_table(found)}"
        options.output.mkdir(parents=True, exist_ok=True)
        texts = {
            f"{options.name}.json": json.dumps(found, indent=1) + "\n",
            f"{options.name}.md": tables,
            f"{options.name}-tradeoff.svg": draw_tradeoff(found),
            f"{options.name}-usage.svg": draw_usage(found),
        }
        if curves:
            texts[f"{options.name}-training.svg"] = curves
        for file, text in texts.items():
            replace_file(options.output / file, text.encode())
    except TinydsnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(tables, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
