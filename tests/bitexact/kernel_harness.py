"""Compiles the operator functions of a graph for the host and runs them in their planned memory."""

from __future__ import annotations

import ctypes
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.errors import TinydsnError
from quant.graph import Branch, BranchOutput, IntegerGraph, Operator, Quantization, State, Tensor
from quant.ops import definition
from quant.ops.base import QuantizeRequest
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.design import HEADER_BYTES, Design, check_interface, design
from tinydsn.codegen.templates import template_root
from tinydsn.codegen.writer import Labels, sources

HOST = CodeTarget()
DSP = CodeTarget(dsp=True)
"""Interleaved weights; on the host with -DTINYDSN_INTERLEAVED=1 and plain C for the instructions."""
FLAGS = ("-std=c99", "-O1", "-g", "-fPIC", "-Wall", "-Wextra", "-Werror")
SANITIZE = ("-fsanitize=undefined", "-fno-sanitize-recover=all")


@lru_cache(maxsize=1)
def cmsis() -> tuple[Path, tuple[str, ...]]:
    """Static library and include flags for shared objects of the host; skips without sources."""
    from tinydsn.codegen.toolchain import Core, cmsis_include_flags, static_library

    try:
        return static_library(Core("", ("-fPIC",))), cmsis_include_flags()
    except TinydsnError as error:
        pytest.skip(str(error))


@lru_cache(maxsize=4)
def kernel_objects(interleaved: bool) -> tuple[Path, ...]:
    """All kernels, compiled once with the undefined-behaviour sanitizer."""
    folder = Path(tempfile.mkdtemp(prefix="tinydsn-kernels-"))
    made = []
    for source in sorted((template_root() / "kernels").glob("*.c")):
        made.append(folder / f"{source.stem}.o")
        compile_c([*FLAGS, *SANITIZE, *_includes(interleaved), "-c", str(source), "-o", str(made[-1])])
    return tuple(made)


def _includes(interleaved: bool) -> list[str]:
    root = template_root()
    flags = [f"-I{root / 'runtime'}", f"-I{root / 'kernels'}", *cmsis()[1]]
    return [*flags, "-DTINYDSN_INTERLEAVED=1"] if interleaved else flags


