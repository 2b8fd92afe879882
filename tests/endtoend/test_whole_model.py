"""The shipped model on every board: firmware equals the reference, bit for bit, and mutations do not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.errors import MissingTool
from quant.gates import PATTERNS, GatePattern
from quant.graph import Branch, IntegerGraph, Operator
from quant.model_file import to_bytes
from quant.reference import Enhanced, Pipeline
from tinydsn.codegen.board import board_names, load_board
from tinydsn.codegen.build import build
from tinydsn.workflow.firmware import Firmware, build_firmware, run_firmware
from tinydsn.workflow.models import Model
from tinydsn.workflow.verification import compare, verify_model

HOP = 256
MOST_INSTRUCTIONS_TO_SKIP = 20


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


def without_branches(graph: IntegerGraph) -> IntegerGraph:
    """The graph with every gated region cut out, as if its gate had never been there."""
    renamed: dict[str, str] = {}
    nodes: list[Operator] = []
    for node in graph.nodes:
        if isinstance(node, Branch):
            assert all(output.skip == "hold" for output in node.outputs)
            renamed |= {output.tensor: renamed.get(output.held, output.held) for output in node.outputs}
        elif node.kind != "gate":
            nodes.append(replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs)))
    states = tuple(replace(state, next=renamed.get(state.next, state.next)) for state in graph.states)
    cut = replace(graph, nodes=tuple(nodes), states=states)
    assert isinstance(cut, IntegerGraph)
    return cut


def test_a_skipped_region_costs_at_most_20_instructions(
    model: Model, noisy_speech: np.ndarray, tmp_path: Path
) -> None:
    pcm = noisy_speech[: 40 * HOP]
    gated = run_firmware(built(model, "mps2-an386", tmp_path / "gated"), pcm, GatePattern("min"))
    plain = Model(without_branches(model.graph), Path("plain"), "0" * 64)
    bare = run_firmware(built(plain, "mps2-an386", tmp_path / "bare"), pcm, GatePattern("learned"))
    assert gated.instructions is not None and bare.instructions is not None
    assert np.array_equal(gated.pcm, bare.pcm)
    cost = (gated.instructions.astype(int) - bare.instructions.astype(int)) / model.graph.gates
    assert cost.max() <= MOST_INSTRUCTIONS_TO_SKIP


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
    text, count = re.subn(r"\(1 << 14\)\) >> 15;\n(\s+output)", r"0) >> 15;\n\1", kernel.read_text())
    assert count == 1
    kernel.write_text(text)
    mutated = replace(firmware, built=build(firmware.project.folder, firmware.board))
    pcm = noisy_speech[: 100 * HOP]
    run = run_firmware(mutated, pcm, GatePattern("max"))
    found = compare(Pipeline(model.graph).run(pcm, GatePattern("max")), run.pcm, run.gates, HOP)
    assert found["status"] == "differs"
