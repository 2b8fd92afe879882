"""Runs the test program as a process of this machine."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from quant.errors import ToolchainError
from tinydsn.emulation.result import RunResult, check_exit, read_outputs, write_inputs

SECONDS = 120.0
SECONDS_A_SAMPLE = 0.0005
"""Time limit: far above what any model that fits a microcontroller needs."""


def run_host(
    exe: Path,
    pcm: np.ndarray,
    forced: np.ndarray | None = None,
    timeout: float | None = None,
    trace: int | None = None,
) -> RunResult:
    """Send int16 ``pcm`` [n] through the program ``exe``; ``forced`` (uint32 [frames]) overrules the gates.

    Raises ToolchainError when the program fails or exceeds ``timeout`` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="tinydsn-run-") as name:
        folder = Path(name)
        command = [str(exe.resolve()), *write_inputs(folder, pcm, forced, trace)]
        limit = SECONDS + SECONDS_A_SAMPLE * len(pcm) if timeout is None else timeout
        code, console = run_process(command, folder, limit, "on the host")
        check_exit(code, console, "on the host")
        return read_outputs(folder, console)


def run_process(
    command: list[str], folder: Path, timeout: float, where: str, environment: dict[str, str] | None = None
) -> tuple[int, str]:
    """(exit code, what was printed) of a command that works in ``folder``. Raises ToolchainError."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolchainError(f"the firmware did not end {where} within {timeout:.0f} s") from None
    except OSError as error:
        raise ToolchainError(f"{command[0]} cannot be run ({error.strerror})") from error
    return done.returncode, done.stdout.decode(errors="replace")
