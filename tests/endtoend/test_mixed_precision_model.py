"""The shipped network with another width for every operator: equal on every core, as large as predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.convert import quantize
from quant.errors import MissingTool
from quant.gates import GatePattern
from quant.graph import IntegerGraph
from quant.precision import from_genome, genes
from quant.reference import Pipeline
from tinydsn.codegen.board import load_board
from tinydsn.codegen.weight_bytes import weight_bytes
from tinydsn.workflow.firmware import build_firmware, run_firmware
from tinydsn.workflow.models import Model
from tinydsn.workflow.quantization import float_graph

HOP = 256
FRAMES = 40


@pytest.fixture(scope="module")
def mixed(noisy_speech: np.ndarray) -> IntegerGraph:
    """Widths drawn for all weights, results and states."""
    graph = float_graph("dsn-s")
    rng = np.random.default_rng(8)
    genome = {name: int(rng.choice(widths)) for name, widths in genes(graph).items()}
    return quantize(graph, [noisy_speech[: 30 * HOP]], from_genome(genome))


@pytest.mark.parametrize("board", ["host", "mps2-an386", "mps3-an547"])
def test_any_width_of_every_operator(
    mixed: IntegerGraph, noisy_speech: np.ndarray, tmp_path: Path, board: str
) -> None:
    bits = {operator.attributes.get("weight_bits") for operator in mixed.operators()}
    assert bits == {None, 2, 3, 4, 5, 6, 7, 8}
    try:
        firmware = build_firmware(Model(mixed, tmp_path, "0" * 64), board, tmp_path / "project")
    except MissingTool as error:
        pytest.skip(str(error))
    pcm = noisy_speech[: FRAMES * HOP]
    for pattern in (GatePattern("learned"), GatePattern("max")):
        found, wanted = run_firmware(firmware, pcm, pattern), Pipeline(mixed).run(pcm, pattern)
        np.testing.assert_array_equal(found.pcm, wanted.pcm)
        np.testing.assert_array_equal(found.gates, wanted.gates)
    if board != "host":
        assert weight_bytes(mixed, load_board(board)) == firmware.built.weights
