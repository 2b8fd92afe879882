"""Shipped checkpoints load, and their cards state what the weights say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tinydsn
from tinydsn.models.checkpoint import card_path, load_checkpoint
from tinydsn.models.dsn import GATES

SHIPPED = sorted((Path(tinydsn.__file__).parent / "pretrained").glob("*.safetensors"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_card_fits_the_weights(path: Path) -> None:
    model = load_checkpoint(path)
    card = json.loads(card_path(path).read_text())
    static, gated = model.macs()
    assert card["parameters"] == sum(value.numel() for value in model.parameters())
    assert card["cost"]["macs_per_frame_always"] == static
    assert card["cost"]["macs_per_frame_per_gate"] == dict(zip(GATES, gated, strict=True))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_card_states_an_improvement_and_gates_in_use(path: Path) -> None:
    card = json.loads(card_path(path).read_text())["test"]
    everything, per_snr = card["all"], card["per_snr"]
    assert everything["si_sdr_enhanced"] > everything["si_sdr_noisy"]
    assert everything["ovrl_enhanced"] > everything["ovrl_noisy"]
    assert 0 < everything["gated_compute_used"] < 1
    assert per_snr["-5 dB"]["gated_compute_used"] > per_snr["+20 dB"]["gated_compute_used"]


def test_something_is_shipped() -> None:
    assert [path.name for path in SHIPPED] == ["dsn-s.safetensors"]
