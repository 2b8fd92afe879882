"""Tensors of one bit an element: which they are, and how they lie in memory.

A float graph gives them their full shape, with the values 0 and 1. In an integer graph they are words of
int32, 32 channels to a word: ``[..., channels]`` becomes ``[..., ceil(channels / 32)]``, channel c in bit c %
32 of word c // 32, and bits beyond the last channel are 0. So what moves whole positions (concat, slice,
states) moves words.
"""

from __future__ import annotations

import numpy as np

from quant.graph import DType, Graph, Operator, Quantization

WORD = 32
DTYPE: DType = "int32"
UNIT = Quantization((1.0,), 0)
"""Scale of bits: they are what they are."""
MAKERS = frozenset({"step", "binary_conv2d"})
"""Kinds whose result is bits."""
CARRIERS = frozenset({"concat", "slice", "reshape"})
"""Kinds that move bits as they are, as long as the last axis stays whole."""


def packed_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the words of bits ``shape``."""
    return (*shape[:-1], -(-shape[-1] // WORD))


def pack(bits: np.ndarray) -> np.ndarray:
    """Bits [..., channels] (anything but 0 is 1) -> int32 [..., words]."""
    whole = np.zeros((*bits.shape[:-1], packed_shape(bits.shape)[-1] * WORD), np.uint8)
    whole[..., : bits.shape[-1]] = bits != 0
    return np.packbits(whole, axis=-1, bitorder="little").view("<i4")


def unpack(words: np.ndarray, channels: int) -> np.ndarray:
    """int32 [..., words] -> uint8 [..., channels] of 0 and 1."""
    data = np.ascontiguousarray(words.astype("<i4")).view(np.uint8)
    return np.unpackbits(data, axis=-1, bitorder="little")[..., :channels]


def bit_tensors(graph: Graph) -> frozenset[str]:
    """Names of the tensors of a float graph that hold bits.

    Results of `MAKERS`; what `CARRIERS` make of bits alone; states that start at zero and whose next value is
    bits; what leaves a gated region as bits, zeros or held bits. All other readers are given numbers
    (``unpack``).
    """
    made = {name for item in graph.operators() if item.kind in MAKERS for name in item.outputs}
    carried = {item.outputs[0]: item.inputs for item in graph.operators() if _carries(item, graph)}
    carried |= {state.tensor: (state.next,) for state in graph.states if state.tensor not in graph.constants}
    for branch in graph.branches:
        for output in branch.outputs:
            carried[output.tensor] = (output.taken, *([output.held] if output.skip == "hold" else []))
    # All that could be bits is taken for bits, and then taken out where something else flows in: states feed
    # themselves.
    found = made | carried.keys()
    while True:
        wrong = {name for name, sources in carried.items() if name in found and not found.issuperset(sources)}
        if not wrong:
            return frozenset(found)
        found -= wrong


def _carries(operator: Operator, graph: Graph) -> bool:
    """Whether an operator leaves the last axis of its operands whole."""
    if operator.kind not in CARRIERS:
        return False
    source, target = graph.tensors[operator.inputs[0]].shape, graph.tensors[operator.outputs[0]].shape
    if not source or not target or source[-1] != target[-1]:
        return False
    axis = operator.attributes.get("axis")
    return axis is None or int(axis) % len(source) != len(source) - 1  # type: ignore[arg-type]
