"""The network: streaming equals whole clip, held states, cost, and export with one branch a gate."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from quant.errors import ConfigError
from tinydsn.models.dsn import GATES, Dsn, DsnConfig
from tinydsn.models.settings import configured
from tinydsn.nn import Gating, gates_from_logits, gru_with_hold

FRAMES = 60
TOLERANCE = 1e-5
SMALL = DsnConfig(
    bins=64, first=4, middle=4, gated_middle=6, channels=8, heads=1, gated_heads=2, split=3, hidden=6,
    gated_hidden=5, up=2, gated_up=3, policy_bands=8, policy_hidden=5,
)  # fmt: skip


def network(config: DsnConfig | None = None, seed: int = 0) -> Dsn:
    """A network whose gates change often: the policy's head is made steep and centred."""
    torch.manual_seed(seed)
    model = Dsn(config).eval()
    with torch.no_grad():
        model.policy.head.weight.mul_(30)
        model.policy.head.bias.zero_()
        logits = model(clip(model)).logits
        model.policy.head.bias.sub_(logits.mean((0, 1)))
    return model


def clip(model: Dsn, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    loud = torch.rand(1, FRAMES, 1) * 3
    return torch.rand(1, FRAMES, model.config.bins) * loud


def force(model: Dsn, logits: float) -> None:
    with torch.no_grad():
        model.policy.head.weight.zero_()
        model.policy.head.bias.fill_(logits)


def stream(model: Dsn, frames: Tensor) -> Tensor:
    step = model.streaming()
    with torch.no_grad():
        return torch.stack([step(frame).clone() for frame in frames])


@pytest.mark.parametrize("config", [DsnConfig(), SMALL])
@pytest.mark.parametrize("gates", ["learned", "on", "off"])
def test_streaming_equals_whole_clip(config: DsnConfig, gates: str) -> None:
    model = network(config)
    if gates != "learned":
        force(model, 1.0 if gates == "on" else -1.0)
    frames = clip(model)
    with torch.no_grad():
        whole = model(frames)
    usage = whole.gates.mean((0, 1))
    if gates == "learned":
        assert ((usage > 0) & (usage < 1)).all(), usage
    else:
        assert (usage == (gates == "on")).all()
    assert (stream(model, frames[0]) - whole.mask[0]).abs().max() < TOLERANCE


def test_forced_gates_equal_gates_of_the_policy() -> None:
    model = network()
    frames = clip(model)
    with torch.no_grad():
        learned = model(frames)
        forced = model(frames, Gating(forced=learned.gates))
        off = model(frames, Gating(forced=torch.zeros(1)))
    assert torch.equal(forced.mask, learned.mask)
    assert not off.gates.any() and off.gates.shape == learned.gates.shape
    assert (off.mask - learned.mask).abs().max() > 1e-3


@pytest.mark.parametrize("gate", range(len(GATES)))
def test_each_gate_changes_the_mask(gate: int) -> None:
    model = network()
    frames = clip(model)
    value = torch.ones(len(GATES))
    with torch.no_grad():
        on = model(frames, Gating(forced=value)).mask
        value[gate] = 0
        assert (on - model(frames, Gating(forced=value)).mask).abs().max() > 1e-4


def test_skipped_recurrence_holds_its_state_bit_for_bit() -> None:
    model = network()
    step = model.streaming()
    frames = clip(model)[0]
    force(model, 1.0)
    with torch.no_grad():
        step(frames[0])
        held, moved = step.gated_state.clone(), step.static_state.clone()
        assert held.any()
        force(model, -1.0)
        for frame in frames[1:]:
            step(frame)
        assert torch.equal(step.gated_state, held)
        assert not torch.equal(step.static_state, moved)
        force(model, 1.0)
        step(frames[0])
    assert not torch.equal(step.gated_state, held)


def test_reset_starts_over() -> None:
    model = network()
    frames = clip(model)[0]
    step = model.streaming()
    with torch.no_grad():
        first = torch.stack([step(frame) for frame in frames[:5]])
        step.reset()
        assert all(not state.any() for state in step.buffers())
        again = torch.stack([step(frame) for frame in frames[:5]])
    assert torch.equal(first, again)


def test_held_gru_equals_a_loop_that_skips() -> None:
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(5, 7)
    inputs, gate = torch.randn(3, 40, 5) * 4, (torch.rand(3, 40) > 0.5).float()
    with torch.no_grad():
        fused = gru_with_hold(cell, inputs, gate)
        state = torch.zeros(3, 7)
        for t in range(40):
            state = torch.where(gate[:, t, None] > 0, cell(inputs[:, t], state), state)
            assert (fused[:, t] - state).abs().max() < 1e-6


def test_gates_are_exact_and_have_a_gradient() -> None:
    logits = torch.tensor([-3.0, -1e-6, 0.0, 1e-6, 5.0], requires_grad=True)
    gates = gates_from_logits(logits, Gating(temperature=0.5))
    assert gates.tolist() == [0, 0, 0, 1, 1]
    gates.sum().backward()
    soft = torch.sigmoid(logits.detach() / 0.5)
    assert torch.allclose(logits.grad, soft * (1 - soft) / 0.5)


def test_sampled_gates_follow_the_sigmoid() -> None:
    torch.manual_seed(0)
    logits = torch.full((20000,), 0.8)
    gates = gates_from_logits(logits, Gating(noise=1.0))
    assert set(gates.unique().tolist()) == {0.0, 1.0}
    assert float(gates.mean()) == pytest.approx(float(torch.sigmoid(torch.tensor(0.8))), abs=0.015)


def test_all_parameters_get_a_gradient() -> None:
    model = Dsn(SMALL)
    out = model(clip(model).expand(2, -1, -1), Gating(noise=1.0))
    (out.mask.square().mean() + out.gates.mean()).backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    # The keys' bias shifts all scores of a row alike, which the softmax does not see: its gradient is noise.
    assert [name for name in silent if not name.endswith("key.bias")] == []


def test_cost_is_counted_by_hooks_too() -> None:
    model = network(DsnConfig())
    counted = 0

    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        rows = output.numel() // (
            output.shape[1] if isinstance(module, torch.nn.Conv2d) else output.shape[-1]
        )
        counted += rows * module.weight.numel()

    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(clip(model)[:, :1], Gating(forced=torch.ones(1)))
    cells = (model.policy.gru, 1), (model.recurrence.static.cell, 16), (model.recurrence.gated.cell, 16)
    counted += sum(rows * (cell.weight_ih.numel() + cell.weight_hh.numel()) for cell, rows in cells)
    counted += 2 * 16 * 16 * 4 * 4
    static, gated = model.macs()
    assert counted == static + sum(gated)
    assert 5e6 < counted * 62.5 < 12e6


