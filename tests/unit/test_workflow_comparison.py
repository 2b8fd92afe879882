"""All networks in one table: the line through statics, levels, tasks, other graphs' cards, the picture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from quant.errors import ConfigError, ModelFileError
from tinydsn.cli import invoke
from tinydsn.models.kinds import KINDS, TASK_KINDS
from tinydsn.workflow.comparison import compare, rows
from tinydsn.workflow.comparison_picture import draw, panels, write
from tinydsn.workflow.comparison_points import SAME_SYSTEM, SCHEMES, Point, Reference
from tinydsn.workflow.comparison_table import markdown, sections

KEYS = "system point metric quality low high instructions board static_at_equal_cost equal_bits role level "
KEYS += "variant_of task weight_flash ram counted float_quality reference"


def spread(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}


def checkpoint(folder: Path, name: str, card: dict[str, Any], kind: str, **config: Any) -> Path:
    """A checkpoint without weights, a graph (any bytes) and its card."""
    path, graph = folder / f"{name}.safetensors", name.encode()
    save_file({}, path, {"model": kind, "config": json.dumps(config)})
    path.with_suffix(".tdsn").write_bytes(graph)
    card = {"integer": {"sha256": hashlib.sha256(graph).hexdigest()}, **card}
    path.with_suffix(".card.json").write_text(json.dumps(card))
    return path


def shipped(
    folder: Path,
    name: str,
    quality: float,
    instructions: int | None,
    gated: bool,
    gain: bool = False,
    levels: dict[str, tuple[float, int]] | None = None,
    kind: str | None = None,
) -> Path:
    """A network whose card has these numbers. ``gain``: a separator. ``levels``: quality and instructions."""
    score = spread(quality)
    test: dict[str, Any] = {
        "board": "mps2-an386",
        "firmware": {"OVRL": score, "PESQ": score, "SISDR": score},
        "instructions": instructions and {"mean": instructions},
        "equal": {"status": "equal"},
    }
    if gain:
        test["conditions"] = {"all": {"improvement": {"firmware": score}}}
        del test["firmware"]
    if levels is not None:
        keys = ("SISDR_GAIN",) if gain else ("OVRL", "PESQ", "SISDR")
        test["levels"] = [
            {
                "gates": gates,
                "firmware": {key: spread(found) for key in keys},
                "instructions": {"mean": cost},
                "equal": "equal",
            }
            for gates, (found, cost) in levels.items()
        ]
    cost = {"macs_per_frame_per_gate": {"encoder": 9} if gated else {}}
    card = {"test": test, "cost": cost}
    return checkpoint(folder, name, card, kind or ("separator" if gain else "dsn"))


def precision(name: str, quality: float, flash: int, instructions: int, **more: Any) -> dict[str, Any]:
    """A row of a task's card."""
    figures = {"balanced_accuracy": quality, "pearson_ovrl": quality}
    device = {"flash": flash, "instructions": instructions}
    return {"precision": name, "score": 1.0, **figures, "mps2-an386": device, **more}


def task(folder: Path, name: str, rows: list[dict[str, Any]], of: str = "", **config: Any) -> Path:
    """A task's network whose card has these rows after one of the float network, of quality 0.95."""
    given = [{"precision": "float", "balanced_accuracy": 0.95, "pearson_ovrl": 0.95}, *rows]
    card = {"task": of or name, "test": {"clips": 3, "rows": given}}
    return checkpoint(folder, name, card, "predictor" if config else "sequence", **config)


@pytest.fixture
def networks(tmp_path: Path) -> dict[str, Path]:
    given = [("big", 3.0, 400, False), ("small", 2.0, 200, False), ("gated", 2.9, 250, True)]
    given += [("dear", 3.1, 500, True)]
    found = {name: shipped(tmp_path, name, *values) for name, *values in given}
    found["uncounted"] = shipped(tmp_path, "uncounted", 2.5, None, True)
    return found


