"""Which emitter writes which kind of operator, and which kernels that means on a board."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, get_args

from quant.errors import ConfigError, UnsupportedOperator
from quant.nearest import unknown
from tinydsn.codegen import emit_bits, emit_gru, emit_linear, emit_moves, emit_pointwise, emit_sequence
from tinydsn.codegen.call import CodeTarget, Emitter, Kernels, Request

EMITTERS: Mapping[str, Emitter] = MappingProxyType(
    {
        "fully_connected": emit_linear.fully_connected,
        "conv2d": emit_linear.conv2d,
        "depthwise_conv2d": emit_linear.depthwise_conv2d,
        "gru_update": emit_sequence.gru_update,
        emit_gru.CELL: emit_gru.gru_cell,
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
        "binary_conv2d": emit_bits.binary_conv2d,
        "step": emit_bits.step,
        "unpack": emit_bits.unpack,
    }
)
JOINED = frozenset({emit_gru.CELL, emit_gru.ABSORBED})
"""Kinds that only the generator makes, when it joins a GRU's operators."""
SILENT = frozenset({"reshape", "gate", emit_gru.ABSORBED})
"""Kinds without a function of their own: a view, a comparison written into ``tinydsn_process``, and what
another operator does."""


KERNELS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "fully_connected": ("tinydsn_fully_connected_s8", "tinydsn_fully_connected_s16"),
        "conv2d": ("tinydsn_convolve_s8", "tinydsn_convolve_s16"),
        "depthwise_conv2d": ("tinydsn_depthwise_s8", "tinydsn_depthwise_s16"),
        "add": ("arm_elementwise_add_s8, tinydsn_add_s8", "tinydsn_add_s16, tinydsn_add_scaled_s16"),
        "sub": ("tinydsn_add_s8", "tinydsn_sub_s16, tinydsn_add_scaled_s16"),
        "mul": ("arm_elementwise_mul_s8, tinydsn_mul_s8", "arm_elementwise_mul_s16, tinydsn_mul_s16"),
        "relu": ("tinydsn_clamp_s8", "tinydsn_clamp_s16"),
        "leaky_relu": ("tinydsn_leaky_relu_s8", "tinydsn_leaky_relu_s16"),
        "sigmoid": ("tinydsn_table_s8", "tinydsn_sigmoid_s16"),
        "tanh": ("tinydsn_table_s8", "tinydsn_tanh_s16"),
        "table": ("tinydsn_table_s8", "tinydsn_table_s16"),
        "softmax": ("arm_softmax_s8", "tinydsn_softmax_s16"),
        "layer_norm": ("", "tinydsn_layer_norm_s16"),
        "gru_update": ("", "tinydsn_gru_s16, tinydsn_gru_update_s16"),
        "batch_matmul": ("tinydsn_batch_matmul_s8", "tinydsn_batch_matmul_s16"),
        "requantize": ("tinydsn_requantize_*_s8", "tinydsn_requantize_*_s16"),
        "concat": ("memcpy, tinydsn_copy_s8", "memcpy, tinydsn_copy_s16"),
        "slice": ("view, tinydsn_copy_s8", "view, tinydsn_copy_s16"),
        "transpose": ("tinydsn_copy_s8", "tinydsn_copy_s16"),
        "pad": ("tinydsn_copy_s8", "tinydsn_copy_s16"),
        "binary_conv2d": ("tinydsn_binary_conv2d_*", "tinydsn_binary_conv2d_*"),
        "step": ("tinydsn_step_s8", "tinydsn_step_s16"),
        "unpack": ("tinydsn_unpack_bits_s8", "tinydsn_unpack_bits_s16"),
        "reshape": ("view", "view"),
        "gate": ("", "a comparison"),
    }
)
"""Kernels by kind for int8 and int16 results; arm_* are CMSIS-NN's. Empty: there is no such form."""
LINEAR = ("fully_connected", "conv2d", "depthwise_conv2d")
"""Kinds with a kernel for each extension of the cores."""
KERNEL_CHOICES: tuple[Kernels, ...] = get_args(Kernels)


class Core(Protocol):
    """What of a board chooses kernels."""

    @property
    def dsp(self) -> bool: ...

    @property
    def mve(self) -> bool: ...


def code_target(board: Core, kernels: str = "auto") -> CodeTarget:
    """The generator's view of a board; ``kernels``: whose are to run. Raises ConfigError for another word."""
    if kernels not in KERNEL_CHOICES:
        raise ConfigError(unknown("kernel set", kernels, KERNEL_CHOICES))
    return CodeTarget(dsp=board.dsp, mve=board.mve, kernels=kernels)  # type: ignore[arg-type]


def emitter(request: Request) -> Emitter:
    """The emitter of an operator. Raises UnsupportedOperator, naming operator and source line."""
    kind = request.operator.kind
    if kind not in EMITTERS:
        where = f" ({request.operator.source})" if request.operator.source else ""
        raise UnsupportedOperator(
            f"operator {request.operator.name!r}{where}: no C kernel for {kind!r} "
            f"(there are {', '.join(sorted({*EMITTERS, *SILENT} - JOINED))})"
        )
    return EMITTERS[kind]


def kernel_names(kind: str, board: Core) -> str:
    """The kernels of a kind on a board, such as "int8: arm_..., int16: tinydsn_... (SMLAD)"."""
    narrow, wide = KERNELS[kind]
    if kind in LINEAR:
        extension = " (MVE)" if board.mve else " (SMLAD)" if board.dsp else ""
        narrow, wide = narrow + extension, wide + extension
    both = (("int8", narrow), ("int16", wide))
    return "; ".join(f"{dtype}: {name}" for dtype, name in both if name)
