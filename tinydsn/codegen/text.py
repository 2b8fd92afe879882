"""C text: identifiers, numbers and arrays as a person would write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

C_TYPES = {f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)}
LINE = 100


@dataclass(frozen=True)
class Array:
    """A constant array of the generated project; ``name`` is its C identifier."""

    name: str
    values: np.ndarray
    comment: str

    @property
    def ctype(self) -> str:
        """The element's C type, such as ``int8_t``."""
        return C_TYPES[self.values.dtype.name]

    @property
    def declaration(self) -> str:
        """Such as ``const int8_t tinydsn_a_weight[48]``."""
        return f"const {self.ctype} {self.name}[{self.values.size}]"

    @property
    def rows(self) -> list[str]:
        """The initialiser's lines, without indentation."""
        return wrap(literal(int(value), self.values.dtype.name) for value in self.values.reshape(-1))


def identifier(name: str) -> str:
    """``name`` with everything that C does not allow turned into ``_``."""
    cleaned = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return cleaned if cleaned and not cleaned[0].isdigit() else f"x{cleaned}"


def unique_identifiers(names: Iterable[str]) -> dict[str, str]:
    """Name -> C identifier; those that would clash get ``_2``, ``_3``, ... in order."""
    taken: set[str] = set()
    found: dict[str, str] = {}
    for name in names:
        base = identifier(name)
        candidate, number = base, 2
        while candidate in taken:
            candidate, number = f"{base}_{number}", number + 1
        taken.add(candidate)
        found[name] = candidate
    return found


def literal(value: int, dtype: str = "int32") -> str:
    """A C literal of exactly this value: the smallest int32 and wide int64 need care."""
    if dtype == "int64":
        return f"INT64_C({value})" if abs(value) >= 2**31 else str(value)
    if dtype == "uint32":
        return f"0x{value:08X}"
    return "INT32_MIN" if value == -(2**31) else str(value)


def wrap(words: Iterable[str], width: int = LINE) -> list[str]:
    """Words, each followed by a comma, in lines of at most ``width`` characters."""
    lines: list[str] = []
    current = ""
    for word in words:
        piece = f"{word}," if not current else f" {word},"
        if current and len(current) + len(piece) > width:
            lines.append(current)
            current, piece = "", f"{word},"
        current += piece
    return [*lines, current] if current else lines


def comment_safe(text: str) -> str:
    """Text that cannot end a C comment."""
    return text.replace("*/", "* /").replace("/*", "/ *")
