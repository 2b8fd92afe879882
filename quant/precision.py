"""Bit widths by operator name.

A precision table has defaults and an ordered list of rules; a later rule that matches wins, field by field.
As TOML::

    [default]
    weights = 8
    activations = 16
    states = 16

    [[rule]]
    match = "decoder.*"
    activations = 8
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from quant.errors import ConfigError

LEGAL: dict[str, tuple[int, ...]] = {"weights": (8,), "activations": (8, 16), "states": (8, 16)}


@dataclass(frozen=True)
class Rule:
    """Widths for the names that ``match`` (a shell-style pattern) matches; None leaves a field alone."""

    match: str
    weights: int | None = None
    activations: int | None = None
    states: int | None = None


@dataclass(frozen=True)
class Precision:
    """Default widths in bits, and rules by name."""

    name: str = "w8a16"
    weights: int = 8
    activations: int = 16
    states: int = 16
    rules: tuple[Rule, ...] = ()

    def width(self, field: str, name: str, default: int | None = None) -> int:
        """Bits of ``field`` for the operator or state called ``name``."""
        value = getattr(self, field) if default is None else default
        for rule in self.rules:
            chosen = getattr(rule, field)
            if chosen is not None and fnmatchcase(name, rule.match):
                value = chosen
        return int(value)

    def check_names(self, names: Iterable[str]) -> None:
        """Raise ConfigError when a rule's pattern matches none of ``names``."""
        known = list(names)
        for rule in self.rules:
            if not any(fnmatchcase(name, rule.match) for name in known):
                raise ConfigError(
                    f"precision {self.name}: pattern {rule.match!r} matches no operator or state "
                    f"(names look like {', '.join(known[:3])})"
                )


PRESETS = {
    "w8a8": Precision("w8a8", weights=8, activations=8, states=16),
    "w8a16": Precision("w8a16", weights=8, activations=16, states=16),
}


def load_precision(text: str) -> Precision:
    """A preset by name, or a TOML file. Raises ConfigError naming the legal values."""
    if text in PRESETS:
        return PRESETS[text]
    path = Path(text)
    if not path.is_file():
        raise ConfigError(f"unknown precision {text!r} (must be {', '.join(PRESETS)}, or a TOML file)")
    try:
        data = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    unknown = set(data) - {"default", "rule"}
    if unknown:
        raise ConfigError(f"{path}: unknown table {sorted(unknown)[0]!r} (must be [default] or [[rule]])")
    default, entries = data.get("default", {}), data.get("rule", [])
    if not isinstance(entries, list) or not all(isinstance(table, dict) for table in (default, *entries)):
        raise ConfigError(f"{path}: default and rule must be tables: [default], and [[rule]] for each rule")
    defaults = _widths(path, default)
    rules = []
    for entry in entries:
        match = entry.pop("match", None)
        if not isinstance(match, str):
            raise ConfigError(f'{path}: a [[rule]] needs match = "name pattern"')
        rules.append(Rule(match, **_widths(path, entry)))
    return Precision(path.stem, **defaults, rules=tuple(rules))


def _widths(path: Path, table: dict[str, object]) -> dict[str, int]:
    result: dict[str, int] = {}
    for key, value in table.items():
        if key not in LEGAL:
            raise ConfigError(f"{path}: unknown key {key!r} (must be {', '.join(LEGAL)})")
        if not isinstance(value, int) or value not in LEGAL[key]:
            legal = " or ".join(str(width) for width in LEGAL[key])
            raise ConfigError(f"{path}: {key} = {value} (must be {legal} bits)")
        result[key] = value
    return result