@pytest.fixture
def tasks(tmp_path: Path) -> dict[str, Path]:
    """A GRU whose card notes a run of one precision, and two predictors."""
    device = {"status": "equal", "instructions": {"mean": 905}, "memory": {"flash": 9, "ram": 64}}
    noted = {"device": device, "intervals": {"balanced_accuracy": {"low": 0.8, "high": 1.0}}}
    loss = {"mean": -0.01, "low": -0.02, "high": 0.0}
    gru = [precision("w8a8", 0.9, 4000, 1000)]
    gru += [
        precision("w8a16", 0.91, 4000, 900, against_w8a8=loss, **noted),
        precision("w4a16", 0.89, 2000, 950),
    ]
    bits = [precision("w8a16", 0.8, 30, 40), precision("w8a8", 0.1, 30, 50)]
    return {
        "voice-activity": task(tmp_path, "voice-activity", gru),
        "speech-quality": task(tmp_path, "speech-quality", bits, binary=True),
        "speech-quality-float": task(
            tmp_path,
            "speech-quality-float",
            [precision("w8a16", 0.84, 33, 80)],
            "speech-quality",
            binary=False,
        ),
    }


def test_gated_networks_stand_beside_the_line_through_static_ones(networks: dict[str, Path]) -> None:
    points = compare("PESQ", networks)
    assert [point.point for point in points] == ["small", "gated", "big", "dear"]
    assert [point.static_at_equal_cost for point in points] == [None, 2.25, None, None]
    assert [point.role for point in points] == ["static", "scheme", "static", "scheme"]
    assert points[1] == Point("dsn", "gated", "PESQ", 2.9, 2.8, 3.0, 250, "mps2-an386", 2.25, True)
    assert rows(points)[1]["static_at_equal_cost"] == 2.25
    assert all(list(row) == KEYS.split() for row in rows(points))


def test_separators_are_judged_by_their_own_metric_beside_their_own_statics(
    networks: dict[str, Path], tmp_path: Path
) -> None:
    enhancers = panels(compare("OVRL", networks)).axes
    networks |= {"two": shipped(tmp_path, "two", 8.0, 210, True, True, {"0": (7.0, 190), "1": (9.0, 250)})}
    networks |= {
        f"two-{cost}": shipped(tmp_path, f"two-{cost}", cost / 25, cost, False, True) for cost in (160, 220)
    }
    points = compare("OVRL", networks)
    own = [point for point in points if point.metric == "SISDR_GAIN"]
    assert [point.point for point in own] == ["two-160", "two 0", "two", "two-220", "two 1"]
    assert own[2].static_at_equal_cost == 8.4 and own[2].quality == 8.0
    assert {point.static_at_equal_cost for point in points if point.point == "gated"} == {2.25}
    labels = ["DNSMOS OVRL", "SI-SDR improvement, dB (two speakers)"]
    assert [axis.get_ylabel() for axis in panels(points).axes] == labels
    assert [axis.get_ylabel() for axis in enhancers] == labels[:1]


def test_a_level_is_a_point_of_its_own_and_no_static_network(tmp_path: Path) -> None:
    given = {"1000": (2.1, 100), "1100": (2.4, 150), "1111": (2.8, 300)}
    networks = {"slim": shipped(tmp_path, "slim", 2.5, 160, True, levels=given, kind="slim")}
    networks["slim-half"] = shipped(tmp_path, "slim-half", 2.2, 140, False, kind="slim")
    networks["slim-full"] = shipped(tmp_path, "slim-full", 2.4, 240, False, kind="slim")
    found = {point.point: point for point in compare("OVRL", networks)}
    assert list(found) == ["slim 1000", "slim-half", "slim 1100", "slim", "slim-full", "slim 1111"]
    level = found["slim 1100"]
    assert (level.role, level.level, level.quality, level.equal_bits) == ("level", "1100", 2.4, True)
    assert found["slim"].level is None and found["slim"].static_at_equal_cost == 2.24
    assert level.static_at_equal_cost == 2.22 and found["slim 1000"].static_at_equal_cost is None
    (section,) = sections(list(found.values()))
    assert section.title == "2 DynSlim, widths (DNSMOS OVRL; mps2-an386)"
    assert [row["what"] for row in section.rows][:4] == ["forced gates", "static", "forced gates", "dynamic"]
    legends = [
        [text.get_text() for text in panels(points).axes[0].get_legend().get_texts()]
        for points in (list(found.values()), [point for point in found.values() if point.level is None])
    ]
    assert legends == [
        ["2 DynSlim, widths", "static networks", "gates forced"],
        ["2 DynSlim, widths", "static networks"],
    ]


