"""What a run notes of itself and of the weights that it starts from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from quant.errors import ModelFileError
from tinydsn.training.guidance import Guidance
from tinydsn.training.quantized import QuantizationOptions
from tinydsn.training.recipe import Recipe
from tinydsn.training.record import write_record


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A shipped checkpoint of a run of 25 hours that went on from one of 10."""
    (tmp_path / "manifest.csv").write_text("file\n")
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(b"weights")
    training = {"name": "net", "hours": 25.0, "hours_before": 10.0}
    weights.with_suffix(".card.json").write_text(json.dumps({"training": training}))
    return weights


def test_hours_of_a_shipped_start_count(start: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    record = write_record(tmp_path / "run", "more", Recipe(), tmp_path, start, "cpu")
    assert record["hours_before"] == 35.0 and record["start"]["name"] == "net"


def test_a_start_whose_card_tells_no_hours_is_noted_by_its_file(start: Path, tmp_path: Path) -> None:
    start.with_suffix(".card.json").write_text(json.dumps({"training": {"task": "voice-activity"}}))
    (tmp_path / "run").mkdir()
    record = write_record(tmp_path / "run", "more", Recipe(), tmp_path, start, "cpu")
    assert record["hours_before"] == 0.0 and record["start"]["name"] == "net"


def test_a_damaged_card_of_the_start_is_refused(start: Path, tmp_path: Path) -> None:
    start.with_suffix(".card.json").write_text("{")
    with pytest.raises(ModelFileError, match="damaged"):
        write_record(tmp_path, "more", Recipe(), tmp_path, start, "cpu")


def test_widths_from_a_file_are_noted_by_its_name() -> None:
    options = QuantizationOptions(precision="somewhere/mine.toml")
    recipe = replace(Recipe(), guidance=Guidance(kind="none"), quantization=options)
    assert recipe.as_dict()["quantization"]["precision"] == "mine"
