"""Writes the C project of an integer graph for a board: one folder that builds by itself."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import ConfigError
from quant.graph import IntegerGraph
from quant.reference import hop_of
from tinydsn import __version__
from tinydsn.codegen.app import Files, app_files
from tinydsn.codegen.board import Board
from tinydsn.codegen.design import Design, check_interface, design
from tinydsn.codegen.example import example_files
from tinydsn.codegen.kernels import code_target
from tinydsn.codegen.package import package_files, toolchain
from tinydsn.codegen.templates import render, template_root
from tinydsn.codegen.writer import Labels, Memory, SelfTest, common_values, kernel_summary, sources

__all__ = ["MANIFEST", "Memory", "Project", "SelfTest", "generate", "read_manifest"]

MANIFEST = "tinydsn.json"
SCHEMA = 1
NEEDED = ("schema", "board", "model_sha256", "hop", "gates", "frontend", "largest_tensors")
"""What is read of a manifest."""
LINKER_SCRIPT = "app/tinydsn.ld"
FRONTEND_FILES = (
    *("tinydsn_frontend.c", "tinydsn_frontend.h", "tinydsn_frontend_fft.c", "tinydsn_frontend_fft.h"),
    *("tinydsn_frontend_math.h", "tinydsn_frontend_scalar.c", "tinydsn_frontend_steps.h"),
)
FRONTEND_MVE_FILES = ("tinydsn_frontend_mve.c", "tinydsn_frontend_mve.h", "tinydsn_frontend_mve_fft.c")


@dataclass(frozen=True)
class Project:
    """A folder that `generate` wrote, and what was decided for it."""

    folder: Path
    design: Design
    manifest: dict[str, Any]


def generate(
    graph: IntegerGraph,
    board: Board,
    output: Path,
    *,
    model_sha256: str,
    selftest: SelfTest | None = None,
    memory: Memory | None = None,
    files: Files | None = None,
    lines: tuple[str, ...] = (),
    kernels: str = "auto",
    example: SelfTest | None = None,
) -> Project:
    """Write the project of ``graph`` for ``board`` into the folder ``output``.

    ``memory`` (of an earlier build) is stated in the header; ``files``: see `app_files`; ``lines``
    are further remarks of the header; ``kernels``: see `code_target`; ``example``: what the application in
    ``example/`` plays. An earlier project in ``output`` is replaced as a whole; ConfigError for any other
    folder. GraphError, UnsupportedOperator: see `design`. BoardError: see `example_files`.
    """
    _check_folder(output)
    check_interface(graph)
    made = design(graph, code_target(board, kernels))
    lines = (*lines, f"Kernels ({kernels}): {kernel_summary(made)}.")
    labels = Labels(board.name, model_sha256, selftest, memory, lines)
    manifest = _manifest(made, board, labels)
    around = app_files(board, files)
    if example:
        around |= example_files(board, example, hop_of(graph))
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        _write(scratch / "project", made, board, labels, manifest, around)
        if output.exists():
            os.replace(output, scratch / "old")
        os.replace(scratch / "project", output)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Project(output, made, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a project that `generate` wrote into ``folder``.

    Raises ConfigError for a folder without one, and for one that is damaged or of another version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(f"{folder}: not a project that `tinydsn generate` wrote (no {MANIFEST})") from None
    except ValueError:
        manifest = None
    lacks = [key for key in NEEDED if not isinstance(manifest, dict) or key not in manifest]
    if lacks or manifest["schema"] != SCHEMA:
        raise ConfigError(
            f"{path}: damaged, or written by another version of tinydsn; generate the project again"
        )
    assert isinstance(manifest, dict)
    return manifest


def _check_folder(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output}: is a file (must be a folder to write the project into)")
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST).is_file():
        raise ConfigError(
            f"{output}: holds files that tinydsn did not generate (no {MANIFEST}); name a new or empty folder"
        )


def _manifest(made: Design, board: Board, labels: Labels) -> dict[str, Any]:
    """What tinydsn.json says: origin, options, memory plan, and a line for each operator."""
    graph = made.graph
    return {
        "schema": SCHEMA,
        "generator": "tinydsn",
        "model": graph.name,
        "model_sha256": labels.model_sha256,
        "board": board.name,
        "hop": hop_of(graph),
        "gates": graph.gates,
        "frontend": graph.frontend.to_json() if graph.frontend else None,
        "selftest_frames": len(labels.selftest.pcm) // hop_of(graph) if labels.selftest else 0,
        "memory": {
            "weights": made.weight_bytes,
            "context": made.context_bytes,
            "states": made.plan.state_bytes,
            "arena": made.plan.arena_bytes,
            "arena_lower_bound": made.plan.peak,
        },
        "operators": [
            {
                "name": operator.name,
                "kind": operator.kind,
                "function": made.functions[operator.name],
                "source": operator.source,
                "gate": None if branch is None else branch.gate,
            }
            for operator in graph.operators()
            for branch in [graph.region_of()[operator.name]]
        ],
        "largest_tensors": [
            {"name": buffer.name, "bytes": buffer.size, "offset": buffer.offset}
            for buffer in sorted(made.plan.buffers, key=lambda b: (-b.size, b.name))[:5]
        ],
        "kernels": list(made.kernels),
        "kernel_choice": made.target.kernels,
    }


def _write(
    folder: Path,
    made: Design,
    board: Board,
    labels: Labels,
    manifest: dict[str, Any],
    around: Mapping[str, str],
) -> None:
    files = {**sources(made, labels), **_copied(made), **around}
    script = LINKER_SCRIPT if LINKER_SCRIPT in files else ""
    values = common_values(made, labels) | {
        "version": __version__,
        "prefix": board.prefix,
        "toolchain": toolchain(board),
        "flags": board.flags,
        "sources": library_sources(files),
        "app": _c_files(files, "app/"),
        "example": _c_files(files, "example/"),
        "linker_script": script,
        "link_options": link_options(script, "${CMAKE_CURRENT_SOURCE_DIR}/"),
    }
    files |= package_files(board, values)
    files["CMakeLists.txt"] = render("CMakeLists.txt.j2", values)
    files["README.md"] = render("README.md.j2", values)
    files[MANIFEST] = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def library_sources(paths: Iterable[str]) -> list[str]:
    """C files of the library among the paths of a project, sorted."""
    return _c_files(paths, "src/", "kernels/")


def _c_files(paths: Iterable[str], *folders: str) -> list[str]:
    return sorted(path for path in paths if path.endswith(".c") and path.startswith(folders))


def link_options(linker_script: str, prefix: str = "") -> list[str]:
    """Options of the program's link; with a linker script the start-up code is ours too."""
    options = [f"-T{prefix}{linker_script}", "-nostartfiles"] if linker_script else []
    return [*options, "-Wl,--gc-sections"]


def _copied(made: Design) -> dict[str, str]:
    """Files taken over as they are: kernels, port header, front end."""
    root = template_root()
    headers = sorted(path.name for path in (root / "kernels").glob("*.h"))
    kernels = [*headers, *(f"{kernel}.c" for kernel in made.kernels)]
    sources_of = {f"kernels/{name}": root / "kernels" / name for name in kernels}
    sources_of["runtime/tinydsn_port.h"] = root / "runtime" / "tinydsn_port.h"
    if made.graph.frontend:
        vectors = FRONTEND_MVE_FILES if made.target.mve else ()
        for name in (*FRONTEND_FILES, *vectors):
            sources_of[f"src/{name}"] = root / "runtime" / name
    return {name: path.read_text(encoding="utf-8") for name, path in sources_of.items()}
