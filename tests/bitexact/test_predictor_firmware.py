"""The predictor of speech quality as firmware: reference, host and cores agree bit for bit."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from quant.calibrate import calibrate
from quant.convert import convert
from quant.errors import MissingTool
from quant.graph import IntegerGraph
from quant.precision import PRESETS
from quant.reference import Pipeline
from tinydsn.codegen.board import load_board
from tinydsn.codegen.build import build
from tinydsn.codegen.project import generate
from tinydsn.emulation import run_host, run_qemu
from tinydsn.lowering import lower
from tinydsn.models.predictor import Predictor, PredictorConfig

HOP = 256
FRAMES = 24


def wave(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level = 3000 * (1.1 + np.sin(np.arange(FRAMES * HOP) / 700))
    return (level * rng.standard_normal(FRAMES * HOP)).clip(-32768, 32767).astype(np.int16)


@lru_cache
def integer(precision: str) -> IntegerGraph:
    """40 channels: two words, the second in part."""
    torch.manual_seed(5)
    network = Predictor(PredictorConfig(channels=40)).train()
    with torch.no_grad():
        for _ in range(8):
            network(1.2 * torch.rand(2, 40, 256))
    graph = lower(network.eval().streaming(), torch.zeros(256), name="quality")
    return convert(graph, calibrate(graph, [wave(0)]), PRESETS[precision])


@pytest.mark.parametrize(
    ("board", "precision"),
    [("host", "w8a8"), ("mps2-an386", "w8a16"), ("mps3-an547", "w8a16")],
)
def test_firmware_equals_the_reference(board: str, precision: str, tmp_path: Path) -> None:
    graph, pcm, machine = integer(precision), wave(1), load_board(board)
    try:
        project = generate(graph, machine, tmp_path / "project", model_sha256="")
        built = build(project.folder, machine)
        run = run_host(built.elf, pcm) if machine.is_host else run_qemu(built.elf, machine, pcm)
    except MissingTool as error:
        pytest.skip(str(error))
    expected = Pipeline(graph).run(pcm).pcm
    np.testing.assert_array_equal(run.pcm, expected)
    assert len(np.unique(expected.reshape(-1, HOP)[:, 2])) > 3
