"""The kernels that the host's executor knows: their numbers, and the fields of their structures."""

from __future__ import annotations

from collections.abc import Mapping

from tinydsn.codegen import affine


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{suffix}" for name in names for suffix in ("s8", "s16"))


GROUPS: Mapping[str, tuple[str, ...]] = {
    "control": ("branch", "jump", "gate"),
    "movement": ("move", *_both("fill", "copy"), "copy_s32"),
    "linear": _both("fully_connected", "conv2d", "depthwise_conv2d"),
    "wide": _both("wide"),
    "elementwise": (*_both("add", "sub", "mul", "relu", "leaky_relu", "table"), "sigmoid", "tanh"),
    "requantize": tuple(f"requantize_{a}_{b}" for a in ("s8", "s16") for b in ("s8", "s16")),
    "sequence": ("gru_update", "layer_norm", "softmax"),
    "bits": ("binary_conv2d_bits", *_both("binary_conv2d", "step", "unpack")),
    "matmul": _both("batch_matmul"),
}
"""Kernels by the function that reads their arguments; a kernel's number is its place."""
NUMBERS: Mapping[str, int] = {
    name: number for number, name in enumerate(name for names in GROUPS.values() for name in names)
}

SUM_S8 = ("offset1", "multiplier1", "shift1", "offset2", "multiplier2", "shift2", "left_shift") + (
    "output_offset",
    "output_multiplier",
    "output_shift",
    "low",
    "high",
    *affine.SUM,
)
PRODUCT = ("offset1", "offset2", "output_offset", "multiplier", "shift", "low", "high")
SCALE = ("input_offset", "output_offset", "multiplier", "shift", *affine.SCALE)
LEAKY_RELU = ("input_offset", "output_offset", "multiplier_identity", "shift_identity") + (
    "multiplier_alpha",
    "shift_alpha",
)
MATMUL = ("batches", "rows", "inner", "columns", "transposed", "a_batch", "a_row", "b_batch", "b_row") + (
    *("output_batch", "output_row", "upper", "narrow", "saturates", "offset1", "offset2", "output_offset"),
    *("multiplier", "shift"),
)
"""Fields of the structures of tinydsn_kernels.h, in their order."""


def kernels_header() -> str:
    """The text of tinydsn_host_kernels.h."""
    lines = [f"    KERNEL_{name} = {number}," for name, number in NUMBERS.items()]
    lines += [f"    KERNEL_last_{group} = {NUMBERS[names[-1]] + 1}," for group, names in GROUPS.items()]
    return "\n".join(["/* Numbers of the kernels. Generated; do not edit. */", "enum {", *lines, "};", ""])
