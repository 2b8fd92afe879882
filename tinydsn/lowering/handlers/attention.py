"""Scaled dot-product attention in its four operators."""

from __future__ import annotations

import math

from tinydsn.lowering.builder import Constant, Value
from tinydsn.lowering.call import Call, Handler, made, reshape, transpose
from tinydsn.lowering.handlers.elementwise import binary
from tinydsn.lowering.handlers.linear import product


def attention(call: Call) -> Value:
    """``softmax(q * scale @ k.T + mask) @ v``; the scale goes to q, where a pass finds its weights."""
    if call["dropout_p"]:
        raise call.refuse("attention with dropout", "dropout_p=0")
    query, key, value = call.ref("query"), call.ref("key"), call.ref("value")
    if call["enable_gqa"]:
        raise call.refuse("grouped queries", "as many key heads as query heads")
    if call["is_causal"]:
        raise call.refuse("a causal mask", "a streaming step that sees one frame")
    factor = call["scale"] if call["scale"] is not None else 1 / math.sqrt(query.shape[-1])
    scaled = call.to_ref(binary(call, "mul", query, made(f"scale_{factor:g}", float(factor))))
    rank = len(key.shape)
    turned = transpose(call, key, (*range(rank - 2), rank - 1, rank - 2))
    scores: Value = product(call, scaled, turned)
    mask = call["attn_mask"]
    if mask is not None:
        if isinstance(mask, Constant) and mask.value.dtype.is_floating_point is False:
            raise call.refuse("a mask of booleans", "a mask of numbers that is added")
        scores = binary(call, "add", scores, mask)
    weights = call.builder.emit("softmax", call.to_ref(scores))
    return reshape(call, product(call, weights, value), call.shape)


HANDLERS: dict[str, Handler] = {"scaled_dot_product_attention": attention}
