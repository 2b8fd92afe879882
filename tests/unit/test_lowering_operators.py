"""Each ATen operator that lowering knows, in a small module, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quant.reference import Executor
from tinydsn.lowering import lower

FRAMES = 4


class Step(nn.Module):
    """A step made of one function and the modules it uses."""

    state: Tensor

    def __init__(
        self, function: Callable[..., object], state: tuple[int, ...] = (), **parts: nn.Module
    ) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)
        if state:
            self.register_buffer("state", torch.zeros(state))

    def forward(self, x: Tensor) -> object:
        return self.function(self, x)


def check(step: nn.Module, shape: tuple[int, ...], kinds: str | None = None, positive: bool = False) -> None:
    """The lowered step equals torch over a few frames.

    ``kinds``, where it is given, are its operators but for reshapes, which cost nothing.
    """
    step.eval()
    generator = torch.Generator().manual_seed(3)
    graph = lower(step, torch.zeros(shape))
    executor = Executor(graph)
    with torch.no_grad():
        for _ in range(FRAMES):
            x = torch.randn(shape, generator=generator)
            x = x.abs() + 0.1 if positive else x
            expected = step(x)
            expected = expected if isinstance(expected, (tuple, list)) else (expected,)
            outputs = executor.step(x.numpy()).outputs
            assert len(outputs) == len(expected)
            for found, wanted in zip(outputs, expected, strict=True):
                assert found.shape == tuple(wanted.shape)
                np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-5)
    if kinds is not None:
        costly = [operator.kind for operator in graph.operators() if operator.kind != "reshape"]
        assert " ".join(costly) == kinds


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A module with fixed random weights; norms get random statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        module = make()
        for part in module.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                for value, low in ((part.running_mean, -0.5), (part.running_var, 0.3), (part.weight, 0.5)):
                    assert value is not None
                    nn.init.uniform_(value, low, 1.0)
                nn.init.uniform_(part.bias, -0.5, 0.5)
            if isinstance(part, (nn.PReLU, nn.LayerNorm)) and part.weight is not None:
                nn.init.uniform_(part.weight, 0.1, 0.9)
    return module


POINTWISE = {
    "relu": (torch.relu, "relu"),
    "sigmoid": (torch.sigmoid, "sigmoid"),
    "tanh": (torch.tanh, "tanh"),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), "leaky_relu"),
    "silu": (F.silu, "table"),
    "gelu": (F.gelu, "table"),
    "elu": (F.elu, "table"),
    "softplus": (F.softplus, "table"),
    "hardswish": (F.hardswish, "table"),
    "hardsigmoid": (F.hardsigmoid, "add mul add mul add mul"),
    "relu6": (F.relu6, "relu mul add mul add"),
    "hardtanh": (lambda x: F.hardtanh(x, 0.0, 6.0), "relu mul add mul add"),
    "clamp": (lambda x: x.clamp(0, 6), "relu mul add mul add"),
    "clamp_min": (lambda x: x.clamp(min=0), "relu"),
    "exp": (torch.exp, "table"),
    "abs": (torch.abs, "table"),
    "square": (lambda x: x**2, "mul"),
    "cube": (lambda x: x**3, "mul mul"),
    "neg": (lambda x: -x, "mul"),
    "one_minus": (lambda x: 1 - x, "mul add"),
    "affine": (lambda x: 3 * x - 0.5, "mul add"),
    "divided": (lambda x: x / 4, "mul"),
    "alpha": (lambda x: torch.add(x, torch.sigmoid(x), alpha=0.5), "sigmoid mul add"),
    "difference": (lambda x: x - torch.tanh(x), "tanh sub"),
    "softmax": (lambda x: torch.softmax(x, -1), "softmax"),
    "softmax_first": (lambda x: torch.softmax(x, 0), "transpose softmax transpose"),
    "dropout": (lambda x: F.dropout(x, 0.5, False) * 2, "mul"),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise(name: str) -> None:
    function, kinds = POINTWISE[name]
    check(Step(lambda self, x: function(5 * x)), (3, 8), f"mul {kinds}")


@pytest.mark.parametrize(
    "function", [torch.log, torch.sqrt, torch.reciprocal, lambda x: 3 / x, lambda x: x / (x + 1)]
)
def test_positive_functions(function: Callable[[Tensor], Tensor]) -> None:
    check(Step(lambda self, x: function(x)), (8,), positive=True)


MOVEMENT = {
    "views": lambda x: x.view(2, 12).unsqueeze(0).flatten().reshape(4, 6),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, -1).mT,
    "slices": lambda x: (x[1:], x[:, -2:], x[0, :, 1:3], x.narrow(2, 1, 2)),
    "select": lambda x: (x[1, 2], x.select(2, -1)),
    "split": lambda x: torch.split(x, [1, 2], 1),
    "split_size": lambda x: torch.split(x, 3, 2),
    "chunk": lambda x: torch.chunk(x, 3, 2),
    "unbind": lambda x: torch.unbind(x, 1),
    "cat": lambda x: torch.cat([x, x[:, :1], torch.ones(2, 2, 4)], 1),
    "stack": lambda x: torch.stack([x[0], x[1] * 2], 1),
    "pad": lambda x: F.pad(x, (1, 0, 0, 2)),
    "pad_negative": lambda x: F.pad(x, (-1, 2)),
    "roll": lambda x: torch.roll(x, (1, -2), (0, 2)),
    "expand": lambda x: x[:, :1].expand(2, 5, 4),
    "repeat": lambda x: x.repeat(1, 2, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.reshape(4, 3, 2), 2),
    "glu": lambda x: F.glu(x, 2),
    "mean": lambda x: (x.mean(-1), x.mean((0, 2), keepdim=True), x.mean(), x.sum(1)),
    "constants": lambda x: x + torch.arange(4.0) + torch.full((3, 1), 2.0) + torch.zeros_like(x).fill_(3),
    "broadcast": lambda x: (x * x[0], x + x[:, :, :1], x[0] - x, x * x[:, :1, :1]),
}


@pytest.mark.parametrize("name", MOVEMENT)
def test_movement(name: str) -> None:
    check(Step(lambda self, x: MOVEMENT[name](x * 1.5)), (2, 3, 4))


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "linear": (lambda: nn.Linear(6, 4), (5, 6), "fully_connected"),
    "linear_vector": (lambda: nn.Linear(6, 4, bias=False), (6,), "fully_connected"),
    "conv1d": (lambda: nn.Conv1d(3, 5, 3, stride=2, padding=1), (1, 3, 9), "transpose conv2d transpose"),
    "conv1d_same": (
        lambda: nn.Conv1d(3, 3, 4, padding="same", groups=3),
        (3, 9),
        "transpose depthwise_conv2d transpose",
    ),
    "conv2d": (
        lambda: nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        (1, 3, 7, 8),
        "transpose conv2d transpose",
    ),
    "conv2d_groups": (
        lambda: nn.Conv2d(4, 6, 3, groups=2, padding="valid"),
        (4, 5, 5),
        "slice transpose conv2d slice transpose conv2d concat transpose",
    ),
    "one_channel": (lambda: nn.Conv2d(1, 1, 3), (1, 1, 5, 6), "conv2d"),
    "conv_norm_relu6": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU6()),
        (1, 2, 5, 6),
        "transpose conv2d transpose",
    ),
    "depthwise_norm": (
        lambda: nn.Sequential(
            nn.ZeroPad2d((2, 0, 1, 0)), nn.Conv2d(3, 3, (2, 3), groups=3), nn.BatchNorm2d(3)
        ),
        (1, 3, 4, 6),
        "transpose depthwise_conv2d transpose",
    ),
    "separable": (
        lambda: nn.Sequential(nn.Conv1d(4, 4, 3, groups=4), nn.PReLU(4), nn.Conv1d(4, 2, 1), nn.ReLU()),
        (1, 4, 9),
        "transpose depthwise_conv2d relu sub mul add conv2d transpose",
    ),
    "batch_norm_alone": (lambda: nn.BatchNorm1d(6), (1, 6), "mul add"),
    "layer_norm": (lambda: nn.LayerNorm(6), (4, 6), "layer_norm"),
    "layer_norm_two_axes": (lambda: nn.LayerNorm((4, 6)), (3, 4, 6), "layer_norm"),
    "layer_norm_bare": (lambda: nn.LayerNorm(6, elementwise_affine=False), (6,), "layer_norm"),
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 2)), (6,), "fully_connected " * 2),
    "glu": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.GLU()),
        (6,),
        "fully_connected fully_connected sigmoid mul",
    ),
    "weight_norm": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)),
        (6,),
        "fully_connected",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    make, shape, kinds = LAYERS[name]
    check(seeded(make), shape, kinds.strip())


def test_weight_norm_keeps_the_name_of_the_weight() -> None:
    graph = lower(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4))), torch.zeros(6))
    assert sorted(graph.constants) == ["0.bias", "0.weight"]
    assert [operator.name for operator in graph.operators()] == ["0"]


def gru_step(self: Any, x: Tensor) -> Tensor:
    """torch.nn.GRU over one frame, its state in a buffer."""
    y, state = self.gru(x[None], self.state)
    self.state.copy_(state)
    return y[0]


@pytest.mark.parametrize("layers", [1, 2])
def test_gru_over_one_frame(layers: int) -> None:
    step = Step(gru_step, state=(layers, 5), gru=seeded(lambda: nn.GRU(4, 5, layers)))
    check(step, (4,))


def fifo_roll(self: Any, x: Tensor) -> Tensor:
    """A delay line by roll and assignment."""
    self.state.copy_(torch.roll(self.state, -1, 0))
    self.state[-1] = x
    return self.state.mean(0)


def fifo_slices(self: Any, x: Tensor) -> Tensor:
    """A delay line by slice assignment."""
    self.state[:-1] = self.state[1:].clone()
    self.state[-1:] = x
    return self.state * 1.0


@pytest.mark.parametrize("function", [fifo_roll, fifo_slices])
def test_delay_lines(function: Callable[[nn.Module, Tensor], Tensor]) -> None:
    check(Step(function, state=(3, 4)), (4,))


PRODUCTS = {
    "matrix": lambda self, x: x[0] @ x[1].T,
    "batch": lambda self, x: x @ x.transpose(1, 2),
    "vector": lambda self, x: (x[0] @ x[1, 0], x[0, 0] @ x[1, 0], x[0, 0] @ x[1].T),
    "constant": lambda self, x: x @ self.linear.weight,
    "constant_left": lambda self, x: self.linear.weight @ x[0].T,
    "constant_vector": lambda self, x: (x @ self.linear.bias, self.linear.bias[:3] @ x[0]),
    "einsum": lambda self, x: torch.einsum("bmk,bnk->mbn", x, 2 * x),
    "attention": lambda self, x: F.scaled_dot_product_attention(x, 0.5 * x, x + 1),
    "module": lambda self, x: self.attention(x[:1], x[1:], x[1:], need_weights=False)[0],
    "self_attention": lambda self, x: self.attention(x[:1], x[:1], x[:1], need_weights=False)[0],
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str) -> None:
    step = Step(
        PRODUCTS[name],
        linear=seeded(lambda: nn.Linear(5, 4)) if "left" not in name else seeded(lambda: nn.Linear(4, 6)),
        attention=seeded(lambda: nn.MultiheadAttention(4, 2, batch_first=True)),
    )
    if name == "constant_vector":
        step.linear = seeded(lambda: nn.Linear(5, 4))
    check(step, (2, 3, 4))


GATES = {
    "scalar": lambda self, x: torch.cond(x[0] > 0.25, torch.tanh, torch.clone, (x,)),
    "vector": lambda self, x: torch.cond((x > 0)[2], torch.tanh, torch.zeros_like, (x,)),
    "tensor": lambda self, x: torch.cond(x[1] > torch.tensor(0.1), torch.tanh, torch.clone, (x,)),
    "unbound": lambda self, x: torch.cond(torch.unbind(x > 0)[3], torch.tanh, torch.clone, (x,)),
    "twice": lambda self, x: torch.cond(
        x[0] > 0, torch.tanh, torch.clone, (torch.cond(x[0] > 0, torch.sigmoid, torch.zeros_like, (x,)),)
    ),
    "passes_through": lambda self, x: torch.cond(
        x[0] > 0, lambda a: (a.clone(), 2 * a), lambda a: (torch.zeros_like(a), a.clone()), (x,)
    ),
}


@pytest.mark.parametrize("name", GATES)
def test_gates(name: str) -> None:
    check(Step(GATES[name]), (5,))


def test_equal_predicates_share_a_gate_and_different_ones_do_not() -> None:
    shared = lower(Step(GATES["twice"]), torch.zeros(5))
    assert [branch.gate for branch in shared.branches] == [0, 0] and shared.gates == 1
    apart = lower(
        Step(
            lambda self, x: torch.cond(
                x[0] > 0.5, torch.tanh, torch.clone, (torch.cond(x[0] > 0, torch.tanh, torch.clone, (x,)),)
            )
        ),
        torch.zeros(5),
    )
    assert [branch.gate for branch in apart.branches] == [0, 1]
