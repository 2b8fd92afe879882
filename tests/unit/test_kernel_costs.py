"""Costs of kernels: their words, their cache, and the lines of the generated header."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from quant.errors import BoardError, MissingTool
from quant.ops import TABLE
from tinydsn import api
from tinydsn.bench.case import Case
from tinydsn.bench.catalog import cases
from tinydsn.bench.elementwise import elementwise_cases
from tinydsn.bench.rows import KernelRow
from tinydsn.cli import invoke
from tinydsn.codegen.board import Board, load_board
from tinydsn.workflow import kernel_costs as costs
from tinydsn.workflow.kernel_costs import Cost, cache_path, header_lines, kernel_costs, kind_of, kinds_costs
from tinydsn.workflow.models import load_model

BOARD = "mps2-an386"


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache, and a bench that counts 10 instructions a case; returns the cases it was given."""
    calls: list[str] = []

    def bench(chosen: Sequence[Case], boards: Sequence[Board], progress: object = None) -> list[KernelRow]:
        calls.extend(case.kernel for case in chosen)
        return [KernelRow(case.kernel, case.shape, boards[0].core, case.macs, 10, None) for case in chosen]

    monkeypatch.setenv("TINYDSN_CACHE", str(tmp_path))
    monkeypatch.setattr(costs, "bench", bench)
    monkeypatch.setattr(costs, "cmsis_nn_version", lambda: "V.1")
    try:
        cache_path(load_board(BOARD))
    except MissingTool as error:
        pytest.skip(str(error))
    return calls


def test_every_case_belongs_to_a_kind() -> None:
    kinds = {kind_of(case.kernel) for case in (*cases(), *elementwise_cases())}
    assert kinds - {"gru"} <= set(TABLE)
    assert {"depthwise_conv2d", "layer_norm", "softmax", "batch_matmul"} <= kinds


def test_costs_in_words() -> None:
    rows = [
        Cost("conv2d", "conv2d_16x8", "a", "MAC", 100, 150, None),
        Cost("conv2d", "conv2d_16x8", "b", "MAC", 100, 250, 300),
        Cost("conv2d", "conv2d_8x8", "a", "MAC", 100, 200, 300),
        Cost("gru", "gru_16x8", "a", "MAC", 10, 20, None),
    ]
    assert kinds_costs(rows) == {
        "conv2d": "16x8: 1.5 to 2.5 a MAC; 8x8: 2 a MAC",
        "gru_update": "whole cell, 16x8: 2 a MAC",
    }


def test_measurements_are_kept(measured: list[str]) -> None:
    board = load_board(BOARD)
    assert kernel_costs(board, measure=False) is None and measured == []
    first = kernel_costs(board, measure=True)
    assert first is not None and len(measured) == len(first) == len(cases()) + len(elementwise_cases())
    assert all(cost.ours == 10 for cost in first)
    assert kernel_costs(board, measure=False) == kernel_costs(board, measure=True) == first
    assert len(measured) == len(first)


def test_only_missing_cases_are_measured(measured: list[str]) -> None:
    board = load_board(BOARD)
    kernel_costs(board, measure=True)
    measured.clear()
    rows = json.loads(cache_path(board).read_text())
    gone = next(key for key in rows if key.startswith("softmax"))
    del rows[gone]
    cache_path(board).write_text(json.dumps(rows))
    kernel_costs(board, measure=True)
    assert measured == ["softmax_int16"]


def test_other_sources_have_other_measurements(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    board = load_board(BOARD)
    before = cache_path(board)
    assert cache_path(load_board("mps3-an547")) != before
    monkeypatch.setattr(costs, "cmsis_nn_version", lambda: "V.2")
    assert cache_path(board) != before
    sources = list(costs._sources())
    assert {"tinydsn_layer_norm_s16.c", "kernels.py", "case.py"} <= {path.name for path in sources}
    monkeypatch.setattr(costs, "cmsis_nn_version", lambda: "V.1")
    monkeypatch.setattr(costs, "_sources", lambda: sources[1:])
    assert cache_path(board) != before


def test_ops_says_when_nothing_was_measured(measured: list[str], capsys: pytest.CaptureFixture) -> None:
    assert invoke(["ops", "--board", BOARD, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["costs"] == (
        f"not measured with these sources and this compiler: tinydsn ops --board {BOARD} --measure"
    )
    assert made["measurements"] == [] and all(row["cost"] is None for row in made["operators"])
    assert invoke(["ops", "--board", BOARD, "--measure", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["core"] == "cortex-m4" and made["measurements"][0]["ours"] == 10
    (norm,) = (row for row in made["operators"] if row["kind"] == "layer_norm")
    assert norm["cost"] == f"int16: {10 / 384:.3g} a result"


def test_what_cannot_be_measured_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert api.ops("host")["costs"] == (
        "host: QEMU does not have this board, so its kernels cannot be measured"
    )
    with pytest.raises(BoardError) as caught:
        kernel_costs(load_board("host"), measure=True)
    assert str(caught.value) == ("host: QEMU does not have this board, so nothing can be measured on it")
    assert invoke(["ops", "--measure"]) == 2
    assert capsys.readouterr().err == "error: --measure needs --board NAME (see `tinydsn boards`)\n"


def test_the_header_names_every_operator_with_its_kernel(measured: list[str]) -> None:
    graph, board = load_model("dsn-s").graph, load_board(BOARD)
    lines = header_lines(graph, board)
    assert lines[0] == f"Operators by kernel (not measured: tinydsn ops --board {BOARD} --measure):"
    kernel_costs(board, measure=True)
    text = "\n".join(header_lines(graph, board))
    assert text.startswith("Operators by kernel (instructions measured on cortex-m4):\n")
    assert f"  tinydsn_layer_norm_s16 ({10 / 384:.3g} a result): attention.norm" in text
    norms = [op.name for op in graph.operators() if op.kind in ("layer_norm", "softmax", "conv2d")]
    assert all(name in text for name in norms)
    assert max(map(len, text.splitlines())) <= costs.HEADER_WIDTH


def test_measured_kernels_are_right() -> None:
    """The cases of this file have the reference's result as their expectation."""
    for case in elementwise_cases():
        assert case.expected.size and np.count_nonzero(case.expected)
