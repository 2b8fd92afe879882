"""Fusions at generation: what becomes a view, who reads and writes for it, and when it stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from quant.graph import Branch, BranchOutput, IntegerGraph, Operator, Tensor
from quant.ops.activation_tables import sigmoid_table
from quant.ops.softmax import lookup_table
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.design import design
from tinydsn.codegen.emit_sequence import largest_share_sum
from tinydsn.codegen.fusion import fuse
from tinydsn.codegen.segments import pack_segments
from tinydsn.codegen.templates import template_root
from tinydsn.codegen.writer import body, operators
from tinydsn.workflow.models import load_model

HOST, DSP, MVE = CodeTarget(), CodeTarget(dsp=True), CodeTarget(dsp=True, mve=True)
LINEAR = {"multiplier": (2**30,), "shift": (-4,), "input_offset": 0, "output_offset": 0}
RANGE = {"activation_min": -32768, "activation_max": 32767}
RELU = {"activation_min": 0, "activation_max": 32767}
MATMUL = {"multiplier": 20000, "shift": -14, "transpose_b": False}


@dataclass
class Sketch:
    """int16 operators one after the other; ``x`` is the input, what is read last the output."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    dtype: str = "int16"

    def add(self, name: str, kind: str, inputs: str, shape: tuple[int, ...], **attributes: object) -> Sketch:
        """An operator whose only output has its name."""
        self.shapes[name] = shape
        made = Operator(name, kind, tuple(inputs.split()), (name,), attributes)  # type: ignore[arg-type]
        self.operators.append(made)
        return self

    def linear(self, name: str, source: str, channels: int, **more: object) -> Sketch:
        """A fully connected layer."""
        shape = self.shapes[source]
        self.constants[f"{name}.w"] = np.ones((channels, shape[-1]), np.int8)
        attributes = {**LINEAR, "multiplier": (2**30,) * channels, "shift": (-4,) * channels, **RANGE, **more}
        return self.add(name, "fully_connected", f"{source} {name}.w", (*shape[:-1], channels), **attributes)

    def graph(self, *outputs: str, nodes: tuple[Operator | Branch, ...] = ()) -> IntegerGraph:
        """Everything so far."""
        tensors = {name: Tensor(name, shape, self.dtype) for name, shape in self.shapes.items()}  # type: ignore[arg-type]
        weights = {name: Tensor(name, array.shape, "int8") for name, array in self.constants.items()}
        made = nodes or tuple(self.operators)
        return IntegerGraph("g", {**tensors, **weights}, self.constants, ("x",), outputs, (), made)


def start(*shape: int) -> Sketch:
    return Sketch({"x": shape})


def attributes(graph: IntegerGraph, target: CodeTarget = DSP) -> dict[str, dict[str, object]]:
    """What fusion added or changed, by operator."""
    before = {operator.name: dict(operator.attributes) for operator in graph.operators()}
    found = {}
    for operator in fuse(graph, target).operators():
        old = before[operator.name]
        new = {key: value for key, value in operator.attributes.items() if old.get(key, None) != value}
        if new:
            found[operator.name] = new
    return found


@pytest.mark.parametrize("target", [HOST, DSP, MVE], ids=["host", "dsp", "mve"])
def test_the_shipped_model_has_no_operator_left_that_only_copies(target: CodeTarget) -> None:
    made = design(load_model("dsn-s").graph, target)
    moving = {"transpose", "slice", "concat", "pad", "reshape"}
    moves = [operator for operator in made.graph.operators() if operator.kind in moving]
    assert len(moves) > 10
    assert [operator.name for operator in moves if body(made, operator)] == []


