"""The separator: streaming equals whole clip, narrow and whole widths, held states, cost, branches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from quant.graph import Graph
from tests.unit.restless import FRAMES, changing_level, restless
from tinydsn.lowering import lower
from tinydsn.models.checkpoint import load_checkpoint, save_checkpoint
from tinydsn.models.kinds import kind_of, make_network
from tinydsn.models.separator import Separator, SeparatorConfig
from tinydsn.nn import Gating

TOLERANCE = 1e-5
SMALL = SeparatorConfig(
    bins=64, bands=4, channels=6, mixed=3, hidden=4, gated_mixed=5, gated_hidden=7, policy_bands=8,
    policy_hidden=5,
)  # fmt: skip
WIDTHS = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]


def network(config: SeparatorConfig = SMALL, seed: int = 0) -> Separator:
    """A network whose width changes often: the gate's head is made steep and centred."""
    torch.manual_seed(seed)
    return restless(Separator(config).eval())


def clip(config: SeparatorConfig = SMALL, seed: int = 1) -> Tensor:
    return changing_level(config.bins, seed)


def stream(model: Separator, frames: Tensor) -> Tensor:
    step = model.streaming()
    with torch.no_grad():
        return torch.stack([step(frame).clone() for frame in frames])


def lowered(model: Separator) -> Graph:
    step = model.streaming()
    step.frontend = None  # of 256 bins
    return lower(step, torch.zeros(model.config.bins))


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, blocks=3), SeparatorConfig()])
def test_streaming_equals_whole_clip(config: SeparatorConfig) -> None:
    model, frames = network(config), clip(config)
    with torch.no_grad():
        whole = model(frames)
    assert whole.mask.shape == (1, FRAMES, 2, config.bins)
    assert torch.equal(whole.gates, (whole.logits > 0).float())
    assert len(whole.gates.sum(-1).unique()) >= 3, "too few widths occur"
    assert (stream(model, frames[0]) - whole.mask[0]).abs().max() < TOLERANCE


def test_a_closed_part_holds_its_state() -> None:
    model = network()
    step, frames = model.streaming(), clip()[0]

    def states() -> list[Tensor]:
        return [step.get_buffer(f"state{block}_{part}").clone() for block in range(2) for part in range(2)]

    with torch.no_grad():
        model.policy.head.weight.zero_()
        model.policy.head.bias.copy_(torch.tensor([1.0, -1.0]))
        step(frames[0])
        held = states()
        assert [bool(state.any()) for state in held] == [True, True, True, False]
        model.policy.head.bias.copy_(torch.tensor([-1.0, 1.0]))
        step(frames[1])
    same = [torch.equal(a, b) for a, b in zip(held, states(), strict=True)]
    assert same == [False, True, False, False]


def test_the_narrow_network_is_a_part_of_the_whole_one() -> None:
    config, model = SeparatorConfig(), Separator()
    static, gated = model.macs()
    assert static * 62.5e-6 == pytest.approx(3.362, abs=1e-3)
    assert (static + sum(gated)) * 62.5e-6 == pytest.approx(7.890, abs=1e-3)
    assert sum(cost.macs for cost in model.costs()) == static + sum(gated)
    assert model.gates == ("block0", "block1")
    assert [list(map(float, row)) for row in model.levels()] == WIDTHS
    frames = clip(config)[:, :6]
    with torch.no_grad():
        masks = [model(frames, Gating(forced=torch.tensor(row))).mask for row in WIDTHS]
        for path in (model.blocks[1].across, model.blocks[1].along):
            for value in path.parts[1].parameters():
                value.add_(1.0)
        again = [model(frames, Gating(forced=torch.tensor(row))).mask for row in WIDTHS]
    same = [torch.equal(a, b) for a, b in zip(masks, again, strict=True)]
    assert same == [True, True, False]


def test_lowering_makes_a_region_of_each_path_and_one_output_of_two_masks() -> None:
    graph = lowered(network())
    assert graph.gates == 2
    assert [sum(branch.gate == gate for branch in graph.branches) for gate in range(2)] == [2, 2]
    assert [graph.tensors[name].shape for name in graph.outputs] == [(2, SMALL.bins)]


def test_a_front_end_of_one_channel_refuses_two_masks() -> None:
    class Doubled(torch.nn.Module):
        frontend = FrontEnd()

        def forward(self, frame: Tensor) -> Tensor:
            return torch.sigmoid(torch.cat([frame, frame]).view(2, -1))

    with pytest.raises(ConfigError) as caught:
        lower(Doubled(), torch.zeros(256))
    assert str(caught.value) == (
        "the step's output has shape (2, 256) but the front end has 256 bins (must be a mask of as many "
        "elements)"
    )
    Doubled.frontend = FrontEnd(channels=2)
    assert lower(Doubled(), torch.zeros(256)).frontend == FrontEnd(channels=2)


def test_a_static_sibling_has_whole_blocks(tmp_path: Path) -> None:
    config = replace(SMALL, gated=False, mixed=7, hidden=5)
    model = make_network(config)
    assert kind_of(config) == "separator" and model.gates == () and model.policy is None
    save_checkpoint(model, tmp_path / "one.safetensors")
    model = load_checkpoint(tmp_path / "one.safetensors")
    frames = clip(config)
    with torch.no_grad():
        assert (stream(model, frames[0]) - model(frames).mask[0]).abs().max() < TOLERANCE
    assert lowered(model.eval()).gates == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": 9}, "SeparatorConfig.blocks is 9 (must be at most 8)"),
        (
            {"bands": 5},
            "SeparatorConfig.bins is 64 (must be a multiple of bands, 5, and of policy_bands, 8)",
        ),
        ({"hidden": 0}, "SeparatorConfig.hidden is 0 (must be a whole number above 0)"),
    ],
)
def test_bad_sizes(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SMALL, **changes)
    assert str(caught.value) == message
