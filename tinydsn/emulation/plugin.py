"""QEMU's counting plugin, compiled on first use."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from quant.errors import ToolchainError
from tinydsn.cache import cache_dir, locked, scratch_beside
from tinydsn.codegen.toolchain import Core, find_compiler, qemu_version

SOURCE = Path(__file__).parent / "qemu_plugin" / "tinydsn_count.c"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden")
SCOREBOARD_RELEASE = 9
"""The release of QEMU that replaced counters at plain addresses by scoreboards (plugin API 2)."""


def plugin_path() -> Path:
    """The plugin for the QEMU that is found, from the cache; compiled there (a second) when it is not.

    Raises ToolchainError (without QEMU or a host compiler, or when it does not compile).
    """
    api = plugin_api(qemu_version())
    compiler = find_compiler(Core(""))
    key = repr((SOURCE.read_bytes(), api, compiler.banner, FLAGS)).encode()
    target = cache_dir() / "plugins" / f"tinydsn_count_{hashlib.sha256(key).hexdigest()[:16]}.so"
    if target.is_file():
        return target
    with locked(target):
        if not target.is_file():
            with scratch_beside(target) as scratch:
                _compile(compiler.path, api, scratch / target.name)
                os.replace(scratch / target.name, target)
    return target


def plugin_api(version: str) -> int:
    """The plugin API that a release such as "7.2.22" has for counting in line: 1 or 2."""
    major = version.split(".")[0]
    if not major.isdigit():
        raise ToolchainError(f"QEMU states the version {version!r} (must be numbers such as 7.2.22)")
    return 2 if int(major) >= SCOREBOARD_RELEASE else 1


def _compile(compiler: Path, api: int, target: Path) -> None:
    command = [str(compiler), *FLAGS, f"-DTINYDSN_PLUGIN_API={api}", str(SOURCE), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
        raise ToolchainError(f"compiling QEMU's plugin failed: {reason}")
