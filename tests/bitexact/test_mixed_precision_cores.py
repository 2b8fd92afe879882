"""Mixed widths on emulated cores: equal to the reference, and weights as many bytes as predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from mixed_net import integer, network, random_genome, samples

from quant.errors import MissingTool
from quant.gates import GatePattern
from quant.precision import PRESETS, Precision, genes
from quant.reference import Pipeline
from tinydsn.codegen.board import load_board
from tinydsn.codegen.build import WEIGHTS_SECTION
from tinydsn.codegen.weight_bytes import operator_weight_bytes, weight_bytes
from tinydsn.workflow.firmware import build_firmware, run_firmware
from tinydsn.workflow.models import Model

BOARDS = ("mps2-an386", "mps3-an547")
TABLES: dict[str, dict[str, int] | Precision] = {
    "first": random_genome(1),
    "bytes": {name: 8 for name in genes(network())},
    "w4a16": PRESETS["w4a16"],
}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", TABLES)
def test_equal_and_as_large_as_predicted(name: str, board: str, tmp_path: Path) -> None:
    graph = integer(TABLES[name])
    frames = samples(40).reshape(-1)
    try:
        firmware = build_firmware(
            Model(graph, tmp_path / "mixed.tdsn", "0" * 64), board, tmp_path / "project"
        )
    except MissingTool as error:
        pytest.skip(str(error))
    found = run_firmware(firmware, frames, GatePattern("learned"))
    wanted = Pipeline(graph).run(frames)
    np.testing.assert_array_equal(found.pcm, wanted.pcm)
    np.testing.assert_array_equal(found.gates, wanted.gates)
    with open(firmware.built.elf, "rb") as handle:
        linked = ELFFile(handle).get_section_by_name(WEIGHTS_SECTION)["sh_size"]  # type: ignore[no-untyped-call]
    assert weight_bytes(graph, load_board(board)) == linked == firmware.built.weights


def test_fewer_bits_take_as_much_less() -> None:
    """And of packed matrices scales too: 7 bytes a channel of int16 results instead of 12."""
    board = load_board("mps2-an386")
    sizes = {bits: operator_weight_bytes(integer(PRESETS[f"w{bits}a16"]), board) for bits in range(2, 9)}
    for bits in range(2, 8):
        assert sizes[8]["wide"] - sizes[bits]["wide"] == 12 * 32 * (8 - bits) // 8 + 5 * 32
    # 2x4 taps of one channel by 10 channels
    assert sizes[8]["conv"] - sizes[3]["conv"] == 80 * 5 // 8 + 5 * 10
