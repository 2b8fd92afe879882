"""Genes of a graph: what is free, what follows, what stays; genomes as names and bits."""

from __future__ import annotations

import numpy as np
import pytest

from quant.errors import ConfigError
from quant.graph import Branch, BranchOutput, Graph, Operator, State, Tensor
from quant.precision import check_names, genes
from tinydsn.search.genome import Follower, Gene, Space, homogeneous, policy_names, space_of


def graph() -> Graph:
    """x -> front.first -> relu -> reshape -> body.gru -> (gated: body.extra) -> out.mask; policy on x."""
    shapes = {"x": (1, 8), "f": (1, 8), "r": (1, 8), "s": (1, 8), "gx": (1, 12), "gh": (1, 12), "h": (1, 4)}
    shapes |= {"hn": (1, 4), "e": (1, 4), "g": (1, 4), "m": (1, 8), "p": (1, 1), "on": (), "t": (1, 4)}
    weights = {"wf": (8, 8), "wx": (12, 8), "wh": (12, 4), "we": (4, 4), "wm": (8, 4), "wp": (1, 8)}
    biases = {f"b{name}": (shape[0],) for name, shape in weights.items()}
    tensors = {name: Tensor(name, shape) for name, shape in (shapes | weights | biases).items()}
    constants = {name: np.ones(shape, np.float32) for name, shape in (weights | biases).items()}

    def linear(name: str, source: str, weight: str, result: str) -> Operator:
        return Operator(name, "fully_connected", (source, weight, f"b{weight}"), (result,))

    extra = (linear("body.extra", "hn", "we", "e"),)
    nodes = (
        linear("policy.head", "x", "wp", "p"),
        Operator("gate0", "gate", ("p",), ("on",)),
        linear("front.first", "x", "wf", "f"),
        Operator("relu", "relu", ("f",), ("r",)),
        Operator("reshape", "reshape", ("r",), ("s",)),
        linear("body.gru.input", "s", "wx", "gx"),
        linear("body.gru.hidden", "h", "wh", "gh"),
        Operator("body.gru.update", "gru_update", ("gx", "gh", "h"), ("hn",)),
        Branch("body.gated", 0, "on", extra, (BranchOutput("g", "e", "hold", "hn"),)),
        Operator("turn", "transpose", ("g",), ("t",)),
        linear("out.mask", "t", "wm", "m"),
    )
    return Graph("net", tensors, constants, ("x",), ("m",), (State("h", "hn"),), nodes)


def test_what_serves_only_gates_stays() -> None:
    assert policy_names(graph()) == {"policy.head", "gate0"}
    space = space_of(graph())
    assert dict(space.fixed) == {"policy.head.weight": 8, "policy.head": 16}
    asked = space_of(graph(), policy=True)
    assert not asked.fixed and {"policy.head", "policy.head.weight"} <= {gene.name for gene in asked.genes}


def test_moves_follow_what_they_move() -> None:
    space = space_of(graph())
    assert space.followers == (Follower("reshape", ("relu",)), Follower("turn", ("body.gru.update",)))
    genome = list(homogeneous(space, graph())["w8a16"])
    names = [gene.name for gene in space.genes]
    assert "reshape" not in names
    genome[names.index("relu")] = 8
    widths = space.widths(tuple(genome))
    assert (widths["reshape"], widths["turn"], widths["relu"]) == (8, 16, 8)


def test_matrices_of_a_gru_have_genes_of_their_own() -> None:
    groups = {gene.name: gene.group for gene in space_of(graph()).genes}
    assert groups["body.gru.input.weight"] == groups["body.gru.hidden.weight"] == "body/weights"
    assert groups["body.gru.input"] == "body/activations-wide" != groups["body.extra"]
    assert groups["h"] == "body/states" and groups["relu"] == "front/activations"


def test_a_genome_is_names_and_bits_and_back() -> None:
    space = space_of(graph())
    for name, genome in homogeneous(space, graph()).items():
        widths = space.widths(genome)
        assert set(widths) == set(genes(graph()))
        assert space.genome(widths) == genome
        table = space.precision(genome)
        check_names(table, graph())
        assert table.width("weights", "out.mask") == int(name[1])
        assert table.width("activations", "out.mask") == int(name[3:])
        assert table.width("weights", "policy.head") == 8
        assert all(len({genome[index] for index in members}) == 1 for members in space.groups)


def test_what_is_no_genome_of_the_space() -> None:
    space = Space((Gene("a.weight", (2, 3, 4), "a"), Gene("b", (8, 16), "b")))
    with pytest.raises(ConfigError) as caught:
        space.genome({"a.weights": 4, "b": 8})
    assert str(caught.value) == (
        "genome: lacks 'a.weight'; it has 'a.weights' (is the genome of another model, or of other options)"
    )
    with pytest.raises(ConfigError) as caught:
        space.genome({"a.weight": 5, "b": 8})
    assert str(caught.value) == "genome: a.weight = 5 (must be one of 2, 3, 4 bits)"


def test_a_space_has_a_name() -> None:
    one = Space((Gene("a.weight", (2, 3, 4), "a"),))
    assert one.digest == Space((Gene("a.weight", (2, 3, 4), "a"),)).digest
    assert one.digest != Space((Gene("a.weight", (2, 3), "a"),)).digest


def test_nothing_to_search() -> None:
    empty = Graph("empty", {"x": Tensor("x", (1,))}, {}, ("x",), ("x",), (), ())
    with pytest.raises(ConfigError) as caught:
        space_of(empty)
    assert str(caught.value) == "model 'empty' has no operator whose width could be searched"
