"""Shipped checkpoints load, and their cards state what the weights say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tinydsn
from tinydsn.models.checkpoint import card_path, load_checkpoint, load_network
from tinydsn.models.sequence import SequenceNet
from tinydsn.workflow.models import load_model, pretrained_tasks

SHIPPED = sorted((Path(tinydsn.__file__).parent / "pretrained").glob("*.safetensors"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_card_fits_the_weights(path: Path) -> None:
    model = load_checkpoint(path)
    card = json.loads(card_path(path).read_text())
    static, gated = model.macs()
    assert card["parameters"] == sum(value.numel() for value in model.parameters())
    assert card["cost"]["macs_per_frame_always"] == static
    assert card["cost"]["macs_per_frame_per_gate"] == dict(zip(model.gates, gated, strict=True))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_card_states_an_improvement_and_gates_in_use(path: Path) -> None:
    card = json.loads(card_path(path).read_text())
    test = card["test"]
    assert test["files"] == 180 and test["equal"]["status"] == "equal" and test["faults"] == []
    for metric in ("OVRL", "PESQ", "SISDR"):
        assert test["firmware"][metric]["low"] <= test["firmware"][metric]["mean"]
        assert test["firmware"][metric]["mean"] > test["noisy"][metric]["mean"]
    usage = test["usage"]["firmware"]
    if usage["gates"]:
        assert 0 < usage["mean"] < 1 and test["instructions"]["mean"] < test["instructions"]["all_on"]
    if card["training"]["recipe"]["guidance"]["kind"] == "rating":
        by_snr = [part["usage"]["firmware"]["mean"] for part in test["by_snr"]]
        assert by_snr[0] > by_snr[-1]


def test_something_is_shipped() -> None:
    assert {path.stem for path in SHIPPED} == {
        *("dsn-s", "dsn-s-2", "dsn-s-constant", "dsn-s-flat"),
        *("dsn-s-full", "dsn-s-half", "dsn-s-three-quarters"),
        *("dsn-m", "dsn-m-full"),
    }


TASKS = pretrained_tasks()


@pytest.mark.parametrize("name", TASKS)
def test_a_tasks_files_belong_together(name: str) -> None:
    network, model = load_network(TASKS[name]), load_model(name)
    card = json.loads(card_path(TASKS[name]).read_text())
    assert isinstance(network, SequenceNet) and network.config.task == card["task"] == name
    assert card["parameters"] == sum(value.numel() for value in network.parameters())
    assert card["integer"]["sha256"] == model.sha256 and model.graph.name == name
    assert [row["precision"] for row in card["test"]["rows"]][:2] == ["float", "w8a16"]
    assert ("caution" in card) == (name == "wake-phrases")


def test_a_network_of_each_task_is_shipped() -> None:
    assert sorted(TASKS) == ["log-mel", "voice-activity", "wake-phrases"]
