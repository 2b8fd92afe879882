"""Usage objectives against their definitions."""

from __future__ import annotations

import pytest
import torch

from quant.errors import ConfigError
from tinydsn.training.guidance import (
    Guidance,
    hint_loss,
    recent_usage,
    signal_loss,
    usage_loss,
    wanted_usage,
)


def test_wanted_usage_falls_with_the_rating() -> None:
    wanted = wanted_usage(torch.tensor([1.0, 1.5, 2.35, 3.2, 4.0]), Guidance())
    assert wanted.tolist() == pytest.approx([0.9, 0.9, 0.5, 0.1, 0.1])


def test_wanted_usage_falls_with_the_snr() -> None:
    guidance = Guidance(kind="snr", best=20.0, worst=-5.0)
    wanted = wanted_usage(torch.tensor([-9.0, -5.0, 7.5, 20.0, 40.0]), guidance)
    assert wanted.tolist() == pytest.approx([0.9, 0.9, 0.5, 0.1, 0.1])


def test_a_constant_wanted_usage() -> None:
    guidance = Guidance(kind="constant", constant=0.25)
    assert wanted_usage(torch.tensor([1.0, 4.0]), guidance).tolist() == [0.25, 0.25]
    assert not guidance.hints and Guidance().hints


def test_hint_loss_reads_the_states() -> None:
    hint = torch.nn.Linear(2, 1)
    with torch.no_grad():
        hint.weight.copy_(torch.tensor([[1.0, 0.0]]))
        hint.bias.zero_()
    states = torch.zeros(2, 5, 2)
    states[1, 1:, 0] = 50.0
    states[:, 0, 0] = -50.0
    losses = hint_loss(states, hint, torch.tensor([0.5, 0.75]), 1)
    assert losses.tolist() == pytest.approx([0.0, 0.0625])


def test_usage_loss_weighs_gates_by_cost() -> None:
    gates = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    losses = usage_loss(gates, torch.tensor([0.75, 0.25]), torch.tensor([0.75, 0.0]))
    assert losses.tolist() == pytest.approx([0.0, 0.125**2])


def test_signal_loss_charges_for_usage_where_the_output_is_good() -> None:
    torch.manual_seed(0)
    hop, guidance = 4, Guidance(kind="signal", segment=2, threshold=10.0, softness=1.0)
    target = torch.randn(1, 16)
    estimate = target.clone()
    estimate[:, 8:] += torch.randn(1, 8) * 10  # the second piece is spoilt: 20 dB below the threshold
    gates = torch.tensor([[[1.0], [0.0], [1.0], [1.0]]])
    loss = signal_loss(gates, torch.ones(1), estimate, target, hop, guidance)
    # Two pieces: the first uses half and pays half of the price for it, the second uses all and earns it.
    assert float(loss[0]) == pytest.approx(0.1 * (0.5 * 0.5 - 1.0 * 0.5) / 2, abs=1e-4)
    more = signal_loss(gates, torch.ones(1), estimate, target, hop, guidance, excess=0.2)
    assert float(more[0] - loss[0]) == pytest.approx(0.2 * 0.75, abs=1e-4)


def test_recent_usage_follows_within_some_steps() -> None:
    usage = recent_usage(0.5, 1.0)
    assert 0.5 < usage < 0.75
    for _ in range(10):
        usage = recent_usage(usage, 1.0)
    assert 0.95 < usage < 1.0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"kind": "loud"},
            "unknown kind of guidance 'loud' "
            "(must be none, rating, snr, constant, signal, benefit or regret)",
        ),
        ({"best": 1.5}, "guidance: best and worst must differ, segment and softness be above 0"),
        ({"softness": 0.0}, "guidance: best and worst must differ, segment and softness be above 0"),
    ],
)
def test_bad_settings(settings: dict, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Guidance(**settings)
    assert str(caught.value) == expected
