"""Gates that are tried: what a stage buys over those before it, what a wrong choice loses, and a policy that
learns it before the run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from tests.unit import test_training_exits as exit_tests
from tests.unit import test_training_loop as loop_tests
from tinydsn.audio.stft import analysis, features
from tinydsn.models.fsenet import FsenetConfig
from tinydsn.models.slim import SlimConfig
from tinydsn.nn import Gating
from tinydsn.training import routing
from tinydsn.training.benefit import benefits
from tinydsn.training.guidance import Guidance, piece_energy, used
from tinydsn.training.loop import train
from tinydsn.training.recipe import Recipe, read_recipe
from tinydsn.training.routing import (
    Tried,
    charge_for,
    device_gates,
    learn_routes,
    regret_loss,
    regrets,
    shift_for,
)
from tinydsn.training.run import new_run
from tinydsn.training.schedule import GateSchedule
from tinydsn.training.waves import rendered

GUIDANCE = Guidance(kind="regret", segment=4, softness=2.0, constant=0.25, pretrain=loop_tests.hours(2, 8))
RECIPE = replace(
    exit_tests.RECIPE,
    guidance=GUIDANCE,
    exits=exit_tests.ExitOptions(),
    gates=GateSchedule(open=0.0),
    train=replace(exit_tests.RECIPE.train, policy_rate=0.0),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinydsn.training.data.VALID_MIXTURES", 2)
    monkeypatch.setattr("tinydsn.training.data.POLICY_SAMPLES", loop_tests.SAMPLES)
    for module in ("routing", "data"):
        monkeypatch.setattr(f"tinydsn.training.{module}.POLICY_CLIPS", 8)


def found_by(recipe: Recipe) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """`benefits` of a new network on a batch, and the dB of each level's error, run by itself."""
    model, batch = new_run(recipe).model, loop_tests.data(recipe).batch(0)
    spectrum = analysis(batch.noisy, FrontEnd())
    seen = features(spectrum, FrontEnd())
    found = benefits(model, seen, spectrum, batch.target, recipe)
    errors, size = [], recipe.guidance.segment * 256
    for word in model.levels():
        with torch.no_grad():
            mask = model(seen, Gating(forced=torch.tensor(word, dtype=torch.float32))).mask
        estimate, target = rendered(mask, spectrum, batch.target, recipe)
        quiet = 1e-2 * piece_energy(target, found.shape[1], size).mean(-1, keepdim=True)
        errors.append(10 * torch.log10(piece_energy(estimate - target, found.shape[1], size) + quiet))
    return found, errors


def test_a_stage_buys_what_it_takes_off_the_error_of_the_stages_before_it() -> None:
    found, errors = found_by(RECIPE)
    assert found.shape[-1] == 3 and len(errors) == 4
    expected = torch.stack([before - after for before, after in zip(errors, errors[1:], strict=False)], -1)
    assert torch.allclose(found, expected, atol=1e-3) and expected.abs().amax((0, 1)).min() > 0.01


def test_a_gate_that_no_level_shuts_buys_nothing() -> None:
    found, errors = found_by(replace(RECIPE, model=SlimConfig(policy_hidden=5)))
    assert found.shape[-1] == 4 and not found[..., 0].any()
    assert torch.allclose(found.sum(-1), errors[0] - errors[-1], atol=1e-3)


def test_regret_of_a_nested_gate_compares_the_best_depths() -> None:
    torch.manual_seed(0)
    found, costs = torch.randn(2, 5, 3), torch.tensor([0.5, 0.2, 0.1])
    lost = regrets(found, costs, nested=True)
    for clip in range(2):
        for piece in range(5):
            worth = [float((found - costs)[clip, piece, :depth].sum()) for depth in range(4)]
            for gate in range(3):
                expected = max(worth[gate + 1 :]) - max(worth[: gate + 1])
                assert float(lost[clip, piece, gate]) == pytest.approx(expected, abs=1e-5)
    through = torch.tensor([[[-1.0, 3.0, -1.0]]])  # the first stage is worth it for the second one
    assert regrets(through, torch.zeros(3), nested=True).tolist() == [[[2.0, 2.0, -1.0]]]


def test_regret_of_other_gates_is_what_each_alone_buys_above_its_cost() -> None:
    found = torch.tensor([[[1.0, -0.5]]])
    assert regrets(found, torch.tensor([0.25, 0.5]), nested=False).tolist() == [[[0.75, -1.0]]]


