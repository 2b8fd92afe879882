"""Which addresses of a program belong to which operator, and the counts that QEMU's plugin wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ToolchainError

FRAME, CALLER = "tinydsn_process", "app_frames"
"""The function that runs a frame, and the only one that calls it."""

FIRST, OPERATOR_PREFIX, LAST = "tinydsn_frontend_analysis", "tinydsn_op_", "tinydsn_frontend_synthesis"
RUNTIME = "runtime"


@dataclass(frozen=True)
class AddressMap:
    """``text`` for the plugin (its format stands in tinydsn_count.c), and the names of the columns."""

    text: str
    names: tuple[str, ...]


def address_map(elf: Path) -> AddressMap:
    """The map of a program: an operator is a function ``tinydsn_op_*``, or a half of the front end.

    Functions that the compiler split or cloned (``name.constprop.0``) count as the original. Of operators
    that it merged into one address the first by name receives the counts. Raises ToolchainError when the
    program lacks the functions that mark a frame.
    """
    functions = _functions(elf)
    missing = [name for name in (FRAME, CALLER) if name not in functions]
    if missing:
        raise ToolchainError(
            f"{elf}: has no function {missing[0]}; instructions cannot be counted (build it again)"
        )
    names = tuple(sorted({name.split(".")[0] for name in functions if _is_operator(name)}, key=_order))
    lines = [f"columns {len(names):x}"]
    # The function itself comes before its clones: the first one's start is the frame's entry.
    for name, (low, high) in sorted(functions.items()):
        base = name.split(".")[0]
        if base == FRAME:
            lines.append(f"frame {low:x} {high:x}")
        elif base == CALLER:
            lines.append(f"outside {low:x} {high:x}")
        elif _is_operator(name):
            lines.append(f"operator {low:x} {names.index(base):x}")
    return AddressMap("\n".join(lines) + "\n", (*names, RUNTIME))


def read_counts(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """Instructions, uint32 [frames, columns]. Raises ToolchainError when the file is missing or cut off."""
    counts = np.fromfile(path, "<u4").astype(np.uint32) if path.is_file() else np.zeros(0, np.uint32)
    if len(counts) == 0 or len(counts) % len(names):
        raise ToolchainError(f"QEMU's plugin left {len(counts)} counts (must be a multiple of {len(names)})")
    return counts.reshape(-1, len(names))


def _is_operator(name: str) -> bool:
    return name.startswith(OPERATOR_PREFIX) or name.split(".")[0] in (FIRST, LAST)


def _order(name: str) -> tuple[int, str]:
    return (0 if name == FIRST else 2 if name == LAST else 1), name


def _functions(elf: Path) -> dict[str, tuple[int, int]]:
    """First address and end of each function; without the Thumb bit."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with open(elf, "rb") as handle:
            table: Any = ELFFile(handle).get_section_by_name(".symtab")
            symbols = list(table.iter_symbols()) if table else []
    except (OSError, ELFError) as error:
        raise ToolchainError(f"{elf}: cannot be read as an ELF program ({error})") from error
    return {
        symbol.name: (symbol["st_value"] & ~1, (symbol["st_value"] & ~1) + symbol["st_size"])
        for symbol in symbols
        if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
    }
