"""A small program for one case and board: both sides, one call each, results written to files."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from quant.errors import ToolchainError
from tinydsn.bench.case import Case, Side
from tinydsn.codegen.app import app_files
from tinydsn.codegen.board import Board
from tinydsn.codegen.build import COMPILE_FLAGS
from tinydsn.codegen.project import link_options
from tinydsn.codegen.templates import template_root
from tinydsn.codegen.text import C_TYPES, Array
from tinydsn.codegen.toolchain import cmsis_include_flags, find_compiler, static_library

FRAME, CALLER = "bench_frame", "main"
OURS, THEIRS = "bench_ours", "bench_cmsis_nn"
OUTPUTS = {OURS: "ours.bin", THEIRS: "cmsis_nn.bin"}
POISON = 0x55
"""What outputs and scratch hold before a call."""
PROCESSES = 2


class Builder:
    """Compiles cases for one board; objects that several cases share are compiled once into ``folder``."""

    def __init__(self, board: Board, folder: Path) -> None:
        self.board = board
        self.folder = folder
        self._compiler = str(find_compiler(board).path)
        self._library = str(static_library(board))
        self._objects: dict[Path, Path] = {}
        for name, text in app_files(board, "semihosting").items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def build(self, case: Case, sides: tuple[Side, Side | None]) -> Path:
        """The linked program of a case. Raises ToolchainError when a compiler fails."""
        source = self.folder / "bench.c"
        source.write_text(program(case, sides), encoding="utf-8")
        kernels = sorted({kernel for side in sides if side for kernel in side.kernels})
        shared = [template_root() / "kernels" / f"{kernel}.c" for kernel in kernels]
        shared += [self.folder / "app" / name for name in ("startup.c", "semihosting.c")]
        missing = [path for path in shared if path not in self._objects]
        with ThreadPoolExecutor(max_workers=PROCESSES) as pool:
            made = list(pool.map(self._compile, [*missing, source]))
        self._objects |= dict(zip(missing, made, strict=False))
        elf = self.folder / "bench.elf"
        options = [*link_options("app/tinydsn.ld", f"{self.folder}/"), "-o", str(elf)]
        objects = [str(self._objects[path]) for path in shared]
        command = [self._compiler, *self.board.flags, str(made[-1]), *objects, self._library]
        _run([*command, *options], "linking a case of the bench")
        return elf

    def _compile(self, source: Path) -> Path:
        built = self.folder / f"{source.stem}.o"
        root = template_root()
        includes = [f"-I{root / 'kernels'}", f"-I{root / 'runtime'}", f"-I{self.folder / 'app'}"]
        flags = [*self.board.flags, *COMPILE_FLAGS, *includes, *cmsis_include_flags()]
        _run([self._compiler, *flags, "-c", str(source), "-o", str(built)], f"compiling {source.name}")
        return built


def program(case: Case, sides: tuple[Side, Side | None]) -> str:
    """The C text of a case. Functions of both sides are out of line, as the generator's operators are."""
    inputs = [Array(f"x{index}", values, "") for index, values in enumerate(case.inputs)]
    known = {OURS: sides[0], THEIRS: sides[1]}
    used = {name: side for name, side in known.items() if side is not None}
    arrays = [array for side in used.values() for array in side.arrays]
    scratch = max([side.scratch for side in used.values()] + [16])
    ctype = C_TYPES[case.expected.dtype.name]
    lines = ['#include "arm_nnfunctions.h"', '#include "semihosting.h"', '#include "tinydsn_kernels.h"', ""]
    for array in (*inputs, *arrays):
        lines += [f"static {array.declaration} TINYDSN_ALIGNED(16) = {{", *array.rows, "};"]
    lines += [
        f"static {ctype} y[{case.expected.size}] TINYDSN_ALIGNED(16);",
        f"static uint8_t scratch_bytes[{scratch}] TINYDSN_ALIGNED(16);",
        *("#define memory ((void *)scratch_bytes)", "", "int main(void);"),
    ]
    for name, side in used.items():
        lines += ["", f"static TINYDSN_NOINLINE void {name}(void)", "{", side.body, "}"]
    lines += [
        *("", f"__attribute__((noipa)) static void {FRAME}(void (*call)(void))", "{", "    call();"),
        *('    __asm volatile("");', "}", ""),
        *("static void store(const char *name)", "{"),
        "    const int32_t handle = semihosting_open(name, 1);",
        "    semihosting_write(handle, y, sizeof y);",
        *("    semihosting_close(handle);", "}", "", "int main(void)", "{"),
    ]
    for name in used:
        lines += [
            f"    memset(y, {POISON}, sizeof y);",
            f"    memset(memory, {POISON}, sizeof scratch_bytes);",
            f"    {FRAME}({name});",
            f'    store("{OUTPUTS[name]}");',
        ]
    return "\n".join([*lines, "    return 0;", "}", ""])


def read_output(path: Path, like: np.ndarray) -> np.ndarray:
    """What a side wrote. Raises ToolchainError when it is missing or cut off."""
    found = np.fromfile(path, like.dtype.newbyteorder("<")) if path.is_file() else np.zeros(0, like.dtype)
    if found.size != like.size:
        raise ToolchainError(f"a case of the bench wrote {found.size} values (must be {like.size})")
    return found.reshape(like.shape)


def _run(command: Sequence[str], doing: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower() or "undefined" in line]
        raise ToolchainError(f"{doing} failed: {(lines or ['no message'])[0]}")
