"""The sandwich rule: some clips of a batch run at a fixed level, and the policy answers for the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import test_training_loop as loop_tests
import torch

from quant.errors import ConfigError
from tinydsn.models.dsn import Dsn
from tinydsn.models.slim import Slim, SlimConfig
from tinydsn.nn import Gating
from tinydsn.nn.gate import FREE
from tinydsn.training import loop
from tinydsn.training.levels import forced_gates
from tinydsn.training.run import new_run
from tinydsn.training.schedule import GateSchedule

SLIM = SlimConfig(bins=64, first=3, middle=4, channels=8, down=(8, 8), hidden=8, up=(8, 8), policy_bands=8)


def test_the_cheapest_and_the_dearest_level_come_first() -> None:
    model = Slim(SLIM)
    forced, free = forced_gates(model, 6, GateSchedule(levels=0.5), done=0.5)
    assert forced is not None and forced.shape == (6, 1, 4)
    assert free.tolist() == [False] * 3 + [True] * 3
    assert forced[0, 0].tolist() == [1, 0, 0, 0] and forced[1, 0].tolist() == [1, 1, 1, 1]
    assert tuple(forced[2, 0].int().tolist()) in model.levels()
    assert (forced[3:] == FREE).all()
    opened, _ = forced_gates(model, 6, GateSchedule(levels=0.5), done=0.05)
    assert opened is not None and (opened[3:] == 1).all() and opened[0, 0].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("clips", [1, 2])
def test_few_forced_clips_reach_every_level(clips: int) -> None:
    torch.manual_seed(0)
    model, met = Slim(SLIM), set()
    for _ in range(40):
        forced, free = forced_gates(model, 2 * clips, GateSchedule(levels=0.5), done=0.5)
        assert forced is not None and free.tolist() == [False] * clips + [True] * clips
        words = {tuple(row) for row in forced[:clips, 0].int().tolist()}
        assert len(words) == clips
        met |= words
    assert met == set(model.levels())


def test_without_levels_nothing_is_forced_but_at_first() -> None:
    model = Dsn(loop_tests.SMALL)
    assert model.levels() == ((0,) * 5, (1,) * 5)
    forced, free = forced_gates(model, 3, GateSchedule(), done=0.5)
    assert forced is None and free.all()
    forced, free = forced_gates(model, 3, GateSchedule(), done=0.05)
    assert forced is not None and forced.tolist() == [1.0] and free.all()
    static = Dsn(replace(loop_tests.SMALL, gated=False))
    forced, free = forced_gates(static, 3, GateSchedule(levels=0.9), done=0.5)
    assert forced is None and free.all()


@pytest.mark.parametrize("kind", ["dsn", "slim"])
def test_forced_clips_are_forced_and_the_others_decide(kind: str) -> None:
    torch.manual_seed(0)
    model = (Dsn(loop_tests.SMALL) if kind == "dsn" else Slim(SLIM)).eval()
    frames = torch.rand(6, 9, model.config.bins)
    forced, free = forced_gates(model, 6, GateSchedule(levels=0.5), done=0.5)
    with torch.no_grad():
        mixed, own = model(frames, Gating(forced=forced)), model(frames)
        ends = model.levels()[0], model.levels()[-1]
        low, high = (model(frames, Gating(forced=torch.tensor(row).float())) for row in ends)
    assert torch.equal(mixed.mask[free], own.mask[free])
    assert torch.equal(mixed.gates[free], own.gates[free])
    assert torch.equal(mixed.mask[0], low.mask[0]) and torch.equal(mixed.mask[1], high.mask[1])


def test_forced_clips_have_no_usage_loss() -> None:
    recipe = replace(loop_tests.RECIPE, gates=replace(loop_tests.RECIPE.gates, levels=0.5))
    run, batch = new_run(recipe), loop_tests.data(recipe).batch(0)
    losses = loop._objective(run, batch, recipe, 0.5)[1]
    count = len(batch.noisy)
    assert (losses["usage"][: count // 2] == 0).all() and len(losses["used"]) == count - count // 2
    whole = loop._objective(run, batch, loop_tests.RECIPE, 0.5)[1]
    assert len(whole["used"]) == count and (whole["usage"] > 0).any()


def test_a_share_of_all_clips_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        GateSchedule(levels=1.0)
    assert str(caught.value) == "levels is 1.0 (must be at least 0 and below 1)"
