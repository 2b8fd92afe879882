"""Addresses and sizes of a program's functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quant.errors import ToolchainError

Symbols = Mapping[str, tuple[int, int]]
"""First address (without Thumb's bit 0) and bytes of each function, by name."""


def function_symbols(elf: Path) -> dict[str, tuple[int, int]]:
    """Functions of an ELF file; ToolchainError when it is missing, no ELF file, or stripped."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with open(elf, "rb") as handle:
            table = ELFFile(handle).get_section_by_name(".symtab")
            if table is None:
                raise ToolchainError(f"{elf} has no symbols; build it again with tinydsn")
            return {
                symbol.name: (symbol["st_value"] & ~1, symbol["st_size"])
                for symbol in table.iter_symbols()
                if symbol["st_info"]["type"] == "STT_FUNC"
            }
    except OSError as error:
        raise ToolchainError(f"{elf} cannot be read ({error.strerror}); build it first") from error
    except ELFError as error:
        raise ToolchainError(f"{elf} is not an ELF file ({error}); build it again with tinydsn") from error
