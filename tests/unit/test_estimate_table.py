"""Cost tables: what is interpolated and what is not, what names a cost, and bytes of flash."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from convert_example import Builder, audio

from quant.calibrate import calibrate
from quant.convert import convert
from quant.errors import BoardError, MissingTool
from quant.graph import Graph, IntegerGraph
from quant.precision import PRESETS, from_genome, genes
from tinydsn.codegen.board import load_board
from tinydsn.codegen.build import build
from tinydsn.codegen.design import design
from tinydsn.codegen.kernels import code_target
from tinydsn.codegen.project import generate
from tinydsn.codegen.toolchain import find_compiler, find_qemu
from tinydsn.emulation import run_qemu
from tinydsn.estimate.keys import CostKey, _flat, operator_keys
from tinydsn.estimate.numbers import GROUPS, NUMBERS, kernels_header
from tinydsn.estimate.predict import MeasuredCost
from tinydsn.estimate.runner import HostRunner
from tinydsn.estimate.table import CostTable, open_table

BOARD = "mps2-an386"


def float_graph(seed: int) -> Graph:
    """A frame of 8 through three layers, activations and a sum."""
    builder = Builder(rng=np.random.default_rng(seed))
    first = builder.linear("first", "x", 24)
    gated = builder.add("sigmoid", "open", (builder.linear("gate", first, 24),))
    total = builder.add("add", "total", (first, gated))
    return builder.graph(builder.add("tanh", "out", (builder.linear("last", total, 8),)))


def graph(precision: str, seed: int = 11) -> IntegerGraph:
    """The same at one width."""
    made = float_graph(seed)
    return convert(made, calibrate(made, [audio()]), PRESETS[precision])


def keys(made: IntegerGraph) -> dict[str, CostKey]:
    """Keys on a Cortex-M4."""
    board = load_board(BOARD)
    try:
        find_compiler(board)
    except MissingTool as error:
        pytest.skip(str(error))
    return operator_keys(design(made, code_target(board)), board)


def table(path: Path) -> CostTable:
    """With one form at three sizes, and one cost of a single shape."""
    made = CostTable(load_board(BOARD), path)
    made.sizes["relu"] = {16: 100.0, 64: 200.0, 128: 360.0}
    made.entries["conv"] = 900.0
    return made


def test_costs_are_interpolated_between_measured_sizes(tmp_path: Path) -> None:
    made = table(tmp_path / "costs.json")
    assert made.lookup(CostKey("relu", 64)) == 200.0
    assert made.lookup(CostKey("relu", 40)) == 150.0
    assert made.lookup(CostKey("relu", 96)) == 280.0


def test_nothing_is_extrapolated(tmp_path: Path) -> None:
    made = table(tmp_path / "costs.json")
    outside = [CostKey("relu", 8), CostKey("relu", 129), CostKey("tanh", 64), CostKey("conv", 8)]
    assert made.missing([CostKey("conv"), *outside]) == outside


def test_a_table_is_stored_and_a_damaged_one_measured_again(tmp_path: Path) -> None:
    first = table(tmp_path / "costs.json")
    first.write()
    second = CostTable(first.board, first.path)
    second.read()
    assert (second.entries, second.sizes) == (first.entries, first.sizes)
    first.path.write_text("{")
    third = CostTable(first.board, first.path)
    third.read()
    assert (third.entries, third.sizes) == ({}, {})


def test_a_board_without_emulator_is_refused() -> None:
    with pytest.raises(BoardError) as caught:
        open_table(load_board("host"))
    assert str(caught.value) == (
        "host: instructions are counted in QEMU only, which does not have this board; "
        "choose one with an emulator (see `tinydsn boards`)"
    )


def test_weights_and_scales_do_not_name_a_cost() -> None:
    assert keys(graph("w8a16", 1)) == keys(graph("w8a16", 2))


def test_widths_and_shapes_do() -> None:
    wide, narrow, packed = keys(graph("w8a16")), keys(graph("w8a8")), keys(graph("w3a16"))
    assert all(wide[name] != narrow[name] for name in ("first", "gate", "last", "open"))
    assert {name for name in wide if wide[name] != packed[name]} == {"first", "gate", "last"}
    assert wide["first"] != wide["gate"]
    assert (wide["open"].size, wide["out"].size) == (24, 8)


def test_numbers_of_kernels_follow_the_groups() -> None:
    assert list(NUMBERS.values()) == list(range(len(NUMBERS)))
    header = kernels_header()
    for names in GROUPS.values():
        assert all(f"KERNEL_{name} = {NUMBERS[name]}," in header for name in names)


@pytest.mark.parametrize(("name", "genomes"), [(BOARD, 3), ("mps3-an547", 1)])
def test_mixed_genomes_are_predicted_from_homogeneous_ones(name: str, genomes: int, tmp_path: Path) -> None:
    """Instructions of whole models to 3 %; flash to the byte. Other weights and sound than were measured."""
    board, pcm = load_board(name), audio(seed=8)[: 8 * 200]
    try:
        find_compiler(board), find_qemu()
    except MissingTool as error:
        pytest.skip(str(error))
    costs = MeasuredCost(board)
    costs.table.path, costs.table.entries, costs.table.sizes = tmp_path / "costs.json", {}, {}
    costs.prepare([graph("w8a16", 1), graph("w3a8", 1)])
    for seed in range(genomes):
        made = mixed(seed)
        (found,) = HostRunner([pcm]).run(made)
        cost = costs.cost(made, found.gates)
        built = build(generate(made, board, tmp_path / f"{seed}", model_sha256="").folder, board)
        counts = run_qemu(built.elf, board, pcm).instructions
        assert counts is not None
        assert cost.instructions == pytest.approx(float(np.mean(counts)), rel=0.03)
        assert (cost.all_on, cost.flash) == (cost.instructions, built.weights)
    assert pickle.loads(pickle.dumps(costs)).table.board == board


def mixed(seed: int) -> IntegerGraph:
    """Random widths among those that were measured: 3 and 8, 8 and 16."""
    rng = np.random.default_rng(seed)
    whole = float_graph(2)
    widths = {name: [width for width in legal if width in (3, 8, 16)] for name, legal in genes(whole).items()}
    genome = {name: int(rng.choice(chosen)) for name, chosen in widths.items()}
    return convert(whole, calibrate(whole, [audio()]), from_genome(genome))


def test_places_and_steps_do_not_name_a_cost() -> None:
    values = {"a_row": 8, "a_batch": 256, "columns": 8, "packed": {"strip_place": 96, "group": 8}, "shift": 3}
    assert list(_flat(values)) == [
        ("a_batch", "0mod4"),
        ("a_row", "0mod4"),
        ("columns", "8"),
        ("packed.group", "8"),
    ]
