"""Checkpoints: exact round trip, and one clear line for each kind of damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from quant.errors import ModelFileError
from tinydsn.models.checkpoint import card_path, load_checkpoint, save_checkpoint
from tinydsn.models.dsn import Dsn, DsnConfig

SMALL = DsnConfig(
    bins=64, first=4, middle=4, gated_middle=6, channels=8, heads=1, gated_heads=2, split=3, hidden=6,
    gated_hidden=5, up=2, gated_up=3, policy_bands=8, policy_hidden=5,
)  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    save_checkpoint(Dsn(SMALL), path, {"name": "small"})
    return path


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_round_trip_is_exact(saved: Path) -> None:
    torch.manual_seed(0)
    original, loaded = Dsn(SMALL), load_checkpoint(saved)
    assert loaded.config == SMALL and not loaded.training
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in original.state_dict().items())
    assert json.loads(card_path(saved).read_text()) == {"name": "small"}
    assert sorted(item.name for item in saved.parent.iterdir()) == ["small.card.json", "small.safetensors"]


def test_same_model_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_checkpoint(load_checkpoint(saved), other)
    assert other.read_bytes() == saved.read_bytes()
    assert not card_path(other).exists()


def test_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.safetensors") == "no such file (must be a checkpoint, *.safetensors)"


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_file(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    text = refused(saved)
    assert text.startswith("damaged or no safetensors file (")
    assert text.endswith("); copy or download it again")


def test_file_of_another_kind(saved: Path) -> None:
    saved.write_bytes(b"PK\x03\x04" + bytes(400))
    assert refused(saved).startswith("damaged or no safetensors file (")


def test_safetensors_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    assert refused(path) == "not a tinydsn checkpoint (format is None, must be 'tinydsn-checkpoint-1')"


def rewrite(path: Path, tensors: dict[str, torch.Tensor], config: str) -> None:
    metadata = {"format": "tinydsn-checkpoint-1", "model": "dsn", "config": config}
    save_file(tensors, path, metadata)


def test_weights_that_do_not_fit(saved: Path) -> None:
    tensors = dict(load_checkpoint(saved).state_dict())
    tensors["last.bias"] = torch.zeros(5)
    rewrite(saved, tensors, json.dumps({**SMALL.__dict__}))
    assert refused(saved) == (
        "weights do not fit the configuration: last.bias is (5,), must be (4,) (1 tensors differ)"
    )
    del tensors["last.bias"]
    rewrite(saved, tensors, json.dumps({**SMALL.__dict__}))
    assert refused(saved) == (
        "weights do not fit the configuration: last.bias is missing, must be (4,) (1 tensors differ)"
    )


def test_weights_that_are_not_finite(saved: Path) -> None:
    tensors = dict(load_checkpoint(saved).state_dict())
    tensors["last.bias"] = torch.tensor([0.0, float("nan"), 0.0, 0.0])
    rewrite(saved, tensors, json.dumps({**SMALL.__dict__}))
    assert refused(saved) == "last.bias holds a value that is not finite; use an earlier checkpoint"


@pytest.mark.parametrize("config", ["", "[1]", '{"bins": 250}', '{"depth": 1}'])
def test_damaged_configuration(saved: Path, config: str) -> None:
    tensors = dict(load_checkpoint(saved).state_dict())
    rewrite(saved, tensors, config)
    assert refused(saved).startswith("the configuration in its header is damaged (")
