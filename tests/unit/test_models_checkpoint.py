"""Checkpoints: exact round trip, and one clear line for each kind of damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from quant.errors import ModelFileError
from quant.learned import LearnedScale
from tinydsn.cards import card_path
from tinydsn.models.checkpoint import load_checkpoint, load_scales, save_checkpoint
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


def rewrite(path: Path, tensors: dict[str, torch.Tensor], config: str, widths: str = "{}") -> None:
    metadata = {"format": "tinydsn-checkpoint-1", "model": "dsn", "config": config, "widths": widths}
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


LEARNED = {
    "last.weight": LearnedScale(4, (0.1, 2.0, 3e-5, 1e4)),
    "policy.head.weight": LearnedScale(2, (1.0,) * 5),
}
KEY = "scale/last.weight"


def test_learned_scales_survive_exactly(saved: Path) -> None:
    """As float32 numbers, and the weights beside them as ever."""
    assert load_scales(saved) == {}
    model = load_checkpoint(saved)
    save_checkpoint(model, saved, scales=LEARNED)
    found = load_scales(saved)
    assert {name: learned.bits for name, learned in found.items()} == {
        "last.weight": 4,
        "policy.head.weight": 2,
    }
    for name, learned in LEARNED.items():
        assert found[name].scale == tuple(torch.tensor(learned.scale).tolist())
    again = load_checkpoint(saved).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    first = saved.read_bytes()
    save_checkpoint(model, saved, scales=found)
    assert saved.read_bytes() == first


GOOD = '{"last.weight": 4}'
Damage = Callable[[dict[str, torch.Tensor]], object]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "negative": (lambda held: held[KEY].neg_(), GOOD),
    "zero": (lambda held: held[KEY][1].zero_(), GOOD),
    "nan": (lambda held: held[KEY][2].fill_(float("nan")), GOOD),
    "infinite": (lambda held: held[KEY][3].fill_(float("inf")), GOOD),
    "short": (lambda held: held.update({KEY: torch.ones(3)}), GOOD),
    "a number": (lambda held: held.update({KEY: torch.tensor(1.0)}), GOOD),
    "integers": (lambda held: held.update({KEY: torch.ones(4, dtype=torch.int32)}), GOOD),
    "lost": (lambda held: held.pop(KEY), GOOD),
    "no widths": (lambda held: None, "{}"),
    "not JSON": (lambda held: None, "{4"),
    "a list": (lambda held: None, "[4]"),
    "nothing": (lambda held: None, "null"),
    "one bit": (lambda held: None, '{"last.weight": 1}'),
    "text": (lambda held: None, '{"last.weight": "4"}'),
    "a fraction": (lambda held: None, '{"last.weight": 4.0}'),
    "a table": (lambda held: None, '{"last.weight": {}}'),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_scales(saved: Path, kind: str) -> None:
    tensors = dict(load_checkpoint(saved).state_dict()) | {KEY: torch.ones(4)}
    damage, widths = DAMAGES[kind]
    damage(tensors)
    rewrite(saved, tensors, json.dumps({**SMALL.__dict__}), widths)
    with pytest.raises(ModelFileError) as caught:
        load_scales(saved)
    assert str(caught.value) == f"{saved}: the scale learned for last.weight is damaged; train it again"


def test_a_scale_of_no_weight(saved: Path) -> None:
    tensors = dict(load_checkpoint(saved).state_dict()) | {"scale/tail.weight": torch.ones(4)}
    rewrite(saved, tensors, json.dumps({**SMALL.__dict__}), '{"tail.weight": 4}')
    with pytest.raises(ModelFileError) as caught:
        load_scales(saved)
    assert str(caught.value) == f"{saved}: the scale learned for tail.weight is damaged; train it again"
