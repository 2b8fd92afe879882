"""A report's input on disk, so that the page can be made again from a run's folder."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from tinydsn.audio.files import replace_file
from tinydsn.report.data import (
    Memory,
    OperatorRow,
    PatternRow,
    PlanRow,
    ReportData,
    ReportError,
    StateRow,
)

FILE = "report-data.npz"
VERSION = 2
ARRAYS = ("noisy", "enhanced", "clean", "gates", "instructions")
APART = (*ARRAYS, "search")
"""Fields that are not part of the JSON: a search is read from its own folder each time."""


def save_data(data: ReportData, folder: Path) -> Path:
    """Write ``data`` to ``folder/report-data.npz`` (arrays, and the rest as JSON), replaced as a whole.

    ``data.search`` is left out: it lies in its own folder.
    """
    rest: dict[str, Any] = {
        field.name: getattr(data, field.name) for field in fields(data) if field.name not in APART
    }
    rest["memory"] = asdict(data.memory)
    rest["operators"] = [asdict(row) for row in data.operators]
    rest["patterns"] = [asdict(row) for row in data.patterns]
    rest["states"] = [asdict(row) for row in data.states]
    rest["results"] = [dict(row) for row in data.results]
    rest["toolchain"], rest["metrics"] = dict(data.toolchain), dict(data.metrics)
    rest["gate_names"], rest["notes"] = list(data.gate_names), list(data.notes)
    content = io.BytesIO()
    arrays = {name: getattr(data, name) for name in ARRAYS if getattr(data, name) is not None}
    text = json.dumps({"version": VERSION, **rest}).encode()
    np.savez_compressed(content, rest=np.frombuffer(text, np.uint8), **arrays)
    path = Path(folder) / FILE
    try:
        replace_file(path, content.getvalue())
    except OSError as error:
        raise ReportError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def load_data(folder: Path) -> ReportData:
    """The `ReportData` that `save_data` wrote. Raises ReportError where there is none, or it is damaged."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise ReportError(f"{path}: no such file (must be the folder that tinydsn demo wrote)")
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name] for name in ARRAYS if name in held}
            rest = json.loads(held["rest"].tobytes())
        if rest.pop("version") != VERSION:
            raise ReportError(f"{path}: from another version of tinydsn (run tinydsn demo again)")
        return _restore(rest, arrays)
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, OSError, EOFError) as error:
        raise ReportError(f"{path}: damaged, run tinydsn demo again ({error})") from error


def _restore(rest: dict[str, Any], arrays: dict[str, np.ndarray]) -> ReportData:
    plan = tuple(PlanRow(**row) for row in rest["memory"].pop("plan"))
    rest["memory"] = Memory(plan=plan, **rest["memory"])
    rest["operators"] = tuple(OperatorRow(**row) for row in rest["operators"])
    rest["patterns"] = tuple(PatternRow(**row) for row in rest["patterns"])
    rest["states"] = tuple(StateRow(**row) for row in rest["states"])
    rest["metrics"] = {name: None if pair is None else tuple(pair) for name, pair in rest["metrics"].items()}
    return ReportData(**{**rest, **arrays})
