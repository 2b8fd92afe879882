"""The GRU over time against PyTorch's own, forwards and backwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tinydsn.nn.scan import _Scan, gru_over_time


def made(features: int, hidden: int, sequences: int, frames: int) -> tuple[nn.GRUCell, Tensor]:
    """A cell and inputs ``[sequences, frames, features]`` in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(features + 10 * hidden)
        cell = nn.GRUCell(features, hidden, dtype=torch.float64)
        return cell, torch.randn(sequences, frames, features, dtype=torch.float64, requires_grad=True)


def by_torch(cell: nn.GRUCell, inputs: Tensor) -> Tensor:
    state = inputs.new_zeros(1, inputs.shape[0], cell.hidden_size)
    weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
    return torch.gru(inputs, state, weights, True, 1, 0.0, False, False, True)[0]


SHAPES = [(5, 3, 4, 9), (2, 6, 1, 1), (3, 1, 2, 40)]


@pytest.mark.parametrize(("features", "hidden", "sequences", "frames"), SHAPES)
def test_states_and_gradients_are_those_of_torch(
    features: int, hidden: int, sequences: int, frames: int
) -> None:
    cell, inputs = made(features, hidden, sequences, frames)
    ours, theirs = gru_over_time(cell, inputs), by_torch(cell, inputs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)
    pull = torch.linspace(-1, 1, ours.numel(), dtype=torch.float64).view(ours.shape).sin()
    wanted = torch.autograd.grad((theirs * pull).sum(), [inputs, *cell.parameters()])
    found = torch.autograd.grad((ours * pull).sum(), [inputs, *cell.parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_gradients_are_the_differences_of_the_states() -> None:
    cell, inputs = made(3, 2, 2, 5)
    assert torch.autograd.gradcheck(_Scan.apply, (inputs, *cell.parameters()))


def test_other_weights_take_the_place_of_the_cells() -> None:
    cell, inputs = made(4, 3, 2, 6)
    other = (2 * cell.weight_ih.detach()).requires_grad_()
    found = gru_over_time(cell, inputs, other)
    (slope,) = torch.autograd.grad(found.sum(), [other])
    assert slope.abs().min() > 0
    with torch.no_grad():
        cell.weight_ih.mul_(2)
        assert torch.equal(gru_over_time(cell, inputs), by_torch(cell, inputs))
    torch.testing.assert_close(found, by_torch(cell, inputs), rtol=0, atol=1e-14)


def test_a_step_of_training_records_few_nodes() -> None:
    cell, inputs = made(4, 3, 2, 50)
    seen, waiting = set(), [gru_over_time(cell, inputs).grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    assert len(seen) < 10