STATIC = [replace(DsnConfig(), gated=False), replace(SMALL, gated=False)]


@pytest.mark.parametrize("config", STATIC, ids=["default", "small"])
def test_static_sibling_equals_the_gated_network_with_all_gates_on(config: DsnConfig) -> None:
    model = network(replace(config, gated=True))
    sibling = Dsn(config).eval()
    sibling.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("policy.")})
    frames = clip(model)
    with torch.no_grad():
        wanted = model(frames, Gating(forced=torch.ones(1))).mask
        output = sibling(frames)
    assert (output.mask - wanted).abs().max() < TOLERANCE
    assert output.gates.shape == output.logits.shape == (1, FRAMES, 0)
    assert (stream(sibling, frames[0]) - wanted[0]).abs().max() < TOLERANCE
    static, gated = model.macs()
    assert sibling.macs() == (static + sum(gated) - model.policy.macs(), ())


def test_export_of_a_static_sibling_has_no_branch() -> None:
    step = Dsn(STATIC[0]).eval().streaming()
    exported = torch.export.export(step, (torch.zeros(256),)).run_decompositions({})
    names = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert "cond" not in names and len(exported.graph_signature.buffers_to_mutate) == 3


def test_export_has_one_branch_a_gate() -> None:
    model = network()
    step = model.streaming()
    frames = clip(model)[0]
    exported = torch.export.export(step, (frames[0],)).run_decompositions({})
    names = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert names.count("cond") == len(GATES)
    step.reset()
    module = exported.module()
    with torch.no_grad():
        expected = stream(model, frames)
        found = torch.stack([module(frame).clone() for frame in frames])
    assert (found - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"bins": 250}, "DsnConfig.bins is 250 (must be a multiple of 16 and of policy_bands, 16)"),
        (
            {"split": 24},
            "DsnConfig.split is 24 (must be below channels, 24: the gated GRU group sees the rest)",
        ),
        ({"kernel": 4}, "DsnConfig.kernel is 4 (must be odd)"),
        ({"hidden": 0}, "DsnConfig.hidden is 0 (must be a whole number above 0)"),
        ({"heads": 1.5}, "DsnConfig.heads is 1.5 (must be a whole number above 0)"),
    ],
)
def test_bad_sizes(values: dict[str, float], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(DsnConfig, values)
    assert str(caught.value) == expected


def test_unknown_setting() -> None:
    with pytest.raises(ConfigError, match="unknown model setting 'depth' \\(must be bins, first, "):
        configured(DsnConfig, {"depth": 3})
