"""Every kind of operator on two emulated cores, over the whole range of its input: equal to its reference.

Hand-made integer graphs of many operators that do not feed each other: each reads its own piece of the frame
of samples as if it had a scale of its own, and writes its own piece of the output without loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from quant import bits
from quant.errors import MissingTool
from quant.gates import GatePattern
from quant.graph import IntegerGraph, State, Tensor
from quant.ops import TABLE
from quant.reference import Pipeline
from tests.bitexact.kernel_harness import Builder, random_integers, scaled
from tinydsn.emulation import run_qemu
from tinydsn.workflow.firmware import Firmware, build_firmware, forced_words
from tinydsn.workflow.models import Model

BOARDS = ("mps2-an386", "mps3-an547")
FRAMES = 50
Q15, Q12 = 2.0**-15, 2.0**-12
PLAIN = {"activation": "none"}


class Pieces(Builder):
    """A builder whose operators read pieces of the input ``pcm`` and whose results become the output."""

    def __init__(self, seed: int, hop: int) -> None:
        super().__init__(seed)
        self.hop, self.taken = hop, 0
        self.tensor(scaled("pcm", (hop,), "int16", Q15))
        self.results: dict[str, int] = {}

    def cast(self, name: str, source: str, shape: tuple[int, ...], scale: float, zero: int = 0) -> str:
        """The same integers with another shape and scale."""
        tensor = scaled(f"{name}.cast", shape, self.tensors[source].dtype, scale, zero)
        return self.add("reshape", name, (source,), tensor, {"shape": shape})

    def piece(
        self, name: str, shape: tuple[int, ...], dtype: str = "int16", scale: float = Q12, zero: int = 0
    ) -> str:
        """The next samples of the frame, with the full range of ``dtype``."""
        size = int(np.prod(shape))
        begin = self.taken % (self.hop - size + 1)
        self.taken += size
        cut = {"axis": 0, "begin": begin, "end": begin + size}
        part = self.add("slice", f"{name}.cut", ("pcm",), scaled(f"{name}.part", (size,), "int16", Q15), cut)
        if dtype == "int8":
            upper = scaled(f"{name}.upper", (size,), "int8", 256 * Q15, zero)
            part = self.add("requantize", f"{name}.narrow", (part,), upper)
        return self.cast(f"{name}.shaped", part, shape, scale, zero)

    def keep(self, name: str) -> None:
        """Make a tensor part of the output; int8 values times 128."""
        size, flat = self.tensors[name].size, name
        if self.tensors[name].dtype == "int8":
            flat = self.cast(f"{name}.out8", name, (size,), 1.0)
            wide = scaled(f"{name}.wide", (size,), "int16", 1 / 128)
            flat = self.add("requantize", f"{name}.out16", (flat,), wide)
        self.results[self.cast(f"{name}.out", flat, (size,), Q15)] = size

    def probe(
        self,
        kind: str,
        name: str,
        shapes: tuple[tuple[int, ...], ...],
        output: tuple[int, ...],
        attributes: Mapping[str, object],
        constants: Mapping[int, np.ndarray] | None = None,
        dtypes: tuple[str, str] = ("int16", "int16"),
        scales: tuple[float, float] = (Q12, Q12),
        zeros: tuple[int, int] = (0, 0),
    ) -> None:
        """One operator from its own inputs to the output; ``dtypes``, ``scales``, ``zeros``: (in, out)."""
        inputs = tuple(
            self.piece(f"{name}.x{index}", shape, dtypes[0], scales[0], zeros[0])
            for index, shape in enumerate(shapes)
        )
        result = scaled(f"{name}.y", output, dtypes[1], scales[1], zeros[1])
        self.keep(self.add(kind, name, inputs, result, attributes, constants))

    def finished(self, states: tuple[State, ...] = ()) -> IntegerGraph:
        """The graph: results side by side, padded to the length of the frame."""
        used = sum(self.results.values())
        assert used <= self.hop, f"{used} results do not fit a frame of {self.hop}"
        side = scaled("side.y", (used,), "int16", Q15)
        side_by_side = self.add("concat", "side", tuple(self.results), side, {"axis": 0})
        rest = {"before": (0,), "after": (self.hop - used,)}
        out = self.add("pad", "rest", (side_by_side,), scaled("rest.y", (self.hop,), "int16", Q15), rest)
        return self.graph(("pcm",), (out,), states)


def settings(dtype: str) -> dict[str, tuple]:
    """Types, scales and zero points of an operator from int8 to int8 or from int16 to int16."""
    if dtype == "int16":
        return {"dtypes": ("int16", "int16"), "scales": (Q12, Q12), "zeros": (0, 0)}
    return {"dtypes": ("int8", "int8"), "scales": (0.031, 0.03), "zeros": (7, -11)}


def window(stride: tuple, dilation: tuple, padding: tuple, activation: str = "none") -> dict[str, object]:
    return {"stride": stride, "dilation": dilation, "padding": padding, "activation": activation}


def linear_graph() -> IntegerGraph:
    """Matrix products and convolutions."""
    b = Pieces(1, 2048)
    normal = b.rng.standard_normal

    def weights(*shape: int) -> dict[int, np.ndarray]:
        return {1: normal(shape) * 2 / np.sqrt(shape[-1]), 2: normal(shape[0]) / 4}

    for dtype in ("int8", "int16"):
        how = settings(dtype)
        for activation, (rows, columns, channels) in {
            "none": (2, 24, 7),
            "relu": (1, 13, 12),
            "relu6": (4, 130, 5),
        }.items():
            name = f"linear.{dtype}.{activation}"
            operands = weights(channels, columns)
            attributes = {"activation": activation}
            b.probe(
                "fully_connected", name, ((rows, columns),), (rows, channels), attributes, operands, **how
            )
        cases = {
            "line": ((1, 32, 4), (6, 1, 3, 4), window((1, 2), (1, 1), (0, 0, 1, 1)), (1, 16, 6)),
            "image": ((5, 6, 3), (5, 3, 3, 3), window((2, 1), (1, 1), (1, 1, 1, 1), "relu"), (3, 6, 5)),
            "dilated": ((7, 9, 2), (3, 3, 2, 2), window((1, 1), (2, 3), (2, 2, 0, 3)), (7, 9, 3)),
            "point": ((3, 5, 4), (6, 1, 1, 4), window((1, 1), (1, 1), (0, 0, 0, 0)), (3, 5, 6)),
        }
        for case, (shape, kernel, attributes, output) in cases.items():
            operands = {1: normal(kernel) / 3, 2: normal(kernel[0]) / 4}
            b.probe("conv2d", f"conv.{dtype}.{case}", (shape,), output, attributes, operands, **how)
        taps = {1: normal((3, 3, 4)) / 2, 2: normal(4) / 4}
        around = window((1, 1), (1, 1), (1, 1, 1, 1))
        b.probe("depthwise_conv2d", f"deep.{dtype}", ((4, 4, 4),), (4, 4, 4), around, taps, **how)
        taps = {1: normal((1, 3, 5)) / 2, 2: normal(5) / 4}
        causal = window((1, 1), (1, 2), (0, 0, 4, 0), "relu")
        b.probe("depthwise_conv2d", f"causal.{dtype}", ((1, 9, 5),), (1, 9, 5), causal, taps, **how)
        for transposed, second in ((True, (2, 4, 6)), (False, (2, 6, 4))):
            shapes = ((2, 3, 6), second)
            attributes = {"transpose_b": transposed}
            b.probe("batch_matmul", f"matmul.{dtype}.{transposed}", shapes, (2, 3, 4), attributes, **how)
    # sums that 32 bits are not proven to hold
    wide = {"scales": (Q12, 2.0**-18)}
    b.probe("fully_connected", "linear.wide", ((2, 8),), (2, 4), PLAIN, weights(4, 8), **wide)
    wide = {"scales": (Q12, 2.0**-3)}
    b.probe("fully_connected", "linear.long", ((1, 2000),), (1, 4), PLAIN, weights(4, 2000), **wide)
    return b.finished()


def pointwise_graph() -> IntegerGraph:
    """Sums, products, activations, tables, and what works on rows."""
    b = Pieces(2, 2048)
    for dtype in ("int8", "int16"):
        how = settings(dtype)
        for kind in ("add", "sub", "mul"):
            for case, second in {"same": (3, 5), "row": (5,), "one": (1,)}.items():
                b.probe(kind, f"{kind}.{dtype}.{case}", ((3, 5), second), (3, 5), PLAIN, **how)
        positive = {"activation": "relu"}
        b.probe("add", f"add.{dtype}.relu", ((11,), (11,)), (11,), positive, **how)
        same = {**how, "scales": (how["scales"][0],) * 2, "zeros": (how["zeros"][0],) * 2}
        b.probe("relu", f"relu.{dtype}", ((19,),), (19,), {}, **same)
        b.probe("leaky_relu", f"leaky.{dtype}", ((19,),), (19,), {"alpha": 0.1}, **how)
        for function in ("exp", "silu", "sqrt"):
            b.probe("table", f"{function}.{dtype}", ((33,),), (33,), {"function": function}, **how)
        for target in ("int8", "int16"):
            zeros = (7 if dtype == "int8" else 0, -77 if target == "int8" else 0)
            for case, scales in {"coarser": (0.01, 0.02), "finer": (0.02, 0.0003)}.items():
                types = {"dtypes": (dtype, target), "scales": scales, "zeros": zeros}
                b.probe("requantize", f"requantize.{dtype}.{target}.{case}", ((23,),), (23,), {}, **types)
    for kind, fixed in {"sigmoid": (1 / 256, -128), "tanh": (1 / 128, 0)}.items():
        small = {"dtypes": ("int8", "int8"), "scales": (0.05, fixed[0]), "zeros": (3, fixed[1])}
        b.probe(kind, f"{kind}.int8", ((40,),), (40,), {}, **small)
        for exponent in (-15, -12, -11, -5):
            b.probe(kind, f"{kind}.int16.{-exponent}", ((40,),), (40,), {}, scales=(2.0**exponent, Q15))
    for exponent in (-15, -12, -9):
        b.probe("softmax", f"softmax.{-exponent}", ((3, 16),), (3, 16), {}, scales=(2.0**exponent, Q15))
    for columns in (3, 24, 256):
        operands = {1: b.rng.uniform(-2, 2, columns), 2: b.rng.standard_normal(columns)}
        attributes = {"epsilon": 1e-5}
        b.probe("layer_norm", f"norm.{columns}", ((2, columns),), (2, columns), attributes, operands)
    for exponent in (-12, -10):
        gx, gh = (b.piece(f"gru.{-exponent}.{side}", (2, 21), scale=2.0**exponent) for side in ("x", "h"))
        state = b.piece(f"gru.{-exponent}.state", (2, 7), scale=Q15)
        output = scaled(f"gru.{-exponent}.y", (2, 7), "int16", Q15)
        b.keep(b.add("gru_update", f"gru.{-exponent}", (gx, gh, state), output))
    return b.finished()


def moving_graph() -> IntegerGraph:
    """What moves values: in both types, through delay lines, and behind gates that skip to zero or hold."""
    b = Pieces(3, 600)
    states = []
    for dtype, zero in (("int8", 12), ("int16", 0)):
        same = {"dtypes": (dtype, dtype), "scales": (Q12, Q12), "zeros": (zero, zero)}
        b.probe("concat", f"concat.{dtype}", ((2, 3, 4), (2, 1, 4)), (2, 4, 4), {"axis": 1}, **same)
        for axis, shape in ((0, (2, 5, 3)), (1, (4, 2, 3)), (2, (4, 5, 2))):
            cut = {"axis": axis, "begin": 1, "end": 3}
            b.probe("slice", f"slice.{dtype}.{axis}", ((4, 5, 3),), shape, cut, **same)
        b.probe("transpose", f"turn.{dtype}", ((2, 3, 4),), (4, 2, 3), {"permutation": (2, 0, 1)}, **same)
        grown = {"before": (1, 0, 3), "after": (1, 0, 2)}
        b.probe("pad", f"pad.{dtype}", ((2, 3, 2),), (4, 3, 7), grown, **same)
        old = b.tensor(scaled(f"{dtype}.old", (9,), dtype, Q12, zero))
        states.append(State(old, b.piece(f"{dtype}.new", (9,), dtype, Q12, zero)))
        b.keep(old)
    logits = b.piece("logits", (1, 3))
    for gate, threshold in enumerate((0.0, 2.5, -8.0)):
        predicate = b.gate(f"g{gate}", logits, gate, threshold)
        held = b.tensor(scaled(f"held.{gate}", (6,), "int16", Q12))
        fresh = b.piece(f"fresh.{gate}", (6,))
        b.begin()
        total = b.add("add", f"body.{gate}", (held, fresh), scaled(f"total.{gate}", (6,)), PLAIN)
        part = b.add("sub", f"part.{gate}", (fresh, held), scaled(f"parted.{gate}", (6,)), PLAIN)
        kept, fading = b.end(f"branch.{gate}", gate, predicate, [(total, held), (part, "")])
        states.append(State(held, kept))
        b.keep(kept)
        b.keep(fading)
    return b.finished(tuple(states))


def bits_graph() -> IntegerGraph:
    """Steps, convolutions of bits and of numbers, delay lines and moves of words, and numbers again."""
    b = Pieces(4, 600)

    def packed(name: str, shape: tuple[int, ...]) -> Tensor:
        return Tensor(name, bits.packed_shape(shape), bits.DTYPE, bits.UNIT)

    def shown(name: str, source: str, shape: tuple[int, ...], dtype: str) -> None:
        target = scaled(f"{name}.y", shape, dtype, 2.0**-14 if dtype == "int16" else 1 / 127, 0)
        b.keep(b.add("unpack", name, (source,), target))

    def weights(*shape: int) -> dict[int, np.ndarray]:
        return {1: b.rng.standard_normal(shape), 2: b.rng.standard_normal(shape[0])}

    states = []
    for dtype, zero in (("int8", -9), ("int16", 0)):
        numbers = b.piece(f"numbers.{dtype}", (2, 5, 3), dtype, Q12, zero)
        around = window((1, 1), (1, 1), (1, 0, 1, 1))
        first = b.add(
            "binary_conv2d",
            f"first.{dtype}",
            (numbers,),
            packed(f"first.{dtype}.y", (2, 5, 40)),
            around,
            weights(40, 2, 3, 3),
        )
        old = b.tensor(packed(f"{dtype}.old", (3, 5, 40)))
        joined = b.add(
            "concat", f"joined.{dtype}", (old, first), packed(f"joined.{dtype}.y", (5, 5, 40)), {"axis": 0}
        )
        cut = {"axis": 0, "begin": 2, "end": 5}
        states.append(
            State(
                old, b.add("slice", f"later.{dtype}", (joined,), packed(f"later.{dtype}.y", (3, 5, 40)), cut)
            )
        )
        dilated = window((1, 2), (2, 1), (0, 0, 1, 1))
        second = b.add(
            "binary_conv2d",
            f"second.{dtype}",
            (joined,),
            packed(f"second.{dtype}.y", (1, 3, 19)),
            dilated,
            weights(19, 3, 3, 40),
        )
        shown(f"shown.{dtype}", second, (1, 3, 19), dtype)
        # columns 1 and 2 of each row of words: no view
        inner = b.add(
            "slice",
            f"inner.{dtype}",
            (first,),
            packed(f"inner.{dtype}.y", (2, 2, 40)),
            {"axis": 1, "begin": 1, "end": 3},
        )
        flat = b.add(
            "reshape", f"flat.{dtype}", (inner,), packed(f"flat.{dtype}.y", (4, 40)), {"shape": (4, 40)}
        )
        shown(f"inner.shown.{dtype}", flat, (4, 40), dtype)
        step = b.add(
            "step",
            f"step.{dtype}",
            (b.piece(f"stepped.{dtype}", (3, 7), dtype, Q12, zero),),
            packed(f"step.{dtype}.y", (3, 7)),
        )
        shown(f"step.shown.{dtype}", step, (3, 7), dtype)
    return b.finished(tuple(states))


GRAPHS: dict[str, Callable[[], IntegerGraph]] = {
    "linear": linear_graph,
    "pointwise": pointwise_graph,
    "moving": moving_graph,
    "bits": bits_graph,
}


def sound(graph: IntegerGraph) -> np.ndarray:
    """Frames of the lowest value, the highest, both mixed, zeros, values near zero, and any."""
    rng, tensor = np.random.default_rng(17), graph.tensors["pcm"]
    return np.concatenate([random_integers(tensor, rng, run) for run in range(FRAMES)])


def firmware(graph: IntegerGraph, board: str, folder: Path) -> Firmware:
    try:
        return build_firmware(Model(graph, Path("pieces.tdsn"), "0" * 64), board, folder)
    except MissingTool as error:
        pytest.skip(str(error))


def differing(graph: IntegerGraph, found: np.ndarray, expected: np.ndarray) -> list[str]:
    """Names of the results that differ in any frame."""
    side = next(operator for operator in graph.operators() if operator.name == "side")
    wrong = (found != expected).reshape(FRAMES, -1).any(axis=0)
    ends = np.cumsum([graph.tensors[name].size for name in side.inputs])
    pieces = zip(side.inputs, np.split(wrong, ends), strict=False)
    return [name.removesuffix(".y.out.cast") for name, part in pieces if part.any()]


def test_every_kind_of_the_table_occurs() -> None:
    kinds = {operator.kind for make in GRAPHS.values() for operator in make().operators()}
    assert kinds == set(TABLE)


def test_both_types_occur_where_the_operator_has_both() -> None:
    from quant.ops.listing import describe

    found = set()
    for make in GRAPHS.values():
        graph = make()
        found |= {(item.kind, graph.tensors[item.inputs[0]].dtype) for item in graph.operators()}
    found |= {("unpack", graph.tensors[item.outputs[0]].dtype) for item in bits_graph().operators()}
    legal = {(row["kind"], dtype) for row in describe() for dtype in row["activations"]}
    assert legal <= found


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", GRAPHS)
def test_operators_on_a_core_equal_their_reference(name: str, board: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    made = firmware(graph, board, tmp_path / "project")
    pcm = sound(graph)
    for pattern in ("learned", "cycle") if graph.gates else ("learned",):
        gates = GatePattern(pattern)
        run = run_qemu(made.built.elf, made.board, pcm, forced_words(graph, pcm, gates), profile=False)
        expected = Pipeline(graph).run(pcm, gates)
        assert differing(graph, run.pcm, expected.pcm) == []
        assert np.array_equal(run.pcm, expected.pcm)
        assert np.array_equal(run.gates, expected.gates)
        assert expected.gates.any(axis=0).all() and not expected.gates.all(axis=0).any()


def test_results_reach_both_rims() -> None:
    """So that a kernel that wraps instead of saturating is seen."""
    for name in GRAPHS.keys() - {"bits"}:
        graph = GRAPHS[name]()
        values = Pipeline(graph).run(sound(graph)).pcm
        assert values.min() == -32768 and values.max() == 32767
