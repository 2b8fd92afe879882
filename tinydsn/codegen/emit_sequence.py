"""Operators over rows: gru_update, layer_norm, softmax, batch_matmul."""

from __future__ import annotations

from tinydsn.codegen.call import Call, Request


def gru_update(request: Request) -> Call:
    """``tinydsn_gru_update_s16``."""
    hidden = request.output.shape[-1]
    values = {"rows": request.output.size // hidden, "hidden": hidden}
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
    wide = request.output.dtype == "int16"
    fields = {
        "batches": request.output.size // (rows * columns),
        "rows": rows,
        "inner": inner,
        "columns": columns,
        "transposed": int(bool(request.operator.attributes["transpose_b"])),
        "offset1": request.integer("offset1"),
        "offset2": request.integer("offset2"),
        "output_offset": request.integer("output_offset"),
        "multiplier": request.integer("multiplier"),
        "shift": request.integer("shift"),
        "low": -32768 if wide else -128,
        "high": 32767 if wide else 127,
    }
    kernel = "tinydsn_batch_matmul_s16" if wide else "tinydsn_batch_matmul_s8"
    return Call("batch_matmul", {"fields": fields}, kernels=(kernel,))
