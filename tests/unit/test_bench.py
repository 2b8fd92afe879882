"""The bench's rows, picture and choice of cases; the kernels themselves are measured in tests/bitexact."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from quant.errors import BoardError, ConfigError
from tinydsn.bench import KernelRow, ModelRow, as_json, bench
from tinydsn.bench.catalog import cases, matrix
from tinydsn.bench.measure import BOARDS, choose
from tinydsn.bench.picture import draw
from tinydsn.bench.program import program
from tinydsn.bench.rows import table_rows
from tinydsn.codegen.board import load_board
from tinydsn.codegen.kernels import code_target

ROWS = [
    KernelRow("fully_connected_16x8", "4x2 <1>", "cortex-m4", 8, 20, 30),
    KernelRow("fully_connected_16x8", "4x2 <1>", "cortex-m55", 8, 10, None),
]
MODEL = ModelRow("dsn-s", "cortex-m4", 100, 200, 17, 0.2)


def test_json_is_one_list_of_kernels_and_models() -> None:
    kernel = {"kernel": "fully_connected_16x8", "shape": "4x2 <1>", "macs": 8}
    assert as_json(ROWS, [MODEL]) == [
        {**kernel, "core": "cortex-m4", "ours": 20, "cmsis_nn": 30, "ratio": 0.6667},
        {**kernel, "core": "cortex-m55", "ours": 10, "cmsis_nn": None, "ratio": None},
        {
            **{"model": "dsn-s", "core": "cortex-m4", "ours": 100, "cmsis_nn": 200},
            **{"skipped_region": 17, "non_mac_share": 0.2},
        },
    ]


def test_the_table_gives_instructions_a_mac() -> None:
    first, second = table_rows(ROWS)
    assert (first["ours/MAC"], first["CMSIS-NN/MAC"]) == (2.5, 3.75)
    assert second["CMSIS-NN/MAC"] is None


def test_the_picture_has_a_bar_for_each_number() -> None:
    root = ElementTree.fromstring(draw(ROWS))
    bars = [node for node in root if node.tag.endswith("rect") and node.get("height") == "11"]
    assert len(bars) == 3
    widths = [float(bar.get("width", "0")) for bar in bars]
    assert widths[0] / widths[1] == pytest.approx(20 / 30, abs=0.01)
    assert "4x2 <1>" in "".join(root.itertext())


def test_cases_are_chosen_by_name() -> None:
    made = cases()
    assert {case.kernel for case in choose(made, ["conv2d_8x8"])} == {"conv2d_8x8"}
    assert choose(made, []) == made
    with pytest.raises(ConfigError) as caught:
        choose(made[:1], ["fully_connected_16x9"])
    assert str(caught.value) == (
        "unknown kernel 'fully_connected_16x9', did you mean 'fully_connected_16x8'? "
        "(must be fully_connected_16x8)"
    )


def test_a_case_has_both_sides_and_no_memory_in_common() -> None:
    case = matrix("fully_connected_16x8", 1, 12, 4)
    target = code_target(load_board(BOARDS[0]))
    ours, theirs = case.sides(target)
    assert "tinydsn_fully_connected_s16(" in ours.body and theirs is not None
    assert "arm_fully_connected_s16(" in theirs.body
    text = program(case, (ours, theirs))
    assert text.count("static const int16_t x0[12]") == 1 and text.count("TINYDSN_NOINLINE") == 2
    assert case.expected.dtype == np.int16 and case.macs == 48


def test_a_board_without_emulator_is_refused() -> None:
    with pytest.raises(BoardError) as caught:
        bench(cases()[:1], [load_board("host")])
    assert str(caught.value) == "host: QEMU does not have this board (its file has no table [qemu])"
