"""nsNet2 with exits: streaming equals whole clip, depth, states, cost, and one branch a stage."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from quant.errors import ConfigError
from tinydsn.lowering import lower
from tinydsn.models.kinds import make_network
from tinydsn.models.nsnet2 import GATES, STATES, NsNet2, NsNet2Config
from tinydsn.models.settings import configured
from tinydsn.nn import Gating
from tinydsn.nn.depth import nested_gates, nested_logits, nested_step, tick_ring, ticked_step, ticks

FRAMES = 50
TOLERANCE = 1e-5
SMALL = NsNet2Config(bins=64, hidden=12, wide=10, period=5, policy_bands=8, policy_hidden=5)


def network(state: str = "freeze", seed: int = 0) -> NsNet2:
    """A network whose depth changes often: the policy's head is made steep and centred."""
    torch.manual_seed(seed)
    model = NsNet2(replace(SMALL, state=state)).eval()
    with torch.no_grad():
        model.policy.head.weight.mul_(30)
        model.policy.head.bias.zero_()
        logits = model.policy(clip())[0]
        model.policy.head.bias.sub_(logits.quantile(torch.tensor(0.3), dim=1)[0])
    return model


def clip(seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    loud = torch.rand(1, FRAMES, 1) * 3
    return torch.rand(1, FRAMES, SMALL.bins) * loud


def stream(model: NsNet2, frames: Tensor, gates: Tensor | None = None) -> Tensor:
    """Masks frame by frame, with the gates of the policy or with the given ones ``[frames, gates]``."""
    step, masks = model.streaming(), []
    decide = step._gates
    for index, frame in enumerate(frames):
        if gates is not None:
            row = gates[index] > 0
            step._gates = lambda frame, row=row: (list(row), *decide(frame)[1:])  # type: ignore[method-assign]
        with torch.no_grad():
            masks.append(step(frame).clone())
    return torch.stack(masks)


@pytest.mark.parametrize("state", STATES)
def test_streaming_equals_whole_clip(state: str) -> None:
    model, frames = network(state), clip()
    with torch.no_grad():
        whole = model(frames)
    usage = whole.gates.mean((0, 1))
    assert ((usage > 0) & (usage < 1)).all(), usage
    assert len(whole.gates[0].sum(-1).unique()) == len(GATES) + 1, "not all depths occur"
    assert torch.equal(whole.gates, (whole.logits > 0).float())
    assert (stream(model, frames[0]) - whole.mask[0]).abs().max() < TOLERANCE


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("pattern", ["cycle", "random", "on", "off"])
def test_forced_words_that_are_not_nested_have_one_meaning(state: str, pattern: str) -> None:
    model, frames = network(state), clip()
    frame, gate = torch.arange(FRAMES)[:, None], torch.arange(len(GATES))[None]
    forced = {
        "cycle": ((frame + gate) % 2 == 0).float(),
        "random": (torch.rand(FRAMES, len(GATES)) < 0.5).float(),
        "on": torch.ones(FRAMES, len(GATES)),
        "off": torch.zeros(FRAMES, len(GATES)),
    }[pattern]
    with torch.no_grad():
        whole = model(frames, Gating(forced=forced))
    assert torch.equal(whole.gates[0], forced)
    assert (stream(model, frames[0], forced) - whole.mask[0]).abs().max() < TOLERANCE


@pytest.mark.parametrize("state", STATES)
def test_exit_masks_are_those_of_fixed_depths(state: str) -> None:
    model, frames = network(state), clip()
    with torch.no_grad():
        exits = model.exit_masks(frames)
        for depth, found in enumerate(exits):
            forced = (torch.arange(len(GATES)) < depth).float()
            expected = model(frames, Gating(forced=forced)).mask
            assert (found - expected).abs().max() < TOLERANCE
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(exits, exits[1:], strict=False))


def test_what_the_state_policies_do_to_states() -> None:
    moved: dict[str, list[bool]] = {}
    for state in STATES:
        model = network(state)
        with torch.no_grad():
            model.policy.head.weight.zero_()
            model.policy.head.bias.fill_(-0.5)
        step, moved[state] = model.streaming(), []
        with torch.no_grad():
            for frame in clip()[0, : 2 * SMALL.period + 1]:
                before = step.state1.clone(), step.state2.clone()
                step(frame)
                changed = not torch.equal(before[0], step.state1)
                assert changed is not torch.equal(before[1], step.state2)
                moved[state].append(changed)
    frames = range(2 * SMALL.period + 1)
    assert moved["freeze"] == [False for _ in frames]
    assert moved["every"] == [frame % SMALL.period == 0 for frame in frames]
    assert moved["always"] == [True for _ in frames]


@pytest.mark.parametrize("state", STATES)
def test_reset_starts_over(state: str) -> None:
    model, frames = network(state), clip()[0, :7]
    step = model.streaming()
    with torch.no_grad():
        first = torch.stack([step(frame) for frame in frames])
        step.reset()
        again = torch.stack([step(frame) for frame in frames])
    assert torch.equal(first, again)


