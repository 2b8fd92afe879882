"""Configurations of networks from dictionaries, such as the header of a checkpoint or a recipe's table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from quant.errors import ConfigError
from quant.nearest import unknown

Config = TypeVar("Config")


def configured(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """The dataclass ``kind`` with these values. Raises ConfigError for a name that it does not have."""
    known: Mapping[str, Any] = vars(kind)["__dataclass_fields__"]
    for name in values:
        if name not in known:
            raise ConfigError(unknown("model setting", name, known))
    return kind(**values)


def check_whole(config: Any, besides: Collection[str] = ()) -> None:
    """Raise ConfigError for a value of a configuration that is no whole number above 0; those named in
    ``besides`` may be anything."""
    for name, value in asdict(config).items():
        if name not in besides and (type(value) is not int or value < 1):
            raise ConfigError(f"{type(config).__name__}.{name} is {value!r} (must be a whole number above 0)")
