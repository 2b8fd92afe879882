"""table: any other function of one variable, by name.

Integer meaning: the constant ``<name>.table``; int8: 256 entries, exact; int16: 513 entries over the whole
input range, ``index = 256 + (x >> 7)``, ``y = t[index] + ((slope * (x & 127) + 64) >> 7)``
(TFLite ``LUTLookup``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from quant.errors import UnsupportedOperator
from quant.graph import DType, Operator, Tensor
from quant.nearest import unknown
from quant.ops import activation_tables
from quant.ops.base import (
    Arrays,
    Attributes,
    OperatorDefinition,
    Quantized,
    QuantizeRequest,
    Slot,
    Slots,
)
from quant.ops.common import no_accumulator, no_macs, quantization, remake, same_shape


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


FUNCTIONS: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "abs": abs,
        "elu": lambda x: x if x >= 0 else math.expm1(x),
        "exp": lambda x: math.exp(min(x, 700.0)),
        "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
        "hardswish": lambda x: x * min(max(x + 3, 0.0), 6.0) / 6,
        "log": lambda x: math.log(max(x, 1e-9)),
        "reciprocal": lambda x: 1 / x if x else 0.0,
        "silu": lambda x: x * _logistic(x),
        "softplus": lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0.0),
        "sqrt": lambda x: math.sqrt(max(x, 0.0)),
        "square": lambda x: x * x,
    }
)


def function(attributes: Attributes) -> Callable[[float], float]:
    """The function that the attribute ``function`` names; raises UnsupportedOperator."""
    name = str(attributes["function"])
    if name not in FUNCTIONS:
        raise UnsupportedOperator(unknown("function of a table", name, FUNCTIONS))
    return FUNCTIONS[name]


def evaluate(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Float meaning."""
    data = inputs[0]
    assert data is not None
    return (np.vectorize(function(attributes), otypes=[np.float64])(data),)


def slots(operator: Operator, dtype: DType) -> Slots:
    """Free scales."""
    return Slots((Slot(),), (Slot(),))


def quantize(request: QuantizeRequest) -> Quantized:
    """The table."""
    chosen = function(request.operator.attributes)
    source, target = quantization(request.inputs[0]), quantization(request.outputs[0])
    if request.outputs[0].dtype == "int16":
        low, high = -32768 * source.scale[0], 32768 * source.scale[0]
        values = activation_tables.int16_table(chosen, low, high, target.scale[0])
    else:
        values = activation_tables.int8_table(chosen, source, target)
    return remake(request, request.operator.attributes, {"table": values})


def reference(attributes: Attributes, inputs: Arrays) -> tuple[np.ndarray, ...]:
    """Integer meaning."""
    data, values = inputs
    assert data is not None and values is not None
    if data.dtype == np.int8:
        return (activation_tables.read_int8(values, data),)
    return (activation_tables.read_int16(values, data).astype(np.int16),)


def known_function(operator: Operator, tensors: Mapping[str, Tensor]) -> tuple[bool, str]:
    """It is one of abs, elu, exp, gelu, hardswish, log, reciprocal, silu, softplus, sqrt, square."""
    name = str(operator.attributes["function"])
    return name in FUNCTIONS, f"function {name!r}"


DEFINITION = OperatorDefinition(
    kind="table",
    summary="function of one variable by table",
    infer=same_shape,
    evaluate=evaluate,
    slots=slots,
    quantize=quantize,
    reference=reference,
    accumulator=no_accumulator,
    macs=no_macs,
    constraints=(known_function,),
)
