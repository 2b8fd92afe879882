"""What goes into a report, what comes out as JSON, and the way over the disk."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_example import GATES, HOP, cell, example

import tinydsn.report
from tinydsn.report import Memory, ReportError, load_data, save_data, write_report
from tinydsn.report.summary import bits_equal, report_json, statistics, summary

KEYS = {
    "": "schema title model board audio summary gates frames patterns operators states widths memory "
    "search results metrics toolchain notes",
    "summary": "bits_equal cells instructions instructions_per_second clock_share gate_usage",
    "memory": "flash ram stack weights context plan flash_limit ram_limit",
    "audio": "sample_rate hop samples seconds clean",
    "widths": "weights activations states",
    "search": "model board quality evaluations front presets",
}

PLAIN: dict[str, Any] = {"instructions": None, "clean": None, "search": None}
BARE: dict[str, Any] = {
    **PLAIN,
    "memory": Memory(None, None, None, None, None),
    "clock_hz": None,
    **dict.fromkeys(("patterns", "operators", "states", "results", "notes"), ()),
    **dict.fromkeys(("metrics", "toolchain"), {}),
}
WRONG: dict[str, Any] = {
    **cell("host", "min", 3, None),
    "status": "differs",
    "first_difference": {"frame": 1, "operator": None},
}


def documented() -> dict[str, Any]:
    """The JSON Schema."""
    return json.loads((Path(tinydsn.report.__file__).parent / "schema.json").read_text())


def names_in(schema: Any) -> set[str]:
    """All keys of objects that a JSON Schema names."""
    if isinstance(schema, list):
        return set().union(*map(names_in, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", ())).union(*map(names_in, schema.values()))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        BARE,
        {"gates": np.zeros((0, 5), bool), "instructions": np.zeros(0, np.uint32)},
        {"results": [WRONG]},
        {"metrics": {"SI-SDR": (float("-inf"), 3.0), "SIG": None}},
    ],
)
def test_json_is_of_the_schema(changes: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="pip install 'tinydsn[dev]'")
    schema = documented()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    made = json.loads(json.dumps(report_json(example(1.0, **changes))))
    assert [error.message for error in check.iter_errors(made)] == []
    # The schema refuses what is not so.
    assert [error.message for error in check.iter_errors({**made, "schema": 2})] == ["1 was expected"]
    assert not check.is_valid({**made, "audio": {**made["audio"], "hop": 0.5}})
    assert not check.is_valid({**made, "more": 1})


def test_all_keys_of_the_schema_are_explained() -> None:
    document = (Path(tinydsn.report.__file__).parent / "SCHEMA.md").read_text()
    explained = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", document))))
    # The cells are those of `tinydsn verify --json`.
    cells = names_in(documented()["properties"]["results"])
    assert names_in(documented()) - cells <= explained


def test_json_has_the_documented_keys(tmp_path: Path) -> None:
    data = example(2.0)
    write_report(data, tmp_path)
    made = json.loads((tmp_path / "report.json").read_text())
    for place, names in KEYS.items():
        assert list(made[place] if place else made) == names.split()
    assert set(made["operators"][0]) == {
        "name", "kind", "region", "shape", "macs", "instructions", "share", "weight_bits",
        "activation_bits", "source", "weights", "patterns",
    }  # fmt: skip
    assert set(made["memory"]["plan"][0]) == {"tensor", "offset", "bytes", "first", "last"}
    document = (Path(tinydsn.report.__file__).parent / "SCHEMA.md").read_text()
    documented = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", document))))
    assert {name for names in KEYS.values() for name in names.split()} <= documented


def test_json_numbers() -> None:
    data = example(2.0)
    made = report_json(data)
    assert data.instructions is not None
    words = [sum(1 << k for k in range(5) if row[k]) for row in data.gates]
    assert made["frames"] == {"gates": words, "instructions": data.instructions.tolist()}
    assert [gate["name"] for gate in made["gates"]] == list(GATES)
    mean = float(np.mean(data.instructions))
    assert made["summary"]["instructions_per_second"]["mean"] == mean * 16000 / HOP
    assert made["summary"]["clock_share"]["mean"] == mean * 16000 / HOP / 25_000_000
    assert made["metrics"]["SI-SDR"] == {"before": 4.98, "after": 11.62}


def test_statistics_use_the_nearest_rank() -> None:
    counts = np.arange(1, 201, dtype=np.uint32)[::-1]
    assert statistics(counts) == {"min": 1, "mean": 100.5, "p99": 198, "max": 200}
    assert statistics(np.array([5], np.uint32)) == {"min": 5, "mean": 5.0, "p99": 5, "max": 5}
    assert statistics(np.array([], np.uint32)) is None


def test_equality_of_bits() -> None:
    equal, skipped = cell("host", "min", 3, None), {**cell("b", "min", 0, None), "status": "skipped"}
    assert bits_equal(example(1.0, results=[])) is None
    assert bits_equal(example(1.0, results=[skipped])) is None
    assert bits_equal(example(1.0, results=[equal, skipped])) is True
    for status in ("differs", "failed"):
        assert bits_equal(example(1.0, results=[equal, {**equal, "status": status}])) is False


def test_values_that_are_not_finite_become_null() -> None:
    made = report_json(example(1.0, metrics={"SI-SDR": (float("-inf"), float("nan")), "SIG": None}))
    assert made["metrics"] == {"SI-SDR": {"before": None, "after": None}, "SIG": None}
    json.dumps(made, allow_nan=False)


def test_without_frames() -> None:
    data = example(1.0, gates=np.zeros((0, 5), bool), instructions=np.zeros(0, np.uint32))
    assert summary(data)["instructions"] is None
    assert [gate["usage"] for gate in report_json(data)["gates"]] == [0.0] * 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"enhanced": np.zeros(5, np.int16)},
            "report: enhanced has 5 samples, noisy has 16000 (must be equal, and above 0)",
        ),
        (
            {"clean": np.zeros(16000)},
            "report: clean is float64 of shape (16000,) (must be int16, one axis)",
        ),
        (
            {"gates": np.zeros((4, 3), bool)},
            "report: gates is bool of shape (4, 3) with 5 names "
            "(must be bool [frames, gates], one name a gate, at most 32)",
        ),
        (
            {"instructions": np.zeros(4, np.uint32)},
            "report: instructions has shape (4,) (must be (62,), one count a frame)",
        ),
        ({"hop": 0}, "report: hop is 0 (must be above 0)"),
        ({"clock_hz": 0}, "report: clock_hz is 0 (must be above 0, or None)"),
        (
            {"results": [{"status": "great"}]},
            "report: a result has status 'great' (must be equal, differs, skipped, failed)",
        ),
    ],
)
def test_input_that_does_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ReportError) as caught:
        example(1.0, **changes)
    assert str(caught.value) == message


@pytest.mark.parametrize("changes", [{"search": None}, {**PLAIN, "metrics": {"SIG": None}}])
def test_saved_data_comes_back(tmp_path: Path, changes: dict[str, object]) -> None:
    data = example(1.0, **changes)
    assert save_data(data, tmp_path) == tmp_path / "report-data.npz"
    again = load_data(tmp_path)
    for field in fields(data):
        one, other = getattr(data, field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype and np.array_equal(one, other)
    assert report_json(data) == report_json(again)
    assert write_report(data, tmp_path / "a").read_bytes() == write_report(again, tmp_path / "b").read_bytes()


def test_saved_data_that_is_missing_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "report-data.npz"
    with pytest.raises(ReportError) as caught:
        load_data(tmp_path)
    assert str(caught.value) == f"{path}: no such file (must be the folder that tinydsn demo wrote)"
    content = save_data(example(1.0), tmp_path).read_bytes()
    for broken in (b"", b"PK", content[: len(content) // 2], content[:200] + b"\0" * 9 + content[209:]):
        path.write_bytes(broken)
        with pytest.raises(ReportError) as caught:
            load_data(tmp_path)
        assert str(caught.value).startswith(f"{path}: damaged, run tinydsn demo again (")
