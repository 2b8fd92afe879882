"""Configurations of networks from dictionaries, such as the header of a checkpoint or a recipe's table."""

from __future__ import annotations

from collections.abc import Mapping
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
