"""Every kernel compiles for every core without a warning."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from quant.errors import TinydsnError
from tinydsn.codegen.board import board_names, load_board
from tinydsn.codegen.templates import template_root
from tinydsn.codegen.toolchain import cmsis_include_flags, find_compiler


@pytest.mark.parametrize("name", board_names())
def test_kernels_compile_without_warnings(name: str, tmp_path: Path) -> None:
    board, root = load_board(name), template_root()
    try:
        compiler, includes = find_compiler(board).path, cmsis_include_flags()
    except TinydsnError as error:
        pytest.skip(str(error))
    flags = [*board.flags, "-std=c99", "-O3", "-Wall", "-Wextra", "-Werror"]
    for folder in ("runtime", "kernels"):
        flags.append(f"-I{root / folder}")
    sources = [str(path) for path in sorted((root / "kernels").glob("*.c"))]
    command = [str(compiler), *flags, *includes, "-c", *sources]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
