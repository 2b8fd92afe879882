"""Networks that answer with numbers: reference, evaluator and generated C agree bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quant.calibrate import calibrate
from quant.convert import convert
from quant.errors import ConfigError, GraphError, MissingTool
from quant.frontend import FrontEnd
from quant.graph import Graph, IntegerGraph
from quant.model_file import load, save
from quant.precision import PRESETS
from quant.reference import Pipeline
from tinydsn.codegen.board import load_board
from tinydsn.codegen.build import build
from tinydsn.codegen.design import check_interface
from tinydsn.codegen.project import generate
from tinydsn.emulation import run_host, run_qemu
from tinydsn.estimate.runner import HostRunner
from tinydsn.lowering import lower
from tinydsn.models.kinds import make_task_network
from tinydsn.models.predictor import PredictorConfig
from tinydsn.models.sequence import SequenceConfig
from tinydsn.models.task_network import TaskConfig
from tinydsn.search.evaluate import float_output
from tinydsn.tasks import TASKS, Task

HOP = 256


def pcm(frames: int, seed: int = 0) -> np.ndarray:
    """Noise whose level goes up and down; the last hop is not full."""
    rng = np.random.default_rng(seed)
    level = 2000 * (1 + np.sin(np.arange(frames * HOP) / 3000))
    return (level * rng.standard_normal(frames * HOP)).clip(-32768, 32767).astype(np.int16)[:-9]


def lowered(task: Task) -> Graph:
    torch.manual_seed(2)
    sizes: TaskConfig = SequenceConfig(task.name, task.outputs, task.answer)
    if task.network == "predictor":
        sizes = PredictorConfig(task.name, task.outputs, channels=9)
    network = make_task_network(sizes).eval()
    return lower(network.streaming(), torch.zeros(256), name=task.name)


def integer(task: Task, precision: str) -> IntegerGraph:
    graph = lowered(task)
    return convert(graph, calibrate(graph, [pcm(20)]), PRESETS[precision])


@pytest.mark.parametrize("precision", ["w8a16", "w4a8"])
@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_the_evaluator_equals_the_reference(task: Task, precision: str) -> None:
    graph, recordings = integer(task, precision), [pcm(12, 1), pcm(3, 2)]
    for wave, found in zip(recordings, HostRunner(recordings).run(graph), strict=True):
        expected = Pipeline(graph).run(wave).pcm
        np.testing.assert_array_equal(found.pcm, expected)
        assert expected.reshape(-1, HOP)[:, : task.outputs].any()
        assert not expected.reshape(-1, HOP)[:, task.outputs :].any()


@pytest.mark.parametrize("board", ["host", "mps2-an386", "mps3-an547"])
def test_firmware_equals_the_reference(board: str, tmp_path: Path) -> None:
    graph, wave = integer(TASKS["wake-phrases"], "w6a16"), pcm(40, 3)
    machine = load_board(board)
    try:
        project = generate(graph, machine, tmp_path / "project", model_sha256="")
        built = build(project.folder, machine)
        run = run_host(built.elf, wave) if machine.is_host else run_qemu(built.elf, machine, wave)
    except MissingTool as error:
        pytest.skip(str(error))
    np.testing.assert_array_equal(run.pcm, Pipeline(graph).run(wave).pcm)
    header = (project.folder / "include" / "tinydsn.h").read_text()
    assert "#define TINYDSN_OUTPUTS 7\n" in header
    assert "7 numbers in Q15 come out, no audio" in header
    frame = (project.folder / "src" / "tinydsn.c").read_text()
    assert "tinydsn_frontend_synthesis" not in frame
    # The test program never writes there, so no run shows that zeros are.
    assert "memset(out + TINYDSN_OUTPUTS, 0, (TINYDSN_HOP - TINYDSN_OUTPUTS) * sizeof *out);" in frame


def test_the_integer_network_is_near_the_float_network() -> None:
    graph, wave = lowered(TASKS["log-mel"]), pcm(20)
    wanted = float_output(graph, wave).pcm.astype(int)
    found = Pipeline(convert(graph, calibrate(graph, [wave]), PRESETS["w8a16"])).run(wave).pcm.astype(int)
    assert len(wanted) == len(found) == 20 * HOP and np.abs(wanted - found).max() < 700


def test_the_kind_of_front_end_stands_in_the_file(tmp_path: Path) -> None:
    graph = integer(TASKS["voice-activity"], "w8a16")
    save(graph, tmp_path / "voice.tdsn")
    again, _ = load(tmp_path / "voice.tdsn")
    assert again.frontend == FrontEnd(kind="stft-features")
    assert again.frontend.latency == 0 and FrontEnd().latency == 256


class Wide(torch.nn.Module):
    """Answers with more numbers than a hop has samples."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.frontend = FrontEnd(kind="stft-features")
        self.all = torch.nn.Linear(256, outputs)

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.all(frame))


def test_more_answers_than_samples_are_refused() -> None:
    lower(Wide(256), torch.zeros(256))
    with pytest.raises(ConfigError) as caught:
        lower(Wide(257), torch.zeros(256))
    assert str(caught.value) == (
        "the step's output has shape (257,) but a hop has 256 samples (must be at most as many elements)"
    )


def test_without_a_front_end_the_output_is_still_a_hop() -> None:
    graph = integer(TASKS["voice-activity"], "w8a16").replace(frontend=None)
    with pytest.raises(GraphError, match=r"is int16 of 1 elements \(must be int16 of 256\)"):
        check_interface(graph)