def test_fusion_changes_attributes_and_joins_cells_and_nothing_else() -> None:
    graph = load_model("dsn-s").graph
    fused = fuse(graph, DSP)
    pairs = list(zip(graph.operators(), fused.operators(), strict=True))
    assert all(a.name == b.name for a, b in pairs)
    joined = [(a.kind, b.kind) for a, b in pairs if a.kind != b.kind]
    cell = [("fully_connected", "absorbed")] * 2 + [("gru_update", "gru_cell")]
    assert joined == 3 * cell
    kept = [(a, b) for a, b in pairs if a.kind == b.kind]
    assert all(a.inputs == b.inputs and a.outputs == b.outputs for a, b in kept)
    assert fused.tensors == graph.tensors and fused.states == graph.states
    assert fuse(fused, DSP).nodes == fused.nodes


def test_a_relu_becomes_the_range_of_the_operator_before_it() -> None:
    net = start(4, 6).linear("fc", "x", 8).add("row", "reshape", "fc", (32,))
    net.add("y", "relu", "row", (32,), **RELU)
    assert attributes(net.graph("y")) == {
        "fc": {"activation_min": 0, "result_of": "y"},
        "y": {"view": 0},
    }


def test_the_narrower_range_holds() -> None:
    six = {"activation_min": -5, "activation_max": 100}
    net = start(4, 6).linear("fc", "x", 8, **six).add("y", "relu", "fc", (4, 8), **RELU)
    assert attributes(net.graph("y"))["fc"] == {"activation_min": 0, "result_of": "y"}
    net = start(4, 6).linear("fc", "x", 8, activation_max=-3).add("y", "relu", "fc", (4, 8), **RELU)
    assert attributes(net.graph("y")) == {}


def test_a_relu_stays_when_its_input_is_read_elsewhere_too() -> None:
    net = start(4, 6).linear("fc", "x", 8).add("y", "relu", "fc", (4, 8), **RELU)
    assert attributes(net.graph("y", "fc")) == {}
    net.add("z", "add", "fc y", (4, 8), **RANGE)
    assert attributes(net.graph("z")) == {}


def test_a_relu_behind_a_join_stays() -> None:
    net = start(4, 8).linear("a", "x", 8).linear("b", "x", 8).add("y", "relu", "o", (4, 8), **RELU)
    net.shapes |= {"p": (), "o": (4, 8)}
    a, b, y = net.operators
    gate = Operator("p", "gate", ("a",), ("p",), {"index": 0, "threshold": 0})
    branch = Branch("branch", 0, "p", (b,), (BranchOutput("o", "b", "hold", "a"),))
    assert attributes(net.graph("y", nodes=(a, gate, branch, y))) == {}


def test_a_slice_of_columns_is_read_by_a_fully_connected_layer() -> None:
    net = start(16, 24).add("part", "slice", "x", (16, 12), axis=1, begin=12, end=24).linear("y", "part", 8)
    assert attributes(net.graph("y")) == {"part": {"view": 12}, "y": {"strides0": (24, 1)}}
    assert "x, 16, 24," in operators(design(net.graph("y"), DSP))[0]["body"].replace("tensor_part(ctx)", "x")


def test_a_slice_stays_where_cmsis_nn_reads_or_somebody_else_or_words_would_be_torn() -> None:
    net = start(16, 24).add("part", "slice", "x", (16, 12), axis=1, begin=12, end=24).linear("y", "part", 8)
    assert attributes(net.graph("y"), CodeTarget(dsp=True, kernels="cmsis-nn")) == {}
    assert attributes(net.graph("y", "part")) == {}
    net.add("z", "relu", "part", (16, 12), **RELU)
    assert attributes(net.graph("y", "z")) == {}
    odd = start(16, 24).add("part", "slice", "x", (16, 12), axis=1, begin=11, end=23).linear("y", "part", 8)
    assert attributes(odd.graph("y")) == {}


def attention() -> Sketch:
    """Two heads of four, as torch's reshapes and transposes make them."""
    heads = start(16, 2, 4)
    for name in "qkv":
        heads.add(name, "transpose", "x", (2, 16, 4), permutation=(1, 0, 2))
    heads.add("scores", "batch_matmul", "q k", (2, 16, 16), **{**MATMUL, "transpose_b": True})
    heads.add("mixed", "batch_matmul", "scores v", (2, 16, 4), **MATMUL)
    return heads.add("y", "transpose", "mixed", (16, 2, 4), permutation=(1, 0, 2))


