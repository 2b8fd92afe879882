"""Shipped checkpoints load, and their cards state what the weights say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tinydsn
from tinydsn.cards import card_path
from tinydsn.models.checkpoint import load_checkpoint, load_network
from tinydsn.models.predictor import Predictor
from tinydsn.models.sequence import SequenceNet
from tinydsn.workflow.models import load_model, pretrained_tasks

SHIPPED = sorted((Path(tinydsn.__file__).parent / "pretrained").glob("*.safetensors"))
SEPARATORS = [path for path in SHIPPED if path.stem.split("-")[0] == "separation"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_card_fits_the_weights(path: Path) -> None:
    model = load_checkpoint(path)
    card = json.loads(card_path(path).read_text())
    static, gated = model.macs()
    assert card["parameters"] == sum(value.numel() for value in model.parameters())
    assert card["cost"]["macs_per_frame_always"] == static
    assert card["cost"]["macs_per_frame_per_gate"] == dict(zip(model.gates, gated, strict=True))


@pytest.mark.parametrize("path", SEPARATORS, ids=lambda path: path.name)
def test_card_of_a_separator_states_a_gain_and_gates_in_use(path: Path) -> None:
    test = json.loads(card_path(path).read_text())["test"]
    assert test["files"] == 72 and test["equal"]["status"] == "equal" and test["faults"] == []
    for part in test["conditions"].values():
        assert 0 < part["improvement"]["firmware"]["low"] <= part["improvement"]["firmware"]["mean"]
    if load_checkpoint(path).gates:
        assert all(0 < share < 1 for share in test["usage"]["firmware"].values())
        assert [level["equal"] for level in test["levels"]] == ["equal"] * 3


@pytest.mark.parametrize("path", sorted({*SHIPPED} - {*SEPARATORS}), ids=lambda path: path.name)
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
        *("dsn-s", "dsn-s-2", "dsn-s-constant", "dsn-s-flat", "dsn-s-metered", "dsn-s-signal", "dsn-s-w4"),
        *("dsn-s-full", "dsn-s-full-2", "dsn-s-half", "dsn-s-half-2", "dsn-s-three-quarters"),
        *("dsn-xs", "dsn-xs-full", "dsn-xs-two-thirds"),
        *("dsn-m", "dsn-m-full"),
        *("fsenet", "fsenet-full", "fsenet-half"),
        *("nsnet2", "nsnet2-half", "nsnet2-third"),
        *("separation", "separation-full", "separation-half"),
        *("slim", "slim-half", "slim-quarter"),
    }


TASKS = pretrained_tasks()


@pytest.mark.parametrize("name", TASKS)
def test_a_tasks_files_belong_together(name: str) -> None:
    network, model = load_network(TASKS[name]), load_model(name)
    card = json.loads(card_path(TASKS[name]).read_text())
    assert isinstance(network, (SequenceNet, Predictor))
    assert network.config.task == card["task"] == name.removesuffix("-float")
    assert card["parameters"] == sum(value.numel() for value in network.parameters())
    assert card["integer"]["sha256"] == model.sha256 and model.graph.name == name
    assert [row["precision"] for row in card["test"]["rows"]][:2] == ["float", "w8a16"]
    assert ("caution" in card) == (name == "wake-phrases")


def test_a_network_of_each_task_is_shipped() -> None:
    assert set(TASKS) == {
        *("log-mel", "voice-activity", "wake-phrases"),
        *("speech-quality", "speech-quality-float"),
    }


def test_bits_tell_the_quality_nearly_as_well_as_the_float_network() -> None:
    cards = [json.loads(card_path(TASKS[f"speech-quality{end}"]).read_text()) for end in ("", "-float")]
    rows = [{row["precision"]: row for row in card["test"]["rows"]} for card in cards]
    bits, floating = rows[0]["w8a16"], rows[1]["float"]
    assert bits["pearson_ovrl"] >= 0.9 * floating["pearson_ovrl"]
    assert bits["device"]["status"] == "equal"
    assert bits["device"]["instructions"]["mean"] < rows[1]["w8a16"]["device"]["instructions"]["mean"]
