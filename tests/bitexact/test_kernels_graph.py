"""Whole generated projects, under sanitizers, equal the NumPy executor: gates, states, branches, copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kernel_harness import DSP, HOST, Builder, build_program, run_program, scaled

from quant.frontend import FrontEnd
from quant.graph import IntegerGraph, State
from quant.reference import Executor, Pipeline
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.design import design
from tinydsn.codegen.writer import Labels, sources

Q15 = 2.0**-15
FRAMES = 40


def gated_net(seed: int = 5) -> IntegerGraph:
    """64 samples in and out; two gates; GRU, convolution, layer norm, attention, int8 part, delay line."""
    b = Builder(seed)
    b.tensor(scaled("pcm", (64,), "int16", Q15))
    b.tensor(scaled("h", (4, 16), "int16", Q15))
    b.tensor(scaled("old", (1, 64), "int16", Q15))
    b.tensor(scaled("far", (4, 16), "int8", 0.02, 7))
    row = b.add("reshape", "row", ("pcm",), scaled("row.y", (1, 64), "int16", Q15), {"shape": (1, 64)})
    logits = b.linear("policy", row, 2)
    first = b.gate("g0", logits, 0)
    second = b.gate("g1", logits, 1, 0.01)
    both = b.add("concat", "both", ("old", row), scaled("both.y", (2, 64), "int16", Q15), {"axis": 0})
    pixels = scaled("image.y", (2, 64, 1), "int16", Q15)
    image = b.add("reshape", "image", (both,), pixels, {"shape": (2, 64, 1)})
    weight = b.rng.standard_normal((16, 2, 18, 1)) / 3
    attributes = {"stride": (1, 16), "dilation": (1, 1), "padding": (0, 0, 1, 1), "activation": "relu"}
    conv = b.add(
        "conv2d", "conv", (image,), scaled("conv.y", (1, 4, 16)), attributes, {1: weight, 2: np.zeros(16)}
    )
    core = b.add("reshape", "core", (conv,), scaled("core.y", (4, 16)), {"shape": (4, 16)})

    b.begin()
    gx = b.linear("gru.input", core, 48)
    gh = b.linear("gru.hidden", "h", 48)
    new = b.add("gru_update", "gru.update", (gx, gh, "h"), scaled("new", (4, 16), "int16", Q15))
    back = b.linear("gru.output", new, 16)
    total = b.add("add", "sum", (core, back), scaled("sum.y", (4, 16)), {"activation": "none"})
    core, state = b.end("recurrence", 0, first, [(total, core), (new, "h")])

    operands = {1: np.linspace(0.5, 1.5, 16), 2: np.linspace(-1, 1, 16)}
    norm = b.add("layer_norm", "norm", (core,), scaled("norm.y", (4, 16)), {"epsilon": 1e-5}, operands)
    b.begin()
    scores = b.add("batch_matmul", "scores", (norm, norm), scaled("scores.y", (4, 4)), {"transpose_b": True})
    shares = b.add("softmax", "shares", (scores,), scaled("shares.y", (4, 4), "int16", Q15))
    mixed = b.add("batch_matmul", "mix", (shares, norm), scaled("mix.y", (4, 16)), {"transpose_b": False})
    (attended,) = b.end("attention", 1, second, [(mixed, "")])
    total = b.add("add", "residual", (core, attended), scaled("residual.y", (4, 16)), {"activation": "none"})

    small = b.add("requantize", "down", (total,), scaled("down.y", (4, 16), "int8", 0.02, 7))
    product = scaled("shift.y", (4, 16), "int8", 0.02, 7)
    shifted = b.add("mul", "shift", (small, "far"), product, {"activation": "none"})
    b.begin()
    inner = b.linear("inner", shifted, 16, 0.02)
    (maybe,) = b.end("tail", 1, second, [(inner, "")])
    wide = b.add("requantize", "up", (maybe,), scaled("up.y", (4, 16)))
    total = b.add("sub", "difference", (total, wide), scaled("difference.y", (4, 16)), {"activation": "none"})
    mask = b.add("tanh", "mask", (total,), scaled("mask.y", (4, 16), "int16", Q15))
    columns = scaled("turn.y", (16, 4), "int16", Q15)
    turned = b.add("transpose", "turn", (mask,), columns, {"permutation": (1, 0)})
    out = b.add("reshape", "out", (turned,), scaled("out.y", (64,), "int16", Q15), {"shape": (64,)})
    states = (State("h", state), State("old", row), State("far", small))
    return b.graph(("pcm",), (out,), states)


def other_net(seed: int = 9) -> IntegerGraph:
    """The operators that `gated_net` lacks, most of them in int8: 64 samples in and out, no gates."""
    b = Builder(seed)
    b.tensor(scaled("pcm", (64,), "int16", Q15))
    cube = scaled("image.y", (4, 4, 4), "int16", Q15)
    image = b.add("reshape", "image", ("pcm",), cube, {"shape": (4, 4, 4)})
    around = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "activation": "none"}
    taps = {1: b.rng.standard_normal((3, 3, 4)) / 2, 2: np.zeros(4)}
    deep = b.add("depthwise_conv2d", "deep16", (image,), scaled("deep16.y", (4, 4, 4)), around, taps)
    leaky = b.add("leaky_relu", "leaky16", (deep,), scaled("leaky16.y", (4, 4, 4)), {"alpha": 0.2})
    curve = b.add("table", "silu16", (leaky,), scaled("silu16.y", (4, 4, 4)), {"function": "silu"})
    small = b.add("requantize", "down", (curve,), scaled("down.y", (4, 4, 4), "int8", 0.02, -9))
    grown = {"before": (0, 1, 0), "after": (0, 1, 0)}
    padded = b.add("pad", "pad", (small,), scaled("pad.y", (4, 6, 4), "int8", 0.02, -9), grown)
    weights = {1: b.rng.standard_normal((8, 3, 3, 4)) / 4, 2: b.rng.standard_normal(8) / 4}
    valid = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 0, 0), "activation": "relu"}
    positive = scaled("conv8.y", (4, 4, 8), "int8", 0.015, -128)
    conv = b.add("conv2d", "conv8", (padded,), positive, valid, weights)
    positive = scaled("row.y", (1, 16, 8), "int8", 0.015, -128)
    row = b.add("reshape", "row", (conv,), positive, {"shape": (1, 16, 8)})
    causal = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 2, 0), "activation": "none"}
    weights = {1: b.rng.standard_normal((8, 1, 3, 8)) / 4, 2: np.zeros(8)}
    line = b.add("conv2d", "line8", (row,), scaled("line8.y", (1, 16, 8), "int8", 0.02, 3), causal, weights)
    even = {**causal, "padding": (0, 0, 1, 1)}
    weights = {1: b.rng.standard_normal((8, 1, 3, 8)) / 4, 2: np.zeros(8)}
    line = b.add("conv2d", "even8", (line,), scaled("even8.y", (1, 16, 8), "int8", 0.02, 3), even, weights)
    taps = {1: b.rng.standard_normal((1, 3, 8)) / 2, 2: np.zeros(8)}
    filtered = scaled("deep8.y", (1, 16, 8), "int8", 0.02, 3)
    deep = b.add("depthwise_conv2d", "deep8", (line,), filtered, even, taps)
    summed = scaled("add8.y", (1, 16, 8), "int8", 0.03, 5)
    total = b.add("add", "add8", (line, deep), summed, {"activation": "none"})
    once = {1: np.linspace(-1, 1, 8)}
    moved = scaled("sub8.y", (1, 16, 8), "int8", 0.03, 5)
    b.tensor(scaled("sub8.c1", (8,), "int8", 0.01, 20))
    total = b.add("sub", "sub8", (total,), moved, {"activation": "none"}, once)
    share = b.add("sigmoid", "sigmoid8", (total,), scaled("sigmoid8.y", (1, 16, 8), "int8", 1 / 256, -128))
    half = {"axis": 2, "begin": 2, "end": 6}
    part = b.add("slice", "part", (share,), scaled("part.y", (1, 16, 4), "int8", 1 / 256, -128), half)
    flat = b.add("reshape", "flat", (part,), scaled("flat.y", (64,), "int8", 1 / 256, -128), {"shape": (64,)})
    wide = b.add("requantize", "up", (flat,), scaled("up.y", (64,)))
    bent = b.add("sigmoid", "sigmoid16", (wide,), scaled("sigmoid16.y", (64,), "int16", Q15))
    out = b.add("relu", "relu16", (bent,), scaled("relu16.y", (64,), "int16", Q15))
    return b.graph(("pcm",), (out,), ())


def moved_net(seed: int = 15) -> IntegerGraph:
    """What fusion makes views of: attention with transposes, columns of rows, a relu, a longer delay line."""
    b = Builder(seed)
    b.tensor(scaled("pcm", (64,), "int16", Q15))
    b.tensor(scaled("line", (3, 64), "int16", Q15))
    row = b.add("reshape", "row", ("pcm",), scaled("row.y", (1, 64), "int16", Q15), {"shape": (1, 64)})
    long = b.add("concat", "long", ("line", row), scaled("long.y", (4, 64), "int16", Q15), {"axis": 0})
    kept = {"axis": 0, "begin": 1, "end": 4}
    b.add("slice", "kept", (long,), scaled("kept.y", (3, 64), "int16", Q15), kept)
    flat = b.add("reshape", "flat", (long,), scaled("flat.y", (16, 16), "int16", Q15), {"shape": (16, 16)})
    heads = {}
    for name in ("query", "key", "value"):
        made = b.linear(name, flat, 8)
        split = scaled(f"{name}.split.y", (16, 2, 4))
        parted = b.add("reshape", f"{name}.split", (made,), split, {"shape": (16, 2, 4)})
        turned = scaled(f"{name}.turn.y", (2, 16, 4))
        heads[name] = b.add("transpose", f"{name}.turn", (parted,), turned, {"permutation": (1, 0, 2)})
    pair = (heads["query"], heads["key"])
    scores = b.add("batch_matmul", "scores", pair, scaled("scores.y", (2, 16, 16)), {"transpose_b": True})
    shares = b.add("softmax", "shares", (scores,), scaled("shares.y", (2, 16, 16), "int16", Q15))
    pair = (shares, heads["value"])
    mixed = b.add("batch_matmul", "mix", pair, scaled("mix.y", (2, 16, 4)), {"transpose_b": False})
    merged = b.add("transpose", "merge", (mixed,), scaled("merge.y", (16, 2, 4)), {"permutation": (1, 0, 2)})
    rows = b.add("reshape", "rows", (merged,), scaled("rows.y", (16, 8)), {"shape": (16, 8)})
    parts = []
    for index in (0, 1):
        columns = {"axis": 1, "begin": 4 * index, "end": 4 * index + 4}
        part = b.add("slice", f"part{index}", (rows,), scaled(f"part{index}.y", (16, 4)), columns)
        made = b.linear(f"fc{index}", part, 4)
        parts.append(b.add("relu", f"relu{index}", (made,), scaled(f"relu{index}.y", (16, 4))))
    total = b.add("sub", "sum", tuple(parts), scaled("sum.y", (16, 4)), {"activation": "none"})
    mask = b.add("tanh", "mask", (total,), scaled("mask.y", (16, 4), "int16", Q15))
    out = b.add("reshape", "out", (mask,), scaled("out.y", (64,), "int16", Q15), {"shape": (64,)})
    return b.graph(("pcm",), (out,), (State("line", "kept.y"),))


def forced_words(pattern: str, frames: int, gates: int) -> list[tuple[int, int]]:
    mask = (1 << gates) - 1
    if pattern == "cycle":
        words = [sum(((t + k) % 2 == 0) << k for k in range(gates)) for t in range(frames)]
    else:
        words = [mask if pattern == "max" else 0] * frames
    return [(0 if pattern == "learned" else mask, word) for word in words]


def expected(
    graph: IntegerGraph, frames: np.ndarray, forced: list[tuple[int, int]], biases: list[int]
) -> tuple[np.ndarray, list[int]]:
    """The same through the NumPy executor."""
    pipeline = Pipeline(graph)
    outputs, words = [], []
    for frame, (mask, value), bias in zip(frames, forced, biases, strict=True):
        pipeline.network.bias = bias
        chosen = np.array([bool(value >> k & 1) for k in range(graph.gates)]) if mask else None
        result, gates = pipeline.process(frame, chosen)
        outputs.append(result)
        words.append(sum(int(taken) << k for k, taken in enumerate(gates)))
    return np.array(outputs), words


@pytest.fixture(scope="module", params=[HOST, DSP], ids=["natural", "interleaved"])
def gated_program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target: CodeTarget = request.param
    return build_program(gated_net(), tmp_path_factory.mktemp("gated"), target)


@pytest.mark.parametrize("pattern", ["learned", "min", "max", "cycle"])
def test_a_gated_net_equals_the_executor(gated_program: Path, pattern: str) -> None:
    graph = gated_net()
    rng = np.random.default_rng(11)
    frames = rng.integers(-20000, 20000, (FRAMES, 64)).astype(np.int16)
    frames[:3] = [[-32768] * 64, [32767] * 64, [0] * 64]
    forced, biases = forced_words(pattern, FRAMES, 2), [0] * FRAMES
    outputs, words = run_program(gated_program, frames, forced, biases)
    wanted, wanted_words = expected(graph, frames, forced, biases)
    assert words == wanted_words
    np.testing.assert_array_equal(outputs, wanted)
    assert len(set(words)) > 1 or pattern in ("min", "max")


def test_the_other_operators_equal_the_executor(tmp_path: Path) -> None:
    graph = other_net()
    rng = np.random.default_rng(13)
    frames = rng.integers(-32768, 32768, (FRAMES, 64)).astype(np.int16)
    forced, biases = [(0, 0)] * FRAMES, [0] * FRAMES
    outputs, _ = run_program(build_program(graph, tmp_path), frames, forced, biases)
    np.testing.assert_array_equal(outputs, expected(graph, frames, forced, biases)[0])
    assert np.std(outputs) > 0


@pytest.mark.parametrize("target", [HOST, DSP], ids=["natural", "interleaved"])
def test_a_net_full_of_views_equals_the_executor(target: CodeTarget, tmp_path: Path) -> None:
    graph = moved_net()
    frames = np.random.default_rng(14).integers(-32768, 32768, (FRAMES, 64)).astype(np.int16)
    forced, biases = [(0, 0)] * FRAMES, [0] * FRAMES
    outputs, _ = run_program(build_program(graph, tmp_path, target), frames, forced, biases)
    np.testing.assert_array_equal(outputs, expected(graph, frames, forced, biases)[0])
    assert np.std(outputs) > 0


def test_the_bias_moves_the_gates_as_in_the_executor(gated_program: Path) -> None:
    graph = gated_net()
    rng = np.random.default_rng(12)
    frames = rng.integers(-9000, 9000, (FRAMES, 64)).astype(np.int16)
    biases = [int(value) for value in np.linspace(-32768, 32767, FRAMES)]
    forced = forced_words("learned", FRAMES, 2)
    outputs, words = run_program(gated_program, frames, forced, biases)
    wanted, wanted_words = expected(graph, frames, forced, biases)
    assert words == wanted_words and words[0] == 0 and words[-1] == 3
    np.testing.assert_array_equal(outputs, wanted)


def test_with_the_front_end_pcm_to_pcm(tmp_path: Path) -> None:
    b = Builder(3)
    frontend = FrontEnd(window=64, hop=32, bins=32)
    b.tensor(scaled("features", (32,), "int16", 2.0**-frontend.feature_fraction_bits))
    b.tensor(scaled("h", (1, 8), "int16", Q15))
    row = b.add("reshape", "row", ("features",), scaled("row.y", (1, 32)), {"shape": (1, 32)})
    gx, gh = b.linear("gru.input", row, 24), b.linear("gru.hidden", "h", 24)
    new = b.add("gru_update", "gru.update", (gx, gh, "h"), scaled("new", (1, 8), "int16", Q15))
    logits = b.linear("out", new, 32)
    mask = b.add("sigmoid", "mask", (logits,), scaled("mask.y", (1, 32), "int16", Q15))
    flat = b.add("reshape", "flat", (mask,), scaled("flat.y", (32,), "int16", Q15), {"shape": (32,)})
    graph = b.graph(("features",), (flat,), (State("h", new),)).replace(frontend=frontend)
    assert isinstance(graph, IntegerGraph)
    frames = np.random.default_rng(4).integers(-30000, 30000, (FRAMES, 32)).astype(np.int16)
    forced, biases = [(0, 0)] * FRAMES, [0] * FRAMES
    outputs, _ = run_program(build_program(graph, tmp_path), frames, forced, biases)
    np.testing.assert_array_equal(outputs, expected(graph, frames, forced, biases)[0])
    assert np.any(outputs)


def test_the_same_graph_gives_the_same_text() -> None:
    first = sources(design(gated_net(), DSP), Labels("board", "f" * 64))
    second = sources(design(gated_net(), DSP), Labels("board", "f" * 64))
    assert first == second


def test_one_changed_weight_is_seen(gated_program: Path) -> None:
    graph = gated_net()
    name = "gru.output.weight"
    changed = dict(graph.constants)
    changed[name] = changed[name].copy()
    changed[name][0, 0] ^= 1
    frames = np.random.default_rng(11).integers(-20000, 20000, (FRAMES, 64)).astype(np.int16)
    forced, biases = forced_words("max", FRAMES, 2), [0] * FRAMES
    outputs, _ = run_program(gated_program, frames, forced, biases)
    mutant = graph.replace(constants=changed)
    assert isinstance(mutant, IntegerGraph)
    assert np.any(outputs != expected(mutant, frames, forced, biases)[0])


def test_an_executor_runs_the_net_without_its_project() -> None:
    assert Executor(gated_net()).step(np.zeros(64, np.int16)).outputs[0].shape == (64,)
