"""Bits from PyTorch to the integer graph: the step, its surrogate, lowering, what stays bits, packing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quant import bits
from quant.calibrate import calibrate
from quant.convert import convert
from quant.errors import UnsupportedOperator
from quant.graph import Graph, IntegerGraph
from quant.precision import PRESETS, legal_names
from quant.reference import Pipeline
from tinydsn.lowering import lower
from tinydsn.nn.step import Step


class Convolved(nn.Module):
    """Two binary convolutions with a delay line between them; the sum over channels comes out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv2d(1, 33, (1, 3)), nn.Conv2d(33, 4, (2, 3))
        self.step = Step()
        self.register_buffer("past", torch.zeros(1, 14, 33))

    def forward(self, frame: Tensor) -> Tensor:
        columns = self.step(self.first(frame.view(1, 1, 1, 16)))[0].permute(1, 2, 0)
        image = torch.cat([self.past, columns])
        self.past.copy_(image[1:])
        result = self.step(self.second(image.permute(2, 0, 1).unsqueeze(0)))
        return result.sum(1).flatten() / 8


def lowered() -> Graph:
    return lower(Convolved(), torch.zeros(16), name="bits")


def integer(precision: str = "w8a16") -> IntegerGraph:
    graph = lowered()
    clip = np.random.default_rng(0).integers(-20000, 20000, 320).astype(np.int16)
    return convert(graph, calibrate(graph, [clip]), PRESETS[precision])


def kinds(graph: Graph) -> list[str]:
    return [operator.kind for operator in graph.operators()]


def test_packing_and_back() -> None:
    rng = np.random.default_rng(1)
    for channels in (1, 31, 32, 33, 64):
        values = rng.random((2, 3, channels)) < 0.5
        words = bits.pack(values)
        assert words.dtype == np.int32 and words.shape == bits.packed_shape(values.shape)
        assert np.array_equal(bits.unpack(words, channels), values)
    assert bits.pack(np.array([0, 1, 0, 0, 1])).tolist() == [0b10010]


def test_the_surrogate_is_that_of_superspike() -> None:
    x = torch.tensor([-0.3, -0.1, 0.0, 0.1, 2.0], requires_grad=True)
    step = Step(beta=10.0).train()
    taken = step(x)
    assert taken.tolist() == [0, 0, 0, 1, 1] and torch.equal(step.eval()(x), taken)
    taken.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([1 / 16, 1 / 4, 1.0, 1 / 4, 1 / 441]))


def test_a_step_goes_into_its_convolution_and_bits_stay_bits() -> None:
    graph = lowered()
    assert kinds(graph).count("binary_conv2d") == 2 and "step" not in kinds(graph)
    made = integer()
    packed = bits.bit_tensors(graph)
    assert {"past", "first", "second"} <= packed
    for name in packed:
        assert made.tensors[name].dtype == "int32"
        assert made.tensors[name].shape == bits.packed_shape(graph.tensors[name].shape)
    assert made.tensors["past"].shape == (1, 14, 2)
    assert kinds(made).count("unpack") == 1
    names = legal_names(graph)
    assert "first" not in names["activations"] and "past" not in names["states"]


@pytest.mark.parametrize("precision", ["w8a16", "w8a8", "w4a16"])
def test_the_integer_network_is_near_the_float_network(precision: str) -> None:
    """Weights of 8 bits in every preset; few bits turn."""
    graph = integer(precision)
    pcm = np.random.default_rng(5).integers(-20000, 20000, 1600).astype(np.int16)
    step = Convolved().eval()
    with torch.no_grad():
        wanted = np.stack(
            [step(torch.from_numpy(row / 32768).float()).numpy() for row in pcm.reshape(-1, 16)]
        )
    found = Pipeline(graph).network
    found.reset()
    given = [found.step(row).outputs[0] / 32768 for row in pcm.reshape(-1, 16)]
    assert np.mean(np.abs(np.stack(given) - wanted) > 0.06) < (0.02 if precision != "w8a8" else 0.15)


def test_a_state_that_begins_with_ones_is_numbers() -> None:
    module = Convolved()
    module.past.fill_(1.0)
    graph = lower(module, torch.zeros(16), name="bits")
    assert "past" not in bits.bit_tensors(graph)
    made = convert(graph, calibrate(graph, [np.ones(64, np.int16)]), PRESETS["w8a16"])
    assert made.tensors["past"].dtype == "int16" and kinds(made).count("unpack") == 2


class Half(nn.Module):
    """A step that is 1/2 at 0."""

    def forward(self, frame: Tensor) -> Tensor:
        return torch.heaviside(frame, torch.tensor(0.5))


def test_a_step_with_a_value_at_0_is_refused() -> None:
    with pytest.raises(UnsupportedOperator) as caught:
        lower(Half(), torch.zeros(4))
    assert "a value at 0 that is not 0; use torch.heaviside(x, torch.zeros(()))" in str(caught.value)
