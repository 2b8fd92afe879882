"""What a task's card notes of its firmware: bits, counted instructions, memory; and a metric's interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.errors import MissingTool
from quant.model_file import load
from tinydsn.codegen.board import load_board
from tinydsn.codegen.toolchain import find_compiler, find_qemu
from tinydsn.tasks import task_named
from tinydsn.workflow import verification
from tinydsn.workflow.models import pretrained_tasks
from tinydsn.workflow.task_table import DEVICE, REPLICATES, intervals, run_on_device

HOP = 256


@pytest.fixture
def tools() -> None:
    try:
        find_compiler(load_board(DEVICE))
        find_qemu()
    except MissingTool as error:
        pytest.skip(str(error))


@pytest.fixture
def recordings() -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(-4000, 4000, 2 * HOP).astype(np.int16) for seed in (0, 1)]


def shipped() -> Path:
    return pretrained_tasks()["voice-activity"].with_suffix(".tdsn")


def test_firmware_is_compared_and_counted(tools: None, recordings: list[np.ndarray]) -> None:
    found = run_on_device(load(shipped())[0], recordings)
    assert (found["board"], found["clips"], found["frames"]) == ("mps2-an386", 2, 4)
    assert (found["status"], found["reason"], found["differing_samples"]) == ("equal", "", 0)
    assert 50_000 < found["instructions"]["mean"] < 58_000 and found["memory"]["ram"] > 1000


def test_without_a_compiler_a_card_says_so(
    recordings: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*given: object, **named: object) -> None:
        raise MissingTool("arm-none-eabi-gcc is not there")

    monkeypatch.setattr(verification, "build_firmware", missing)
    found = run_on_device(load(shipped())[0], recordings)
    assert found["status"] == "skipped" and found["reason"] == "arm-none-eabi-gcc is not there"
    assert found["instructions"] is None and found["memory"] is None


def clip(told: float, true: float) -> tuple[np.ndarray, ...]:
    """One frame with an answer, a target and its weight."""
    return np.array([[told]]), np.array([[true]]), np.ones(1)


def test_intervals_hold_the_figure_and_leave_undefined_replicates_out() -> None:
    task = task_named("voice-activity")
    right, wrong = [clip(0.9, 1.0)] * 8 + [clip(0.1, 0.0)] * 8, [clip(0.2, 1.0)] * 2 + [clip(0.8, 0.0)] * 2
    found = intervals(task, right + wrong)
    assert set(found) == {"balanced_accuracy", "voice_found", "pause_found"} and REPLICATES >= 500
    for span in found.values():
        assert 0.4 < span["low"] < 0.8 < span["high"] <= 1.0
    few = intervals(task, [clip(0.9, 1.0), clip(0.1, 0.0)])
    assert few["balanced_accuracy"] == {"low": 1.0, "high": 1.0}
    assert list(intervals(task, [clip(0.9, 1.0)])) == ["voice_found"]
