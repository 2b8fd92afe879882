"""Refusals: which ATen operator, where in the user's model, and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from quant.errors import UnsupportedOperator

_COND = "torch.cond(logits[k] > threshold, taken, skipped, operands) for a decision of the frame"
_LAST_AXIS = "a mean, or a table function, over what the frame holds"
_SUB_PIXEL = "torch.nn.Conv2d or Linear to more channels, and a reshape (sub-pixel convolution)"

HINTS: Mapping[str, str] = MappingProxyType(
    {
        "lstm": "torch.nn.GRUCell, with its state in a buffer",
        "lstm_cell": "torch.nn.GRUCell, with its state in a buffer",
        "rnn_tanh": "torch.nn.GRUCell, with its state in a buffer",
        "rnn_relu": "torch.nn.GRUCell, with its state in a buffer",
        "rnn_tanh_cell": "torch.nn.GRUCell, with its state in a buffer",
        "rnn_relu_cell": "torch.nn.GRUCell, with its state in a buffer",
        "conv_transpose1d": _SUB_PIXEL,
        "conv_transpose2d": _SUB_PIXEL,
        "conv_transpose3d": _SUB_PIXEL,
        "conv3d": "torch.nn.Conv2d on one frame, with the past frames in a buffer",
        "where": _COND,
        "masked_fill": _COND,
        "item": _COND,
        "_local_scalar_dense": _COND,
        "lt": "logits[k] > threshold, as the predicate of torch.cond",
        "le": "logits[k] > threshold, as the predicate of torch.cond",
        "ge": "logits[k] > threshold, as the predicate of torch.cond",
        "eq": "logits[k] > threshold, as the predicate of torch.cond",
        "ne": "logits[k] > threshold, as the predicate of torch.cond",
        "__and__": "one logit a gate: logits[k] > threshold",
        "__or__": "one logit a gate: logits[k] > threshold",
        "logical_and": "one logit a gate: logits[k] > threshold",
        "logical_or": "one logit a gate: logits[k] > threshold",
        "logical_not": "logits[k] > threshold, with the work in the first function of torch.cond",
        "bitwise_not": "logits[k] > threshold, with the work in the first function of torch.cond",
        "max_pool1d": "a convolution with a stride",
        "max_pool2d": "a convolution with a stride",
        "avg_pool1d": "a mean over a reshaped axis, or a convolution with a stride",
        "avg_pool2d": "a mean over a reshaped axis, or a convolution with a stride",
        "adaptive_avg_pool2d": "mean over the axes",
        "group_norm": "torch.nn.LayerNorm over the last axis, or torch.nn.BatchNorm",
        "instance_norm": "torch.nn.LayerNorm over the last axis, or torch.nn.BatchNorm",
        "rms_norm": "torch.nn.LayerNorm over the last axis",
        "embedding": "torch.nn.Linear",
        "index": "slices, or torch.roll",
        "gather": "slices, or torch.roll",
        "max": _LAST_AXIS,
        "amax": _LAST_AXIS,
        "min": _LAST_AXIS,
        "amin": _LAST_AXIS,
        "argmax": _COND,
        "var": "torch.nn.LayerNorm over the last axis",
        "std": "torch.nn.LayerNorm over the last axis",
        "cumsum": "a state in a buffer",
        "stft": "the attribute `frontend = quant.frontend.FrontEnd()` on the module",
        "_fft_r2c": "the attribute `frontend = quant.frontend.FrontEnd()` on the module",
        "_fft_c2r": "the attribute `frontend = quant.frontend.FrontEnd()` on the module",
        "log_softmax": "torch.softmax over the last axis",
        "upsample_nearest1d": _SUB_PIXEL,
        "upsample_nearest2d": _SUB_PIXEL,
        "upsample_bilinear2d": _SUB_PIXEL,
    }
)


def refuse(what: str, where: str, found: str = "", instead: str = "") -> UnsupportedOperator:
    """The error to raise for ATen operator ``what`` (``aten.lstm.input``) at ``where`` (``nets.py:12``).

    ``found`` says what is wrong with this use of an operator that is otherwise supported; ``instead`` is
    the nearest supported form (by default the table's).
    """
    place = f" at {where}" if where else ""
    problem = f": {found}" if found else " is not supported"
    bare = what.removeprefix("aten.").split(".")[0]
    nearest = instead or HINTS.get(bare, "")
    remedy = f"; use {nearest}" if nearest else "; `tinydsn ops` lists the supported operators"
    return UnsupportedOperator(f"{what}{place}{problem}{remedy}")
