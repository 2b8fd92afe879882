"""Compilers, the emulator, and the CMSIS static library that generated projects link.

Everything that a build needs from outside is found here, and a missing thing is one clear
``MissingTool`` with the command that installs it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from quant.errors import MissingTool, ToolchainError
from tinydsn.cache import cache_dir, locked, scratch_beside
from tinydsn.codegen.cmsis import cmsis_nn_root, cmsis_nn_version, fetch_cmsis

__all__ = [
    "Compiler",
    "Core",
    "Target",
    "cache_dir",
    "cmsis_include_flags",
    "cmsis_nn_root",
    "fetch_cmsis",
    "find_compiler",
    "find_qemu",
    "qemu_version",
    "static_library",
    "versions",
]

CROSS_PREFIX = "arm-none-eabi-"

LIBRARY_FLAGS = ("-O3", "-std=gnu11", "-ffunction-sections", "-fdata-sections", "-w")
"""``-w``: warnings in sources that we do not own would only hide those of ours."""


class Target(Protocol):
    """What of a board matters to the compiler: ``prefix`` ("" is the host) and the core's ``flags``."""

    @property
    def prefix(self) -> str: ...

    @property
    def flags(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Core:
    """The smallest target: no board, only a compiler's prefix and flags."""

    prefix: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compiler:
    """A GCC that was found: its executable and the first line of ``--version``."""

    path: Path
    banner: str

    @property
    def version(self) -> str:
        """Such as "arm-none-eabi-gcc 12.2.1": the name, and the first dotted number outside parentheses."""
        found = re.search(r"\d+(\.\d+)+", re.sub(r"\([^)]*\)", "", self.banner))
        return f"{self.path.name} {found.group(0) if found else 'unknown'}"

    def tool(self, name: str) -> Path:
        """A sibling such as "ar", "nm", "size" or "objdump", taken from beside the compiler.

        Raises MissingTool when it is not there.
        """
        sibling = re.sub(r"(gcc|cc)(-[\d.]+)?$", name, self.path.name)
        found = shutil.which(sibling, path=str(self.path.parent)) or shutil.which(sibling)
        if not found:
            raise MissingTool(f"{sibling} is missing beside {self.path}; reinstall the compiler")
        return Path(found)


def find_compiler(target: Target) -> Compiler:
    """The C compiler for a board, or for the host when its prefix is "".

    For Arm: ``$TINYDSN_ARM_GCC`` (the path of an arm-none-eabi-gcc), else the PATH. For the host: gcc or
    cc on the PATH. Raises MissingTool, or ToolchainError when it does not run.
    """
    if target.prefix == "":
        name = shutil.which("gcc") or shutil.which("cc")
        if not name:
            raise MissingTool("no C compiler for the host; install one: apt-get install gcc libc6-dev")
        return _probe(name)
    chosen = os.environ.get("TINYDSN_ARM_GCC") if target.prefix == CROSS_PREFIX else None
    name = shutil.which(chosen or f"{target.prefix}gcc")
    if not name:
        wanted = f"TINYDSN_ARM_GCC={chosen}" if chosen else f"{target.prefix}gcc"
        raise MissingTool(
            f"{wanted} was not found; install it: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi "
            "(elsewhere: unpack Arm's GNU toolchain and put its bin folder on the PATH, or set "
            "TINYDSN_ARM_GCC to its arm-none-eabi-gcc)"
        )
    return _probe(name)


def find_qemu() -> Path:
    """The emulator: ``$QEMU`` (a path or a name), else qemu-system-arm on the PATH; raises MissingTool."""
    chosen = os.environ.get("QEMU")
    found = shutil.which(chosen or "qemu-system-arm")
    if not found:
        wanted = f"QEMU={chosen}" if chosen else "qemu-system-arm"
        raise MissingTool(
            f"{wanted} was not found; install it: apt-get install qemu-system-arm "
            "(elsewhere: QEMU 7.2 or newer with plugins on, and set QEMU to its qemu-system-arm)"
        )
    return Path(found)


def qemu_version() -> str:
    """Such as "7.2.22", the version that ``find_qemu()`` states; MissingTool without QEMU."""
    found = re.search(r"version (\d+(?:\.\d+)+)", _first_line(str(find_qemu())))
    return found.group(1) if found else "unknown"


def versions() -> dict[str, str | None]:
    """What this machine builds and emulates with: "cc" (for Arm), "qemu", "cmsis_nn"; None where missing."""

    found: dict[str, str | None] = {"cc": None, "qemu": None, "cmsis_nn": None}
    arm = Core(CROSS_PREFIX)
    probes = {"cc": lambda: find_compiler(arm).version, "qemu": qemu_version, "cmsis_nn": cmsis_nn_version}
    for key, probe in probes.items():
        try:
            found[key] = probe()
        except ToolchainError:
            found[key] = None
    return found


def cmsis_include_flags() -> tuple[str, ...]:
    """Compiler flags that make the headers of CMSIS-NN usable."""
    return (f"-I{cmsis_nn_root() / 'Include'}",)


def static_library(target: Target) -> Path:
    """The archive of CMSIS-NN for a board's compiler and flags.

    Compiled once into the cache, for each (compiler, flags, content of the sources) (seconds);
    parallel callers wait for the first. Raises ToolchainError when a tool or the sources are missing,
    or when a file does not compile.
    """
    compiler, root = find_compiler(target), cmsis_nn_root()
    sources = tuple(sorted((root / "Source").rglob("*.c")))
    flags = (*target.flags, *LIBRARY_FLAGS)
    key = _library_key(compiler, flags, root, sources)
    library = cache_dir() / "libraries" / f"libcmsis_{key}.a"
    if library.is_file():
        return library
    with locked(library):
        if not library.is_file():
            with scratch_beside(library) as scratch:
                _build_library(compiler, flags, sources, scratch, library)
    return library


def _probe(executable: str) -> Compiler:
    return Compiler(Path(executable), _first_line(executable))


def _first_line(executable: str) -> str:
    try:
        done = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ToolchainError(f"{executable} cannot be run ({error.strerror}); reinstall it") from error
    if done.returncode != 0 or not done.stdout:
        raise ToolchainError(f"{executable} --version failed with exit code {done.returncode}; reinstall it")
    return done.stdout.splitlines()[0]


def _library_key(compiler: Compiler, flags: tuple[str, ...], root: Path, sources: tuple[Path, ...]) -> str:
    """16 hex digits over the compiler, the flags, and the content of every source and header."""
    digest = hashlib.sha256(repr((compiler.banner, flags)).encode())
    for path in (*sources, *sorted((root / "Include").rglob("*.h"))):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _build_library(
    compiler: Compiler, flags: tuple[str, ...], sources: tuple[Path, ...], scratch: Path, library: Path
) -> None:
    includes = cmsis_include_flags()

    def compile_one(numbered: tuple[int, Path]) -> Path:
        number, source = numbered
        # The number keeps the members in one order and apart when two folders hold files of one name.
        built = scratch / f"{number:03d}_{source.stem}.o"
        command = [str(compiler.path), *flags, *includes, "-c", str(source), "-o", str(built)]
        _run(command, f"compiling {source}")
        return built

    with ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(compile_one, enumerate(sources)))
    packed = scratch / library.name
    # "D": zero time stamps and owners, so that the same sources give the same bytes.
    _run([str(compiler.tool("ar")), "rcsD", str(packed), *map(str, objects)], f"packing {library.name}")
    os.replace(packed, library)


def _run(command: list[str], doing: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        reason = lines[0] if lines else f"exit code {done.returncode}"
        raise ToolchainError(f"{doing} failed: {reason}")
