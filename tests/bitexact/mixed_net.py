"""A small float network with every operator kind, a GRU and two gates, at any precision."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from kernel_harness import FLAGS, PROGRAM, SANITIZE, _includes, cmsis, compile_c, kernel_objects

from quant import ops
from quant.calibrate import Range, calibrate
from quant.convert import convert
from quant.graph import Branch, BranchOutput, Graph, IntegerGraph, Node, Operator, State, Tensor, check
from quant.precision import Precision, from_genome, genes
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.design import design
from tinydsn.codegen.writer import Labels, sources

HOP = 64


class Sketch:
    """Collects a float graph of one input of HOP samples."""

    def __init__(self) -> None:
        self.tensors = {"pcm": Tensor("pcm", (HOP,))}
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[Node] = []
        self.body: list[Operator] | None = None
        self.rng = np.random.default_rng(3)

    def add(self, kind: str, name: str, inputs: tuple[str, ...], **attributes: Any) -> str:
        shapes = [self.tensors[item].shape if item else () for item in inputs]
        (shape,) = ops.definition(kind).infer(shapes, attributes)
        self.tensors[name] = Tensor(name, shape, "bool" if kind == "gate" else "float32")
        operator = Operator(name, kind, inputs, (name,), attributes, "mixed.py:1")
        (self.nodes if self.body is None else self.body).append(operator)
        return name

    def weighted(self, kind: str, name: str, source: str, shape: tuple[int, ...], **attributes: Any) -> str:
        """An operator with random weights of ``shape`` and biases."""
        channels = shape[-1] if kind == "depthwise_conv2d" else shape[0]
        taps = int(np.prod(shape)) // channels
        self.constants[f"{name}.w"] = self.rng.normal(size=shape) * 1.2 / np.sqrt(taps)
        self.constants[f"{name}.b"] = self.rng.normal(size=channels) / 8
        for end in "wb":
            self.tensors[f"{name}.{end}"] = Tensor(f"{name}.{end}", self.constants[f"{name}.{end}"].shape)
        return self.add(kind, name, (source, f"{name}.w", f"{name}.b"), **attributes)

    def linear(self, name: str, source: str, channels: int, **attributes: Any) -> str:
        shape = (channels, self.tensors[source].shape[-1])
        return self.weighted("fully_connected", name, source, shape, **attributes)

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants[name], self.tensors[name] = values, Tensor(name, values.shape)
        return name

    def end(self, name: str, gate: int, predicate: str, *outputs: tuple[str, str]) -> tuple[str, ...]:
        """Close a branch: (tensor of the body, held tensor or "" for zeros)."""
        made = tuple(
            BranchOutput(f"{name}.{taken}", taken, "hold" if held else "zero", held)
            for taken, held in outputs
        )
        for item in made:
            self.tensors[item.tensor] = Tensor(item.tensor, self.tensors[item.taken].shape)
        assert self.body is not None
        self.nodes.append(Branch(name, gate, predicate, tuple(self.body), made))
        self.body = None
        return tuple(item.tensor for item in made)


@lru_cache(maxsize=1)
def network() -> Graph:
    """HOP samples in and out; see the operators' names."""
    s = Sketch()
    s.tensors["h"] = Tensor("h", (2, 12))
    s.tensors["past"] = Tensor("past", (1, HOP))
    row = s.add("reshape", "row", ("pcm",), shape=(1, HOP))
    policy = s.linear("policy", row, 2)
    first = s.add("gate", "gate0", (policy,), index=0, threshold=0.0)
    second = s.add("gate", "gate1", (policy,), index=1, threshold=0.0)
    both = s.add("concat", "both", ("past", row), axis=0)
    image = s.add("reshape", "image", (both,), shape=(2, HOP, 1))
    around = {"dilation": (1, 1), "padding": (0, 0, 1, 1)}
    conv = s.weighted("conv2d", "conv", image, (10, 2, 4, 1), stride=(1, 4), activation="none", **around)
    leaky = s.add("leaky_relu", "leaky", (conv,), alpha=0.2)
    padded = s.add("pad", "pad", (leaky,), before=(1, 0, 0), after=(1, 0, 0))
    deep = s.weighted(
        "depthwise_conv2d", "deep", padded, (3, 3, 10), stride=(1, 1), activation="relu", **around
    )
    tall = s.add("reshape", "tall", (deep,), shape=(16, 10))
    curve = s.add("table", "silu", (s.linear("mix", tall, 12),), function="silu")
    s.constant("gamma", np.linspace(0.5, 1.5, 12)), s.constant("beta", np.linspace(-0.3, 0.3, 12))
    norm = s.add("layer_norm", "norm", (curve, "gamma", "beta"), epsilon=1e-5)
    s.body = []
    scores = s.add("batch_matmul", "scores", (norm, norm), transpose_b=True)
    shares = s.add("softmax", "shares", (scores,))
    attended = s.add("batch_matmul", "attend", (shares, norm), transpose_b=False)
    (seen,) = s.end("attention", 0, first, (attended, ""))
    total = s.add("add", "sum", (norm, seen))
    few = s.add("slice", "few", (total,), axis=0, begin=2, end=4)
    s.body = []
    gx, gh = s.linear("gru.input", few, 36), s.linear("gru.hidden", "h", 36)
    new = s.add("gru_update", "gru.update", (gx, gh, "h"))
    grown = s.add("add", "grown", (few, s.linear("gru.output", new, 12)))
    core, state = s.end("recurrence", 1, second, (grown, few), (new, "h"))
    bent = s.add("mul", "bent", (core, s.add("sigmoid", "open", (core,))))
    less = s.add("relu", "less", (s.add("sub", "less.sub", (bent, core)),))
    wide = s.linear("wide", less, 32)
    turned = s.add("transpose", "turned", (wide,), permutation=(1, 0))
    flat = s.add("reshape", "flat", (turned,), shape=(HOP,))
    out = s.add("tanh", "out", (flat,))
    states = (State("h", state), State("past", row))
    made = Graph("mixed", s.tensors, s.constants, ("pcm",), (out,), states, tuple(s.nodes))
    check(made)
    return made


