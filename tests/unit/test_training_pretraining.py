"""The policy alone: it learns to tell the wanted usage, and its gates open one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import test_training_loop as loop_tests
import torch

from quant.errors import ConfigError
from tinydsn.models.dsn import Dsn
from tinydsn.training.data import POLICY_CLIPS, POLICY_SAMPLES
from tinydsn.training.guidance import Guidance
from tinydsn.training.loop import train
from tinydsn.training.pretraining import pretrain_policy, thermometer
from tinydsn.training.run import new_run


def policy_hours(steps: int) -> float:
    return steps * POLICY_CLIPS * POLICY_SAMPLES / 16000 / 3600


RECIPE = replace(
    loop_tests.RECIPE,
    guidance=Guidance(kind="snr", best=20.0, worst=-5.0, low=0.0, high=1.0, pretrain=policy_hours(3)),
)


def test_gates_open_in_order_as_the_told_usage_rises() -> None:
    torch.manual_seed(0)
    model, hint = Dsn(loop_tests.SMALL), torch.nn.Linear(16, 1)
    assert model.policy is not None
    thermometer(model, model.policy, hint, Guidance(slope=3.0))
    direction = hint.weight[0] / hint.weight.square().sum()
    gated = dict(zip(model.gates, model.macs()[1], strict=True))
    shares = torch.tensor([gated[name] / sum(gated.values()) for name in model.opening_order()])
    with torch.no_grad():
        for told in torch.linspace(0.02, 0.98, 49):
            state = direction * (torch.logit(told) - hint.bias)
            logits = dict(zip(model.gates, model.policy.head(state).tolist(), strict=True))
            opened = [logits[name] > 0 for name in model.opening_order()]
            assert opened == sorted(opened, reverse=True)
            used = float((shares * torch.tensor(opened)).sum())
            assert abs(used - float(told)) <= float(shares.max()) / 2 + 1e-6


def test_only_the_policy_learns() -> None:
    run, data = new_run(RECIPE), loop_tests.data(RECIPE)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    pretrain_policy(run, data, RECIPE, "cpu", loop_tests.quiet)
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, before[name]) == (not name.startswith("policy.")), name
        assert torch.equal(value, run.average.state_dict()[name]), name


def test_a_run_with_a_pretrained_policy_is_repeatable(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one = train(loop_tests.data(RECIPE), RECIPE, tmp_path / "one", loop_tests.quiet)
        two = train(loop_tests.data(RECIPE), RECIPE, tmp_path / "two", loop_tests.quiet)
    finally:
        torch.set_num_threads(threads)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name


def test_nothing_to_tell_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        Guidance(kind="constant", pretrain=1.0)
    assert str(caught.value) == "guidance 'constant' has no wanted usage to pretrain the policy on"


def test_a_kept_policy_stays_as_it_was_pretrained(tmp_path: Path) -> None:
    kept = replace(RECIPE, train=replace(RECIPE.train, policy_rate=0.0))
    run, data = new_run(kept), loop_tests.data(kept)
    pretrain_policy(run, data, kept, "cpu", loop_tests.quiet)
    trained = train(data, kept, tmp_path, loop_tests.quiet)
    for name, value in run.model.state_dict().items():
        same = torch.allclose(trained.state_dict()[name], value, rtol=0, atol=0)
        assert same == name.startswith("policy."), name


def test_a_kept_policy_must_be_pretrained() -> None:
    guidance = replace(RECIPE.guidance, pretrain=0.0)
    with pytest.raises(ConfigError) as caught:
        replace(RECIPE, guidance=guidance, train=replace(RECIPE.train, policy_rate=0.0))
    assert str(caught.value) == (
        "a policy that is not trained must be pretrained (set pretrain in [guidance])"
    )
