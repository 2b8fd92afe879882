"""The test program around a generated network: start-up, files and linker script of a board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tinydsn.codegen.board import Board
from tinydsn.codegen.templates import render, template_root

Files = Literal["native", "semihosting", "memory"]

COMMON = ("main.c", "platform.h")
TARGET = ("startup.c", "startup.h", "semihosting.c", "semihosting.h")
LINKER_SCRIPT = "tinydsn.ld"


@dataclass(frozen=True)
class IoMemory:
    """Addresses of the two pieces of memory through which a simulator passes audio."""

    input: int
    output: int


IO_MEMORY = IoMemory(0x6000_0000, 0x7000_0000)
"""Normal memory on every Cortex-M, and nobody's on our boards."""


def app_files(board: Board, files: Files | None = None) -> dict[str, str]:
    """Text of the program's files by path in the project (``app/...``), with ``app/tinydsn.ld`` for targets.

    ``files`` says how PCM gets in and out: by default "native" on the host and "semihosting" elsewhere;
    "memory" is for Renode.
    """
    chosen = files or ("native" if board.is_host else "semihosting")
    backend = {
        "native": "platform_host.c",
        "semihosting": "platform_semihosting.c",
        "memory": "platform_memory.c",
    }[chosen]
    names = (*COMMON, backend) if board.is_host else (*COMMON, backend, *TARGET)
    folder = template_root() / "app"
    found = {f"app/{name}": (folder / name).read_text(encoding="utf-8") for name in sorted(names)}
    if not board.is_host:
        found[f"app/{LINKER_SCRIPT}"] = linker_script(board, IO_MEMORY if chosen == "memory" else None)
    return found


def linker_script(board: Board, io: IoMemory | None = None) -> str:
    """The linker script of a board that is not the host."""
    assert board.flash is not None and board.ram is not None
    values: dict[str, Any] = {
        "board": board.name,
        "flash": {"origin": f"0x{board.flash.origin:08X}", "size": board.flash.size},
        "ram": {"origin": f"0x{board.ram.origin:08X}", "size": board.ram.size},
        "stack_bytes": board.stack_bytes,
        "io": {"input": f"0x{io.input:08X}", "output": f"0x{io.output:08X}"} if io else None,
    }
    return render("app.ld.j2", values)
