"""Every operator on two emulated cores, with SMLAD and with MVE, equals its NumPy meaning bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_kernels_graph import expected, forced_words, gated_net, moved_net, other_net

from quant.errors import TinydsnError
from quant.graph import IntegerGraph
from quant.ops import TABLE
from tinydsn.codegen.board import load_board
from tinydsn.codegen.build import build
from tinydsn.codegen.project import generate
from tinydsn.codegen.toolchain import find_compiler, find_qemu, static_library
from tinydsn.emulation import run_qemu

FRAMES = 24
ON_BITS = {"binary_conv2d", "step", "unpack"}
"""Have a net of their own in tests/emulator/test_operators_on_cores.py."""
NETS = {"gated": gated_net, "other": other_net, "moved": moved_net}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", ["mps2-an386", "mps2-an505", "mps3-an547"])
def test_operators_on_emulated_cores(name: str, net: str, tmp_path: Path) -> None:
    board, graph = load_board(name), NETS[net]()
    try:
        find_qemu(), find_compiler(board), static_library(board)
    except TinydsnError as error:
        pytest.skip(str(error))
    project = generate(graph, board, tmp_path / "project", model_sha256="0" * 64)
    elf = build(project.folder, board).elf
    frames = np.random.default_rng(17).integers(-32768, 32768, (FRAMES, 64)).astype(np.int16)
    frames[:3] = [[-32768] * 64, [32767] * 64, [0] * 64]
    for pattern in ("learned", "cycle"):
        forced = forced_words(pattern, FRAMES, graph.gates)
        words = None if pattern == "learned" else np.array([value for _, value in forced], np.uint32)
        found = run_qemu(elf, board, frames.reshape(-1), words)
        wanted, gates = expected(graph, frames, forced, [0] * FRAMES)
        np.testing.assert_array_equal(found.pcm.reshape(FRAMES, -1), wanted)
        if graph.gates:
            assert [int(np.packbits(row, bitorder="little")[0]) for row in found.gates] == gates


def test_the_nets_hold_every_operator_of_the_table() -> None:
    nets: list[IntegerGraph] = [make() for make in NETS.values()]
    assert {operator.kind for net in nets for operator in net.operators()} == set(TABLE) - ON_BITS
