"""Operators that leave their tensor as it is: copies, casts to the same type, inactive dropout."""

from __future__ import annotations

import torch

from tinydsn.lowering.builder import Comparison, Value
from tinydsn.lowering.call import Call, Handler


def alias(call: Call) -> Value:
    """The operand itself."""
    return call["self"]


def cast(call: Call) -> Value:
    """A cast to float32, which every tensor of the graph has already."""
    dtype = call.arguments.get("dtype")
    if isinstance(call["self"], Comparison):
        raise call.refuse(
            "a decision becomes a number",
            "torch.cond(logits[k] > threshold, taken, skipped, operands)",
        )
    if dtype not in (None, torch.float32):
        raise call.refuse(f"a cast to {dtype} (must be torch.float32)", "torch.float32 in the whole module")
    return call["self"]


def dropout(call: Call) -> Value:
    """Dropout of a module in eval mode."""
    if call["train"]:
        raise call.refuse("dropout in training mode", "module.eval()")
    return call["input"]


def copy(call: Call) -> Value:
    """``copy(self, src)``: the value is ``src``."""
    source = call["src"]
    if source.shape != call.shape:
        raise call.refuse(
            f"a copy of shape {source.shape} into shape {call.shape} (must be the same shape)",
            "a reshape before the copy",
        )
    return source


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("clone", "contiguous", "detach", "detach_", "alias", "lift_fresh_copy"), alias),
    **dict.fromkeys(("_to_copy", "to", "type_as"), cast),
    **dict.fromkeys(("dropout", "feature_dropout"), dropout),
    "copy": copy,
}
