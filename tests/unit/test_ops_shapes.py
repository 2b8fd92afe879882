"""Shape rules and their messages, costs, constraints, and the table itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from quant import ops
from quant.errors import GraphError, UnsupportedOperator
from quant.graph import Operator, Tensor
from quant.ops.listing import describe

WINDOW: Mapping[str, Any] = {"stride": (1, 2), "dilation": (1, 1), "padding": (1, 0, 0, 2)}
Shapes = list[tuple[int, ...]]


@pytest.mark.parametrize(
    ("kind", "shapes", "attributes", "expected"),
    [
        ("fully_connected", [(8,), (3, 8), ()], {}, (3,)),
        ("fully_connected", [(5, 2, 8), (3, 8), (3,)], {}, (5, 2, 3)),
        ("conv2d", [(5, 9, 4), (6, 2, 3, 4), (6,)], WINDOW, (5, 5, 6)),
        ("depthwise_conv2d", [(5, 9, 4), (2, 3, 4), (4,)], WINDOW, (5, 5, 4)),
        ("binary_conv2d", [(5, 9, 4), (6, 2, 3, 4), (6,)], WINDOW, (5, 5, 6)),
        ("step", [(4, 6)], {}, (4, 6)),
        ("unpack", [(4, 6)], {}, (4, 6)),
        ("add", [(4, 6), (6,)], {}, (4, 6)),
        ("sub", [(4, 6), ()], {}, (4, 6)),
        ("mul", [(4, 6), (1, 1)], {}, (4, 6)),
        ("relu", [(4, 6)], {}, (4, 6)),
        ("leaky_relu", [(4, 6)], {}, (4, 6)),
        ("sigmoid", [(4, 6)], {}, (4, 6)),
        ("tanh", [(4, 6)], {}, (4, 6)),
        ("softmax", [(4, 6)], {}, (4, 6)),
        ("table", [(4, 6)], {}, (4, 6)),
        ("requantize", [(4, 6)], {}, (4, 6)),
        ("batch_matmul", [(3, 4, 5), (3, 5, 6)], {}, (3, 4, 6)),
        ("batch_matmul", [(4, 5), (6, 5)], {"transpose_b": True}, (4, 6)),
        ("layer_norm", [(4, 6), (6,), (6,)], {}, (4, 6)),
        ("gru_update", [(2, 12), (2, 12), (2, 4)], {}, (2, 4)),
        ("gate", [(3,)], {"index": 2}, ()),
        ("concat", [(2, 3), (2, 5)], {"axis": -1}, (2, 8)),
        ("slice", [(2, 8)], {"axis": 1, "begin": 3, "end": 5}, (2, 2)),
        ("reshape", [(2, 8)], {"shape": (4, 4)}, (4, 4)),
        ("transpose", [(2, 8, 3)], {"permutation": (2, 0, 1)}, (3, 2, 8)),
        ("pad", [(2, 8)], {"before": (1, 0), "after": (0, 2)}, (3, 10)),
    ],
)
def test_output_shape(
    kind: str, shapes: Shapes, attributes: dict[str, Any], expected: tuple[int, ...]
) -> None:
    assert ops.definition(kind).infer(shapes, attributes) == (expected,)


def test_every_kind_has_a_shape_test() -> None:
    (marks,) = (mark for mark in test_output_shape.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {case[0] for case in marks.args[1]} == set(ops.TABLE)


@pytest.mark.parametrize(
    ("kind", "shapes", "attributes", "message"),
    [
        (
            "fully_connected",
            [(5, 7), (3, 8)],
            {},
            "fully_connected of input (5, 7) with weight (3, 8) (must be [..., K] and [N, K])",
        ),
        (
            "conv2d",
            [(5, 9, 4), (6, 2, 3, 5)],
            WINDOW,
            "conv2d of input (5, 9, 4) with weight (6, 2, 3, 5) (must be [H, W, C] and [O, kh, kw, C])",
        ),
        (
            "conv2d",
            [(9, 4), (6, 2, 3, 4)],
            WINDOW,
            "conv2d of input (9, 4) (must be [height, width, channels])",
        ),
        (
            "conv2d",
            [(5, 1, 4), (6, 2, 7, 4)],
            WINDOW,
            "conv2d of input (5, 1, 4): a window of 7 does not fit axis 1",
        ),
        (
            "depthwise_conv2d",
            [(5, 9, 4), (2, 3, 3)],
            WINDOW,
            "depthwise_conv2d of input (5, 9, 4) with weight (2, 3, 3) (must be [H, W, C] and [kh, kw, C])",
        ),
        (
            "add",
            [(4, 6), (4, 1)],
            {},
            "add of (4, 6) and (4, 1) "
            "(the second must have the first's shape, its trailing axes, or one element)",
        ),
        (
            "mul",
            [(6,), (4, 6)],
            {},
            "mul of (6,) and (4, 6) "
            "(the second must have the first's shape, its trailing axes, or one element)",
        ),
        (
            "sub",
            [(6,), (1, 6)],
            {},
            "sub of (6,) and (1, 6) "
            "(the second must have the first's shape, its trailing axes, or one element)",
        ),
        (
            "batch_matmul",
            [(3, 4, 5), (2, 5, 6)],
            {},
            "batch_matmul of (3, 4, 5) and (2, 5, 6) (inner axes and batches must agree)",
        ),
        (
            "batch_matmul",
            [(4, 5), (5, 6)],
            {"transpose_b": True},
            "batch_matmul of (4, 5) and (5, 6) (inner axes and batches must agree)",
        ),
        (
            "batch_matmul",
            [(5,), (5,)],
            {},
            "batch_matmul of (5,) and (5,) (inner axes and batches must agree)",
        ),
        (
            "layer_norm",
            [(4, 6), (6,), (5,)],
            {},
            "layer_norm of input (4, 6) with beta (5,) (must be [6])",
        ),
        (
            "gru_update",
            [(2, 12), (2, 12), (2, 5)],
            {},
            "gru_update of (2, 12), (2, 12), (2, 5) (must be [rows, 3 H], [rows, 3 H], [rows, H])",
        ),
        (
            "concat",
            [(2, 3), (4, 3)],
            {"axis": 1},
            "concat of (2, 3), (4, 3) on axis 1 (other axes must be equal)",
        ),
        ("concat", [(2, 3), (2, 3)], {"axis": 2}, "concat of (2, 3), (2, 3) on axis 2 (must be -2 to 1)"),
        (
            "slice",
            [(2, 8)],
            {"axis": 1, "begin": 3, "end": 9},
            "slice 3:9 of axis 1 of (2, 8) (must lie inside it)",
        ),
        (
            "slice",
            [(2, 8)],
            {"axis": 2, "begin": 0, "end": 1},
            "slice 0:1 of axis 2 of (2, 8) (must lie inside it)",
        ),
        (
            "reshape",
            [(2, 8)],
            {"shape": (3, 5)},
            "reshape of (2, 8) to (3, 5) (must keep the number of elements)",
        ),
        (
            "transpose",
            [(2, 8)],
            {"permutation": (0, 0)},
            "transpose of (2, 8) by (0, 0) (must name each axis once)",
        ),
        ("gate", [(3,)], {"index": 3}, "gate 3 of logits (3,) (must be 0 to 2)"),
        (
            "pad",
            [(2, 8)],
            {"before": (1,), "after": (0, 2)},
            "pad of (2, 8) by (1,) and (0, 2) (one number >= 0 an axis)",
        ),
        (
            "pad",
            [(2, 8)],
            {"before": (0, -1), "after": (0, 2)},
            "pad of (2, 8) by (0, -1) and (0, 2) (one number >= 0 an axis)",
        ),
    ],
)
def test_wrong_shapes(kind: str, shapes: Shapes, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError) as caught:
        ops.definition(kind).infer(shapes, attributes)
    assert str(caught.value) == message


def example(kind: str, shapes: Shapes, output: tuple[int, ...], **attributes: Any) -> tuple[Operator, Any]:
    tensors = {f"t{index}": Tensor(f"t{index}", shape) for index, shape in enumerate(shapes)}
    names = tuple(tensors)
    return Operator("op", kind, names, ("y",), attributes), {**tensors, "y": Tensor("y", output)}


@pytest.mark.parametrize(
    ("kind", "shapes", "output", "expected"),
    [
        ("fully_connected", [(5, 8), (3, 8), (3,)], (5, 3), 5 * 8 * 3),
        ("conv2d", [(5, 9, 4), (6, 2, 3, 4), (6,)], (5, 5, 6), 5 * 5 * 6 * 2 * 3 * 4),
        ("depthwise_conv2d", [(5, 9, 4), (2, 3, 4), (4,)], (5, 5, 4), 5 * 5 * 2 * 3 * 4),
        ("binary_conv2d", [(5, 9, 4), (6, 2, 3, 4), (6,)], (5, 5, 6), 5 * 5 * 6 * 2 * 3 * 4),
        ("batch_matmul", [(3, 4, 5), (3, 5, 6)], (3, 4, 6), 3 * 4 * 5 * 6),
        ("layer_norm", [(4, 6), (6,), (6,)], (4, 6), 48),
        ("gru_update", [(2, 12), (2, 12), (2, 4)], (2, 4), 16),
        ("softmax", [(4, 6)], (4, 6), 24),
        ("add", [(4, 6), (6,)], (4, 6), 24),
        ("relu", [(4, 6)], (4, 6), 0),
        ("concat", [(2, 3), (2, 5)], (2, 8), 0),
    ],
)
def test_macs(kind: str, shapes: Shapes, output: tuple[int, ...], expected: int) -> None:
    operator, tensors = example(kind, shapes, output)
    assert ops.definition(kind).macs(operator, tensors) == expected


SENTENCES = {
    "softmax": "The axis is the last one and has at most 65536 elements.",
    "layer_norm": "The normalised axis is the last one and has at most 1024 elements.",
    "batch_matmul": "The inner axis has at most 65536 elements.",
    "leaky_relu": "alpha is 0 or more.",
    "fully_connected": "The weight is a constant matrix [N, K].",
    "conv2d": "The input is one image [height, width, channels]; weights are constants.",
    "add": "The second input has the first's shape, its trailing axes, or one element.",
    "table": "It is one of abs, elu, exp, gelu, hardswish, log, reciprocal, silu, softplus, sqrt, square.",
}


@pytest.mark.parametrize(
    ("kind", "shapes", "attributes", "holds", "found"),
    [
        ("softmax", [(65536,)], {}, True, "65536 elements"),
        ("softmax", [(65537,)], {}, False, "65537 elements"),
        ("layer_norm", [(1024,)], {}, True, "1024 elements"),
        ("layer_norm", [(1025,)], {}, False, "1025 elements"),
        ("batch_matmul", [(1, 65537), (65537, 1)], {}, False, "65537 elements"),
        ("leaky_relu", [(3,)], {"alpha": -0.5}, False, "alpha -0.5"),
        ("leaky_relu", [(3,)], {"alpha": 0.0}, True, "alpha 0.0"),
        ("fully_connected", [(3,), (2, 3, 1)], {}, False, "weight of shape (2, 3, 1)"),
        ("conv2d", [(3, 3), (2, 3, 1)], {}, False, "input of shape (3, 3)"),
        ("add", [(2, 3), (2, 1)], {}, False, "(2, 3) and (2, 1)"),
        ("table", [(3,)], {"function": "sin"}, False, "function 'sin'"),
    ],
)
def test_constraints(
    kind: str,
    shapes: Shapes,
    attributes: dict[str, Any],
    holds: bool,
    found: str,
) -> None:
    operator, tensors = example(kind, shapes, shapes[0], **attributes)
    (constraint,) = ops.definition(kind).constraints
    assert constraint.__doc__ == SENTENCES[kind]
    assert constraint(operator, tensors) == (holds, found)


def test_unknown_kind() -> None:
    with pytest.raises(UnsupportedOperator) as caught:
        ops.definition("conv2")
    assert str(caught.value) == "unknown operator kind 'conv2', did you mean 'conv2d'?"
    with pytest.raises(UnsupportedOperator) as caught:
        ops.definition("lstm_cell_of_peepholes")
    assert str(caught.value) == (
        "unknown operator kind 'lstm_cell_of_peepholes' (must be add, batch_matmul, binary_conv2d, "
        "concat, conv2d, depthwise_conv2d, fully_connected, gate, gru_update, layer_norm, leaky_relu, mul, "
        "pad, relu, requantize, reshape, sigmoid, slice, softmax, step, sub, table, tanh, transpose or "
        "unpack)"
    )


def test_unknown_table_function() -> None:
    with pytest.raises(UnsupportedOperator) as caught:
        ops.TABLE["table"].evaluate({"function": "sin"}, (np.zeros(1),))
    assert str(caught.value) == (
        "unknown function of a table 'sin' (must be abs, elu, exp, gelu, hardswish, log, reciprocal, silu, "
        "softplus, sqrt or square)"
    )


def test_listing() -> None:
    rows = {row["kind"]: row for row in describe()}
    assert list(rows) == sorted(ops.TABLE)
    only_int16 = {kind for kind, row in rows.items() if row["activations"] == ["int16"]}
    assert only_int16 == {"gate", "gru_update", "layer_norm", "softmax"}
    assert rows["conv2d"] == {
        "kind": "conv2d",
        "summary": "2-D convolution, per-channel weights, optional ReLU",
        "activations": ["int8", "int16"],
        "constraints": ["The input is one image [height, width, channels]; weights are constants."],
    }
