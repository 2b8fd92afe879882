"""The evaluator on the host equals the integer reference, sample by sample and gate by gate."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed_net import HOP, integer, network, random_genome, ranges, samples

from quant.calibrate import Range, calibrate
from quant.convert import convert
from quant.gates import GatePattern, to_words
from quant.graph import Graph, IntegerGraph
from quant.precision import PRESETS, from_genome, genes
from quant.reference import Pipeline
from tinydsn.estimate import host
from tinydsn.estimate.numbers import NUMBERS
from tinydsn.estimate.program import translate
from tinydsn.estimate.runner import HostRunner

LINEAR = ("conv", "deep", "mix", "wide")


def check(graph: IntegerGraph, recordings: list[np.ndarray]) -> None:
    """Own gates from PCM to PCM."""
    found = HostRunner(recordings).run(graph)
    for pcm, outcome in zip(recordings, found, strict=True):
        expected = Pipeline(graph).run(pcm)
        np.testing.assert_array_equal(outcome.gates, expected.gates)
        np.testing.assert_array_equal(outcome.pcm, expected.pcm)


def recordings() -> list[np.ndarray]:
    """One with full-scale frames, one whose last hop is not full."""
    return [samples(12, 2).reshape(-1), samples(5, 3).reshape(-1)[: 4 * HOP + 7]]


@settings(max_examples=12, deadline=None)
@given(st.fixed_dictionaries({name: st.sampled_from(widths) for name, widths in genes(network()).items()}))
def test_every_genome_of_a_network_with_all_operators(genome: dict[str, int]) -> None:
    check(integer(genome), recordings())


@pytest.mark.parametrize("name", ["w8a16", "w2a8"])
@pytest.mark.parametrize("pattern", ["min", "max", "cycle"])
def test_gates_that_are_forced(name: str, pattern: str) -> None:
    graph, pcm = integer(PRESETS[name]), samples(9, 4).reshape(-1)
    forced = GatePattern(pattern).forced(9, graph.gates)
    assert forced is not None
    (found,) = host.run(translate(graph), graph, [host.analyse(graph, pcm)], [to_words(forced)])
    expected = Pipeline(graph).run(pcm, GatePattern(pattern))
    np.testing.assert_array_equal(found.gates, expected.gates)
    np.testing.assert_array_equal(found.pcm, expected.pcm)


@pytest.mark.parametrize(
    ("name", "operators", "kernel"), [("w8a8", LINEAR, "wide_s8"), ("w8a16", ("conv", "mix"), "wide_s16")]
)
def test_scales_that_rule_out_sums_of_32_bits(name: str, operators: tuple[str, ...], kernel: str) -> None:
    small: Mapping[str, Range] = {
        **ranges(),
        **{item: Range(-1e-3, 1e-3) for item in operators},
    }
    graph = convert(network(), small, PRESETS[name])
    assert kernel in kernels(translate(graph).words)
    check(graph, recordings())


def kernels(words: np.ndarray) -> set[str]:
    """Names of the kernels of a program."""
    names, found, at = {number: name for name, number in NUMBERS.items()}, set(), 0
    while at < len(words):
        found.add(names[int(words[at])])
        at += int(words[at + 1])
    return found


def test_a_changed_weight_is_heard() -> None:
    graph, pcm = integer(PRESETS["w8a16"]), samples(6, 5).reshape(-1)
    weight = graph.constants["wide.weight"].copy()
    weight[:, 0] ^= 1
    changed = replace(graph, constants={**graph.constants, "wide.weight": weight})
    (one,), (two,) = (HostRunner([pcm]).run(made) for made in (graph, changed))
    assert np.count_nonzero(one.pcm != two.pcm) > 0


def test_a_runner_goes_to_other_processes() -> None:
    graph = integer(random_genome(1))
    runner = HostRunner(recordings())
    first = runner.run(graph)
    second = pickle.loads(pickle.dumps(runner)).run(graph)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.pcm, two.pcm)


@pytest.fixture(scope="module")
def shipped() -> tuple[Graph, Mapping[str, Range], np.ndarray]:
    """The shipped network in float, its ranges, and a recording."""
    from tinydsn.profiling.signal import speech_like
    from tinydsn.workflow.quantization import float_graph

    graph, pcm = float_graph("dsn-s"), speech_like(40 * 256, 16000)
    return graph, calibrate(graph, [pcm]), pcm


@pytest.mark.parametrize("seed", range(3))
def test_the_shipped_network_behind_its_front_end(
    shipped: tuple[Graph, Mapping[str, Range], np.ndarray], seed: int
) -> None:
    graph, seen, pcm = shipped
    rng = np.random.default_rng(seed)
    genome = {name: int(rng.choice(widths)) for name, widths in genes(graph).items()}
    check(convert(graph, seen, from_genome(genome)), [pcm, pcm[3000:5100]])
