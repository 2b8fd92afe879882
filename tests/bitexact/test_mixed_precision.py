"""Any table of widths converts, runs, and C equals the reference: all operators, a GRU, gates."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_harness import DSP, HOST
from mixed_net import integer, network, quick_program, random_genome, run, samples

from quant.ops import TABLE
from quant.precision import PRESETS, Precision, genes
from quant.reference import Pipeline
from tinydsn.codegen.call import CodeTarget

FRAMES = 24


def check(genome: dict[str, int] | Precision, target: CodeTarget, folder: Path) -> set[int]:
    """The reference and C agree on all samples and gates; the gate words that occurred."""
    graph = integer(genome)
    frames = samples(FRAMES)
    found, words = run(quick_program(graph, folder, target), frames)
    wanted = Pipeline(graph).run(frames.reshape(-1))
    np.testing.assert_array_equal(found.reshape(-1), wanted.pcm)
    np.testing.assert_array_equal(words, wanted.gates @ (1 << np.arange(wanted.gates.shape[1])))
    assert np.std(found) > 0
    return {int(word) for word in words}


def test_the_network_has_every_kind_of_operator() -> None:
    kinds = {operator.kind for operator in network().operators()}
    of_bits = {"binary_conv2d", "step", "unpack"}  # without widths
    assert kinds == set(TABLE) - {"requantize"} - of_bits


@given(genome=st.fixed_dictionaries({name: st.sampled_from(bits) for name, bits in genes(network()).items()}))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_any_genome(genome: dict[str, int]) -> None:
    with TemporaryDirectory() as folder:
        check(genome, DSP if sum(genome.values()) % 2 else HOST, Path(folder))


@pytest.mark.parametrize("name", ["w2a8", "w3a16", "w5a8", "w7a16"])
@pytest.mark.parametrize("target", [HOST, DSP], ids=["natural", "interleaved"])
def test_homogeneous_tables(name: str, target: CodeTarget, tmp_path: Path) -> None:
    assert len(check(PRESETS[name], target, tmp_path)) > 1


def test_eight_bits_of_everything(tmp_path: Path) -> None:
    graph = integer({name: 8 for name in genes(network())})
    assert {tensor.dtype for name, tensor in graph.tensors.items() if name in ("h", "past")} == {"int8"}
    narrow = {name for name in graph.tensors if name.endswith(".narrow")}
    assert narrow == {"norm.narrow", "shares.narrow", "gru.update.narrow"}
    check({name: 8 for name in genes(network())}, HOST, tmp_path)


def test_another_width_of_one_matrix_changes_the_result() -> None:
    genome = random_genome(5) | {"gru.hidden.weight": 8}
    frames = samples(FRAMES).reshape(-1)
    first = Pipeline(integer(genome)).run(frames).pcm
    assert np.any(first != Pipeline(integer(genome | {"gru.hidden.weight": 2})).run(frames).pcm)
