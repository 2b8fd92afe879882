"""Compiles and links a generated project, and measures what the linker wrote.

It calls the compiler itself, file by file in two processes; the project's CMakeLists.txt does the same for
users who have no tinydsn.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import BoardError, ToolchainError
from tinydsn.codegen.board import Board
from tinydsn.codegen.project import LINKER_SCRIPT, library_sources, link_options, read_manifest
from tinydsn.codegen.toolchain import cmsis_include_flags, find_compiler, static_library

COMPILE_FLAGS = ("-O3", "-std=gnu11", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections", "-g")
PROCESSES = 2
WEIGHTS_SECTION = ".rodata.tinydsn_weights"
LARGEST = 5
SHF_WRITE, SHF_ALLOC = 1, 2


@dataclass(frozen=True)
class BuildResult:
    """A linked program. Sizes in bytes.

    flash: code, constants and initial values; ram: variables (the context is one); weights: constants of
    the model. symbols: size of each function and object of the library by name.
    """

    elf: Path
    flash: int
    ram: int
    weights: int
    symbols: Mapping[str, int]


def build(project_dir: Path, board: Board, defines: Sequence[str] = ()) -> BuildResult:
    """Compile the project in ``project_dir`` for ``board`` and link ``build/tinydsn.elf``.

    ``defines``: further macros, such as "TINYDSN_TRACE".

    Raises ConfigError for a folder that is no project, ToolchainError when a compiler is missing or fails,
    BoardError when flash or RAM do not suffice (by how much, and the largest parts).
    """
    read_manifest(project_dir)
    compiler, library = str(find_compiler(board).path), static_library(board)
    folder = project_dir / "build"
    folder.mkdir(exist_ok=True)
    paths = sorted(path.relative_to(project_dir).as_posix() for path in project_dir.glob("*/*.*"))
    app = [path for path in paths if path.startswith("app/") and path.endswith(".c")]
    files = [*library_sources(paths), *app]
    includes = [f"-I{project_dir / name}" for name in ("include", "src", "kernels", "runtime", "app")]
    flags = [*board.flags, *COMPILE_FLAGS, *includes, *cmsis_include_flags()]
    flags += [f"-D{define}" for define in defines]

    def compile_one(name: str) -> str:
        built = folder / f"{name.replace('/', '_')}.o"
        _run([compiler, *flags, "-c", str(project_dir / name), "-o", str(built)], f"compiling {name}")
        return str(built)

    with ThreadPoolExecutor(max_workers=PROCESSES) as pool:
        objects = list(pool.map(compile_one, files))
    script = LINKER_SCRIPT if LINKER_SCRIPT in paths else ""
    elf = folder / "tinydsn.elf"
    command = [compiler, *board.flags, *objects, str(library)]
    command += [*link_options(script, f"{project_dir}/"), "-o", str(elf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        _raise_overflow(done.stderr, board.name, objects, project_dir)
        raise ToolchainError(f"linking {elf} failed: {_first_error(done.stderr)}")
    weights = folder / "src_tinydsn_weights.c.o"
    return measure(elf, _section_size(weights, WEIGHTS_SECTION))


def measure(elf: Path, weights: int) -> BuildResult:
    """Sizes of an ELF file, from its section headers and symbol table."""
    from elftools.elf.elffile import ELFFile

    flash = ram = 0
    symbols: dict[str, int] = {}
    with open(elf, "rb") as handle:
        content = ELFFile(handle)
        for section in content.iter_sections():
            if not section["sh_flags"] & SHF_ALLOC or _is_reserve(section.name):
                continue
            flash += section["sh_size"] if section["sh_type"] != "SHT_NOBITS" else 0
            ram += section["sh_size"] if section["sh_flags"] & SHF_WRITE else 0
        for name, size, _ in _symbols(content):
            symbols[name] = size
    prefixes = ("tinydsn_", "arm_")
    kept = {name: size for name, size in sorted(symbols.items()) if name.startswith(prefixes)}
    return BuildResult(elf, flash, ram, weights, kept)


def _section_size(path: Path, name: str) -> int:
    from elftools.elf.elffile import ELFFile

    with open(path, "rb") as handle:
        section = ELFFile(handle).get_section_by_name(name)
        return int(section["sh_size"]) if section else 0


def _is_reserve(name: str) -> bool:
    """Sections that only keep room free for stack and heap."""
    return "stack" in name or "heap" in name


def _symbols(content: Any) -> list[tuple[str, int, str]]:
    """(name, size, type) of functions and objects."""
    table = content.get_section_by_name(".symtab")
    found = []
    for symbol in table.iter_symbols() if table else ():
        kind = symbol["st_info"]["type"]
        if kind in ("STT_FUNC", "STT_OBJECT") and symbol["st_size"]:
            found.append((symbol.name, symbol["st_size"], kind))
    return found


def _largest(objects: Sequence[str]) -> list[tuple[str, int]]:
    """The largest functions and objects of object files."""
    from elftools.elf.elffile import ELFFile

    found: dict[str, int] = {}
    for path in objects:
        with open(path, "rb") as handle:
            found.update({name: size for name, size, _ in _symbols(ELFFile(handle))})
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:LARGEST]


def _raise_overflow(message: str, board: str, objects: Sequence[str], project_dir: Path) -> None:
    """Turn the linker's complaint about a full region into a BoardError."""
    found = re.findall(r"region [`'](\w+)' overflowed by (\d+) bytes", message)
    if found:
        regions = " and ".join(f"{name} by {int(count):,} bytes" for name, count in found)
        parts = ", ".join(f"{name} {size:,}" for name, size in _largest(objects))
        largest = read_manifest(project_dir)["largest_tensors"]
        tensors = ", ".join(f"{item['name']} {item['bytes']:,}" for item in largest)
        raise BoardError(
            f"the model does not fit {board}: it overflows {regions}; largest parts in bytes: {parts}; "
            f"largest tensors in memory: {tensors} (use a larger board, a smaller model, or fewer bits)"
        )


def _first_error(message: str) -> str:
    lines = [line for line in message.splitlines() if "error" in line or "undefined" in line]
    return (lines or message.splitlines() or ["no message"])[0]


def _run(command: list[str], doing: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolchainError(f"{doing} failed: {_first_error(done.stderr)}")
