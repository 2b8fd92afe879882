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
