"""Weights that are the leading part of another weight: the same integers, in flash once, read by strides."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from kernel_harness import DSP, HOST, assert_equal, compile_graph
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from quant.convert import quantize
from quant.errors import MissingTool
from quant.gates import GatePattern
from quant.graph import Graph, IntegerGraph
from quant.ops.linear import LEADING_OF
from quant.precision import PRESETS, genes
from quant.reference import Pipeline
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.design import design
from tinydsn.estimate.runner import HostRunner
from tinydsn.lowering import lower
from tinydsn.workflow.firmware import build_firmware, run_firmware
from tinydsn.workflow.models import Model

ROWS, COLUMNS, CHANNELS = 7, 14, 9
CUTS = [(4, 4), (2, 7), (5, 13), (CHANNELS, 6), (3, COLUMNS), (1, 2), (8, COLUMNS)]
"""Channels and columns of the parts: odd and even, with and without whole words."""
FILTERS = [2, 3, 6]
MVE = CodeTarget(dsp=True, mve=True)


class Cuts(nn.Module):
    """One layer over rows, and one convolution, whole and in parts; what they give meets in a last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Linear(COLUMNS, CHANNELS)
        self.filters = nn.Conv2d(2, 6, (1, 3), padding=(0, 1))
        results = CHANNELS + sum(channels for channels, _ in CUTS) + sum(FILTERS)
        self.last = nn.Linear(results, COLUMNS)

    def forward(self, frame: Tensor) -> Tensor:
        rows = frame.view(ROWS, COLUMNS)
        found = [self.whole(rows)]
        weight, bias = self.whole.weight, self.whole.bias
        for channels, columns in CUTS:
            found.append(torch.relu(linear(rows[:, :columns], weight[:channels, :columns], bias[:channels])))
        image = frame.view(1, 1, 49, 2)[:, :, :ROWS].permute(0, 3, 1, 2)
        for count in FILTERS:
            made = conv2d(image, self.filters.weight[:count], self.filters.bias[:count], 1, (0, 1))
            found.append(made.permute(0, 2, 3, 1).view(ROWS, count))
        return self.last(torch.cat(found, -1)).view(-1)


@cache
def network() -> Graph:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return lower(Cuts().eval(), torch.zeros(ROWS * COLUMNS))


@cache
def integer(precision: str) -> IntegerGraph:
    return quantize(network(), [samples()], PRESETS[precision])


def samples() -> np.ndarray:
    return np.random.default_rng(1).integers(-32768, 32768, 5 * ROWS * COLUMNS).astype(np.int16)


def weights(graph: IntegerGraph, target: CodeTarget) -> list[str]:
    """Names of the arrays of weights."""
    return [name for name in design(graph, target).arrays if name.endswith("_weight")]


@pytest.mark.parametrize("precision", ["w8a16", "w8a8", "w4a16"])
def test_parts_have_the_integers_of_the_whole(precision: str) -> None:
    graph = integer(precision)
    parts = [item for item in graph.operators() if LEADING_OF in item.attributes]
    assert len(parts) == len(CUTS) + len(FILTERS) - 1
    for part in parts:
        own, whole = graph.constants[part.inputs[1]], graph.constants[str(part.attributes[LEADING_OF])]
        np.testing.assert_array_equal(own, whole[tuple(slice(size) for size in own.shape)])
        scales = graph.tensors[str(part.attributes[LEADING_OF])].quantization.scale
        assert graph.tensors[part.inputs[1]].quantization.scale == scales[: len(own)]


@pytest.mark.parametrize("target", [HOST, DSP], ids=["natural", "interleaved"])
@pytest.mark.parametrize("precision", ["w8a16", "w8a8"])
def test_kernels_equal_the_reference(precision: str, target: CodeTarget) -> None:
    assert_equal(integer(precision), np.random.default_rng(0), target)


@pytest.mark.parametrize("precision", ["w8a16", "w8a8"])
def test_flash_holds_each_weight_once(precision: str) -> None:
    graph = integer(precision)
    once = {"tinydsn_whole_weight", "tinydsn_filters_2_weight", "tinydsn_last_weight"}
    assert set(weights(graph, HOST)) == set(weights(graph, MVE)) == once
    # kernels of convolutions take pairs of channels where those are stored in pairs
    assert set(weights(graph, DSP)) == {*once, "tinydsn_filters_1_weight"}
    cut = f"tinydsn_fully_connected_s{precision.removeprefix('w8a')}_cut"
    assert all(cut in compile_graph(graph, target).made.kernels for target in (HOST, DSP))


def test_packed_weights_are_stored_for_each_part() -> None:
    assert len(weights(integer("w5a16"), HOST)) == 3 + len(CUTS) + len(FILTERS) - 1


def test_parts_have_no_width_of_their_own() -> None:
    assert [name for name in genes(network()) if name.endswith(".weight")] == [
        "whole.weight",
        "filters_2.weight",
        "last.weight",
    ]


def test_the_evaluator_equals_the_reference() -> None:
    (found,) = HostRunner([samples()]).run(integer("w8a16"))
    np.testing.assert_array_equal(found.pcm, Pipeline(integer("w8a16")).run(samples()).pcm)


@pytest.mark.parametrize("board", ["mps2-an386", "mps3-an547"])
@pytest.mark.parametrize("precision", ["w8a16", "w8a8"])
def test_cores_equal_the_reference(precision: str, board: str, tmp_path: Path) -> None:
    graph = integer(precision)
    try:
        firmware = build_firmware(Model(graph, tmp_path / "net.tdsn", "0" * 64), board, tmp_path / "project")
    except MissingTool as error:
        pytest.skip(str(error))
    found = run_firmware(firmware, samples(), GatePattern("learned"))
    np.testing.assert_array_equal(found.pcm, Pipeline(graph).run(samples()).pcm)
