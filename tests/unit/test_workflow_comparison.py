"""All networks in one table: the line through static ones, cards of other graphs, the picture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from quant.errors import ConfigError, ModelFileError
from tinydsn.cli import invoke
from tinydsn.models.checkpoint import card_path, save_checkpoint
from tinydsn.models.dsn import Dsn, DsnConfig
from tinydsn.workflow.comparison import Point, compare, draw, rows, write

TINY = DsnConfig(bins=32, first=2, middle=2, gated_middle=2, channels=4, split=2, hidden=2, gated_hidden=2)


def shipped(
    folder: Path, name: str, quality: float, instructions: int | None, gated: bool, gain: bool = False
) -> Path:
    """A checkpoint with a graph (any bytes) and a card of these numbers; ``gain``: those of a separator."""
    path = folder / f"{name}.safetensors"
    torch.manual_seed(0)
    graph = name.encode()
    path.with_suffix(".tdsn").write_bytes(graph)
    score = {"mean": quality, "low": quality - 0.1, "high": quality + 0.1}
    test: dict[str, Any] = {
        "board": "mps2-an386",
        "firmware": {"OVRL": score, "PESQ": score, "SISDR": score},
        "instructions": instructions and {"mean": instructions},
        "equal": {"status": "equal"},
    }
    if gain:
        test["conditions"] = {"all": {"improvement": {"firmware": score}}}
        del test["firmware"]
    cost = {"macs_per_frame_per_gate": {"encoder": 9} if gated else {}}
    card = {"integer": {"sha256": hashlib.sha256(graph).hexdigest()}, "test": test, "cost": cost}
    save_checkpoint(Dsn(TINY), path, card)
    return path


@pytest.fixture
def networks(tmp_path: Path) -> dict[str, Path]:
    given = [("big", 3.0, 400, False), ("small", 2.0, 200, False), ("gated", 2.9, 250, True)]
    given += [("dear", 3.1, 500, True)]
    found = {name: shipped(tmp_path, name, *values) for name, *values in given}
    found["uncounted"] = shipped(tmp_path, "uncounted", 2.5, None, True)
    return found


def test_gated_networks_stand_beside_the_line_through_static_ones(networks: dict[str, Path]) -> None:
    points = compare("PESQ", networks)
    assert [point.point for point in points] == ["small", "gated", "big", "dear"]
    assert [point.static_at_equal_cost for point in points] == [None, 2.25, None, None]
    assert points[1] == Point("dsn", "gated", "PESQ", 2.9, 2.8, 3.0, 250, "mps2-an386", True, 2.25, True)
    assert rows(points)[1]["static_at_equal_cost"] == 2.25


def test_separators_are_judged_by_their_own_metric_beside_their_own_statics(
    networks: dict[str, Path], tmp_path: Path
) -> None:
    enhancers = draw(compare("OVRL", networks))
    networks |= {"two": shipped(tmp_path, "two", 8.0, 210, True, gain=True)}
    networks |= {
        f"two-{cost}": shipped(tmp_path, f"two-{cost}", cost / 25, cost, False, True) for cost in (160, 220)
    }
    points = compare("OVRL", networks)
    own = [point for point in points if point.metric == "SISDR_GAIN"]
    assert [point.point for point in own] == ["two-160", "two", "two-220"]
    assert own[1].static_at_equal_cost == 8.4 and own[1].quality == 8.0
    assert {point.static_at_equal_cost for point in points if point.point == "gated"} == {2.25}
    assert "SI-SDR improvement, dB (two speakers)" not in enhancers != draw(points)


def test_the_picture_is_the_same_from_the_same_numbers(networks: dict[str, Path], tmp_path: Path) -> None:
    points = compare("OVRL", networks)
    write(points, tmp_path / "systems.svg")
    assert (tmp_path / "systems.svg").read_text() == draw(points)
    assert draw(points).count("<svg") == 1
    assert draw(points) != draw(points[:2])
    with pytest.raises(ConfigError) as caught:
        write(points, tmp_path / "systems.png")
    assert str(caught.value) == f"{tmp_path / 'systems.png'}: must end with .svg"


def test_a_card_of_another_graph_is_refused(networks: dict[str, Path]) -> None:
    networks["big"].with_suffix(".tdsn").write_bytes(b"other")
    with pytest.raises(ModelFileError) as caught:
        compare("OVRL", networks)
    card = card_path(networks["big"])
    assert str(caught.value) == f"{card}: is of another integer graph than the one beside it; ship it again"
    card.unlink()
    with pytest.raises(ModelFileError) as caught:
        compare("OVRL", networks)
    assert str(caught.value).startswith(f"{card}: no card of a measured checkpoint (")


def test_the_shipped_networks_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["compare", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"dsn-s"} <= {point["point"] for point in told}
    for point in told:
        assert point["equal_bits"] is True and point["low"] < point["quality"] < point["high"]
    assert invoke(["compare", "--metric", "STOI"]) == 2
    assert capsys.readouterr().err.strip() == ("error: unknown metric 'STOI' (must be OVRL, PESQ or SISDR)")
