"""Conv-FSENet: streaming equals whole clip, skipped groups, running policies, cost and recipes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import test_training_loop as loop_tests
import torch
from torch import Tensor

from quant.errors import ConfigError
from tinydsn.models.checkpoint import load_checkpoint, save_checkpoint
from tinydsn.models.fsenet import Fsenet, FsenetConfig
from tinydsn.models.settings import configured
from tinydsn.nn import Gating, RunningPolicy, gates_from_logits
from tinydsn.training.guidance import Guidance
from tinydsn.training.loop import train_step
from tinydsn.training.recipe import Recipe, TrainOptions, read_recipe
from tinydsn.training.run import new_run
from tinydsn.training.schedule import GateSchedule
from tinydsn.training.variety import variety_loss

FRAMES = 40
TOLERANCE = 1e-5
SMALL = FsenetConfig(bins=64, stacks=1, channels=8, hidden=8, group=4, policy_width=4)
RECIPES = Path(loop_tests.loop.__file__).parent / "recipes"


def network(config: FsenetConfig = SMALL, seed: int = 0) -> Fsenet:
    """A network whose gates change often: the policies' heads are made steep and centred, block by block."""
    torch.manual_seed(seed)
    model = Fsenet(config).eval()
    assert model.policy is not None
    with torch.no_grad():
        for block, policy in enumerate(model.policy):
            policy.look.bias.add_(1)
            policy.head.weight.mul_(30)
            policy.head.bias.zero_()
            own = model(clip(model)).logits[..., block * config.groups : (block + 1) * config.groups]
            policy.head.bias.sub_(own[:, FRAMES // 4 :].mean((0, 1)))
    return model


def clip(model: Fsenet, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    loud = torch.rand(1, FRAMES // 4, 1).repeat_interleave(4, 1) * 3
    return torch.rand(1, FRAMES, model.config.bins) * loud


def force(model: Fsenet, logits: float) -> None:
    assert model.policy is not None
    with torch.no_grad():
        for policy in model.policy:
            policy.head.weight.zero_()
            policy.head.bias.fill_(logits)


def stream(model: Fsenet, frames: Tensor) -> Tensor:
    step = model.streaming()
    with torch.no_grad():
        return torch.stack([step(frame).clone() for frame in frames])


@pytest.mark.parametrize("gates", ["learned", "on", "off"])
def test_streaming_equals_whole_clip(gates: str) -> None:
    model = network()
    if gates != "learned":
        force(model, 1.0 if gates == "on" else -1.0)
    frames = clip(model)
    with torch.no_grad():
        whole = model(frames)
    usage = whole.gates.mean((0, 1))
    assert usage.shape == (len(model.gates),) == (6,)
    if gates == "learned":
        assert ((usage > 0) & (usage < 1)).sum() >= 5, usage
    else:
        assert (usage == (gates == "on")).all()
    assert (stream(model, frames[0]) - whole.mask[0]).abs().max() < TOLERANCE


def test_forced_gates_equal_gates_of_the_policies() -> None:
    model = network()
    frames = clip(model)
    with torch.no_grad():
        learned = model(frames)
        forced = model(frames, Gating(forced=learned.gates))
        off = model(frames, Gating(forced=torch.zeros(1)))
    assert torch.equal(forced.mask, learned.mask)
    assert not off.gates.any() and off.gates.shape == learned.gates.shape
    assert (off.mask - learned.mask).abs().max() > 1e-3


@pytest.mark.parametrize("gate", range(6))
def test_each_gate_changes_the_mask(gate: int) -> None:
    model = network()
    frames, value = clip(model), torch.ones(6)
    with torch.no_grad():
        on = model(frames, Gating(forced=value)).mask
        value[gate] = 0
        assert (on - model(frames, Gating(forced=value)).mask).abs().max() > 1e-4


def test_a_skipped_group_moves_its_past_on_and_takes_in_zeros() -> None:
    model = network()
    step, frames = model.streaming(), clip(model)[0]
    force(model, 1.0)
    with torch.no_grad():
        for frame in frames[:12]:
            step(frame)
        before = step.past2_1.clone()
        force(model, -1.0)
        step(frames[12])
    assert before.shape == (8, 4) and before[1:].any()
    assert torch.equal(step.past2_1[:-1], before[1:])
    assert not step.past2_1[-1].any()


def test_only_the_past_of_the_dilations_is_seen() -> None:
    """28 frames, two of each dilation in each block of two stacks, and no later frame."""
    model = Fsenet(replace(SMALL, stacks=2, gated=False)).eval().double()
    with torch.no_grad():
        for value in model.parameters():  # positive ones: nothing is lost in a rectifier
            value.abs_()
        model.last.weight.mul_(1e-6)
        frames = clip(model).double()
        other = frames.clone()
        other[:, 5] *= 2
        moved = (model(frames).mask != model(other).mask).all(-1)[0]
    assert moved.tolist() == [5 <= frame <= 5 + 28 for frame in range(FRAMES)]


def test_reset_starts_over() -> None:
    model = network()
    frames, step = clip(model)[0], model.streaming()
    with torch.no_grad():
        first = torch.stack([step(frame) for frame in frames[:5]])
        step.reset()
        assert all(not state.any() for state in step.buffers())
        again = torch.stack([step(frame) for frame in frames[:5]])
    assert torch.equal(first, again)


def test_a_running_policy_sees_the_mean_of_the_past() -> None:
    torch.manual_seed(0)
    policy = RunningPolicy(5, 3, 2, bias=0.0).eval()
    rows = torch.randn(2, 300, 5)
    with torch.no_grad():
        logits, means = policy(rows)
        mean = torch.zeros(2, 5)
        for frame in range(300):
            mean = mean + (rows[:, frame] - mean) / 8
            grown = 1 - (7 / 8) ** (frame + 1)  # the bias comes in with the frames
            looked = mean @ policy.look.weight.T + grown * policy.look.bias
            assert (means[:, frame] - looked).abs().max() < 1e-5
    assert torch.allclose(logits, policy.head(torch.relu(means)))


def test_all_parameters_get_a_gradient() -> None:
    model = Fsenet(SMALL)
    out = model(clip(model).expand(2, -1, -1), Gating(noise=1.0))
    (out.mask.square().mean() + out.gates.mean()).backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


def test_shifted_logits() -> None:
    model = network()
    frames = clip(model)
    with torch.no_grad():
        before = model(frames, Gating(forced=torch.ones(1))).logits
        model.shift_logits(0.5)
        after = model(frames, Gating(forced=torch.ones(1))).logits
        each = torch.arange(len(model.gates), dtype=torch.float32)
        model.shift_logits(each)
        own = model(frames, Gating(forced=torch.ones(1))).logits
    assert torch.allclose(after, before + 0.5, atol=1e-5)
    assert torch.allclose(own, after + each, atol=1e-5)


def test_cost_is_counted_by_hooks_too() -> None:
    model = Fsenet()
    counted = 0

    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        counted += module.weight.numel()

    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv1d):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(clip(model)[:, :1], Gating(forced=torch.ones(1)))
    static, gated = model.macs()
    assert counted == static + sum(gated) == 113784
    assert counted * 62.5 < 8e6 and len(gated) == len(model.gates) == 27
    assert sum(value.numel() for value in model.parameters()) < 400_000


def test_static_sibling_equals_the_gated_network_with_all_gates_on() -> None:
    model = network()
    sibling = Fsenet(replace(SMALL, gated=False)).eval()
    sibling.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("policy.")})
    frames = clip(model)
    with torch.no_grad():
        wanted = model(frames, Gating(forced=torch.ones(1))).mask
        output = sibling(frames)
    assert (output.mask - wanted).abs().max() < TOLERANCE
    assert output.gates.shape == output.logits.shape == output.states.shape == (1, FRAMES, 0)
    assert (stream(sibling, frames[0]) - wanted[0]).abs().max() < TOLERANCE
    static, gated = model.macs()
    assert model.policy is not None
    assert sibling.macs() == (static + sum(gated) - sum(policy.macs() for policy in model.policy), ())


def test_a_checkpoint_keeps_the_network(tmp_path: Path) -> None:
    model = network()
    save_checkpoint(model, tmp_path / "small.safetensors")
    again = load_checkpoint(tmp_path / "small.safetensors")
    assert again.config == SMALL and again.gates == model.gates
    frames = clip(model)
    with torch.no_grad():
        assert torch.equal(again(frames).mask, model(frames).mask)


def usage_after(guidance: Guidance, steps: int = 40) -> list[float]:
    """Share of the gated compute in use at each step."""
    options = TrainOptions(batch=2, windows=(512,), rate=4e-3, policy_rate=15.0)
    config = replace(SMALL, bins=256)
    gates = GateSchedule(noise_fade=-1.0, noise_end=0.0)
    recipe = Recipe(config, loop_tests.RECIPE.mix, gates, guidance=guidance, train=options)
    run, made = new_run(recipe), loop_tests.data(recipe)
    return [train_step(run, made.batch(step), recipe, 0.5)["used"] for step in range(steps)]


def test_a_wanted_usage_moves_the_gates() -> None:
    moved = usage_after(Guidance(kind="constant", constant=0.3, weight=20.0))
    assert moved[0] == pytest.approx(1.0) and 0.1 < sum(moved[-5:]) / 5 < 0.6


def test_gates_that_never_change_are_penalised_and_moved() -> None:
    gates = torch.zeros(2, 10, 4)
    gates[..., 1], gates[0, :5, 2], gates[:, :1, 3] = 1, 1, 1
    assert float(variety_loss(gates[..., 2:], 0.1)) == pytest.approx(0, abs=1e-12)
    assert float(variety_loss(gates[..., :2], 0.1)) == pytest.approx(0.01)
    logits = torch.full((1, 10, 2), -1.0, requires_grad=True)
    with torch.no_grad():
        logits[..., 1] = 1.0
    variety_loss(gates_from_logits(logits, Gating()), 0.1).backward()
    assert logits.grad is not None
    assert (logits.grad[..., 0] < 0).all() and (logits.grad[..., 1] > 0).all()


def test_recipes_and_their_ladder_of_costs() -> None:
    recipes = {
        path.stem: read_recipe(path)
        for path in sorted(RECIPES.glob("fsenet*.toml"), key=lambda path: path.stem)
    }
    names = ["fsenet", "fsenet-full", "fsenet-half", "fsenet-three-quarters"]
    assert list(recipes) == names and all(made.train.pool for made in recipes.values())
    assert all(made.train.hours == 25 for made in recipes.values())
    costs = {name: Fsenet(recipe.model).macs() for name, recipe in recipes.items()}  # type: ignore[arg-type]
    full = costs["fsenet-full"][0]
    assert 0.5 < costs["fsenet-half"][0] / full < 0.6
    assert 0.7 < costs["fsenet-three-quarters"][0] / full < 0.8
    dynamic = recipes["fsenet"]
    assert dynamic.gates.noise(0.0) == 0.0
    static, gated = costs["fsenet"]
    assert 0.45 < (static + dynamic.guidance.constant * sum(gated)) / full < 0.6
    assert replace(dynamic.model, gated=False) == recipes["fsenet-full"].model  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"hidden": 0}, "FsenetConfig.hidden is 0 (must be a whole number above 0)"),
        ({"stacks": 1.5}, "FsenetConfig.stacks is 1.5 (must be a whole number above 0)"),
        ({"hidden": 80}, "FsenetConfig.hidden is 80 (must be a multiple of group, 32)"),
        (
            {"group": 16},
            "FsenetConfig: 9 blocks of 6 groups make 54 gates (must be at most 32; give group or stacks "
            "another size)",
        ),
    ],
)
def test_bad_sizes(values: dict[str, float], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(FsenetConfig, values)
    assert str(caught.value) == expected
