"""From rows to the table that is printed: means, bins, classes, faults, comparisons."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from tinydsn.evaluation.compare import MARGINS, compare, cost_ratio
from tinydsn.evaluation.scores import METRICS, score
from tinydsn.evaluation.statistics import resample
from tinydsn.evaluation.summary import falls, summarize
from tinydsn.evaluation.table import bins, tabulate

GATES = ("encoder", "decoder")
WEIGHTS = np.array([0.25, 0.75])


def metrics(value: float) -> dict[str, float | None]:
    return dict.fromkeys(METRICS, value)


def stretch(
    frames: int, usage: dict[str, list[float]], noisy: float, real: float, integer: float
) -> dict[str, Any]:
    """The figures of a class of frames."""
    return {"frames": frames, "level": {"noisy": noisy, "float": real, "firmware": integer}, "usage": usage}


def row(index: int, gates: int = 2, shift: float = 0.0) -> dict[str, Any]:
    """Mixture ``index`` of 45, SNR bin ``index % 5``: usage falls with it, and scores rise."""
    level = index % 5
    open_share = [1.0 - 0.2 * level, 0.9 - 0.2 * level][:gates]
    usage = {"float": open_share, "firmware": [share * 0.99 for share in open_share]}
    return {
        "name": f"{index:03d}",
        "group": f"s{index % 9}",
        "snr": -2.5 + 5 * level,
        "samples": 16000,
        "scores": {
            "noisy": metrics(1 + 0.3 * level),
            "float": metrics(2 + 0.3 * level),
            "integer": metrics(2 + 0.3 * level + shift),
            "firmware": metrics(2 + 0.3 * level + shift),
        },
        "usage": usage,
        "level": {"noisy": -30.0, "float": -40.0, "firmware": -39.0},
        "instructions": [1000 - 100 * level, 1002 - 100 * level],
        "classes": {
            "speech": stretch(40, usage, -20.0, -21.0, -21.5),
            **({"pause": stretch(9, usage, -30.0, -50.0, -48.0)} if index % 2 else {}),
        },
        "equal": {"status": "equal", "frames": 63},
    }  # fmt: skip


ROWS = [row(index) for index in range(45)]
MIXES = [{**entry, "mix": mix} for mix in ("speech", "noise") for entry in ROWS[:3]]


def test_the_table_of_a_gated_model() -> None:
    table = summarize(ROWS, MIXES, GATES, WEIGHTS)
    json.dumps(table, allow_nan=False)
    assert table["noisy"]["OVRL"]["mean"] == pytest.approx(1.6)
    assert table["firmware"]["PESQ"]["mean"] == pytest.approx(2.6)
    assert set(table["noisy"]) == {"SIG", "BAK", "OVRL", "PESQ", "STOI", "SISDR"}
    assert set(table["noisy"]["SIG"]) == {"mean", "low", "high"}
    # 0.25 * (1 - 0.2 * 2) + 0.75 * (0.9 - 0.2 * 2), and 1 % less in the firmware
    assert table["usage"]["float"]["mean"] == pytest.approx(0.525)
    assert table["usage"]["firmware"]["mean"] == pytest.approx(0.525 * 0.99, abs=1e-5)
    assert table["usage"]["firmware"]["gates"] == {"encoder": 0.594, "decoder": 0.495}
    assert table["instructions"]["mean"] == 801
    assert table["improvement"]["float"]["SIG"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert table["quantization"]["OVRL"]["verdict"] == "within 0.02"
    assert table["usage_falls_with_snr"] is True
    assert table["spearman"]["usage_firmware_with_noisy_OVRL"]["mean"] == pytest.approx(-1)
    assert table["spearman"]["snr_with_noisy_OVRL"]["mean"] == pytest.approx(1)
    assert table["faults"] == [] and table["undefined"] == {}


def test_bins_of_snr_and_of_input_sisdr() -> None:
    table = summarize(ROWS, MIXES, GATES, WEIGHTS)
    assert [(part["from"], part["to"], part["files"]) for part in table["by_snr"]] == [
        (-5.0, 0.0, 9), (0.0, 5.0, 9), (5.0, 10.0, 9), (10.0, 15.0, 9), (15.0, 20.0, 9),
    ]  # fmt: skip
    assert table["by_snr"][0]["noisy"]["SIG"]["mean"] == 1.0
    assert [part["instructions"]["mean"] for part in table["by_snr"]] == [1001, 901, 801, 701, 601]
    assert [(part["from"], part["to"], part["files"]) for part in table["by_input_sisdr"]] == [(0.0, 5.0, 45)]
    values = np.array([-9.0, 5.0, np.nan, 4.999])
    assert [(low, high, chosen.tolist()) for low, high, chosen in bins(values, (5.0,))] == [
        (None, 5.0, [True, False, False, True]),
        (5.0, None, [False, True, False, False]),
    ]


def test_classes_and_mixes() -> None:
    table = summarize(ROWS, MIXES, GATES, WEIGHTS)
    speech, pause = table["frames"]["speech"], table["frames"]["pause"]
    assert (speech["files"], speech["frames"]) == (45, 1800) and (pause["files"], pause["frames"]) == (
        22,
        198,
    )
    assert speech["firmware"]["reduction_db"]["mean"] == pytest.approx(1.5)
    assert pause["float"]["reduction_db"]["mean"] == pytest.approx(20)
    assert pause["firmware"]["reduction_db"]["mean"] == pytest.approx(18)
    assert table["frames"]["silence"] is None
    assert set(table["mixes"]) == {"test", "speech", "noise"}
    assert table["mixes"]["noise"]["files"] == 3 and table["mixes"]["test"]["files"] == 45
    assert table["mixes"]["noise"]["instructions"]["mean"] == 901
    assert table["mixes"]["test"]["firmware"]["reduction_db"]["mean"] == pytest.approx(9)


def test_gates_that_differ_are_a_fault() -> None:
    rows = copy.deepcopy(ROWS)
    for entry in rows:
        entry["usage"]["firmware"][1] = entry["usage"]["float"][1] - 0.03
    assert summarize(rows, MIXES, GATES, WEIGHTS)["faults"] == [
        "gate decoder is open in 47.0 % of the frames, in the float network in 50.0 % (a difference above 2 "
        "points is a fault)"
    ]


def test_undefined_values_are_counted_and_left_out() -> None:
    rows = copy.deepcopy(ROWS)
    for entry in rows[:2]:
        entry["scores"]["firmware"]["PESQ"] = None
    table = summarize(rows, MIXES, GATES, WEIGHTS)
    assert table["undefined"] == {"firmware": {"PESQ": 2}}
    assert table["firmware"]["PESQ"]["missing"] == 2
    assert table["firmware"]["PESQ"]["mean"] == pytest.approx((2.6 * 45 - 2.0 - 2.3) / 43, abs=1e-5)


def test_a_static_model_has_no_usage_and_no_faults() -> None:
    rows = [row(index, gates=0) for index in range(9)]
    for entry in rows:
        entry["scores"].pop("float")
        entry["usage"].pop("float")
    table = summarize(rows, [], (), np.zeros(0))
    json.dumps(table, allow_nan=False)
    assert table["usage"] == {"firmware": {"mean": None, "low": None, "high": None, "gates": {}}}
    assert "float" not in table and "quantization" not in table
    assert table["usage_falls_with_snr"] is None and table["faults"] == []
    assert table["spearman"]["usage_firmware_with_noisy_OVRL"]["mean"] is None
    assert set(table["mixes"]) == {"test"}


def test_usage_that_does_not_fall() -> None:
    parts = [{"usage": {"firmware": {"mean": value}}} for value in (0.9, 0.5, 0.5)]
    assert falls(parts[:2]) is True and falls(parts) is False and falls(parts[:1]) is None


def test_paired_differences_see_what_intervals_of_means_do_not() -> None:
    """The mixtures differ by whole points, the systems by 0.05 in each: the pairs decide."""
    first, second = (tabulate([row(i, shift=shift) for i in range(45)], WEIGHTS) for shift in (0.0, 0.05))
    better, worse = compare(second, first), compare(first, second)
    assert better["firmware"]["OVRL"] == {
        "mean": 0.05, "low": 0.05, "high": 0.05, "verdict": "within 0.03", "direction": "higher",
    }  # fmt: skip
    assert (
        worse["firmware"]["OVRL"]["verdict"] == "below" and worse["firmware"]["OVRL"]["direction"] == "lower"
    )
    assert worse["float"]["OVRL"]["verdict"] == "within 0.03"
    assert worse["float"]["OVRL"]["direction"] == "undecided"
    assert worse["cost_ratio"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert set(better["firmware"]) == set(MARGINS)


def test_ratio_of_costs() -> None:
    drawn = resample([f"s{k}" for k in range(9)])
    half = cost_ratio(np.arange(1.0, 10), 2 * np.arange(1.0, 10), drawn)
    assert half == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert cost_ratio(np.full(9, np.nan), np.ones(9), drawn) is None


def test_scores_of_a_perfect_wave() -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("speechmos")
    time = np.arange(32000) / 16000
    voice = sum(np.sin(2 * np.pi * 140 * k * time + k) / k for k in range(1, 25))
    target = (3000 * voice * (np.sin(2 * np.pi * time) > 0)).astype(np.int16)
    found = score(target, target)
    assert tuple(found) == METRICS
    assert found["SISDR"] is None  # infinite: counted, not averaged
    assert found["PESQ"] == pytest.approx(4.644, abs=0.01) and found["STOI"] == pytest.approx(1)