def samples(frames: int, seed: int = 0) -> np.ndarray:
    """int16 [frames, HOP]: noise with a slow envelope, and frames at the rims of the type."""
    rng = np.random.default_rng(seed)
    level = 0.05 + 0.6 * np.sin(np.linspace(0, 7, frames)) ** 2
    values = np.clip(rng.normal(size=(frames, HOP)) * level[:, None] * 16384, -32768, 32767)
    values[:2] = [[-32768], [32767]]
    return values.astype(np.int16)


@lru_cache(maxsize=1)
def ranges() -> Mapping[str, Range]:
    """Calibrated on frames without the rims."""
    return calibrate(network(), [samples(80, 1)[2:].reshape(-1)])


def integer(genome: Mapping[str, int] | Precision) -> IntegerGraph:
    """The network at a precision."""
    table = genome if isinstance(genome, Precision) else from_genome(genome)
    return convert(network(), ranges(), table)


def random_genome(seed: int) -> dict[str, int]:
    """A width for every gene."""
    rng = np.random.default_rng(seed)
    return {name: int(rng.choice(widths)) for name, widths in genes(network()).items()}


def quick_program(graph: IntegerGraph, folder: Path, target: CodeTarget) -> Path:
    """The whole project around the harness's program, with kernels that are compiled once."""
    for path, text in sources(design(graph, target), Labels("host", "0" * 64)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "main.c").write_text(PROGRAM)
    files = [*sorted((folder / "src").glob("*.c")), folder / "main.c", *kernel_objects(target.interleaved)]
    includes = [f"-I{folder / 'include'}", f"-I{folder / 'src'}", *_includes(target.interleaved)]
    program = folder / "program"
    compile_c([*FLAGS, *SANITIZE, *includes, *map(str, files), str(cmsis()[0]), "-o", str(program)])
    return program


def run(program: Path, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(output frames, gate words) with learned gates."""
    words = np.zeros((len(frames), 10), np.uint8)
    sent = np.concatenate([words, frames.astype("<i2").view(np.uint8)], axis=1).tobytes()
    done = subprocess.run([str(program)], input=sent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rows = np.frombuffer(done.stdout, np.uint8).reshape(len(frames), -1)
    gates = np.ascontiguousarray(rows[:, :4]).view("<u4").reshape(-1)
    return np.ascontiguousarray(rows[:, 4:]).view("<i2"), gates