def test_ablations_and_seeds_are_not_the_systems_front(networks: dict[str, Path], tmp_path: Path) -> None:
    given = {"0": (1.0, 100)}
    networks["gated-constant"] = shipped(tmp_path, "gated-constant", 2.7, 260, True, levels=given)
    networks["gated-2"] = shipped(tmp_path, "gated-2", 2.8, 255, True, kind="metered")
    networks["big-2"] = shipped(tmp_path, "big-2", 2.95, 401, False)
    points = compare("OVRL", networks)
    named = {point.point: point.variant_of for point in points if point.variant_of}
    assert named == {
        "gated-constant": "gated",
        "gated-constant 0": "gated",
        "gated-2": "gated",
        "big-2": "big",
    }
    assert {point.system for point in points} == {"dsn"}
    (axis,) = panels(points).axes
    assert sorted(text.get_text() for text in axis.texts) == ["dear", "gated"]
    line = next(line for line in axis.lines if line.get_linestyle() == "--" and len(line.get_xdata()))
    assert list(line.get_xdata()) == [0.2, 0.4]


def test_precisions_stand_beside_eight_bits_and_bits_beside_relus(tasks: dict[str, Path]) -> None:
    points = {point.point: point for point in compare("OVRL", {}, tasks)}
    base = points["voice-activity w8a8"]
    assert (base.role, base.reference, base.static_at_equal_cost) == ("reference", None, None)
    loss = {"mean": -0.01, "low": -0.02, "high": 0.0}
    run = points["voice-activity w8a16"]
    assert run.reference == Reference("voice-activity w8a8", 0.9, 1000, 4000, loss)
    assert (run.counted, run.instructions, run.equal_bits, run.ram) == (True, 905, True, 64)
    assert (run.low, run.high, run.float_quality) == (0.8, 1.0, 0.95)
    old = points["voice-activity w4a16"]
    assert (old.counted, old.instructions, old.equal_bits, old.low) == (False, 950, None, None)
    assert old.weight_flash == 2000 and old.reference == Reference(base.point, 0.9, 1000, 4000, None)
    bits = points["speech-quality"]
    assert (bits.system, bits.metric, bits.quality, bits.role) == ("predictor", "pearson_ovrl", 0.8, "scheme")
    assert bits.reference == Reference("speech-quality-float", 0.84, 80, 33, None)
    assert points["speech-quality-float"].role == "reference" and len(points) == 5
    json.dumps(rows(list(points.values())))


def test_the_tables_say_what_is_not_noted(tasks: dict[str, Path], networks: dict[str, Path]) -> None:
    text = markdown(compare("OVRL", networks, tasks))
    assert text.count("**\n\n| network |") == 3 and "1 DSN, metric-guided gates" in text
    assert (
        "| voice-activity w4a16 |  | ~950 | 0.890 | 0.950 | 2,000 |  | 0.50 | 0.95 |  | not noted |" in text
    )
    assert "| 905 | 0.910 [0.800, 1.000] |" in text and "-0.0100 [-0.0200, 0.0000] | equal |" in text
    assert "| gated | dynamic | 250 | 2.900 [2.800, 3.000] | 2.250 | equal |" in text