def compile_c(arguments: list[str]) -> None:
    done = subprocess.run(["gcc", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass
class Compiled:
    """A shared library of a graph's operators, and the memory they work in."""

    made: Design
    library: ctypes.CDLL
    memory: ctypes.Array[ctypes.c_char]

    def _view(self, name: str) -> np.ndarray:
        place, tensor = self.made.plan.places[name], self.made.graph.tensors[name]
        base = HEADER_BYTES + (self.made.state_array if place.area == "arena" else 0) + place.offset
        return np.frombuffer(self.memory, np.dtype(tensor.dtype), tensor.size, base).reshape(tensor.shape)

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Write the graph's inputs, call every operator in order, read the outputs."""
        ctypes.memset(self.memory, 0x55, len(self.memory))
        for name, values in inputs.items():
            self._view(name)[...] = values
        for operator in self.made.graph.operators():
            if hasattr(self.library, self.made.functions[operator.name]):
                getattr(self.library, self.made.functions[operator.name])(self.memory)
        return [self._view(name).copy() for name in self.made.graph.outputs]


def compile_graph(graph: IntegerGraph, target: CodeTarget = HOST) -> Compiled:
    """Design, write and compile; operators only, without the frame."""
    made = design(graph, target)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in sources(made, Labels("host", "0" * 64)).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
        shared = folder / "operators.so"
        files = [str(folder / "src" / name) for name in ("tinydsn_operators.c", "tinydsn_weights.c")]
        objects = [str(path) for path in kernel_objects(target.interleaved)]
        includes = [f"-I{folder / 'include'}", *_includes(target.interleaved)]
        library = str(cmsis()[0])
        compile_c([*FLAGS, *SANITIZE, *includes, "-shared", *files, *objects, library, "-o", str(shared)])
        return Compiled(made, ctypes.CDLL(str(shared)), ctypes.create_string_buffer(made.context_bytes))


def one_operator(
    kind: str,
    inputs: list[Tensor],
    output: Tensor,
    attributes: Mapping[str, object],
    constants: Mapping[int, np.ndarray] | None = None,
    weight_bits: int = 8,
) -> IntegerGraph:
    """A graph of one operator, made integer by its own ``quantize``; ``constants`` are float operands."""
    constants = dict(constants or {})
    names = tuple(tensor.name for tensor in inputs)
    operator = Operator("op", kind, names, (output.name,), dict(attributes), "test.py:1")  # type: ignore[arg-type]
    request = QuantizeRequest(operator, tuple(inputs), (output,), constants, weight_bits)
    quantized = definition(kind).quantize(request)
    tensors = {t.name: t for i, t in enumerate(inputs) if i not in constants} | {output.name: output}
    tensors |= {name: tensor for name, (tensor, _) in quantized.constants.items()}
    values = {name: array for name, (_, array) in quantized.constants.items()}
    sources_ = tuple(t.name for i, t in enumerate(inputs) if i not in constants)
    return IntegerGraph("one", tensors, values, sources_, (output.name,), (), (quantized.operator,))


def reference(graph: IntegerGraph, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The operators' NumPy meaning."""
    values = {**graph.constants, **inputs}
    for operator in graph.operators():
        arguments = tuple(values[name] if name else None for name in operator.inputs)
        results = definition(operator.kind).reference(operator.attributes, arguments)
        values.update(zip(operator.outputs, results, strict=True))
    return [values[name] for name in graph.outputs]


def assert_equal(
    graph: IntegerGraph, rng: np.random.Generator, target: CodeTarget = HOST, runs: int = 8
) -> None:
    """C equals the reference on random integers, on small ones, and on the rims of the type."""
    compiled = compile_graph(graph, target)
    for run in range(runs):
        inputs = {name: random_integers(graph.tensors[name], rng, run) for name in graph.inputs}
        for found, expected in zip(compiled.run(inputs), reference(graph, inputs), strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=f"run {run}")


def random_integers(tensor: Tensor, rng: np.random.Generator, run: int) -> np.ndarray:
    """Values of a tensor: by ``run`` the lowest, the highest, both mixed, zeros, near zero, or anything."""
    dtype = np.dtype(tensor.dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if run in (0, 1, 3):
        return np.full(tensor.shape, (low, high, 0, 0)[run], dtype)
    if run == 2:
        return rng.choice(np.array([low, high], dtype), tensor.shape)
    if run == 4:
        return rng.integers(-3, 4, tensor.shape).astype(dtype)
    return rng.integers(low, high + 1, tensor.shape).astype(dtype)


def scaled(
    name: str, shape: tuple[int, ...], dtype: str = "int16", scale: float = 2.0**-12, zero: int = 0
) -> Tensor:
    """A tensor with one scale."""
    return Tensor(name, shape, dtype, Quantization((scale,), zero))  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def kernel_library(interleaved: bool) -> ctypes.CDLL:
    """All kernels in one shared object, to be called one by one."""
    objects = [str(path) for path in kernel_objects(interleaved)]
    shared = Path(objects[0]).parent / "kernels.so"
    compile_c([*SANITIZE, "-shared", *objects, str(cmsis()[0]), "-o", str(shared)])
    return ctypes.CDLL(str(shared))


class Builder:
    """Puts an integer graph together operator by operator, each made integer by its own ``quantize``."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[Operator | Branch] = []
        self.body: list[Operator] | None = None

    def tensor(self, made: Tensor) -> str:
        self.tensors[made.name] = made
        return made.name

    def add(
        self,
        kind: str,
        name: str,
        inputs: tuple[str, ...],
        output: Tensor,
        attributes: Mapping[str, object] | None = None,
        constants: Mapping[int, np.ndarray] | None = None,
    ) -> str:
        """Append an operator; float ``constants`` take the places of missing inputs."""
        constants = dict(constants or {})
        names = [*inputs, *(f"{name}.c{index}" for index in sorted(constants))]
        operands = [self.tensors.get(n) or scaled(n, constants[i].shape) for i, n in enumerate(names)]
        source = f"net.py:{len(self.nodes)}"
        given: dict[str, Any] = dict(attributes or {})
        operator = Operator(name, kind, tuple(names), (output.name,), given, source)
        request = QuantizeRequest(operator, tuple(operands), (output,), constants, 8)
        quantized = definition(kind).quantize(request)
        for key, (tensor, values) in quantized.constants.items():
            self.tensors[key], self.constants[key] = tensor, values
        (self.nodes if self.body is None else self.body).append(quantized.operator)
        return self.tensor(output)

    def linear(
        self, name: str, source: str, channels: int, scale: float = 2.0**-12, activation: str = "none"
    ) -> str:
        """A fully connected layer with random weights."""
        shape = self.tensors[source].shape
        weight = self.rng.standard_normal((channels, shape[-1])) * 2 / np.sqrt(shape[-1])
        output = scaled(f"{name}.y", (*shape[:-1], channels), self.tensors[source].dtype, scale)
        bias = self.rng.standard_normal(channels) / 4
        attributes = {"activation": activation}
        return self.add("fully_connected", name, (source,), output, attributes, {1: weight, 2: bias})

    def gate(self, name: str, logits: str, index: int, threshold: float = 0.0) -> str:
        """A predicate."""
        attributes = {"index": index, "threshold": threshold}
        return self.add("gate", name, (logits,), Tensor(name, (), "bool"), attributes)

    def begin(self) -> None:
        """Start the body of a branch."""
        self.body = []

    def end(self, name: str, gate: int, predicate: str, outputs: list[tuple[str, str]]) -> tuple[str, ...]:
        """Close it: pairs of (tensor of the body, held tensor or "" for zeros); the branch's tensors."""
        made = []
        for taken, held in outputs:
            tensor = replace(self.tensors[taken], name=f"{name}.{taken}")
            self.tensor(tensor)
            made.append(BranchOutput(tensor.name, taken, "hold" if held else "zero", held))
        assert self.body is not None
        self.nodes.append(Branch(name, gate, predicate, tuple(self.body), tuple(made)))
        self.body = None
        return tuple(output.tensor for output in made)

    def graph(
        self, inputs: tuple[str, ...], outputs: tuple[str, ...], states: tuple[State, ...]
    ) -> IntegerGraph:
        return IntegerGraph("net", self.tensors, self.constants, inputs, outputs, states, tuple(self.nodes))


PROGRAM = r"""
#include <stdio.h>
#include "tinydsn.h"

/* Frames of (mask, value, bias, PCM) in; frames of (gates, PCM) out. */
#include <stdlib.h>
int main(void)
{
    uint32_t forced[2];
    int16_t bias, in[TINYDSN_HOP], out[TINYDSN_HOP];
    tinydsn_t *ctx = tinydsn_init(malloc(tinydsn_size()));
    while (fread(forced, sizeof forced, 1, stdin) == 1 && fread(&bias, sizeof bias, 1, stdin) == 1
           && fread(in, sizeof in, 1, stdin) == 1) {
        tinydsn_force_gates(ctx, forced[0], forced[1]);
        tinydsn_set_bias(ctx, bias);
        tinydsn_process(ctx, in, out);
        uint32_t gates = tinydsn_gates(ctx);
        fwrite(&gates, sizeof gates, 1, stdout);
        fwrite(out, sizeof out, 1, stdout);
    }
    tinydsn_init((char *)ctx);
    free(ctx);
    return 0;
}
"""


def build_program(graph: IntegerGraph, folder: Path, target: CodeTarget = HOST) -> Path:
    """The whole project around `PROGRAM`, under the address and undefined-behaviour sanitizers."""
    check_interface(graph)
    made = design(graph, target)
    for path, text in sources(made, Labels("host", "0" * 64)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "main.c").write_text(PROGRAM)
    files = [*sorted((folder / "src").glob("*.c")), folder / "main.c"]
    files += [template_root() / "kernels" / f"{kernel}.c" for kernel in made.kernels]
    if graph.frontend:
        files += sorted((template_root() / "runtime").glob("*.c"))
    includes = [f"-I{folder / 'include'}", f"-I{folder / 'src'}", *_includes(target.interleaved)]
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    program = folder / "program"
    link = [str(cmsis()[0]), "-Wl,--gc-sections", "-o", str(program)]
    compile_c([*FLAGS, *sanitize, *includes, *map(str, files), *link])
    return program


def run_program(
    program: Path, frames: np.ndarray, forced: list[tuple[int, int]], biases: list[int]
) -> tuple[np.ndarray, list[int]]:
    """(output frames, gate words) of int16 ``frames`` [n, hop]."""
    sent = b"".join(
        struct.pack("<IIh", *gates, bias) + frame.astype("<i2").tobytes()
        for frame, gates, bias in zip(frames, forced, biases, strict=True)
    )
    done = subprocess.run([str(program)], input=sent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rows = np.frombuffer(done.stdout, np.uint8).reshape(len(frames), -1)
    words = [int(word) for word in np.ascontiguousarray(rows[:, :4]).view("<u4").reshape(-1)]
    return np.ascontiguousarray(rows[:, 4:]).view("<i2"), words
