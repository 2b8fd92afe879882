"""Precision tables: presets, files, genomes and back, what is refused, and the scale below 8 bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from convert_example import FRAME, Builder, audio

from quant.calibrate import calibrate
from quant.convert import convert, quantize
from quant.errors import ConfigError
from quant.graph import Graph
from quant.model_file import to_bytes
from quant.ops.linear import quantize_weights
from quant.precision import (
    PRESETS,
    Precision,
    Rule,
    check_names,
    from_genome,
    genes,
    genome_of,
    legal_names,
    load_precision,
    to_toml,
)


def gru_and_softmax() -> Graph:
    build = Builder()
    build.add("reshape", "row", ("x",), shape=(1, FRAME))
    build.state("h", (1, 6))
    build.linear("gru.input", "row", 18, 3.0)
    build.linear("gru.hidden", "h", 18)
    build.add("gru_update", "gru.update", ("gru.input", "gru.hidden", "h"))
    build.update("h", "gru.update")
    build.add("softmax", "shares", (build.linear("scores", "gru.update", 6),))
    build.linear("out", "shares", FRAME)
    return build.graph("out")


def test_presets_have_every_width() -> None:
    assert len(PRESETS) == 14
    assert PRESETS["w4a8"] == Precision("w4a8", weights=4, activations=8, states=16)
    assert load_precision("w3a16").weights == 3


def test_genes_are_weights_results_and_states() -> None:
    found = genes(gru_and_softmax())
    assert found["gru.hidden.weight"] == (2, 3, 4, 5, 6, 7, 8)
    assert found["gru.hidden"] == found["gru.update"] == found["shares"] == found["h"] == (8, 16)
    assert "shares.weight" not in found
    assert legal_names(gru_and_softmax())["states"] == ("h",)


@pytest.mark.parametrize("name", ["w8a8", "w8a16", "w3a8", "mixed"])
def test_a_whole_genome_gives_the_same_integers(name: str) -> None:
    graph = gru_and_softmax()
    ranges = calibrate(graph, [audio()])
    mixed = Precision("mixed", states=8, rules=(Rule("gru.*", weights=5), Rule("shares", activations=8)))
    table = mixed if name == "mixed" else PRESETS[name]
    genome = genome_of(table, graph)
    assert set(genome) == set(genes(graph))
    again = convert(graph, ranges, from_genome(genome))
    assert to_bytes(again) == to_bytes(convert(graph, ranges, table))


def test_a_rule_narrows_the_result_of_an_operator_of_sixteen_bits() -> None:
    graph = gru_and_softmax()
    made = quantize(graph, [audio()], Precision("mixed", rules=(Rule("shares", activations=8),)))
    readers = {operator.name: operator.inputs[0] for operator in made.operators()}
    assert readers["shares.narrow"] == "shares" and made.tensors["shares.narrow"].dtype == "int8"
    assert readers["out"] == "shares.narrow.requantize"


def test_the_state_of_a_narrow_update_keeps_its_own_width() -> None:
    graph = gru_and_softmax()
    made = quantize(graph, [audio()], Precision("mixed", rules=(Rule("gru.update", activations=8),)))
    assert made.states[0].next == "gru.update" and made.tensors["h"].dtype == "int16"
    readers = {operator.name: operator.inputs[0] for operator in made.operators()}
    assert readers["scores"].startswith("gru.update.narrow")


def test_tables_and_genomes_survive_their_text(tmp_path: Path) -> None:
    table = Precision("t", 4, 8, 16, (Rule("a.*", weights=2), Rule('b"[c]', activations=16, states=8)))
    genome = from_genome({"a.weight": 3, "b[0]": 8, "h": 16}, "g")
    for value in (table, genome, Precision("t")):
        path = tmp_path / f"{value.name}.toml"
        path.write_text(to_toml(value))
        assert load_precision(str(path)) == value
    path = tmp_path / "g.json"
    path.write_text(json.dumps({"a.weight": 3, "b[0]": 8, "h": 16}))
    assert load_precision(str(path)) == genome


def test_genes_are_exact_names_and_patterns_are_not() -> None:
    table = from_genome({"a[0]": 8})
    assert table.width("activations", "a[0]") == 8 and table.width("activations", "a0") == 16
    assert replace(table, genome=False).width("activations", "a0") == 8


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            from_genome({"gru.inptu.weight": 4}, "mine"),
            "precision mine: 'gru.inptu.weight' is no name of model 'hand-made', "
            "did you mean 'gru.input.weight'? (is it the genome of another model?)",
        ),
        (
            from_genome({"shares.weight": 4}, "mine"),
            "precision mine: 'shares.weight' is no name of model 'hand-made', did you mean 'scores.weight'? "
            "(is it the genome of another model?)",
        ),
        (
            Precision("mine", rules=(Rule("shares", weights=4),)),
            "precision mine: pattern 'shares' matches no operator with weights, did you mean 'scores'?",
        ),
        (
            Precision("mine", rules=(Rule("gru.state", states=8),)),
            "precision mine: pattern 'gru.state' matches no state (names look like h)",
        ),
        (
            Precision("mine", rules=(Rule("gru.updat", activations=8, states=8),)),
            "precision mine: pattern 'gru.updat' matches no operator or state, did you mean 'gru.update'?",
        ),
    ],
)
def test_names_that_are_not_there(table: Precision, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_names(table, gru_and_softmax())
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.json", '{"out.weight": 9}', "g: out.weight = 9 (must be 2, 3, 4, 5, 6, 7 or 8 bits)"),
        ("g.json", '{"out": 4}', "g: out = 4 (must be 8 or 16 bits)"),
        ("g.json", '{"out": true}', "g: out = True (must be 8 or 16 bits)"),
        ("g.json", "[1]", 'must be an object of names and bits, such as {"first.weight": 4}'),
        ("g.json", "{", "not a JSON file: "),
        ("g.toml", '"out.weight" = 1', "g: out.weight = 1 (must be 2, 3, 4, 5, 6, 7 or 8 bits)"),
    ],
)
def test_files_that_are_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_precision(str(tmp_path / name))
    assert message in str(caught.value)


def error(weight: np.ndarray, bits: int, peak: bool) -> float:
    """Squared error of quantized normal weights; ``peak``: with the scale of the largest."""
    top = 2 ** (bits - 1) - 1
    if peak:
        scale = np.max(np.abs(weight), axis=1, keepdims=True) / top
        values = np.clip(np.round(weight / scale), -top, top)
    else:
        values, scales = quantize_weights(weight, 0, bits, np.zeros(len(weight)), 1.0)
        scale = np.array(scales)[:, None]
        assert values.min() >= -top and values.max() <= top
    return float(np.sum((weight - scale * values) ** 2))


def test_the_scale_of_least_squares_helps_below_eight_bits() -> None:
    weight = np.random.default_rng(1).normal(size=(40, 96))
    ratios = {bits: error(weight, bits, False) / error(weight, bits, True) for bits in range(2, 9)}
    assert ratios[8] == pytest.approx(1.0, abs=1e-6)
    assert ratios[2] < 0.4 and ratios[3] < 0.7 and ratios[4] < 0.9
    assert all(ratios[bits] < 0.97 for bits in (5, 6, 7))


def test_two_bits_are_minus_one_zero_and_one() -> None:
    weight = np.array([[0.9, -1.1, 0.05, 1.0], [0.0, 0.0, 0.0, 0.0]])
    values, scales = quantize_weights(weight, 0, 2, np.zeros(2), 0.5)
    assert values.tolist() == [[1, -1, 0, 1], [0, 0, 0, 0]]
    assert scales == (1.0, 0.5)
