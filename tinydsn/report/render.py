"""Fills the templates: ``report.html``, one page without a network, and ``report.json`` beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tinydsn.audio.files import replace_file
from tinydsn.report import text
from tinydsn.report.audio import data_uri
from tinydsn.report.data import METRICS, ReportData, ReportError
from tinydsn.report.front import chart
from tinydsn.report.matrix import matrix
from tinydsn.report.spectrogram import RANGE_DB, scale
from tinydsn.report.summary import by_pattern, report_json, shares
from tinydsn.report.svg import HEIGHT, memory_map, width_strips
from tinydsn.report.tiles import tiles
from tinydsn.report.timeline import HUES, timeline

LIMIT = 5_000_000
"""Bytes of a page, at most."""
EXCERPTS = (30.0, 15.0, 5.0, 1.0)
"""Seconds of audio to try, until the page is below `LIMIT`."""
TITLES: Mapping[str, str] = MappingProxyType(
    {
        "cc": "compiler",
        "qemu": "QEMU",
        "cmsis_nn": "CMSIS-NN",
        "flags": "compiler flags",
        "python": "Python",
        "torch": "PyTorch",
        "numpy": "NumPy",
        "host": "this machine",
        "firmware_sha256": "firmware SHA-256",
        "noisy_sha256": "noisy samples SHA-256",
        "enhanced_sha256": "enhanced samples SHA-256",
    }
)
"""How the page names what built the firmware; other names stand as they are."""


def write_report(data: ReportData, folder: Path) -> Path:
    """Write ``report.html`` and ``report.json`` into ``folder``; the path of the page.

    Each file is replaced as a whole. Raises ReportError where the page would be above 5 MB even with the
    shortest excerpt, ConfigError where the folder cannot be written.
    """
    folder = Path(folder)
    numbers = report_json(data)
    page = render_page(data, numbers).encode()
    content = json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    path = folder / "report.html"
    replace_file(folder / "report.json", content.encode())
    replace_file(path, page)
    return path


def render_page(data: ReportData, numbers: dict[str, Any]) -> str:
    """The page, below `LIMIT` bytes; ``numbers`` is `summary.report_json` of the data."""
    stacks = by_pattern(data)
    template = page_environment("tinydsn.report").get_template("report.html.j2")
    common = {
        "data": data,
        "summary": numbers["summary"],
        "tiles": tiles(data, numbers["summary"]),
        "metrics": METRICS,
        "matrix": matrix(data.results),
        "map": memory_map(data.memory.plan, HUES),
        "by_region": shares(data, "region"),
        "by_kind": shares(data, "kind"),
        "hue_of": {name: index % HUES for index, name in enumerate(data.gate_names)},
        "largest_share": max((row.share or 0 for row in data.operators), default=0),
        "largest_count": max((row.max for row in data.patterns), default=0),
        "stacks": stacks,
        "largest_stack": max((total for _, total, _ in stacks), default=0),
        "largest_cell": max((count for row in data.operators for count in row.patterns.values()), default=0),
        "idle": sum(row.instructions is None and row.weight_bits is None for row in data.operators),
        "strips": width_strips(data.operators),
        "widths": numbers["widths"],
        "chart": chart(data.search),
        "titles": TITLES,
        "curve_height": HEIGHT,
        "scale": data_uri(scale(), "image/png"),
        "range_db": RANGE_DB,
    }
    size = 0
    for seconds in EXCERPTS:
        page = template.render(time=timeline(data, seconds), **common)
        size = len(page.encode())
        if size < LIMIT:
            return page
    raise ReportError(f"report: the page has {size} bytes (must be below {LIMIT}); give it fewer rows")


def page_environment(package: str) -> Environment:
    """Templates of a package, strict and escaped, with the filters that pages write numbers by."""
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("count", "compact", "size", "percent", "plain", "loss", "breakable"):
        environment.filters[name] = getattr(text, name)
    return environment
