"""The operator table: one file an operator, each with its float and its integer meaning."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from quant.errors import UnsupportedOperator
from quant.nearest import unknown
from quant.ops import (
    add,
    batch_matmul,
    binary_conv2d,
    concat,
    conv2d,
    depthwise_conv2d,
    fully_connected,
    gate,
    gru_update,
    layer_norm,
    leaky_relu,
    mul,
    pad,
    relu,
    requantize,
    reshape,
    sigmoid,
    softmax,
    step,
    sub,
    table,
    tanh,
    transpose,
    unpack,
)
from quant.ops import slice as slice_
from quant.ops.base import OperatorDefinition

_MODULES = (
    *(add, batch_matmul, binary_conv2d, concat, conv2d, depthwise_conv2d, fully_connected, gate, gru_update),
    *(
        layer_norm,
        leaky_relu,
        mul,
        pad,
        relu,
        requantize,
        reshape,
        sigmoid,
        slice_,
        softmax,
        step,
        sub,
        table,
    ),
    *(tanh, transpose, unpack),
)

TABLE: Mapping[str, OperatorDefinition] = MappingProxyType(
    {module.DEFINITION.kind: module.DEFINITION for module in _MODULES}
)
"""Every operator by kind."""


def definition(kind: str) -> OperatorDefinition:
    """The definition of ``kind``; raises UnsupportedOperator with the nearest legal name."""
    if kind in TABLE:
        return TABLE[kind]
    raise UnsupportedOperator(unknown("operator kind", kind, TABLE))
