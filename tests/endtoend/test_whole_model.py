"""The shipped model on every board: firmware equals the reference, bit for bit, and mutations do not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.errors import MissingTool
from quant.gates import PATTERNS, GatePattern
from quant.model_file import to_bytes
from quant.reference import Enhanced, Pipeline
from tinydsn.codegen.board import board_names, load_board
from tinydsn.codegen.build import build
from tinydsn.profiling import profile_firmware
from tinydsn.profiling.data import RUNTIME
from tinydsn.workflow.firmware import Firmware, build_firmware, run_firmware
from tinydsn.workflow.models import Model
from tinydsn.workflow.verification import compare, verify_model

HOP = 256
MOST_INSTRUCTIONS_TO_SKIP = 20
MOST_INSTRUCTIONS_TO_CALL = 12
"""Of the runtime between two steps of a frame: passing the context and the call itself."""


def built(model: Model, board: str, folder: Path) -> Firmware:
    try:
        return build_firmware(model, board, folder)
    except MissingTool as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("board", board_names())
def test_1800_frames_of_noisy_speech_are_equal(
    model: Model, noisy_speech: np.ndarray, references: dict[str, Enhanced], tmp_path: Path, board: str
) -> None:
    result = verify_model(model, noisy_speech, [board], PATTERNS, tmp_path, known=references)
    for cell in result.cells:
        if cell.result["status"] == "skipped":
            pytest.skip(cell.result["reason"])
        assert cell.result["status"] == "equal", cell.result
        assert cell.result["frames"] >= 1800
    if load_board(board).is_host:
        return
    by_pattern = {cell.pattern: cell.result["instructions"] for cell in result.cells}
    assert by_pattern["min"]["max"] < by_pattern["max"]["min"]
    assert by_pattern["min"]["min"] <= by_pattern["learned"]["mean"] <= by_pattern["max"]["max"]


def test_every_gate_of_the_policy_takes_both_values(references: dict[str, Enhanced]) -> None:
    gates = references["learned"].gates
    assert gates.any(axis=0).all()
    assert not gates.all(axis=0).any()


def test_bias_moves_the_usage_of_the_gates(model: Model, noisy_speech: np.ndarray) -> None:
    def mean_usage(bias: int) -> float:
        pipeline = Pipeline(model.graph)
        pipeline.network.bias = bias
        return float(np.mean(pipeline.run(noisy_speech[: 300 * HOP]).gates))

    shares = [mean_usage(bias) for bias in (-32768, -2000, 0, 2000, 32767)]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0


def test_a_skipped_region_costs_at_most_20_instructions(
    model: Model, noisy_speech: np.ndarray, tmp_path: Path
) -> None:
    """And a frame with all gates off costs what always runs, and that."""
    firmware = built(model, "mps2-an386", tmp_path / "gated")
    profile = profile_firmware(firmware, noisy_speech[: 40 * HOP], [], "speech")
    assert len(profile.gates) == model.graph.gates
    assert 0 < max(gate.skipped for gate in profile.gates) <= MOST_INSTRUCTIONS_TO_SKIP
    always = sum(
        part.instructions["min"] for part in profile.parts if not part.region and part.group != RUNTIME
    )
    steps = sum(part.ran["min"] > 0 for part in profile.parts)
    runtime = profile.totals["min"].mean - always
    assert runtime <= model.graph.gates * MOST_INSTRUCTIONS_TO_SKIP + steps * MOST_INSTRUCTIONS_TO_CALL


def test_instructions_are_the_same_in_every_run(
    model: Model, noisy_speech: np.ndarray, tmp_path: Path
) -> None:
    firmware = built(model, "mps2-an386", tmp_path / "project")
    first, second = (
        run_firmware(firmware, noisy_speech[: 50 * HOP], GatePattern("learned")) for _ in range(2)
    )
    assert first.instructions is not None and second.instructions is not None
    assert np.array_equal(first.instructions, second.instructions)


def test_one_flipped_weight_is_noticed(model: Model, noisy_speech: np.ndarray, tmp_path: Path) -> None:
    name = next(name for name in model.graph.constants if name.endswith("static.second.weight"))
    weights = model.graph.constants[name].copy()
    weights.flat[weights.size // 2] ^= 1
    changed = replace(model.graph, constants={**model.graph.constants, name: weights})
    assert to_bytes(changed) != to_bytes(model.graph)  # type: ignore[arg-type]
    pcm = noisy_speech[: 100 * HOP]
    firmware = built(Model(changed, model.path, model.sha256), "host", tmp_path / "project")  # type: ignore[arg-type]
    run = run_firmware(firmware, pcm, GatePattern("max"))
    found = compare(Pipeline(model.graph).run(pcm, GatePattern("max")), run.pcm, run.gates, HOP)
    assert found["status"] == "differs"


def test_one_changed_rounding_in_a_kernel_is_noticed(
    model: Model, noisy_speech: np.ndarray, tmp_path: Path
) -> None:
    firmware = built(model, "host", tmp_path / "project")
    kernel = firmware.project.folder / "kernels" / "tinydsn_gru_update_s16.c"
    text, count = re.subn(r"#define HALF \(1 << 14\)", "#define HALF 0", kernel.read_text())
    assert count == 1
    kernel.write_text(text)
    mutated = replace(firmware, built=build(firmware.project.folder, firmware.board))
    pcm = noisy_speech[: 100 * HOP]
    run = run_firmware(mutated, pcm, GatePattern("max"))
    found = compare(Pipeline(model.graph).run(pcm, GatePattern("max")), run.pcm, run.gates, HOP)
    assert found["status"] == "differs"
