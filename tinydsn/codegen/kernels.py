"""Which emitter writes which kind of operator, and which kernels that means on a board."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from quant.errors import UnsupportedOperator
from tinydsn.codegen import emit_linear, emit_moves, emit_pointwise, emit_sequence
from tinydsn.codegen.call import CodeTarget, Emitter, Request

EMITTERS: Mapping[str, Emitter] = MappingProxyType(
    {
        "fully_connected": emit_linear.fully_connected,
        "conv2d": emit_linear.conv2d,
        "depthwise_conv2d": emit_linear.depthwise_conv2d,
        "gru_update": emit_sequence.gru_update,
        "layer_norm": emit_sequence.layer_norm,
        "concat": emit_moves.concat,
        "slice": emit_moves.slice_,
        "transpose": emit_moves.transpose,
        "pad": emit_moves.pad,
        "add": emit_pointwise.add,
        "sub": emit_pointwise.sub,
        "mul": emit_pointwise.mul,
        "sigmoid": emit_pointwise.sigmoid,
        "tanh": emit_pointwise.tanh,
        "relu": emit_pointwise.relu,
        "leaky_relu": emit_pointwise.leaky_relu,
        "table": emit_pointwise.table,
        "requantize": emit_pointwise.requantize,
        "softmax": emit_sequence.softmax,
        "batch_matmul": emit_sequence.batch_matmul,
    }
)
SILENT = frozenset({"reshape", "gate"})
"""Kinds without a function of their own: a view, and a comparison written into ``tinydsn_process``."""


class Core(Protocol):
    """What of a board chooses kernels."""

    @property
    def dsp(self) -> bool: ...

    @property
    def mve(self) -> bool: ...


def code_target(board: Core) -> CodeTarget:
    """The generator's view of a board."""
    return CodeTarget(dsp=board.dsp, mve=board.mve)


def emitter(request: Request) -> Emitter:
    """The emitter of an operator. Raises UnsupportedOperator, naming operator and source line."""
    kind = request.operator.kind
    if kind not in EMITTERS:
        where = f" ({request.operator.source})" if request.operator.source else ""
        raise UnsupportedOperator(
            f"operator {request.operator.name!r}{where}: no C kernel for {kind!r} "
            f"(there are {', '.join(sorted({*EMITTERS, *SILENT}))})"
        )
    return EMITTERS[kind]