def test_a_policy_that_cannot_tell_pieces_apart_learns_what_is_best_in_their_mean() -> None:
    for lost, opened in (([3.0, -0.5], True), ([-1.0, 0.5], False)):  # 3 dB count as 2
        logit = torch.zeros(1, requires_grad=True)
        logits = logit.expand(1, 9, 1)  # the last frame is of no whole piece
        regret_loss(logits, torch.tensor(lost).reshape(1, 2, 1), GUIDANCE).sum().backward()
        assert (float(logit.grad) < 0) is opened
    assert float(logit.grad) == pytest.approx((1.0 - 0.5) / 2 / 2)


@pytest.mark.parametrize("nested", [True, False])
def test_charge_and_shift_make_the_usage_the_wanted_one(nested: bool) -> None:
    torch.manual_seed(0)
    weights = torch.tensor([0.5, 0.3, 0.2])
    tried = Tried(torch.zeros(1), torch.rand(40, 50, 3) * weights * 9, weights, nested)
    for wanted in (0.2, 0.6):
        best = regrets(tried.found, charge_for(tried, wanted) * weights, nested) > 0
        assert float((best * weights).sum(-1).mean()) == pytest.approx(wanted, abs=1e-3)
        logits = 3 * torch.randn(40, 200, 3) - 1
        shifted = logits + shift_for(logits, tried, wanted)
        assert float(used(device_gates(shifted, tried), weights).mean()) == pytest.approx(wanted, abs=1e-3)
    assert charge_for(replace(tried, found=-tried.found), 0.5) == 0  # nothing is worth anything


def test_the_policy_learns_where_gates_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of loud clips, which it can hear; nothing but the policy changes."""

    def bought(model: object, seen: torch.Tensor, *others: object) -> torch.Tensor:
        loud = (seen.mean((1, 2)) > seen.mean((1, 2)).median()).float()
        return loud[:, None, None].expand(-1, seen.shape[1] // 4, 3) * torch.tensor([4.0, 0.0, 0.0])

    monkeypatch.setattr(routing, "benefits", bought)
    monkeypatch.setattr(routing, "PASSES", 400)
    run, said = new_run(RECIPE), []
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    data = loop_tests.data(RECIPE)
    learn_routes(run, data, RECIPE, "cpu", said.append)
    after = run.model.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith("policy.")}
    assert all(torch.equal(value, run.average.state_dict()[name]) for name, value in after.items())
    told = re.fullmatch(r"policy uses (.+): (.+) dB a piece \(by chance (.+), at best (.+)\)", said[-1])
    assert told is not None
    _, chosen, chance, best = (float(value) for value in told.groups())
    assert chosen > chance + 0.7 * (best - chance) > chance
    with torch.no_grad():
        seen = features(analysis(data.policy_batch(9).noisy, FrontEnd()), FrontEnd())
        gates = run.model(seen).gates.mean(1)
    order = seen.mean((1, 2)).argsort()
    assert gates[order[4:], 0].mean() > gates[order[:4], 0].mean() + 0.4 and gates[:, 1:].max() < 0.1


def test_the_run_keeps_what_the_policy_learned_and_is_resumed(tmp_path: Path) -> None:
    whole = train(loop_tests.data(RECIPE), RECIPE, tmp_path / "whole", loop_tests.quiet)
    learned = new_run(RECIPE)
    learn_routes(learned, loop_tests.data(RECIPE), RECIPE, "cpu", loop_tests.quiet)
    states = learned.model.state_dict()
    assert all(torch.equal(whole.state_dict()[name], states[name]) for name in states if "policy." in name)
    assert not torch.equal(whole.front.weight, learned.model.front.weight)
    cut = loop_tests.train_in_two(RECIPE, tmp_path / "cut")
    assert all(torch.equal(value, cut.state_dict()[name]) for name, value in whole.state_dict().items())


def test_networks_whose_gates_decide_apart_are_refused() -> None:
    recipe = replace(RECIPE, model=FsenetConfig(stacks=1))
    with pytest.raises(ConfigError) as caught:
        learn_routes(new_run(recipe), loop_tests.data(recipe), recipe, "cpu", loop_tests.quiet)
    assert str(caught.value) == "this network's decisions cannot be learned by regret (choose another kind)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[guidance]\nkind = "regret"\n',
            "guidance 'regret' is learned before the run (set pretrain in [guidance])",
        ),
        (
            '[guidance]\nkind = "regret"\npretrain = 1\n',
            "guidance by regret ends where the run begins (set policy_rate = 0 in [train])",
        ),
    ],
)
def test_bad_settings(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    assert expected in str(caught.value)
