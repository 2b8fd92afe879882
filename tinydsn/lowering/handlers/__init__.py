"""The dispatch table: ATen operator -> handler, one file a theme."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tinydsn.lowering.call import Handler
from tinydsn.lowering.handlers import (
    alias,
    attention,
    convolution,
    elementwise,
    functions,
    linear,
    movement,
    normalization,
    pieces,
    recurrent,
)

# torch's name of an operator, without "aten." and without its overload
HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        **alias.HANDLERS,
        **attention.HANDLERS,
        **convolution.HANDLERS,
        **elementwise.HANDLERS,
        **functions.HANDLERS,
        **linear.HANDLERS,
        **movement.HANDLERS,
        **normalization.HANDLERS,
        **pieces.HANDLERS,
        **recurrent.HANDLERS,
    }
)
