"""The report of a run's folder: what was built with what, and the front of a search beside it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import tinydsn
from tinydsn.codegen.build import COMPILE_FLAGS
from tinydsn.codegen.toolchain import versions
from tinydsn.report import ReportError, SearchFront, SearchPoint, load_data, write_report
from tinydsn.report.store import FILE
from tinydsn.search.journal import read
from tinydsn.workflow.firmware import Firmware

SEARCH, FRONT = "search", "front.json"
PACKAGES = ("torch", "numpy")


def write_run_report(folder: Path, search: Path | None = None) -> Path:
    """The page of a finished run, with the front of the search in ``search``, else in ``folder/search``.

    Raises ReportError where ``folder`` holds no run, or where there is no finished search in ``search``,
    ConfigError where its journal is none.
    """
    if not (folder / FILE).is_file() and (folder / FRONT).is_file():
        raise ReportError(
            f"{folder}: the folder of a search, which has no recordings to show "
            f"(add it to the page of a run: tinydsn report RUN --search {folder})"
        )
    data = load_data(folder)
    beside = folder / SEARCH
    place = search or (beside if (beside / FRONT).is_file() else None)
    return write_report(data if place is None else replace(data, search=search_front(place)), folder)


def search_front(folder: Path) -> SearchFront:
    """What the search in ``folder`` found. Raises ReportError where it is not finished, or damaged."""
    path = folder / FRONT
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be read ({error.strerror}); must be the folder of a finished tinydsn search"
        ) from None
    except ValueError as error:
        raise ReportError(f"{path}: damaged ({error}); finish the search again: {_mend(folder)}") from None
    setup = read(folder).arguments
    try:
        return SearchFront(
            model=str(setup["model"]),
            board=str(setup["board"]),
            quality=str(setup["quality"]),
            evaluations=int(found["evaluations"]),
            front=tuple(_point("", row) for row in found["front"]),
            presets=tuple(
                _point(name, row) for name, row in found["homogeneous"].items() if "failure" not in row
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReportError(
            f"{path}: of another version ({type(error).__name__}: {error}); finish the search again: "
            f"{_mend(folder)}"
        ) from None


def built_with(firmware: Firmware | None, recordings: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Versions of the tools and libraries, the compiler's flags, and SHA-256 of firmware and recordings.

    ``recordings``: name -> int16 [samples]; the hash is of the samples, little-endian.
    """
    built = {name: value or "missing" for name, value in versions().items()}
    built["flags"] = " ".join([*firmware.board.flags, *COMPILE_FLAGS]) if firmware else ""
    built |= {"python": platform.python_version(), "tinydsn": tinydsn.__version__}
    built |= {name: metadata.version(name) for name in PACKAGES}
    built["host"] = f"{platform.system()} {platform.machine()}"
    if firmware:
        built["firmware_sha256"] = loaded_sha256(firmware.built.elf)
    samples = {name: values.astype("<i2").tobytes() for name, values in recordings.items()}
    return built | {f"{name}_sha256": hashlib.sha256(held).hexdigest() for name, held in samples.items()}


def loaded_sha256(elf: Path) -> str:
    """SHA-256 of what a program loads into memory: its segments without debugging information."""
    from elftools.elf.elffile import ELFFile

    digest = hashlib.sha256()
    with open(elf, "rb") as handle:
        content: Any = ELFFile(handle)
        for segment in content.iter_segments("PT_LOAD"):
            digest.update(segment.data())
    return digest.hexdigest()


def _point(name: str, row: Mapping[str, Any]) -> SearchPoint:
    widths = {str(key): int(bits) for key, bits in row.get("genome", {}).items()}
    return SearchPoint(
        name,
        float(row["quality"]),
        int(row["flash"]),
        float(row["instructions"]),
        bool(row["departs"]),
        widths,
    )


def _mend(folder: Path) -> str:
    return f"tinydsn search extend {folder} --generations 0"
