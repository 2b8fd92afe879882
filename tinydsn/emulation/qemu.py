"""Runs the test program on an emulated board in QEMU, and counts its instructions."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from quant.errors import BoardError
from tinydsn.codegen.board import Board
from tinydsn.codegen.toolchain import find_qemu
from tinydsn.emulation.host import run_process
from tinydsn.emulation.plugin import plugin_path
from tinydsn.emulation.profile import AddressMap, address_map, read_counts, read_function_counts
from tinydsn.emulation.result import RunResult, check_exit, last_line, read_outputs, write_inputs

SECONDS = 120.0
SECONDS_A_SAMPLE = 0.002
"""Time limit: a frame of 256 samples may take half a second, a hundred times what it needs."""

CONSOLE, MAP, COUNTS, FUNCTIONS = "console.txt", "map.txt", "counts.bin", "functions.bin"


def run_qemu(
    elf: Path,
    board: Board,
    pcm: np.ndarray,
    forced: np.ndarray | None = None,
    profile: bool = True,
    timeout: float | None = None,
    trace: int | None = None,
    by_function: bool = False,
) -> RunResult:
    """Send int16 ``pcm`` [n] through ``elf`` on the emulated ``board``.

    ``forced`` (uint32 [frames]) overrules the gates. ``profile`` counts instructions; ``by_function`` also
    says which function's own code executed them.
    ``trace``: see `write_inputs`.

    Raises BoardError when QEMU does not have the board, ToolchainError when QEMU or the plugin's compiler is
    missing, or when the program fails or exceeds ``timeout`` seconds.
    """
    counted = address_map(elf, by_function) if profile else None
    with tempfile.TemporaryDirectory(prefix="tinydsn-run-") as name:
        folder = Path(name)
        arguments = write_inputs(folder, pcm, forced, trace)
        command = [*machine(board), *semihosting(arguments), "-kernel", str(elf.resolve())]
        if counted is not None:
            command += counting(counted, folder)
        limit = SECONDS + SECONDS_A_SAMPLE * len(pcm) if timeout is None else timeout
        where = f"on {board.name} in QEMU"
        code, emulator = run_process(command, folder, limit, where)
        printed = _printed(folder)
        check_exit(code, printed if last_line(printed) else _complaint(emulator), where)
        result = read_outputs(folder, printed)
        if counted is None or len(result.gates) == 0:
            return result
        result = result.with_counts(read_counts(folder / COUNTS, counted.names), counted.names)
        if not by_function:
            return result
        table = read_function_counts(folder / FUNCTIONS, counted)
        return replace(result, function_instructions=table, function_names=counted.functions)


def machine(board: Board) -> list[str]:
    """QEMU and the options that make it a board without display, network or serial lines."""
    if board.qemu is None:
        raise BoardError(f"{board.name}: QEMU does not have this board (its file has no table [qemu])")
    cpu = ["-cpu", board.qemu.cpu] if board.qemu.cpu else []
    quiet = ["-nodefaults", "-display", "none", "-monitor", "none", "-serial", "none"]
    return [str(find_qemu()), "-M", board.qemu.machine, *cpu, *quiet]


def semihosting(arguments: list[str]) -> list[str]:
    """Options that serve files, console and the command line ``arguments`` to the program."""
    words = ",".join(f"arg={word}" for word in ("tinydsn_app", *arguments))
    return [
        "-chardev",
        f"file,id=console,path={CONSOLE}",
        "-semihosting-config",
        f"enable=on,target=native,chardev=console,{words}",
    ]


def counting(counted: AddressMap, folder: Path) -> list[str]:
    """Options that load the plugin; its map is written into ``folder``."""
    (folder / MAP).write_text(counted.text, encoding="ascii")
    # A comma ends an option's value unless it is doubled.
    plugin = str(plugin_path()).replace(",", ",,")
    second = f",functions={FUNCTIONS}" if counted.functions else ""
    return ["-plugin", f"{plugin},map={MAP},out={COUNTS}{second}"]


def _complaint(text: str) -> str:
    """What QEMU itself said: the line that says why, where it printed the state of a lost processor."""
    fatal = [line for line in text.splitlines() if "fatal" in line]
    return fatal[0] if fatal else text


def _printed(folder: Path) -> str:
    path = folder / CONSOLE
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
