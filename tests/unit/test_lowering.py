"""Whole models: the lowered graph computes what torch computes, frame by frame, with its states and gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.graph import Graph
from quant.reference import Executor
from tests import foreign_models
from tinydsn.lowering import lower
from tinydsn.models import Dsn

FRAMES = 50
Made = tuple[nn.Module, Tensor]


def dsn() -> Made:
    """The shipped architecture with random weights and gates that change."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Dsn()
        with torch.no_grad():
            state, logits = torch.zeros(1, 16), []
            for frame in frames(torch.zeros(256), features=True):
                logit, state = network.policy.step(frame, state)
                logits.append(logit)
            network.policy.head.bias.sub_(torch.stack(logits).median(0).values)
    return network.streaming().eval(), torch.zeros(256)


MODELS = [dsn, foreign_models.gru_denoiser, foreign_models.tcn, foreign_models.gated_attention]


@cache
def lowered(make: Callable[[], Made]) -> Graph:
    """The graph of a model; lowering takes seconds, and graphs do not change."""
    return lower(*make())


def frames(example: Tensor, features: bool) -> Iterator[Tensor]:
    """Noise in bursts: loud and quiet stretches, so that policies change their minds."""
    generator = torch.Generator().manual_seed(5)
    for index in range(FRAMES):
        loud = (index // 4) % 3
        noise = torch.randn(example.shape, generator=generator)
        yield noise.abs().pow(0.5) * (0.05 + 0.7 * loud) if features else noise * (0.001 + 0.1 * loud)


def differences(module: nn.Module, graph: Graph, example: Tensor) -> tuple[float, np.ndarray]:
    """Largest difference relative to the largest output, and the gates, over FRAMES frames."""
    executor = Executor(graph)
    worst, largest, gates = 0.0, 0.0, []
    with torch.no_grad():
        for frame in frames(example, graph.frontend is not None):
            expected = module(frame).numpy()
            found = executor.step(frame.numpy())
            assert found.outputs[0].shape == expected.shape
            worst = max(worst, float(np.abs(found.outputs[0] - expected).max()))
            largest = max(largest, float(np.abs(expected).max()))
            gates.append(found.gates)
    return worst / largest, np.array(gates)


@pytest.mark.parametrize("make", MODELS)
def test_graph_equals_torch_over_frames(make: Callable[[], Made]) -> None:
    module, example = make()
    graph = lowered(make)
    error, gates = differences(module, graph, example)
    assert error < 1e-4
    assert gates.any(0).all() and not gates.all(0).any(), f"each gate must take both values: {gates.mean(0)}"


def test_a_changed_weight_is_noticed() -> None:
    module, example = foreign_models.tcn()
    graph = lowered(foreign_models.tcn)
    name = "blocks.1.point.weight"
    wrong = graph.constants[name].copy()
    wrong.flat[3] += 0.5
    error, _ = differences(module, graph.replace(constants={**graph.constants, name: wrong}), example)
    assert error > 1e-3


def test_lowering_leaves_the_module_as_it_was() -> None:
    module: Any
    module, example = foreign_models.gru_denoiser()
    module.train()
    module.mask.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    graph = lower(module, example)
    assert module.training and not module.mask.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    with torch.no_grad():
        module.embed.weight.zero_()
    assert graph.constants["embed.weight"].any(), "the graph must not share memory with the module"


def test_names_sources_states_and_gates_of_the_gru_denoiser() -> None:
    module, _ = foreign_models.gru_denoiser()
    graph = lowered(foreign_models.gru_denoiser)
    operators = {operator.name: operator for operator in graph.operators()}
    assert graph.name == "GruDenoiser"
    assert graph.frontend == module.frontend
    assert {"cells.0.input", "cells.0.hidden", "cells.0.update", "mask.0", "wide"} <= set(operators)
    assert all(operator.outputs == (name,) for name, operator in operators.items())
    assert all(operator.source.startswith("foreign_models.py:") for operator in operators.values())
    assert operators["mask.0"].attributes["activation"] == "relu6"
    (branch,) = graph.branches
    assert [operator.name for operator in branch.body] == [
        "cells.1.input",
        "cells.1.hidden",
        "cells.1.update",
        "wide",
    ]
    assert [(output.skip, output.held) for output in branch.outputs] == [("zero", ""), ("hold", "h1")]
    assert operators["gate0"].attributes == {"index": 0, "threshold": pytest.approx(0.05)}
    assert [(state.tensor, state.next) for state in graph.states] == [
        ("h0", "cells.0.update"),
        ("h1", branch.outputs[1].tensor),
    ]
    assert np.array_equal(graph.constants["h0"], np.full((1, 24), 0.125, np.float32))
    assert "h1" not in graph.constants, "a state that starts at zero needs no constant"


def test_gates_of_the_shipped_model_are_numbered_as_its_blocks() -> None:
    graph = lowered(dsn)
    assert graph.name == "DsnStep"
    assert [(branch.gate, branch.name) for branch in graph.branches] == [
        (0, "encoder.gated"),
        (1, "attention.gated"),
        (2, "recurrence.gated"),
        (3, "feedforward.gated"),
        (4, "decoder.gated4"),
    ]
    gates = [operator for operator in graph.operators() if operator.kind == "gate"]
    assert [(operator.attributes["index"], operator.attributes["threshold"]) for operator in gates] == [
        (index, 0.0) for index in range(5)
    ]


def transposes(graph: Graph) -> int:
    """Operators that move data only to change the order of axes."""
    return sum(operator.kind == "transpose" for operator in graph.operators())


def test_the_shipped_model_moves_data_only_for_its_heads() -> None:
    graph = lowered(dsn)
    # queries, keys, values and their mixture, in the static and in the gated attention
    assert transposes(graph) == 8
    assert all("attention" in operator.name for operator in graph.operators() if operator.kind == "transpose")


def test_states_of_the_tcn_lie_as_its_convolutions_read_them() -> None:
    graph = lowered(foreign_models.tcn)
    assert graph.tensors["blocks.2.past"].shape == (1, 8, 8)
    assert graph.tensors["blocks.0.past"].shape == (1, 2, 8)
    blocks = [operator for operator in graph.operators() if operator.name.startswith("blocks.")]
    assert [operator.kind for operator in blocks] == [
        "concat",
        "slice",
        "depthwise_conv2d",
        "leaky_relu",
        "conv2d",
    ] * 3


class Two(nn.Module):
    """Two inputs, two outputs."""

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return first + second, first * second


def test_several_inputs_and_outputs() -> None:
    graph = lower(Two(), (torch.zeros(4), torch.zeros(4)), name="two")
    assert graph.name == "two"
    assert graph.inputs == ("first", "second")
    first, second = np.arange(4, dtype=np.float32), np.full(4, 2, np.float32)
    outputs = Executor(graph).step(first, second).outputs
    assert np.array_equal(outputs[0], first + second) and np.array_equal(outputs[1], first * second)


class Masks(nn.Module):
    """A mask network with a front end of its own choice."""

    def __init__(self, frontend: object, outputs: int = 256) -> None:
        super().__init__()
        self.frontend = frontend
        self.linear = nn.Linear(256, outputs)

    def forward(self, frame: Tensor) -> Tensor:
        return torch.sigmoid(self.linear(frame))


def message(call: Callable[[], object]) -> str:
    """The whole message of the ConfigError that ``call`` must raise."""
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


def test_wrong_front_ends_and_examples() -> None:
    from quant.frontend import FrontEnd

    assert message(lambda: lower(Masks("stft"), torch.zeros(256))) == (
        "attribute frontend of Masks is a str (must be a quant.frontend.FrontEnd, or None)"
    )
    assert message(lambda: lower(Masks(FrontEnd(bins=257)), torch.zeros(256))) == (
        "the example frame has shape (256,) but the front end has 257 bins (must be as many elements)"
    )
    assert message(lambda: lower(Masks(FrontEnd(), 128), torch.zeros(256))) == (
        "the step's output has shape (128,) but the front end has 256 bins "
        "(must be a mask of as many elements)"
    )
    assert message(lambda: lower(Two(), torch.zeros(4, dtype=torch.int16))) == (
        "the example frame is torch.int16 (must be torch.float32)"
    )
