"""Boards: what firmware is generated, linked and emulated for, one TOML file each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from quant.errors import BoardError

REQUIRED: Mapping[str, type] = {
    "description": str,
    "core": str,
    "prefix": str,
    "flags": list,
    "dsp": bool,
    "mve": bool,
    "fpu": bool,
    "clock_hz": int,
}
TABLES: Mapping[str, Mapping[str, type]] = {
    "flash": {"origin": int, "size": int},
    "ram": {"origin": int, "size": int},
    "qemu": {"machine": str},
    "renode": {"cpu": str},
}
HOST = "host"


@dataclass(frozen=True)
class Region:
    """A run of addresses: ``size`` bytes from ``origin``."""

    origin: int
    size: int


@dataclass(frozen=True)
class Board:
    """A target.

    prefix: of the compiler ("" is the host). flags: of the core. clock_hz: 0 for the host. machine: QEMU's
    name, "" for none. renode_cpu: Renode's name of the core, "" where Renode 1.16.1 cannot run it.
    """

    name: str
    description: str
    core: str
    prefix: str
    flags: tuple[str, ...]
    dsp: bool
    mve: bool
    fpu: bool
    clock_hz: int
    flash: Region | None = None
    ram: Region | None = None
    machine: str = ""
    renode_cpu: str = ""

    def describe(self) -> dict[str, Any]:
        """A row of ``tinydsn boards``."""
        return {
            "name": self.name,
            "description": self.description,
            "core": self.core,
            "dsp": self.dsp,
            "mve": self.mve,
            "clock_hz": self.clock_hz or None,
            "flash": self.flash.size if self.flash else None,
            "ram": self.ram.size if self.ram else None,
            "qemu": self.machine or None,
            "renode": self.renode_cpu or None,
        }


def _folder() -> Path:
    return Path(str(resources.files("boards")))


def board_names() -> list[str]:
    """Names of the shipped boards, sorted."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def load_board(name: str) -> Board:
    """A shipped board by name, or a board file by path (``*.toml``).

    Raises BoardError, with the nearest legal name or the key that is wrong.
    """
    path = Path(name) if name.endswith(".toml") else _folder() / f"{name}.toml"
    if not name.endswith(".toml") and name not in board_names():
        near = get_close_matches(name, board_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BoardError(f"unknown board {name!r} (must be one of {', '.join(board_names())}){hint}")
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise BoardError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BoardError(f"{path}: not a TOML file: {error}") from error
    _check_keys(path, "", data, {**REQUIRED, **dict.fromkeys(TABLES, dict)}, REQUIRED)
    for table, keys in TABLES.items():
        if table in data:
            _check_keys(path, f"[{table}] ", data[table], keys, keys)
    if data["prefix"] and not {"flash", "ram"} <= data.keys():
        raise BoardError(f"{path}: a board with a cross compiler needs the tables [flash] and [ram]")
    return Board(
        name=path.stem,
        **{key: data[key] for key in REQUIRED if key != "flags"},
        flags=tuple(str(flag) for flag in data["flags"]),
        flash=Region(**data["flash"]) if "flash" in data else None,
        ram=Region(**data["ram"]) if "ram" in data else None,
        machine=data.get("qemu", {}).get("machine", ""),
        renode_cpu=data.get("renode", {}).get("cpu", ""),
    )


def _check_keys(
    path: Path, where: str, table: Mapping[str, Any], legal: Mapping[str, type], needed: Mapping[str, type]
) -> None:
    for key, value in table.items():
        if key not in legal:
            near = get_close_matches(key, legal, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise BoardError(f"{path}: unknown key {where}{key!r} (must be one of {', '.join(legal)}){hint}")
        # bool is an int to Python, but not to the reader of a board file
        if not isinstance(value, legal[key]) or (legal[key] is int and isinstance(value, bool)):
            raise BoardError(f"{path}: {where}{key} is {value!r} (must be of type {legal[key].__name__})")
    for key in needed:
        if key not in table:
            raise BoardError(f"{path}: {where}{key} is missing")
