"""Compilers, emulator and the CMSIS library: what is found, and what is said when it is not."""

from __future__ import annotations

import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quant.errors import ToolchainError
from tinydsn.codegen import toolchain
from tinydsn.codegen.cmsis import CMSIS_NN
from tinydsn.codegen.toolchain import (
    Compiler,
    Core,
    find_compiler,
    find_qemu,
    static_library,
)

HOST = Core("")
M4 = Core("arm-none-eabi-", ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"))
M55 = Core("arm-none-eabi-", ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"))


def tiny_sources(folder: Path) -> None:
    """A source tree in the shape of CMSIS-NN with one function."""
    header = folder / "nn" / CMSIS_NN.marker
    header.parent.mkdir(parents=True)
    header.write_text("/* $Revision:    V.9.8.7 */\nint answer(void);\n")
    (folder / "nn" / "Source").mkdir()
    body = '#include "arm_nnfunctions.h"\nint answer(void) { return 1; }\n'
    (folder / "nn/Source/answer.c").write_text(body)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tiny sources, used by the toolchain together with an empty cache."""
    tiny_sources(tmp_path)
    monkeypatch.setenv("CMSIS_NN_ROOT", str(tmp_path / "nn"))
    monkeypatch.setenv("TINYDSN_CACHE", str(tmp_path / "cache"))
    return tmp_path


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def symbols(library: Path) -> str:
    return subprocess.run(["nm", "-g", str(library)], capture_output=True, text=True, check=True).stdout


def test_version_is_taken_from_outside_the_parentheses() -> None:
    arm = Compiler(Path("/opt/bin/arm-none-eabi-gcc"), "arm-none-eabi-gcc (15:12.2.rel1-1) 12.2.1 20221205")
    assert arm.version == "arm-none-eabi-gcc 12.2.1"
    assert Compiler(Path("/usr/bin/cc"), "something else").version == "cc unknown"


def test_missing_cross_compiler_says_how_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TINYDSN_ARM_GCC", raising=False)
    with pytest.raises(ToolchainError) as caught:
        find_compiler(M4)
    assert str(caught.value) == (
        "arm-none-eabi-gcc was not found; install it: apt-get install gcc-arm-none-eabi "
        "libnewlib-arm-none-eabi (elsewhere: unpack Arm's GNU toolchain and put its bin folder on the PATH, "
        "or set TINYDSN_ARM_GCC to its arm-none-eabi-gcc)"
    )


def test_missing_host_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError) as caught:
        find_compiler(HOST)
    assert str(caught.value) == "no C compiler for the host; install one: apt-get install gcc libc6-dev"


def test_compiler_of_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "arm-none-eabi-gcc"
    script.write_text("#!/bin/sh\necho 'arm-none-eabi-gcc (mine) 99.1.2'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("TINYDSN_ARM_GCC", str(script))
    assert find_compiler(M4) == Compiler(script, "arm-none-eabi-gcc (mine) 99.1.2")
    assert find_compiler(M4).version == "arm-none-eabi-gcc 99.1.2"


def test_tools_are_taken_from_beside_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sibling = tmp_path / "arm-none-eabi-nm"
    sibling.write_text("#!/bin/sh\n")
    sibling.chmod(0o755)
    compiler = Compiler(tmp_path / "arm-none-eabi-gcc", "")
    assert compiler.tool("nm") == sibling
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolchainError, match="^arm-none-eabi-size is missing beside .*; reinstall"):
        compiler.tool("size")


def test_missing_emulator_names_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QEMU", "/nowhere/qemu")
    with pytest.raises(ToolchainError, match="^QEMU=/nowhere/qemu was not found; install it: apt-get"):
        find_qemu()


def test_versions_are_none_where_nothing_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("QEMU", "CMSIS_NN_ROOT", "TINYDSN_ARM_GCC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TINYDSN_CACHE", str(tmp_path / "empty"))
    assert toolchain.versions() == {"cc": None, "qemu": None, "cmsis_nn": None}


def test_library_is_built_once(tiny: Path) -> None:
    needs("gcc")
    library = static_library(HOST)
    assert library.parent == tiny / "cache" / "libraries"
    assert " T answer" in symbols(library)
    written = library.stat().st_mtime_ns
    assert static_library(HOST) == library
    assert library.stat().st_mtime_ns == written
    assert sorted(path.name for path in library.parent.iterdir()) == [library.name, library.name + ".lock"]


def test_library_changes_with_sources_headers_and_flags(tiny: Path) -> None:
    needs("gcc")
    first = static_library(HOST)
    assert static_library(Core("", ("-DOTHER",))) != first
    (tiny / "nn" / CMSIS_NN.marker).write_text("int answer(void); /* changed */\n")
    second = static_library(HOST)
    assert second != first
    (tiny / "nn/Source/answer.c").write_text("int answer(void) { return 43; }\n")
    assert static_library(HOST) not in (first, second)


def test_parallel_callers_share_one_library(tiny: Path) -> None:
    needs("gcc")
    with ThreadPoolExecutor(4) as pool:
        libraries = set(pool.map(lambda _: static_library(HOST), range(4)))
    assert len(libraries) == 1
    assert " T answer" in symbols(libraries.pop())


def test_source_that_does_not_compile_leaves_nothing(tiny: Path) -> None:
    needs("gcc")
    (tiny / "nn/Source/answer.c").write_text("int answer(void) { return }\n")
    with pytest.raises(ToolchainError, match=r"compiling .*answer\.c failed: .*error: expected expression"):
        static_library(HOST)
    assert [path.suffix for path in (tiny / "cache" / "libraries").iterdir()] == [".lock"]
