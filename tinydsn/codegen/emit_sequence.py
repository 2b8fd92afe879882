"""Operators over rows: gru_update, layer_norm, softmax, batch_matmul."""

from __future__ import annotations

from tinydsn.codegen.call import Call, Request


def gru_update(request: Request) -> Call:
    """``tinydsn_gru_update_s16``."""
    hidden = request.output.shape[-1]
    multiplier = int(request.operator.attributes.get("multiplier", 3))  # type: ignore[arg-type]
    values = {"rows": request.output.size // hidden, "hidden": hidden, "multiplier": multiplier}
    return Call("gru_update", values, kernels=("tinydsn_gru_update_s16",))


def layer_norm(request: Request) -> Call:
    """``tinydsn_layer_norm_s16``."""
    columns = request.output.shape[-1]
    values = {
        "rows": request.output.size // columns,
        "columns": columns,
        "shift": request.integer("shift"),
        "epsilon": request.integer("epsilon"),
    }
    return Call("layer_norm", values, kernels=("tinydsn_layer_norm_s16",))


def softmax(request: Request) -> Call:
    """``tinydsn_softmax_s16``; its two tables are inputs of the operator."""
    columns = request.output.shape[-1]
    values = {
        "rows": request.output.size // columns,
        "columns": columns,
        "multiplier": request.integer("multiplier"),
        "shift": request.integer("shift"),
    }
    return Call("softmax", values, kernels=("tinydsn_softmax_s16",))


def batch_matmul(request: Request) -> Call:
    """``tinydsn_batch_matmul_s16`` / ``_s8``."""
    shape, inner = request.output.shape, request.input().shape[-1]
    rows, columns = shape[-2], shape[-1]
    fields = {
        "batches": request.output.size // (rows * columns),
        "rows": rows,
        "inner": inner,
        "columns": columns,
        "transposed": int(bool(request.operator.attributes["transpose_b"])),
    }
    multiplier, shift = request.integer("multiplier"), request.integer("shift")
    if request.output.dtype == "int16":
        fields |= _matmul_scale(multiplier, 14 - shift, inner)
        return Call("batch_matmul", {"fields": fields}, kernels=("tinydsn_batch_matmul_s16",))
    fields |= {name: request.integer(name) for name in ("offset1", "offset2", "output_offset")}
    fields |= {"multiplier": multiplier, "shift": shift}
    return Call("batch_matmul", {"fields": fields}, kernels=("tinydsn_batch_matmul_s8",))


def _matmul_scale(multiplier: int, right: int, inner: int) -> dict[str, int]:
    """Multiplier and shift of ``tinydsn_matmul``: by the product's upper half where nothing can overflow."""
    widened = multiplier << max(0, 32 - right)
    largest = inner * 2**30 * widened
    if widened < 2**31 and largest < 2**63 and largest >> 32 < 2**31 - 1:
        return {"upper": 1, "multiplier": widened, "shift": max(0, right - 32)}
    return {"upper": 0, "multiplier": multiplier, "shift": right}
