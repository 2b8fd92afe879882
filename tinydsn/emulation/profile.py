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
OTHER = "other code"
"""The last column of the counts by function: addresses that belong to no function."""


@dataclass(frozen=True)
class AddressMap:
    """``text`` for the plugin (its format stands in tinydsn_count.c), and the names of the columns.

    ``functions`` are the names of the second output's columns, where it was asked for.
    """

    text: str
    names: tuple[str, ...]
    functions: tuple[str, ...] = ()


def address_map(elf: Path, by_function: bool = False) -> AddressMap:
    """The map of a program: an operator is a function ``tinydsn_op_*``, or a half of the front end.

    Functions that the compiler split or cloned (``name.constprop.0``) count as the original. Of operators
    that it merged into one address the first by name receives the counts. ``by_function`` adds every function
    of the program, for the plugin's second output. Raises ToolchainError when the
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
    known = _distinct(functions) if by_function else {}
    lines += [f"function {low:x} {high:x}" for low, high in known.values()]
    columns = (*known, OTHER) if by_function else ()
    return AddressMap("\n".join(lines) + "\n", (*names, RUNTIME), columns)


def read_counts(path: Path, names: tuple[str, ...]) -> np.ndarray:
    """Instructions, uint32 [frames, columns]. Raises ToolchainError when the file is missing or cut off."""
    counts = np.fromfile(path, "<u4").astype(np.uint32) if path.is_file() else np.zeros(0, np.uint32)
    if len(counts) == 0 or len(counts) % len(names):
        raise ToolchainError(f"QEMU's plugin left {len(counts)} counts (must be a multiple of {len(names)})")
    return counts.reshape(-1, len(names))


def read_function_counts(path: Path, counted: AddressMap) -> np.ndarray:
    """Instructions of all frames, uint64 [2 * operators + 1, functions + 1]; rows as in tinydsn_count.c.

    Raises ToolchainError when the file is missing or has another size.
    """
    shape = (2 * len(counted.names) - 1, len(counted.functions))
    counts = np.fromfile(path, "<u8").astype(np.uint64) if path.is_file() else np.zeros(0, np.uint64)
    if counts.size != shape[0] * shape[1]:
        raise ToolchainError(
            f"QEMU's plugin left {counts.size} counts by function (must be {shape[0]} rows of {shape[1]})"
        )
    return counts.reshape(shape)


def _distinct(functions: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """One name for each range of addresses, in the order of the addresses."""
    found: dict[tuple[int, int], str] = {}
    for name, place in sorted(functions.items()):
        found.setdefault(place, name)
    return {name: place for place, name in sorted(found.items()) if place[1] > place[0]}


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
