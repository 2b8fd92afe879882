"""Operators over rows: gru_update, layer_norm, softmax, batch_matmul."""

from __future__ import annotations

import numpy as np

from quant.ops.activation_tables import read_int16
from quant.ops.softmax import lookup_table
from tinydsn.codegen.call import Call, Request
from tinydsn.codegen.emit_moves import strides
from tinydsn.codegen.segments import pack_segments
from tinydsn.codegen.text import Array


def gru_update(request: Request) -> Call:
    """``tinydsn_gru_update_s16``."""
    hidden = request.output.shape[-1]
    multiplier = int(request.operator.attributes.get("multiplier", 3))  # type: ignore[arg-type]
    values = {"rows": request.output.size // hidden, "hidden": hidden, "multiplier": multiplier}
    return Call("gru_update", values, kernels=("tinydsn_activation_table", "tinydsn_gru_update_s16"))


def layer_norm(request: Request) -> Call:
    """``tinydsn_layer_norm_s16``; beta holds the rounding too where the sum fits 32 bits."""
    columns, shift = request.output.shape[-1], request.integer("shift")
    gamma, beta = (request.graph.constants[name].astype(np.int64) for name in request.operator.inputs[1:3])
    narrow = False
    if shift > 32:
        moved = (beta << (shift - 32)) + (1 << (shift - 33))
        # u is below 2**31 (2**30 but for the error of the root): half of gamma is the larger part of a bound
        narrow = bool(np.all(np.abs(beta) < 2**31) and np.max(np.abs(gamma) // 2 + np.abs(moved)) < 2**31 - 1)
        beta = moved if narrow else beta
    scales = np.zeros((-(-columns // 4) * 4 if request.target.mve else columns, 2), np.int32)
    scales[:columns] = np.stack([gamma, beta], axis=1)
    array = Array(f"{request.prefix}_scales", scales, "gamma and beta of each column")
    values = {
        "rows": request.output.size // columns,
        "columns": columns,
        "shift": shift,
        "narrow": int(narrow),
        "epsilon": request.integer("epsilon"),
        "scales": array.name,
    }
    return Call("layer_norm", values, (array,), ("tinydsn_layer_norm_s16",), packed=(1, 2))


def softmax(request: Request) -> Call:
    """``tinydsn_softmax_s16``; all softmaxes share one pair of tables. int8: CMSIS-NN ``arm_softmax_s8``."""
    columns = request.output.shape[-1]
    if request.output.dtype == "int8":
        narrow = {name: request.integer(name) for name in ("multiplier", "shift", "diff_min")}
        size = {"narrow": True, "rows": request.output.size // columns, "columns": columns}
        return Call("softmax", {**size, **narrow})
    exp, reciprocal = (request.graph.constants[name] for name in request.operator.inputs[1:3])
    arrays = (
        Array(_shared(request, "exp", exp), pack_segments(exp), "exp(x) for x from -10 to 0, segments"),
        Array(_shared(request, "reciprocal", reciprocal), reciprocal, "1 / (1 + x) for x from 0 to 1"),
    )
    values = {
        "narrow": False,
        "rows": request.output.size // columns,
        "columns": columns,
        "multiplier": request.integer("multiplier"),
        "shift": request.integer("shift"),
        "exp": arrays[0].name,
        "reciprocal": arrays[1].name,
    }
    return Call("softmax", values, arrays, ("tinydsn_softmax_s16",), packed=(1, 2))


def _shared(request: Request, name: str, table: np.ndarray) -> str:
    """Name of a table's array: one for all that are the usual table."""
    usual = np.array_equal(table, lookup_table(name))
    return f"tinydsn_softmax_{name}" if usual else f"{request.prefix}_{name}"


def batch_matmul(request: Request) -> Call:
    """``tinydsn_batch_matmul_s16`` / ``_s8``, which read and write with strides."""
    shape, inner = request.output.shape, request.input().shape[-1]
    rows, columns = shape[-2], shape[-1]
    transposed = bool(request.operator.attributes["transpose_b"])
    second = _steps(request, 1)
    if second[-1] != 1:
        transposed, second = not transposed, (*second[:-2], second[-1], second[-2])
    fields = {
        "batches": request.output.size // (rows * columns),
        "rows": rows,
        "inner": inner,
        "columns": columns,
        "transposed": int(transposed),
    }
    for name, steps in (("a", _steps(request, 0)), ("b", second), ("output", _steps(request, None))):
        fields |= {f"{name}_batch": steps[0], f"{name}_row": steps[1]}
    multiplier, shift = request.integer("multiplier"), request.integer("shift")
    if request.output.dtype == "int16":
        fields |= _matmul_scale(multiplier, 14 - shift, inner)
        fields["narrow"] = int(bool(fields["upper"]) and _sums_are_narrow(request))
        scratch = 8 * inner if fields["narrow"] else 0
        return Call("batch_matmul", {"fields": fields}, (), ("tinydsn_batch_matmul_s16",), scratch)
    fields |= {name: request.integer(name) for name in ("offset1", "offset2", "output_offset")}
    # centred values have at most 9 bits with their sign; a multiplier of TFLite is a mantissa from 1/2 up
    narrow = -31 <= shift < 0 and multiplier >= 2**30 and inner * 2**16 < 2**30
    fields |= {"multiplier": multiplier, "shift": shift, "narrow": int(narrow)}
    scratch = 2 * (-(-inner // 4) * 4) * (-(-columns // 2) * 2)
    return Call("batch_matmul", {"fields": fields}, (), ("tinydsn_batch_matmul_s8",), scratch)


def _steps(request: Request, index: int | None) -> tuple[int, int, int]:
    """Strides of an operand's, or with None of the output's, batches, rows and columns."""
    tensor = request.output if index is None else request.input(index)
    name = "output_strides" if index is None else f"strides{index}"
    steps = request.integers(name) if name in request.operator.attributes else strides(tensor.shape)
    outer = [step for size, step in zip(tensor.shape[:-2], steps[:-2], strict=True) if size != 1]
    return (outer[-1] if outer else 0, steps[-2], steps[-1])


def _matmul_scale(multiplier: int, right: int, inner: int) -> dict[str, int]:
    """Multiplier and shift of ``tinydsn_matmul``: by the product's upper half where nothing can overflow."""
    widened = multiplier << max(0, 32 - right)
    largest = inner * 2**30 * widened
    if widened < 2**31 and largest < 2**63 and largest >> 32 < 2**31 - 1:
        # 2**31 times half of the multiplier is then at least 32768 in the upper half
        saturates = right <= 31 and widened >= 2**17
        scale = {"multiplier": widened, "shift": max(0, right - 32)}
        return {"upper": 1, "saturates": int(saturates), **scale}
    return {"upper": 0, "multiplier": multiplier, "shift": right}


def _sums_are_narrow(request: Request) -> bool:
    """Whether the first operand's rows are shares that sum to less than 2**16: 2**15 times that fits."""
    writers = {name: operator for operator in request.graph.operators() for name in operator.outputs}
    before = writers.get(request.operator.inputs[0])
    if before is None or before.kind != "softmax":
        return False
    return largest_share_sum(request.graph.constants[before.inputs[2]], request.input().shape[-1]) < 2**16


def largest_share_sum(reciprocal: np.ndarray, columns: int) -> int:
    """A bound on the sum of a row of softmax (`quant.ops.softmax`): every mantissa with its reciprocal.

    A share is rounded by at most a half, and the mantissa, of 17 bits, by a half of its last place.
    """
    mantissa = np.arange(2**16, 2**17 + 1)
    argument = np.clip(mantissa - 2**15 - 2**16, -(2**15), 2**15 - 1)
    products = (2 * mantissa + 1) * read_int16(reciprocal, argument)
    return int(np.max(products) >> 17) + 1 + columns
