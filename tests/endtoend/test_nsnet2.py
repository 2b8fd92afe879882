"""nsNet2 with exits as firmware: equal to the reference with gates learned, nested or not; an exit saves."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from dynamic_networks import assert_rising, equal_means, noise

from quant.convert import quantize
from quant.frontend import FrontEnd
from quant.gates import GatePattern
from quant.graph import IntegerGraph
from quant.precision import PRESETS
from quant.reference import Pipeline
from tinydsn.audio.stft import analysis, features
from tinydsn.lowering import lower
from tinydsn.models.nsnet2 import GATES, NsNet2, NsNet2Config

FRAMES = 26
PERIOD = 4
EXITS = tuple(
    GatePattern(f"exit {depth}", np.tile(np.arange(len(GATES)) < depth, (FRAMES, 1)))
    for depth in range(len(GATES) + 1)
)
PATTERNS = (GatePattern("learned"), GatePattern("cycle"), *EXITS)


@cache
def integer(state: str) -> IntegerGraph:
    """A network in which all depths occur."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = NsNet2(NsNet2Config(hidden=16, wide=12, state=state, period=PERIOD)).eval()
    wave = torch.from_numpy(noise(FRAMES) / 32768.0).float()[None]
    assert network.policy is not None
    with torch.no_grad():
        head = network.policy.head
        head.weight.copy_(20 * head.weight[:1].expand_as(head.weight))
        logits = network.policy(features(analysis(wave, FrontEnd()), FrontEnd()))[0][0, :, 0]
        head.bias.sub_(logits.quantile(torch.tensor([0.25, 0.5, 0.75])))
    return quantize(lower(network.streaming(), torch.zeros(256)), [noise(FRAMES)], PRESETS["w8a16"])


@pytest.mark.parametrize(
    ("state", "board"),
    [
        ("every", "mps2-an386"),
        ("every", "mps3-an547"),
        ("freeze", "host"),
        ("always", "host"),
    ],
)
def test_firmware_equals_the_reference_at_every_exit(state: str, board: str, tmp_path: Path) -> None:
    assert_rising(equal_means(integer(state), board, noise(FRAMES), PATTERNS, tmp_path), EXITS)


@pytest.mark.parametrize("state", ["freeze", "every"])
def test_integer_gates_are_nested_and_tick(state: str) -> None:
    gates = Pipeline(integer(state)).run(noise(FRAMES)).gates
    assert (gates[:, 1:] <= gates[:, :-1]).all()
    assert set(gates.sum(1)) == set(range(len(GATES) + 1))
    refreshed = np.arange(FRAMES) % PERIOD == 0
    assert gates[refreshed, 1].all() == (state == "every")


def test_exits_differ_and_reach_the_output() -> None:
    outputs = [Pipeline(integer("freeze")).run(noise(FRAMES), pattern).pcm for pattern in EXITS]
    assert all(np.any(a != b) for a, b in zip(outputs, outputs[1:], strict=False))