def test_a_task_without_its_sibling_and_a_card_without_rows(tasks: dict[str, Path], tmp_path: Path) -> None:
    del tasks["speech-quality-float"]
    other = [precision("w8a8", 0.1, 30, 50)]
    tasks["other"] = task(tmp_path, "other", other, "speech-quality", binary=False)
    tasks["wake-phrases"] = task(tmp_path, "wake-phrases", [])
    points = compare("OVRL", {}, tasks)
    assert points[-1].point == "speech-quality" and points[-1].reference is None
    assert "wake-phrases" not in {point.task for point in points}


def test_every_kind_of_network_is_of_a_system() -> None:
    assert {SAME_SYSTEM.get(kind, kind) for kind in (*KINDS, *TASK_KINDS)} == set(SCHEMES)
    assert sorted(scheme.number for scheme in SCHEMES.values()) == [1, 2, 3, 4, 5, 6, 7]


def test_the_picture_is_the_same_from_the_same_numbers(
    networks: dict[str, Path], tasks: dict[str, Path], tmp_path: Path
) -> None:
    points = compare("OVRL", networks, tasks)
    write(points, tmp_path / "systems.svg")
    drawn = (tmp_path / "systems.svg").read_text()
    assert drawn == draw(points) != draw(points[:2])
    assert drawn.count("<svg") == 1 and len(panels(points).axes) == 3
    assert draw([]).count("<svg") == 1
    with pytest.raises(ConfigError) as caught:
        write(points, tmp_path / "systems.png")
    assert str(caught.value) == f"{tmp_path / 'systems.png'}: must end with .svg"


def test_another_seed_of_a_static_network_is_not_on_the_line(
    networks: dict[str, Path], tmp_path: Path
) -> None:
    networks["small-2"] = shipped(tmp_path, "small-2", 1.0, 240, False)
    found = {point.point: point for point in compare("OVRL", networks)}
    assert found["small-2"].variant_of == "small" and found["gated"].static_at_equal_cost == 2.25


def test_a_card_of_another_graph_is_refused(networks: dict[str, Path], tasks: dict[str, Path]) -> None:
    networks["big"].with_suffix(".tdsn").write_bytes(b"other")
    with pytest.raises(ModelFileError) as caught:
        compare("OVRL", networks)
    card = networks["big"].with_suffix(".card.json")
    assert str(caught.value) == f"{card}: is of another integer graph than the one beside it; ship it again"
    card.unlink()
    with pytest.raises(ModelFileError) as caught:
        compare("OVRL", networks)
    assert str(caught.value).startswith(f"{card}: no card of a measured checkpoint (")
    tasks["voice-activity"].with_suffix(".card.json").unlink()
    with pytest.raises(ModelFileError, match="no card of a measured checkpoint"):
        compare("OVRL", {}, tasks)


def test_the_shipped_networks_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["compare", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"dsn-s", "voice-activity w8a8"} <= {point["point"] for point in told}
    for point in told:
        assert point["equal_bits"] is not False
        if point["task"] is None:
            assert point["equal_bits"] or point["role"] == "level"
            assert point["low"] < point["quality"] < point["high"]
    assert invoke(["compare"]) == 0 and "4 mixed-precision GRU: log-mel" in capsys.readouterr().out
    assert invoke(["compare", "--markdown"]) == 0 and "\n| --- |" in capsys.readouterr().out
    assert invoke(["compare", "--markdown", "--json"]) == 2
    told_off = capsys.readouterr().err.strip()
    assert told_off == "error: --markdown and --json exclude each other (give one of them)"
    assert invoke(["compare", "--metric", "STOI"]) == 2
    assert capsys.readouterr().err.strip() == ("error: unknown metric 'STOI' (must be OVRL, PESQ or SISDR)")
