"""The boards that firmware is made for: one TOML file each, in the folder ``boards``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import BoardError
from quant.nearest import did_you_mean, unknown

HOST = "host"

SCHEMA: Mapping[str, Mapping[str, type]] = {
    "": {
        "description": str,
        "core": str,
        "prefix": str,
        "flags": list,
        "fpu": bool,
        "dsp": bool,
        "mve": bool,
        "clock_hz": int,
        "prototype": bool,
        "stack_bytes": int,
        "notes": str,
        "flash": dict,
        "ram": dict,
        "qemu": dict,
        "renode": dict,
    },
    "flash": {"origin": int, "size": int},
    "ram": {"origin": int, "size": int},
    "qemu": {"machine": str, "cpu": str},
    "renode": {"cpu": str, "newer_than": str},
}
"""Keys and types of a board file: of the file itself (""), and of each of its tables."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "": ("description", "core", "prefix", "flags"),
    "flash": ("origin", "size"),
    "ram": ("origin", "size"),
    "qemu": ("machine",),
    "renode": ("cpu",),
}
REQUIRED_OF_TARGETS = ("clock_hz", "stack_bytes", "flash", "ram")
"""What every board but the host needs as well."""

KIND: Mapping[type, str] = {
    str: "a string",
    list: "a list of strings",
    bool: "true or false",
    int: "a whole number above zero",
    dict: "a table",
}


@dataclass(frozen=True)
class Region:
    """A piece of memory: first address and bytes."""

    origin: int
    size: int

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.origin + self.size


@dataclass(frozen=True)
class Qemu:
    """QEMU's machine for a board, and its processor where the machine's own is not meant ("")."""

    machine: str
    cpu: str = ""


@dataclass(frozen=True)
class Renode:
    """Renode's processor type for a board, and the last release that cannot run our code on it ("": none)."""

    cpu: str
    newer_than: str = ""

    def describe(self) -> str:
        """The processor type, and the releases that have it if not all do."""
        return f"{self.cpu} (newer than {self.newer_than})" if self.newer_than else self.cpu


@dataclass(frozen=True)
class Board:
    """A target of code generation.

    prefix: of the compiler's name, "" for the host. flags: what the compiler must know of the core, for
    compiling and linking alike. clock_hz: 0 for the host. prototype: an FPGA image that stands for its core
    and is slower than any part with it, so that real time is stated and not demanded. stack_bytes: RAM that
    the linker keeps free for the stack. qemu, renode: None where that emulator does not have the board.
    """

    name: str
    description: str
    core: str
    prefix: str
    flags: tuple[str, ...]
    fpu: bool = False
    dsp: bool = False
    mve: bool = False
    clock_hz: int = 0
    prototype: bool = False
    stack_bytes: int = 0
    notes: str = ""
    flash: Region | None = None
    ram: Region | None = None
    qemu: Qemu | None = None
    renode: Renode | None = None

    @property
    def is_host(self) -> bool:
        """Whether programs for this board run on this machine."""
        return self.prefix == ""

    def describe(self) -> dict[str, Any]:
        """The board as JSON: what `tinydsn boards` shows. Sizes in bytes; None where the host has none."""
        return {
            "name": self.name,
            "description": self.description,
            "core": self.core,
            "fpu": self.fpu,
            "dsp": self.dsp,
            "mve": self.mve,
            "clock_hz": self.clock_hz or None,
            "prototype": self.prototype,
            "flash": self.flash.size if self.flash else None,
            "ram": self.ram.size if self.ram else None,
            "qemu": self.qemu.machine if self.qemu else None,
            "renode": self.renode.describe() if self.renode else None,
            "notes": self.notes,
        }


def board_root() -> Path:
    """The folder ``boards``, beside the package in a checkout and in a wheel."""
    root = Path(__file__).resolve().parents[2] / "boards"
    if not root.is_dir():
        raise BoardError(f"{root} is missing; install tinydsn again")
    return root


def board_names() -> tuple[str, ...]:
    """Names of the shipped boards: the host first, then by the alphabet."""
    names = sorted(path.stem for path in board_root().glob("*.toml"))
    return (HOST, *(name for name in names if name != HOST))


def load_board(name_or_path: str | Path) -> Board:
    """A shipped board by its name, or a board file of the user's by its path (ends with .toml).

    Raises BoardError for an unknown board (naming the nearest one) and for a wrong file.
    """
    text = str(name_or_path)
    if text.endswith(".toml"):
        return read_board(Path(text))
    if text not in board_names():
        raise BoardError(unknown("board", text, board_names(), "or a .toml file"))
    return read_board(board_root() / f"{text}.toml")


def read_board(path: Path) -> Board:
    """The board in a TOML file; its name is the file's. Raises BoardError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BoardError(f"{path}: cannot be read ({error.strerror}); see `tinydsn boards`") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BoardError(f"{path}: is not TOML ({error})") from error
    _check(path, "", values)
    tables = [name for name in SCHEMA if name and name in values]
    for name in tables:
        _check(path, name, values[name])
    board = Board(
        name=path.stem,
        flags=tuple(values.pop("flags")),
        flash=_region(values.pop("flash", None)),
        ram=_region(values.pop("ram", None)),
        qemu=Qemu(**values.pop("qemu")) if "qemu" in values else None,
        renode=Renode(**values.pop("renode")) if "renode" in values else None,
        **values,
    )
    _check_memory(path, board)
    return board


def _region(table: Mapping[str, int] | None) -> Region | None:
    return None if table is None else Region(table["origin"], table["size"])


def _check(path: Path, table: str, values: Mapping[str, Any]) -> None:
    """Keys and types of one table; ``table`` is "" for the file itself."""
    legal = SCHEMA[table]
    dot = f"{table}." if table else ""
    for key, value in values.items():
        if key not in legal:
            raise BoardError(
                f"{path}: unknown key {dot + key!r}{did_you_mean(key, legal)} (keys are {', '.join(legal)})"
            )
        if not _fits(key, value, legal[key]):
            raise BoardError(f"{path}: {dot}{key} is {value!r} (must be {_kind(key, legal[key])})")
    required = REQUIRED[table]
    if table == "" and values.get("prefix"):
        required = (*required, *REQUIRED_OF_TARGETS)
    missing = [key for key in required if key not in values]
    for key in missing:
        raise BoardError(f"{path}: {dot}{key} is missing (must be {_kind(key, legal[key])})")


def _kind(key: str, wanted: type) -> str:
    return "an address" if key == "origin" else KIND[wanted]


def _fits(key: str, value: Any, wanted: type) -> bool:
    # True is an int to Python. An address may be zero, a size or a clock may not.
    if wanted is int:
        return type(value) is int and value >= (0 if key == "origin" else 1)
    if wanted is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, wanted)


def _check_memory(path: Path, board: Board) -> None:
    """Regions must not overlap, and the stack must leave room for variables."""
    if board.flash is None or board.ram is None:
        return
    if board.flash.origin < board.ram.end and board.ram.origin < board.flash.end:
        raise BoardError(f"{path}: flash and ram overlap (must be separate address ranges)")
    if board.stack_bytes >= board.ram.size or board.stack_bytes % 8:
        raise BoardError(
            f"{path}: stack_bytes is {board.stack_bytes} "
            f"(must be a multiple of 8 below the {board.ram.size} bytes of ram)"
        )
