"""Corpora in the layouts that users have, found by structure."""

from __future__ import annotations

from tinydsn.audio.layouts.detect import LAYOUTS, Layout, find_layout, read_layout
from tinydsn.audio.layouts.entry import Entry
from tinydsn.audio.layouts.inspect import Inspected, inspect_entries
from tinydsn.audio.layouts.manifest import write_manifest
from tinydsn.audio.layouts.survey import SurveyOptions, survey

__all__ = [
    "LAYOUTS",
    "Entry",
    "Inspected",
    "Layout",
    "SurveyOptions",
    "find_layout",
    "inspect_entries",
    "read_layout",
    "survey",
    "write_manifest",
]
