"""How verbs talk: results on standard output (a table, or JSON alone), everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")]
"""The ``--json`` option that every verb has."""

# Tables of a pipe or a log file are not wrapped to the 80 columns that rich assumes there.
LOG_WIDTH = 160


def say(line: str) -> None:
    """One line of progress on standard error."""
    print(line, file=sys.stderr, flush=True)


def count(done: int, total: int) -> None:
    """Progress as "done/total", rewritten in place on a terminal and silent elsewhere."""
    if sys.stderr.isatty():
        end = "\n" if done >= total else ""
        print(f"\r{done}/{total}", end=end, file=sys.stderr, flush=True)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    """A bar with the time left, on a terminal; the function takes steps done, steps in all, and values."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
    )
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task(what, total=None, values="")

        def watch(done: int, total: int, values: Mapping[str, float]) -> None:
            text = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
            bar.update(task, completed=done, total=total, values=text)

        yield watch


def emit(result: Mapping[str, Any], as_json: bool) -> None:
    """Print a verb's result: as JSON, or scalars as a list of names and values and lists as tables."""
    if as_json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    screen = console()
    scalars = {key: value for key, value in _flat(result) if not _is_table(value)}
    tables = {key: value for key, value in _flat(result) if _is_table(value)}
    for key, rows in tables.items():
        if rows:
            screen.print(rows_table(rows, key))
    width = max(map(len, scalars), default=0)
    for key, value in scalars.items():
        screen.print(f"{key:<{width}}  {cell(value)}", markup=False, highlight=False, soft_wrap=True)


def verification_rows(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cells of a verification as short rows: what differs, and the instructions a frame."""
    rows = []
    for item in results:
        counts = item["instructions"] or {}
        first = item["first_difference"]
        rows.append(
            {
                "board": item["board"],
                "gates": item["gates"],
                "bits": item["status"],
                "frames": item["frames"],
                "samples off": item["differing_samples"],
                "gates off": item["differing_gates"],
                "first": f"frame {first['frame']}, {first['operator']}" if first else None,
                **{f"instr. {key}": counts.get(key) for key in ("min", "mean", "p99", "max")},
                "reason": item["reason"],
            }
        )
    return rows


def console() -> Console:
    """Standard output as a rich console."""
    from rich.console import Console

    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=LOG_WIDTH)


def rows_table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> Table:
    """A table with one column a key, in the order in which the rows first name them; numbers to the right."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    flat = [dict(_flat(row)) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    columns = [key for key in columns if any(row.get(key) not in (None, "") for row in flat)]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for key in columns:
        numeric = all(isinstance(row.get(key), int | float | None) for row in flat)
        table.add_column(key, justify="right" if numeric else "left", overflow="fold")
    for row in flat:
        table.add_row(*(escape(cell(row.get(key))) for key in columns))
    return table


def cell(value: Any) -> str:
    """A value as a person reads it: 1,234,567; 3.142; yes/no; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return str(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(row, Mapping) for row in value)


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as dotted names: {"a": {"b": 1}} gives [("a.b", 1)]."""
    pairs: list[tuple[str, Any]] = []
    for key, value in mapping.items():
        nested = isinstance(value, Mapping)
        pairs += _flat(value, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", value)]
    return pairs
