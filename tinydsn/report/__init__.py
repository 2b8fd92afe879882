"""The report of a run: one self-contained HTML page, and the same numbers as JSON (see SCHEMA.md)."""

from __future__ import annotations

from tinydsn.report.data import (
    Memory,
    OperatorRow,
    PatternRow,
    PlanRow,
    ReportData,
    ReportError,
    SearchFront,
    SearchPoint,
    StateRow,
)
from tinydsn.report.render import write_report
from tinydsn.report.store import load_data, save_data

__all__ = [
    "Memory",
    "OperatorRow",
    "PatternRow",
    "PlanRow",
    "ReportData",
    "ReportError",
    "SearchFront",
    "SearchPoint",
    "StateRow",
    "load_data",
    "save_data",
    "write_report",
]
