"""The slimmable network as firmware: equal to the reference at every width; a narrower one is cheaper."""

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
from quant.ops.linear import LEADING_OF
from quant.precision import PRESETS
from quant.reference import Pipeline
from tinydsn.audio.stft import analysis, features
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.design import design
from tinydsn.lowering import lower
from tinydsn.models.slim import GATES, Slim, SlimConfig

FRAMES = 26
HOLD = 4
WIDTHS = tuple(
    GatePattern(f"width {width}", np.tile(np.arange(len(GATES)) <= width, (FRAMES, 1)))
    for width in range(len(GATES))
)
PATTERNS = (GatePattern("learned"), GatePattern("cycle"), GatePattern("min"), *WIDTHS)


@cache
def integer() -> IntegerGraph:
    """A network in which several widths occur."""
    config = SlimConfig(first=3, middle=4, channels=8, down=(16, 16), hidden=16, up=(16, 16), hold=HOLD)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = Slim(config).eval()
    wave = torch.from_numpy(noise(FRAMES) / 32768.0).float()[None]
    assert network.policy is not None
    with torch.no_grad():
        head = network.policy.head
        head.weight.copy_(20 * head.weight[:1].expand_as(head.weight))
        logits = network.policy(features(analysis(wave, FrontEnd()), FrontEnd()))[0][0, ::HOLD, 0]
        head.bias.sub_(logits.quantile(torch.tensor([0.2, 0.5, 0.8])))
    return quantize(lower(network.streaming(), torch.zeros(256)), [noise(FRAMES)], PRESETS["w8a16"])


@pytest.mark.parametrize("board", ["host", "mps2-an386", "mps3-an547"])
def test_firmware_equals_the_reference_at_every_width(board: str, tmp_path: Path) -> None:
    assert_rising(equal_means(integer(), board, noise(FRAMES), PATTERNS, tmp_path), WIDTHS)


def test_flash_holds_each_weight_once() -> None:
    owners = [
        item
        for item in integer().operators()
        if "weight_bits" in item.attributes and LEADING_OF not in item.attributes
    ]
    for target in (CodeTarget(), CodeTarget(dsp=True), CodeTarget(dsp=True, mve=True)):
        arrays = design(integer(), target).arrays
        assert sum(name.endswith("_weight") for name in arrays) == len(owners) == 25


def test_integer_decisions_are_nested_and_held() -> None:
    gates = Pipeline(integer()).run(noise(FRAMES)).gates
    assert np.array_equal(gates[:, 0], np.arange(FRAMES) % HOLD == 0)
    assert (gates[:, 2:] <= gates[:, 1:-1]).all()
    changed = (gates[1:, 1:] != gates[:-1, 1:]).any(1)
    assert changed.any() and not changed[~gates[1:, 0]].any()
    assert len(set(gates[:, 1:].sum(1))) >= 3