def test_nested_gates_are_products_and_have_gradients() -> None:
    logits = torch.tensor([[[2.0, 1.0, 3.0], [2.0, -1.0, 3.0], [-1.0, 2.0, 2.0]]], requires_grad=True)
    gates = nested_gates(logits, Gating())
    assert gates.tolist() == [[[1, 1, 1], [1, 0, 0], [0, 0, 0]]]
    assert nested_logits(logits).tolist() == [[[2, 1, 1], [2, -1, -1], [-1, -1, -1]]]
    assert [nested_step(row).tolist() for row in logits[0]] == nested_logits(logits)[0].tolist()
    gates[0, 0, 2].backward()
    assert (logits.grad[0, 0] > 0).all() and not logits.grad[0, 1:].any()
    sampled = nested_gates(torch.zeros(1, 400, 3), Gating(noise=1.0))
    assert (sampled[..., 1:] <= sampled[..., :-1]).all()
    assert sampled.mean((0, 1)).tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 8], abs=0.1)


def test_the_ring_ticks_with_its_period() -> None:
    ring, seen = tick_ring(3), []
    for _ in range(7):
        logits, ring = ticked_step(torch.tensor([-2.0, 0.5, -3.0]), ring, 2)
        seen.append(logits.tolist())
    assert ticks(7, 3).tolist() == [1, 0, 0, 1, 0, 0, 1]
    assert seen == [[1, 1, -3] if index % 3 == 0 else [-1, 0.5, -3] for index in range(7)]


@pytest.mark.parametrize("state", STATES)
def test_all_parameters_get_a_gradient(state: str) -> None:
    model = network(state)
    out = model(clip().expand(2, -1, -1), Gating(noise=1.0))
    (out.mask.square().mean() + out.gates.mean()).backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []


def test_cost_is_that_of_all_weights() -> None:
    for state in STATES:
        model = NsNet2(NsNet2Config(state=state))
        static, gated = model.macs()
        matrices = sum(value.numel() for name, value in model.named_parameters() if value.dim() == 2)
        assert static + sum(gated) == matrices
        assert 20e6 < matrices * 62.5 < 22e6
    assert NsNet2().macs() == (67120, (114688, 114688, 49152))
    assert NsNet2(NsNet2Config(state="always")).macs() == (263728, (16384, 16384, 49152))


def test_static_sibling_equals_the_last_exit() -> None:
    model, frames = network(), clip()
    sibling = make_network(replace(SMALL, gated=False)).eval()
    sibling.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("policy.")})
    with torch.no_grad():
        wanted = model.exit_masks(frames)[-1]
        output = sibling(frames)
    assert (output.mask - wanted).abs().max() < TOLERANCE
    assert output.gates.shape == (1, FRAMES, 0) and sibling.gates == ()
    assert (stream(sibling, frames[0]) - wanted[0]).abs().max() < TOLERANCE  # type: ignore[arg-type]
    static, gated = model.macs()
    assert sibling.macs() == (static + sum(gated) - model.policy.macs(), ())


@pytest.mark.parametrize("gated", [True, False])
def test_lowers_to_one_region_a_stage(gated: bool) -> None:
    model = make_network(replace(SMALL, gated=gated)).eval()
    step = model.streaming()
    step.frontend = None
    graph = lower(step, torch.zeros(SMALL.bins))
    assert graph.gates == len(graph.branches) == (len(GATES) if gated else 0)
    assert len(graph.states) == (3 if gated else 2)


def test_heads_are_all_that_no_later_stage_needs() -> None:
    model = network()
    states = model._streams(clip(), (None,) * 3)
    model.zero_grad()
    front = torch.relu(model.front(clip()))
    first = model.gru1(front, front, None)[1]
    model.gru2(front, first, None)[1].sum().backward()
    needed = {name for name, value in model.named_parameters() if value.grad is not None}
    heads = {name for name, _ in model.named_parameters() if name.startswith(model.heads)}
    everything = {name for name, _ in model.named_parameters() if not name.startswith("policy.")}
    assert len(states) == len(GATES) + 1
    assert needed | heads == everything and not needed & heads


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"bins": 250}, "NsNet2Config.bins is 250 (must be a multiple of policy_bands, 16)"),
        ({"hidden": 0}, "NsNet2Config.hidden is 0 (must be a whole number above 0)"),
        (
            {"state": "evry"},
            "NsNet2Config.state: unknown state policy 'evry', did you mean 'every'? "
            "(must be freeze, every or always)",
        ),
        (
            {"state": "every", "period": 1},
            'NsNet2Config.period is 1 (must be at least 2; state = "always" is for each)',
        ),
    ],
)
def test_bad_settings(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(NsNet2Config, values)
    assert str(caught.value) == expected
