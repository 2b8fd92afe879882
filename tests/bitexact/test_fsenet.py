"""Conv-FSENet as firmware: delay lines and channel gates equal the reference bit for bit on every core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from quant.convert import quantize
from quant.errors import MissingTool
from quant.frontend import FrontEnd
from quant.gates import PATTERNS, GatePattern
from quant.graph import Graph, IntegerGraph
from quant.precision import PRESETS
from quant.reference import Pipeline
from tinydsn.audio.stft import analysis, features
from tinydsn.lowering import lower
from tinydsn.models.fsenet import Fsenet, FsenetConfig
from tinydsn.workflow.firmware import build_firmware, run_firmware
from tinydsn.workflow.models import Model

HOP = 256
FRAMES = 16
CONFIG = FsenetConfig(stacks=1, channels=16, hidden=32, group=16, policy_width=4)


def pcm(frames: int, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes."""
    rng = np.random.default_rng(seed)
    level = 3000 * (1 + np.sin(np.arange(frames * HOP) / 700))
    return (level * rng.standard_normal(frames * HOP)).clip(-32768, 32767).astype(np.int16)


def network() -> Fsenet:
    """Its policies are steep and centred, one block after the other, so that gates change in ``pcm``."""
    torch.manual_seed(4)
    made = Fsenet(CONFIG).eval()
    assert made.policy is not None
    front_end = FrontEnd()
    wave = torch.from_numpy(pcm(FRAMES, 1).astype(np.float32) / 32768)
    heard = features(analysis(wave[None], front_end), front_end)
    with torch.no_grad():
        made.last.weight.mul_(3)
        for block, policy in enumerate(made.policy):
            policy.look.bias.add_(1)
            policy.head.weight.mul_(20)
            policy.head.bias.zero_()
            own = made(heard).logits[0, :, CONFIG.groups * block : CONFIG.groups * (block + 1)]
            policy.head.bias.sub_(own.median(0).values)
    return made


@pytest.fixture(scope="module")
def lowered() -> Graph:
    return lower(network().streaming(), torch.zeros(256), name="fsenet-small")


def test_a_gate_is_two_regions_in_the_order_of_its_name(lowered: Graph) -> None:
    gates = Fsenet(CONFIG).gates
    assert gates == ("block0.0", "block0.1", "block1.0", "block1.1", "block2.0", "block2.1")
    assert lowered.gates == 6 and len(lowered.branches) == 12
    for branch in lowered.branches:
        block, rest = branch.name.removeprefix("blocks.").split(".", 1)
        assert gates[branch.gate].startswith(f"block{block}.")
        kinds = [operator.kind for operator in branch.body if operator.kind != "reshape"]
        first = rest.startswith("first.")
        assert kinds == (["fully_connected"] if first else ["depthwise_conv2d", "fully_connected", "add"])
        assert [output.skip for output in branch.outputs] == (["zero"] if first else ["hold"])


def test_each_weight_is_in_the_graph_once(lowered: Graph) -> None:
    weights = sum(value.numel() for name, value in Fsenet(CONFIG).named_parameters() if "weight" in name)
    assert sum(value.size for name, value in lowered.constants.items() if "weight" in name) == weights


@pytest.fixture(scope="module")
def integer(lowered: Graph) -> IntegerGraph:
    return quantize(lowered, [pcm(24)], PRESETS["w8a16"])


def test_all_logits_have_one_scale(integer: IntegerGraph) -> None:
    """The run-time bias is added to the logits of all policies, so it must mean the same to them."""
    logits = {operator.inputs[0] for operator in integer.operators() if operator.kind == "gate"}
    assert len(logits) == CONFIG.blocks
    assert len({integer.tensors[name].quantization for name in logits}) == 1


@pytest.mark.parametrize("board", ["host", "mps2-an386", "mps3-an547"])
def test_firmware_equals_the_reference(integer: IntegerGraph, tmp_path: Path, board: str) -> None:
    try:
        firmware = build_firmware(Model(integer, tmp_path, "0" * 64), board, tmp_path / "project")
    except MissingTool as error:
        pytest.skip(str(error))
    wave, masks = pcm(FRAMES, 1), set()
    for pattern in map(GatePattern, PATTERNS):
        found, wanted = run_firmware(firmware, wave, pattern), Pipeline(integer).run(wave, pattern)
        np.testing.assert_array_equal(found.pcm, wanted.pcm)
        np.testing.assert_array_equal(found.gates, wanted.gates)
        masks.add(wanted.pcm.tobytes())
        if pattern.name == "learned":
            usage = wanted.gates.mean(axis=0)
            assert ((usage > 0) & (usage < 1)).sum() >= 4, usage
    assert len(masks) == len(PATTERNS)
