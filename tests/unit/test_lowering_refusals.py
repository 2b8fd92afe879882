"""What lowering refuses, with whole messages: the operator, the model's line, the nearest supported form."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quant.errors import UnsupportedOperator
from tinydsn.lowering import lower

FILE = "test_lowering_refusals.py"


class Step(nn.Module):
    """A step made of one function."""

    def __init__(self, function: Callable[..., object], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> object:
        return self.function(self, x)


def message(function: Callable[..., object], shape: tuple[int, ...] = (4,), **parts: nn.Module) -> str:
    """The whole message of the refusal, with the line as LINE.

    torch records frames of ``forward`` only, so that is the line; errors of export know the function's.
    """
    with pytest.raises(UnsupportedOperator) as caught:
        lower(Step(function, **parts), torch.zeros(shape))
    lines = inspect.getsourcelines(function)[1] + 1, inspect.getsourcelines(Step.forward)[1] + 1
    return re.sub(rf"{FILE}:({lines[0]}|{lines[1]})\b", "LINE", str(caught.value))


def lstm(self: Any, x: Tensor) -> Tensor:
    return self.rnn(x[None])[0]


def two_steps(self: Any, x: Tensor) -> Tensor:
    return self.rnn(x.view(2, 2), torch.zeros(1, 2))[0]


def upsampled(self: Any, x: Tensor) -> Tensor:
    return self.up(x.view(1, 1, -1))


def chosen(self: Any, x: Tensor) -> Tensor:
    return torch.where(x > 0, x, -x)


def multiplied(self: Any, x: Tensor) -> Tensor:
    return x * (x[0] > 0)


def cast(self: Any, x: Tensor) -> Tensor:
    return x.double().float()


def batch(self: Any, x: Tensor) -> Tensor:
    return self.conv(x.view(2, 1, 2))


def noise(self: Any, x: Tensor) -> Tensor:
    return x + torch.randn(4)


def both_ways(self: Any, x: Tensor) -> Tensor:
    return x[:, None] + x[None]


def stepped(self: Any, x: Tensor) -> Tensor:
    return x[::2]


def unknown(self: Any, x: Tensor) -> Tensor:
    return torch.erfinv(x)


def odd_clamp(self: Any, x: Tensor) -> Tensor:
    return x.clamp(-1, 2)


def tanh_gelu(self: Any, x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def test_operators_outside_the_table() -> None:
    assert message(lstm, rnn=nn.LSTM(4, 4)) == (
        "aten.lstm.input at LINE is not supported; use torch.nn.GRUCell, with its state in a buffer"
    )
    assert message(upsampled, up=nn.ConvTranspose1d(1, 1, 2, 2)) == (
        "aten.conv_transpose1d.default at LINE is not supported; use torch.nn.Conv2d or Linear to more "
        "channels, and a reshape (sub-pixel convolution)"
    )
    assert message(chosen) == (
        "aten.where.self at LINE is not supported; use torch.cond(logits[k] > threshold, taken, skipped, "
        "operands) for a decision of the frame"
    )
    assert message(unknown) == (
        "aten.erfinv.default at LINE is not supported; `tinydsn ops` lists the supported operators"
    )


def test_uses_outside_the_table() -> None:
    assert message(two_steps, rnn=nn.GRU(2, 2)) == (
        "aten.gru.input at LINE: 2 time steps (must be one frame); use torch.nn.GRUCell, with its state in a "
        "buffer"
    )
    assert message(multiplied) == (
        "aten.mul.Tensor at LINE: a decision is used as a number; use torch.cond(logits[k] > threshold, "
        "taken, skipped, operands)"
    )
    assert message(cast) == (
        "aten._to_copy.default at LINE: a cast to torch.float64 (must be torch.float32); use torch.float32 "
        "in the whole module"
    )
    assert message(batch, conv=nn.Conv1d(1, 1, 2)) == (
        "aten.conv1d.default at LINE: a batch of 2 (must be 1); use a batch of 1; parallel rows go into the "
        "height of torch.nn.Conv2d"
    )
    assert message(noise) == "aten.randn.default at LINE: random numbers; use a deterministic step"
    assert message(both_ways) == (
        "aten.add.Tensor at LINE: shapes (4, 1) and (1, 4) broadcast both ways (one must have all axes); use "
        "operands of which one has the shape of the result"
    )
    assert message(stepped) == (
        "aten.slice.Tensor at LINE: step 2 (must be 1); use a reshape and a slice with step 1"
    )
    assert message(odd_clamp) == (
        "aten.clamp.default at LINE: bounds -1 and 2 (must be 0 and none, or 0 and 6); use torch.relu or "
        "relu6"
    )
    assert message(tanh_gelu) == (
        "aten.gelu.default at LINE: approximate='tanh' (must be 'none'); use torch.nn.GELU()"
    )


def python_branch(self: Any, x: Tensor) -> Tensor:
    return x * 2 if x[0] > 0 else x


def test_control_flow_that_depends_on_data() -> None:
    assert message(python_branch) == (
        "Python control flow at LINE depends on the frame's values; use torch.cond(logits[k] > threshold, "
        "taken, skipped, operands) for a decision of the frame"
    )


def raising(self: Any, x: Tensor) -> Tensor:
    raise ValueError("no such\nmode")


def test_whatever_else_torch_cannot_export() -> None:
    assert message(raising) == (
        "torch.export refuses the module at LINE: ValueError: no such (the module must take one frame as "
        "float32 tensors and keep its states in registered buffers)"
    )


def less(self: Any, x: Tensor) -> Tensor:
    return torch.cond(x[0] < 0, torch.tanh, torch.clone, (x,))


def both(self: Any, x: Tensor) -> Tensor:
    return torch.cond((x[0] > 0) & (x[1] > 0), torch.tanh, torch.clone, (x,))


def swapped(self: Any, x: Tensor) -> Tensor:
    return torch.cond(x[0] > 0, torch.clone, torch.tanh, (x,))


def two_sided(self: Any, x: Tensor) -> Tensor:
    return torch.cond(x[0] > 0, torch.sigmoid, torch.tanh, (x,))


def constant_skip(self: Any, x: Tensor) -> Tensor:
    return torch.cond(x[0] > 0, torch.sigmoid, torch.ones_like, (x,))


def moved_skip(self: Any, x: Tensor) -> Tensor:
    return torch.cond(x[0] > 0, lambda a: a.tanh(), lambda a: torch.roll(a, 1, 0), (x,))


def compared(self: Any, x: Tensor) -> Tensor:
    return torch.cond(x[0] > x[1], torch.tanh, torch.clone, (x,))


def nested(self: Any, x: Tensor) -> Tensor:
    def taken(a: Tensor) -> Tensor:
        return torch.cond(a[1] > 0, torch.tanh, torch.clone, (a,))

    return torch.cond(x[0] > 0, taken, torch.clone, (x,))


def test_gates() -> None:
    assert message(less) == (
        "aten.lt.Scalar at LINE is not supported; use logits[k] > threshold, as the predicate of torch.cond"
    )
    assert message(both) == (
        "aten.__and__.Tensor at LINE is not supported; use one logit a gate: logits[k] > threshold"
    )
    assert message(swapped) == (
        "torch.cond at LINE: the work stands in the second function, which runs when the predicate is false; "
        "use torch.cond(logits[k] > threshold, work, skip, operands), with the logit's sign changed"
    )
    assert message(two_sided) == (
        "torch.cond at LINE: the skipped function computes something (tanh); use torch.zeros_like(...) or "
        "operand.clone() for each output of the skipped function"
    )
    assert message(constant_skip) == (
        "torch.cond at LINE: the skipped function returns a constant that is not zero; use "
        "torch.zeros_like(...) or operand.clone() for each output of the skipped function"
    )
    assert message(moved_skip) == (
        "torch.cond at LINE: the skipped function computes something (slice); use torch.zeros_like(...) or "
        "operand.clone() for each output of the skipped function"
    )
    assert message(compared) == (
        "aten.gt.Tensor at LINE: the threshold is not a constant; use logits[k] > threshold, as the "
        "predicate of torch.cond"
    )
    assert message(nested) == (
        "torch.cond at LINE: a torch.cond inside a torch.cond; use gated regions side by side"
    )


class Counter(nn.Module):
    """A state that is not float32."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        return x * 2


def test_states_must_be_float32() -> None:
    with pytest.raises(UnsupportedOperator) as caught:
        lower(Counter(), torch.zeros(4))
    assert str(caught.value) == "buffer 'count': a state of torch.int64 (must be torch.float32); use float32"


def wide(self: Any, x: Tensor) -> Tensor:
    return F.layer_norm(x, (2048,))


def test_constraints_of_the_table_are_checked() -> None:
    assert message(wide, (2048,)) == (
        "layer_norm 'layer_norm' at LINE: The normalised axis is the last one and has at most 1024 elements. "
        "Found: 2048 elements."
    )
