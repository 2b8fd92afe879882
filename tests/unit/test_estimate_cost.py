"""``tinydsn cost``: refusals in one line, and which models are measured for a genome."""

from __future__ import annotations

from pathlib import Path

import pytest
from convert_example import Builder, audio

from quant.calibrate import calibrate
from quant.graph import Graph, IntegerGraph
from quant.precision import PRESETS, Precision, from_genome
from tinydsn.cli import invoke
from tinydsn.codegen.board import load_board
from tinydsn.codegen.design import design
from tinydsn.codegen.kernels import code_target
from tinydsn.estimate.keys import operator_keys
from tinydsn.estimate.predict import MeasuredCost
from tinydsn.estimate.table import CostTable
from tinydsn.workflow.cost import homogeneous, predict


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Graph:
    """Two layers, in the place of whatever the command line names."""
    builder = Builder()
    builder.linear("second", builder.linear("first", "x", 12, activation="relu"), 8)
    graph = builder.graph("second")
    monkeypatch.setattr("tinydsn.workflow.quantization.float_graph", lambda target: graph)
    return graph


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error of a command that ends with 2."""
    assert invoke(["cost", *arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    return said[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"frist.weight": 4}',
            "error: precision genome: 'frist.weight' is no name of model 'hand-made', did you "
            "mean 'first.weight'? (is it the genome of another model?)",
        ),
        (
            '{"first.weight": 9}',
            "error: genome: first.weight = 9 (must be 2, 3, 4, 5, 6, 7 or 8 bits)",
        ),
    ],
)
def test_a_genome_that_is_wrong(
    text: str, message: str, network: Graph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "genome.json"
    path.write_text(text)
    assert refused(["net", "--precision", str(path), "--board", "mps2-an386"], capsys) == message


def test_a_board_that_does_not_count(network: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(["net", "--board", "host"], capsys) == (
        "error: host: instructions are counted in QEMU only, which does not have this board; choose one with "
        "an emulator (see `tinydsn boards`)"
    )


def test_homogeneous_models_hold_the_operators_of_a_genome(network: Graph) -> None:
    genome = from_genome({"first.weight": 3, "second.weight": 8, "first": 8, "second": 16})
    assert homogeneous(network, genome) == ["w8a16", "w8a8", "w3a16", "w3a8"]
    assert homogeneous(network, PRESETS["w5a8"]) == ["w5a8"]


def test_only_what_is_missing_is_measured(
    network: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[list[object]] = []

    def record(table: CostTable, graph: IntegerGraph) -> None:
        widths = {op.attributes.get("weight_bits", 8) for op in graph.operators()}
        built.append([*widths])
        table.entries["frame 0"] = 1.0
        for key in operator_keys(design(graph, code_target(table.board)), table.board).values():
            assert not key.size
            table.entries[key.form] = 100.0

    monkeypatch.setattr("tinydsn.estimate.table.record", record)
    monkeypatch.setattr("tinydsn.estimate.table._frame_name", lambda graph: "frame")
    costs = MeasuredCost(load_board("mps2-an386"))
    costs.table.path, costs.table.entries, costs.table.sizes = tmp_path / "costs.json", {}, {}
    ranges = calibrate(network, [audio()])
    mixed: Precision = from_genome({"first.weight": 3, "second.weight": 8})
    for _ in range(2):
        found = predict(costs, network, ranges, mixed, audio()[:160], lambda _: None)
    assert built == [[8], [3]]
    assert found.instructions == found.all_on == 1.0 + 2 * 100.0
