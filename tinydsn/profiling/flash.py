"""Flash by symbol: what the linker wrote, from the program's symbol table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinydsn.codegen.build import SHF_ALLOC
from tinydsn.codegen.design import Design, constant_name
from tinydsn.profiling.data import Symbol

WEIGHTS, TABLES, KERNELS, OPERATORS = "weights", "tables", "kernels", "operator calls"
FRONT_END, RUNTIME, CMSIS, LIBRARY = "front end", "runtime", "CMSIS", "C library"
PROGRAM, REST = "test program", "alignment and unnamed"

TABLE_KINDS = frozenset({"sigmoid", "tanh", "table", "softmax", "gru_update"})
"""Operators whose constants are tables of functions."""

UNNAMED = "(no symbol)"
NOT_SYMBOLS = frozenset({"STT_FILE", "STT_SECTION"})


def flash_symbols(elf: Path, objects: Path, design: Design, total: int) -> tuple[Symbol, ...]:
    """Symbols of flash and their groups, the largest first, with a last row for what no symbol covers.

    ``objects``: the folder with the object files of the build, which say where a global symbol came from.
    ``total``: bytes of flash as the build counts them.
    """
    from elftools.elf.elffile import ELFFile

    homes = _homes(objects)
    tables = _tables(design)
    rows: dict[tuple[int, int], Symbol] = {}
    with open(elf, "rb") as handle:
        content: Any = ELFFile(handle)
        flash = {index for index, section in enumerate(content.iter_sections()) if _in_flash(section)}
        file = ""
        for symbol in content.get_section_by_name(".symtab").iter_symbols():
            info = symbol["st_info"]
            if info["type"] == "STT_FILE":
                file = symbol.name
            if info["type"] in NOT_SYMBOLS or symbol["st_shndx"] not in flash or not symbol["st_size"]:
                continue
            home = file if info["bind"] == "STB_LOCAL" else homes.get(symbol.name, "")
            place = (symbol["st_shndx"], symbol["st_value"] & ~1)
            group = _group(symbol.name, home, tables)
            rows.setdefault(place, Symbol(symbol.name, group, symbol["st_size"]))
    ordered = sorted(rows.values(), key=lambda row: (-row.bytes, row.name))
    rest = total - sum(row.bytes for row in ordered)
    return (*ordered, Symbol(UNNAMED, REST, rest))


def _in_flash(section: Any) -> bool:
    return bool(section["sh_flags"] & SHF_ALLOC) and section["sh_type"] != "SHT_NOBITS"


def _homes(objects: Path) -> dict[str, str]:
    """Global symbol -> the object file of the build that defines it, such as ``kernels_x.c.o``."""
    from elftools.elf.elffile import ELFFile

    found: dict[str, str] = {}
    for path in sorted(objects.glob("*.o")):
        with open(path, "rb") as handle:
            table: Any = ELFFile(handle).get_section_by_name(".symtab")
            for symbol in table.iter_symbols() if table else ():
                if symbol["st_info"]["bind"] == "STB_GLOBAL" and symbol["st_shndx"] != "SHN_UNDEF":
                    found.setdefault(symbol.name, path.name)
    return found


def _tables(design: Design) -> frozenset[str]:
    """C names of constant arrays that hold tables of functions."""
    graph, found = design.graph, {name for name in design.arrays if "table" in name}
    for operator in graph.operators():
        if operator.kind in TABLE_KINDS and operator.name in design.calls:
            found |= {array.name for array in design.calls[operator.name].arrays}
            constants = [name for name in operator.inputs if name in graph.constants]
            found |= {constant_name(design.tensor_names[name]) for name in constants}
    return frozenset(found)


def _group(name: str, home: str, tables: frozenset[str]) -> str:
    """The group of a symbol by its name and the source (or object) file that it came from."""
    if name in tables:
        return TABLES
    if "tinydsn_weights" in home:
        return WEIGHTS
    if "tinydsn_frontend" in home or name.startswith("tinydsn_frontend"):
        return FRONT_END
    if name.startswith("tinydsn_op_"):
        return OPERATORS
    if home.startswith("arm_") or name.startswith("arm_"):
        return CMSIS
    if home.startswith("app_") or home in ("main.c", "startup.c", "semihosting.c") or "platform" in home:
        return PROGRAM
    if home in ("tinydsn.c", "src_tinydsn.c.o", "src_tinydsn_selftest.c.o"):
        return RUNTIME
    if home.startswith("kernels_") or home.startswith("tinydsn_"):
        return KERNELS
    return LIBRARY