def test_attention_reads_and_writes_in_place_of_its_transposes() -> None:
    assert attributes(attention().graph("y")) == {
        **{name: {"view": 0} for name in "qkvy"},
        "scores": {"strides0": (4, 8, 1), "strides1": (4, 8, 1)},
        "mixed": {"strides1": (4, 8, 1), "output_strides": (4, 8, 1), "result_of": "y"},
    }


def test_a_trace_takes_a_result_for_that_of_the_operator_whose_view_it_is() -> None:
    made = design(attention().graph("y"), DSP)
    names = [operator.name for operator in made.graph.operators()]
    traced = {row["function"].split("_", 3)[3]: names[row["index"]] for row in operators(made)}
    assert traced == {"scores": "scores", "mixed": "y"}


def test_a_turned_second_factor_is_read_along_its_columns() -> None:
    net = start(3, 6).add("t", "transpose", "x", (6, 3), permutation=(1, 0))
    net.add("y", "batch_matmul", "x t", (3, 3), **MATMUL)
    assert attributes(net.graph("y")) == {"t": {"view": 0}, "y": {"strides1": (1, 6)}}
    text = operators(design(net.graph("y"), DSP))[0]["body"]
    assert ".transposed = 1" in text and ".b_row = 6" in text
    first = start(3, 6).add("t", "transpose", "x", (6, 3), permutation=(1, 0))
    assert attributes(first.add("y", "batch_matmul", "t x", (6, 6), **MATMUL).graph("y")) == {}


def test_batches_that_do_not_lie_evenly_are_copied() -> None:
    net = start(2, 4, 3, 5).add("t", "transpose", "x", (3, 2, 4, 5), permutation=(2, 0, 1, 3))
    net.add("y", "batch_matmul", "t t2", (3, 2, 4, 4), **{**MATMUL, "transpose_b": True})
    net.shapes["t2"] = (3, 2, 4, 5)
    graph = net.graph("y")
    graph = graph.replace(inputs=("x", "t2"))
    assert attributes(graph) == {}  # type: ignore[arg-type]


def test_segments_hold_slope_and_even_end() -> None:
    points = np.arange(513) * 3 - 700
    words = pack_segments(points).astype(np.int64)
    assert words[0] == (3 << 16 | 700) and words[1] == (3 << 16 | (-(-700 + 6) & 0xFFFF))
    with pytest.raises(ValueError, match="beyond 32767"):
        pack_segments(np.linspace(-32768, 32767, 513).round())


def test_the_table_of_the_logistic_function_is_that_of_the_reference() -> None:
    text = (template_root() / "kernels" / "tinydsn_activation_table.c").read_text()
    words = [int(word, 16) for word in text.split("{")[1].split("}")[0].replace(",", " ").split()]
    rising = sigmoid_table() - 32768
    rising = np.append(rising, rising[-1])
    points = np.concatenate([-rising[:0:-1], rising])
    assert words == pack_segments(points).tolist()


def test_no_row_of_softmax_sums_to_more_than_its_bound() -> None:
    from quant.ops import definition

    rng = np.random.default_rng(5)
    tables = (lookup_table("exp"), lookup_table("reciprocal"))
    for columns in (2, 16, 300):
        bound = largest_share_sum(tables[1], columns)
        assert bound < 2**16
        rows = [rng.integers(-32768, 32768, (200, columns)) >> shift for shift in (0, 4, 8, 12)]
        rows.append(np.zeros((1, columns), np.int64))
        data = np.concatenate(rows).astype(np.int16)
        (shares,) = definition("softmax").reference({"multiplier": 2**30, "shift": 2}, (data, *tables))
        assert 30000 < np.max(shares.astype(int).sum(axis=1)) <= bound
