"""The slimmable network: streaming equals whole clip, held decisions and states, cost, one region a level."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.graph import Graph
from quant.ops.linear import LEADING_OF
from tests.unit.restless import FRAMES, changing_level, restless
from tinydsn.lowering import lower
from tinydsn.models.kinds import kind_of, make_network
from tinydsn.models.slim import EIGHTHS, GATES, WIDTHS, Slim, SlimConfig
from tinydsn.nn import Gating

TOLERANCE = 1e-5
SMALL = SlimConfig(
    bins=64, first=3, middle=4, channels=8, down=(8, 16), hidden=8, up=(8, 8), hold=5, policy_bands=8,
    policy_hidden=5,
)  # fmt: skip


def network(config: SlimConfig = SMALL, seed: int = 0) -> Slim:
    """A network whose width changes often: the router's head is made steep and centred."""
    torch.manual_seed(seed)
    return restless(Slim(config).eval())


def clip(config: SlimConfig = SMALL, seed: int = 1) -> Tensor:
    return changing_level(config.bins, seed)


def stream(model: Slim, frames: Tensor, step: nn.Module | None = None) -> Tensor:
    step = step or model.streaming()
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        return torch.stack([step(frame).clone() for frame in frames])


def lowered(model: Slim) -> Graph:
    step = model.streaming()
    step.frontend = None  # of 256 bins
    return lower(step, torch.zeros(model.config.bins))


@pytest.mark.parametrize(("config", "count"), [(SMALL, FRAMES), (SlimConfig(), 8)])
def test_streaming_equals_whole_clip(config: SlimConfig, count: int) -> None:
    model, frames = network(config), clip(config)[:, :count]
    with torch.no_grad():
        whole = model(frames)
    assert torch.equal(whole.gates, (whole.logits > 0).float())
    assert (stream(model, frames[0]) - whole.mask[0]).abs().max() < TOLERANCE


def test_decisions_are_nested_and_held() -> None:
    model = network()
    with torch.no_grad():
        gates = model(clip()).gates[0]
    decides, widths = gates[:, 0], gates[:, 1:]
    assert torch.equal(decides, (torch.arange(FRAMES) % SMALL.hold == 0).float())
    assert (widths[:, 1:] <= widths[:, :-1]).all()
    assert len(widths.sum(-1).unique()) >= 3, "too few widths occur"
    changed = (widths[1:] != widths[:-1]).any(-1)
    assert changed.any() and not (changed & (decides[1:] == 0)).any()


def test_noise_of_the_training_gate_is_held_too() -> None:
    with torch.no_grad():
        gates = network()(clip(), Gating(noise=1.0)).gates[0]
    changed = (gates[1:, 1:] != gates[:-1, 1:]).any(-1)
    assert changed.any() and not (changed & (gates[1:, 0] == 0)).any()
    assert (gates[:, 2:] <= gates[:, 1:-1]).all()


def test_a_closed_group_holds_its_state() -> None:
    model = network()
    step, frames = model.streaming(), clip()[0]
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        model.policy.head.weight.zero_()
        model.policy.head.bias.copy_(torch.tensor([1.0, 1.0, -1.0]))
        for frame in frames[: SMALL.hold]:
            step(frame)
        held = [state.clone() for state in (step.state1, step.state2, step.state3)]
        assert held[0].any() and held[1].any() and not held[2].any()
        model.policy.head.bias.copy_(torch.tensor([1.0, -1.0, 1.0]))
        step(frames[0])
        assert torch.equal(step.state2, held[1]) and torch.equal(step.state3, held[2])
        assert not torch.equal(step.state1, held[0])


def test_a_width_is_a_prefix_of_the_wider_one() -> None:
    config, model = SlimConfig(), Slim()
    static, gated = model.macs()
    assert (static + sum(gated)) * 62.5e-6 == pytest.approx(7.969, abs=1e-3)
    assert [config.widths(16), config.groups(32)] == [(2, 4, 8, 16), (4, 4, 8, 16)]
    assert EIGHTHS == (1, 2, 4, 8) and model.gates == GATES == ("decide", *WIDTHS)
    assert sum(cost.macs for cost in model.costs()) == static + sum(gated)
    frames = clip(config)
    with torch.no_grad():
        masks = [model(frames, Gating(forced=torch.tensor(row))).mask for row in PREFIXES]
        for name in ("down1", "down2", "up1", "up2"):
            pair = getattr(model, name)
            for value in (pair.first.weight[8:], pair.first.bias[8:], pair.second.weight[:, 8:]):
                value.add_(1.0)
            pair.second.bias[3].add_(1.0)
        for value in (*model.recurrence.groups[3].parameters(), model.recurrence.output.weight[:, 16:]):
            value.add_(1.0)
        again = [model(frames, Gating(forced=torch.tensor(row))).mask for row in PREFIXES]
    same = [torch.equal(a, b) for a, b in zip(masks, again, strict=True)]
    assert same == [True, True, True, False]


def test_each_level_has_a_bias_of_its_own() -> None:
    model, frames = network(), clip()[:, :5]
    for level, row in enumerate(PREFIXES):
        step = model.streaming()
        with torch.no_grad():
            model.down1.second.bias[1:].uniform_(-1, 1)
            whole = model(frames, Gating(forced=torch.tensor(row))).mask[0]
        step._gates = lambda _, level=level: torch.tensor([1.0 if k < level else -1.0 for k in range(3)])
        assert (stream(model, frames[0], step) - whole).abs().max() < TOLERANCE


PREFIXES = [[1.0] * (1 + width) + [0.0] * (3 - width) for width in range(4)]


def test_lowering_makes_a_region_a_level() -> None:
    graph = lowered(network())
    assert graph.gates == len(GATES)
    found = [(branch.gate, branch.inverted, branch.unless and branch.unless[0]) for branch in graph.branches]
    ladder = [(1, True, None), (1, False, 2), (2, False, 3), (3, False, None)]
    groups = [(gate, False, None) for gate in (1, 2, 3)]
    assert found == [(0, False, None), *ladder, *groups, *ladder]
    parts = [item.attributes.get(LEADING_OF) for item in graph.operators() if item.name.startswith("up1.")]
    assert parts.count("up1.first.weight") == parts.count("up1.second.weight") == 3
    assert len(parts) == 8


def test_a_static_sibling_has_whole_blocks() -> None:
    config = replace(SMALL, gated=False, down=(5, 7), hidden=6, up=(3, 2))
    model = make_network(config)
    assert kind_of(config) == "slim" and model.gates == () and model.policy is None
    frames = clip(config)
    with torch.no_grad():
        assert (stream(model, frames[0]) - model(frames).mask[0]).abs().max() < TOLERANCE
    assert lowered(model.eval()).gates == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": 12}, "SlimConfig.hidden is 12 (must be multiples of 8)"),
        ({"down": (8, 12)}, "SlimConfig.down is (8, 12) (must be multiples of 8)"),
        ({"up": (8,)}, "SlimConfig.up is (8,) (must be two widths)"),
        ({"hold": 1}, "SlimConfig.hold is 1 (must be at least 2 frames)"),
        ({"kernel": 2}, "SlimConfig.kernel is 2 (must be odd)"),
        ({"bins": 72}, "SlimConfig.bins is 72 (must be a multiple of 16 and of policy_bands, 8)"),
        ({"first": 0}, "SlimConfig.first is 0 (must be whole numbers above 0)"),
    ],
)
def test_bad_sizes(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SMALL, **changes)
    assert str(caught.value) == message
