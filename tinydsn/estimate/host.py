"""The host's executor: one shared library for all networks behind a front end, and its calls."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from quant.errors import ToolchainError
from quant.frontend import FrontEnd
from quant.gates import from_words
from quant.graph import Graph
from quant.reference import hop_of, split_hops
from tinydsn.cache import cache_dir, locked, scratch_beside
from tinydsn.codegen.project import FRONTEND_FILES
from tinydsn.codegen.templates import render, template_root
from tinydsn.codegen.toolchain import Core, find_compiler
from tinydsn.estimate.numbers import kernels_header
from tinydsn.estimate.program import ALIGNMENT, Program

FLAGS = (
    "-O3",
    "-march=native",
    "-std=gnu11",
    "-w",
    "-fPIC",
    "-shared",
    "-Wl,-z,defs",
    "-DTINYDSN_INTERLEAVED=0",
)
AREAS = 4
KERNELS = (
    *("activation_s16", "activation_table", "add_s16", "add_s8", "batch_matmul_s16", "batch_matmul_s8"),
    *("clamp", "convolve_s16", "convolve_s16_wide", "convolve_s8", "copy", "depthwise_s16", "depthwise_s8"),
    *("fully_connected_s16", "fully_connected_s8", "gru_update_s16", "layer_norm_s16", "leaky_relu", "mul"),
    *("requantize", "softmax_s16", "table", "binary_conv2d", "bits"),
)
"""Files of ``firmware_templates/kernels`` that the executor calls."""


class _Network(ctypes.Structure):
    """tinydsn_host_network."""

    _fields_ = (
        ("words", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("areas", ctypes.c_void_p * AREAS),
        ("initial", ctypes.c_void_p),
        ("state_bytes", ctypes.c_int64),
        ("input", ctypes.c_int64),
        ("output", ctypes.c_int64),
        ("input_size", ctypes.c_int32),
        ("hop", ctypes.c_int32),
        ("answers", ctypes.c_int32),
    )


class _Clip(ctypes.Structure):
    """tinydsn_host_clip."""

    _fields_ = (
        ("frames", ctypes.c_int32),
        ("input", ctypes.c_void_p),
        ("spectra", ctypes.c_void_p),
        ("forced", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("gates", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Analysed:
    """A recording behind the front end, the same for every network.

    features: int16 [frames, inputs]. spectra: int32 [frames, window]. Without a front end the first is the
    PCM, the other is empty.
    """

    features: np.ndarray
    spectra: np.ndarray

    @property
    def frames(self) -> int:
        """Hops of the recording."""
        return len(self.features)


@dataclass(frozen=True)
class Outcome:
    """int16 ``pcm`` [frames * hop], of several channels the first one, and bool ``gates`` [frames, K]."""

    pcm: np.ndarray
    gates: np.ndarray


def analyse(graph: Graph, pcm: np.ndarray) -> Analysed:
    """What the front end of ``graph`` makes of int16 ``pcm`` from a reset state; the last hop is filled."""
    hops = split_hops(pcm, hop_of(graph))
    front = graph.frontend
    if front is None:
        return Analysed(hops, np.zeros((len(hops), 0), np.int32))
    features = np.empty((len(hops), front.bins), np.int16)
    spectra = np.empty((len(hops), front.window), np.int32)
    _library(front).tinydsn_host_analyse(
        _address(hops),
        ctypes.c_int32(len(hops)),
        *(_address(array) for array in (features, spectra)),
    )
    return Analysed(features, spectra)


def run(
    program: Program,
    graph: Graph,
    clips: Sequence[Analysed],
    forced: Sequence[np.ndarray] | None = None,
) -> list[Outcome]:
    """Every clip from a reset state, in one call of C. ``forced``: of each, uint32 gate words [frames]."""
    states, arena = _aligned(len(program.initial)), _aligned(program.arena)
    constants = _aligned(len(program.constants))
    constants[:] = program.constants
    areas = (ctypes.c_void_p * AREAS)(None, *(array.ctypes.data for array in (constants, states, arena)))
    network = _Network(
        program.words.ctypes.data,
        len(program.words),
        areas,
        program.initial.ctypes.data,
        len(program.initial),
        program.input,
        program.output,
        program.input_size,
        program.hop,
        0 if graph.frontend is None or graph.frontend.masks else graph.tensors[graph.outputs[0]].size,
    )
    pcm = [np.empty(clip.frames * program.hop, np.int16) for clip in clips]
    gates = [np.empty(clip.frames, np.uint32) for clip in clips]
    orders = [None] * len(clips) if forced is None else [row.astype(np.uint32) for row in forced]
    rows = (_Clip * len(clips))()
    for index, clip in enumerate(clips):
        order = orders[index]
        rows[index] = _Clip(
            clip.frames,
            clip.features.ctypes.data,
            clip.spectra.ctypes.data,
            None if order is None else order.ctypes.data,
            pcm[index].ctypes.data,
            gates[index].ctypes.data,
        )
    _library(graph.frontend).tinydsn_host_run(ctypes.byref(network), rows, ctypes.c_int32(len(clips)))
    pairs = zip(pcm, gates, strict=True)
    return [Outcome(wave, from_words(words, graph.gates)) for wave, words in pairs]


def _aligned(count: int) -> np.ndarray:
    """uint8 [count] zeros that start at a multiple of 64 bytes."""
    room = np.zeros(count + 4 * ALIGNMENT, np.uint8)
    start = -room.ctypes.data % (4 * ALIGNMENT)
    return room[start : start + count]


def _address(array: np.ndarray) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


@lru_cache(maxsize=4)
def _library(front: FrontEnd | None) -> ctypes.CDLL:
    return ctypes.CDLL(str(library(front)))


def library(front: FrontEnd | None) -> Path:
    """The shared library for networks behind ``front``, compiled once into the cache for each content of the
    sources and compiler. Raises ToolchainError when it does not compile, MissingTool without a compiler."""
    compiler = find_compiler(Core(""))
    texts = {"tinydsn_host_kernels.h": kernels_header()}
    if front is not None:
        from quant.frontend.tables import c_tables

        tables = c_tables(front)
        for name in ("tinydsn_frontend_tables.c", "tinydsn_frontend_tables.h"):
            texts[name] = render(f"{name}.j2", tables)
    root = template_root()
    files = [*sorted((root / "kernels").glob("*.h")), *sorted((root / "host").glob("*.[ch]"))]
    files += [root / "kernels" / f"tinydsn_{name}.c" for name in KERNELS]
    files += [root / "runtime" / "tinydsn_port.h"]
    files += [root / "runtime" / name for name in FRONTEND_FILES] if front is not None else []
    texts |= {path.name: path.read_text(encoding="utf-8") for path in files}
    digest = hashlib.sha256(repr((compiler.banner, FLAGS, _processor(), sorted(texts.items()))).encode())
    made = cache_dir() / "evaluators" / f"libtinydsn_host_{digest.hexdigest()[:16]}.so"
    if not made.is_file():
        with locked(made):
            if not made.is_file():
                _compile(str(compiler.path), front is not None, texts, made)
    return made


def _processor() -> str:
    """What ``-march=native`` depends on, so that a cache on a shared disk serves each kind of machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return os.uname().machine
    return next((line for line in lines if line.startswith(("flags", "Features"))), os.uname().machine)


def _compile(compiler: str, front: bool, texts: dict[str, str], made: Path) -> None:
    with scratch_beside(made) as scratch:
        for name, text in texts.items():
            (scratch / name).write_text(text, encoding="utf-8")
        sources = sorted(str(scratch / name) for name in texts if name.endswith(".c"))
        built = scratch / "library"
        define = f"-DTINYDSN_HOST_FRONTEND={int(front)}"
        command = [compiler, *FLAGS, define, f"-I{scratch}", *sources, "-o", str(built)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise ToolchainError(f"compiling the evaluator failed: {lines[0] if lines else 'no message'}")
        os.replace(built, made)
