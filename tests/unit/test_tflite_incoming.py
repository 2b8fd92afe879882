"""Reading foreign ``.tflite`` files: what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tflite", reason="tinydsn[oracle] is not installed")

from quant.errors import TinydsnError
from quant.graph import Quantization
from quant.ops.softmax_narrow import narrow_factors
from quant.tflite import incoming
from quant.tflite.file import FileOperator, FileTensor, Subgraph, read
from quant.tflite.flatbuffer import to_flatbuffer
from quant.tflite.incoming import import_graph
from quant.tflite.incoming_operators import TRANSLATIONS, tripled_factor
from quant.tflite.model import Model

Change = Callable[[Subgraph], Subgraph]


def dense(dtype: str = "int8") -> bytes:
    """x [1, 4] -> FULLY_CONNECTED -> RELU -> y [1, 3]."""
    model = Model({}, {}, [], ["x"], ["y"])
    scales = {"x": (0.02, 3), "sums": (0.03, -5), "y": (0.03, -5)}
    for name, (scale, zero) in scales.items():
        width = (1, 4) if name == "x" else (1, 3)
        model.tensor(name, width, dtype, Quantization((scale,), zero if dtype == "int8" else 0))  # type: ignore[arg-type]
    model.constant("w", np.arange(-6, 6, dtype=np.int8).reshape(3, 4), Quantization((0.01, 0.02, 0.03), 0, 0))
    bias = np.array([5, -7, 900], np.int64 if dtype == "int16" else np.int32)
    model.constant("b", bias, Quantization((0.0002, 0.0004, 0.0006), 0, 0))
    model.add("FULLY_CONNECTED", ("x", "w", "b"), "sums", "FullyConnectedOptions")
    model.add("RELU", ("sums",), "y")
    return to_flatbuffer(model)


def tensor(name: str, **changes: Any) -> Change:
    """Other fields of one tensor."""

    def change(graph: Subgraph) -> Subgraph:
        made = tuple(replace(item, **changes) if item.name == name else item for item in graph.tensors)
        return replace(graph, tensors=made)

    return change


def operator(index: int, **changes: Any) -> Change:
    """Other fields of one operator."""

    def change(graph: Subgraph) -> Subgraph:
        made = [replace(item, **changes) if item.index == index else item for item in graph.operators]
        return replace(graph, operators=tuple(made))

    return change


REFUSED: Mapping[str, tuple[Change, str]] = {
    "float": (
        tensor("x", type="FLOAT32", scales=(), zero_points=()),
        "tensor 'x' is float32 (convert it with full integer quantization, inputs and outputs too)",
    ),
    "uint8": (
        tensor("sums", type="UINT8"),
        "operator 0 (FULLY_CONNECTED): tensor 'sums' is uint8 (the older quantization; convert it again to "
        "int8)",
    ),
    "not quantized": (
        tensor("x", scales=(), zero_points=()),
        "tensor 'x' has 0 scales (an activation must have one; quantize the model)",
    ),
    "open length": (
        tensor("x", free=(1,)),
        "tensor 'x' of shape (1, 4) has a length that is not fixed; convert the model with fixed shapes and "
        "a batch of 1",
    ),
    "zero point of int16": (
        tensor("x", type="INT16"),
        "tensor 'x' has scale 0.02 and zero point 3 (must be above 0, and 0 to 0)",
    ),
    "unknown operator": (
        operator(1, builtin="MAX_POOL_2D"),
        f"operator 1 (MAX_POOL_2D): cannot be imported (must be one of {', '.join(TRANSLATIONS)})",
    ),
    "dequantize": (
        operator(1, builtin="DEQUANTIZE"),
        "operator 1 (DEQUANTIZE): cannot be imported (firmware has integers only; convert the model with "
        "integer inputs and outputs)",
    ),
    "flex": (
        operator(1, builtin="custom FlexLgamma"),
        "operator 1 (custom FlexLgamma): a flex operator, which only TensorFlow has (convert with builtin "
        "integer operators only)",
    ),
    "custom": (
        operator(0, builtin="custom Mine"),
        "operator 0 (custom Mine): a custom operator (convert with builtin integer operators only)",
    ),
    "axis of scales": (
        tensor("w", axis=1),
        "operator 0 (FULLY_CONNECTED): weights have 3 scales along axis 1 (must be 1, or 3 along axis 0)",
    ),
    "zero point of weights": (
        tensor("w", zero_points=(0, 1, 0)),
        "operator 0 (FULLY_CONNECTED): weights have a zero point (must be 0)",
    ),
    "sparse weights": (
        tensor("w", sparse=True),
        "operator 0 (FULLY_CONNECTED): weights are sparse (must be int8; quantize the model)",
    ),
    "computed weights": (
        tensor("w", data=None),
        "operator 0 (FULLY_CONNECTED): its weights are not constants",
    ),
    "bias": (
        tensor("b", data=np.zeros(3, np.int64)),
        "operator 0 (FULLY_CONNECTED): bias is int64 (3,) (must be int32 (3,))",
    ),
    "activation": (
        operator(0, options={"FusedActivationFunction": 4}),
        "operator 0 (FULLY_CONNECTED): has the fused activation tanh (must be none, relu or relu6)",
    ),
    "no operators": (
        lambda graph: replace(graph, operators=()),
        "the graph has no operators",
    ),
    "too large": (
        tensor("x", shape=(1, 2**23)),
        "tensor 'x' of shape (1, 8388608) has more than 4,194,304 elements",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_integer_meaning_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change, message = REFUSED[name]
    monkeypatch.setattr(incoming, "read", lambda content, where: (change(read(content, where)[0]),))
    with pytest.raises(TinydsnError) as caught:
        import_graph(dense(), "net.tflite", "net")
    assert str(caught.value) == f"net.tflite: {message}"


def test_several_subgraphs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "read", lambda content, where: read(content, where) * 3)
    with pytest.raises(TinydsnError) as caught:
        import_graph(dense(), "net.tflite", "net")
    assert str(caught.value) == (
        "net.tflite: 3 subgraphs (must be one, with others only to initialise variables)"
    )


def test_what_is_no_tflite_file_is_refused() -> None:
    for content in (b"", b"RIFF", b"0123456789"):
        with pytest.raises(TinydsnError) as caught:
            import_graph(content, "net.tflite", "net")
        assert str(caught.value) == "net.tflite: not a .tflite file (bytes 4 to 7 must be TFL3)"


def test_a_damaged_file_is_refused_or_read_but_never_an_internal_error() -> None:
    whole, rng, refused = dense(), np.random.default_rng(9), 0
    for _ in range(200):
        content = bytearray(whole)
        for place in rng.integers(8, len(content), 3):
            content[place] = rng.integers(0, 256)
        try:
            import_graph(bytes(content[: rng.integers(8, 2 * len(content))]), "net.tflite", "net")
        except TinydsnError as error:
            assert str(error).startswith("net.tflite: ")
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_a_dense_layer_as_integer_operators(dtype: str) -> None:
    made = import_graph(dense(dtype), "net.tflite", "net")
    kinds = [item.kind for item in made.graph.operators() if item.kind not in ("requantize", "reshape")]
    # the result is filled up to the frame of 4
    assert kinds == ["fully_connected", "relu", "pad"]
    (layer,) = (item for item in made.graph.operators() if item.kind == "fully_connected")
    assert layer.source == "net.tflite:0"
    assert made.graph.tensors[f"{layer.name}.weight"].quantization.scale == (  # type: ignore[union-attr]
        *(float(np.float32(value)) for value in (0.01, 0.02, 0.03)),
    )


def _variables(value: str, first: np.ndarray | None) -> tuple[Subgraph, ...]:
    """x and a variable are joined; the variable becomes the older ``value``, and begins with ``first``."""
    shapes = {"handle": (), "old": (2,), "x": (2,), "both": (4,)}
    kinds = {"handle": "RESOURCE"}
    tensors = tuple(
        FileTensor(place, name, shape, kinds.get(name, "INT8"), (0.5,), (7,), 0, None)
        for place, (name, shape) in enumerate(shapes.items())
    )
    handle = {"Container": b"", "SharedName": b"line"}
    joined = {"Axis": 0, "FusedActivationFunction": 0}
    operators = (
        FileOperator(0, "CALL_ONCE", (), (), {"InitSubgraphIndex": 1}),
        FileOperator(1, "VAR_HANDLE", (), (0,), handle),
        FileOperator(2, "READ_VARIABLE", (0,), (1,), {}),
        FileOperator(3, "CONCATENATION", (1, 2), (3,), joined),
        FileOperator(4, "ASSIGN_VARIABLE", (0, list(shapes).index(value)), (), {}),
    )
    constant = FileTensor(1, "first", (2,), "INT8", (0.5,), (7,), 0, first)
    begin = (
        FileOperator(0, "VAR_HANDLE", (), (0,), handle),
        FileOperator(1, "ASSIGN_VARIABLE", (0, 1), (), {}),
    )
    return Subgraph(tensors, operators, (2,), (3,)), Subgraph((tensors[0], constant), begin, (), ())


def test_variables_become_states(monkeypatch: pytest.MonkeyPatch) -> None:
    from quant.reference import Executor

    first = np.array([3, 4], np.int8)
    monkeypatch.setattr(incoming, "read", lambda content, where: _variables("x", first))
    made = import_graph(b"", "net.tflite", "net")
    (state,) = made.graph.states
    assert state.tensor == "state line" and made.graph.constants["state line"].tolist() == [3, 4]
    runner = Executor(made.graph)
    results = [runner.step(np.array([a, a + 1, 0, 0], np.int16)).outputs[0].tolist() for a in (10, 20, 30)]
    assert results == [[3, 4, 10, 11], [10, 11, 20, 21], [20, 21, 30, 31]]


def test_variables_that_change_their_shape_or_have_no_constant_start_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = np.array([7, 7], np.int8)
    monkeypatch.setattr(incoming, "read", lambda content, where: _variables("both", first))
    with pytest.raises(TinydsnError, match=r"operator 4 \(ASSIGN_VARIABLE\): 'both' has another type, shape"):
        import_graph(b"", "net.tflite", "net")
    monkeypatch.setattr(incoming, "read", lambda content, where: _variables("x", None))
    with pytest.raises(TinydsnError, match="subgraph 1, operator 1 .* must give a variable a constant first"):
        import_graph(b"", "net.tflite", "net")


def test_factors_of_imported_functions() -> None:
    assert tripled_factor(2.0**-12) == {"multiplier": 3, "right_shift": 0}
    # 0.0001 * 12288 = 1.2288, times 2**14 = 20132.66, cut off
    assert tripled_factor(1e-4) == {"multiplier": 20132, "right_shift": 14}
    # 0.1 * 2**26 = 0.8 * 2**23; 31 * 2**26 / 2**23 = 248
    assert narrow_factors(0.1) == {"multiplier": round(0.8 * 2**31), "shift": 23, "diff_min": -248}
