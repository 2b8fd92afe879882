"""The report of a run's folder: with the front of a search, and with what is wrong about one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_example import example

from quant.errors import TinydsnError
from tinydsn.report import save_data
from tinydsn.search.journal import Journal
from tinydsn.workflow.run_report import built_with, search_front, write_run_report

SCORE = {"quality": 0.5, "flash": 9000, "instructions": 1234.5, "departs": True}
SHORT = {"flash": 1, "quality": 1}
FOUND: dict[str, Any] = {
    "front": [{"genome": {"a.weight": 4, "a": 16}, **SCORE}],
    "homogeneous": {"w8a8": SCORE, "w4a8": {"failure": "no"}},
    "evaluations": 17,
}
SETUP = {"model": "dsn-s", "board": "mps2-an386", "quality": "si-sdr", "corpus": "corpus"}


def finished(folder: Path, found: Any = FOUND) -> Path:
    """The folder of a search."""
    with Journal(folder, {"model": "x"}, SETUP):
        pass
    (folder / "front.json").write_text(json.dumps(found))
    return folder


def test_search_that_is_given_or_found(tmp_path: Path) -> None:
    save_data(example(1.0), tmp_path)
    page, numbers = tmp_path / "report.html", tmp_path / "report.json"
    assert write_run_report(tmp_path) == page
    assert json.loads(numbers.read_text())["search"] is None
    write_run_report(tmp_path, finished(tmp_path / "elsewhere"))
    shown = json.loads(numbers.read_text())["search"]
    assert {key: shown[key] for key in ("model", "board", "quality", "evaluations")} == {
        "model": "dsn-s", "board": "mps2-an386", "quality": "si-sdr", "evaluations": 17,
    }  # fmt: skip
    point = {"name": "", "loss": 0.5, "flash": 9000, "instructions": 1234.5, "departs": True}
    assert shown["front"] == [{**point, "widths": {"a.weight": 4, "a": 16}}]
    assert shown["presets"] == [{**point, "name": "w8a8", "widths": {}}]
    assert "Search of bit widths" in page.read_text()
    finished(tmp_path / "search", {**FOUND, "evaluations": 18})
    write_run_report(tmp_path)
    assert json.loads(numbers.read_text())["search"]["evaluations"] == 18


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged (Expecting property name"),
        ("[]", "of another version (TypeError: "),
        ('{"front": []}', "of another version (KeyError: 'evaluations')"),
        (
            json.dumps({**FOUND, "front": [SHORT]}),
            "of another version (KeyError: 'instructions')",
        ),
    ],
)
def test_search_that_cannot_be_shown(tmp_path: Path, content: str, message: str) -> None:
    finished(tmp_path)
    (tmp_path / "front.json").write_text(content)
    with pytest.raises(TinydsnError) as caught:
        search_front(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'front.json'}: {message}")
    assert str(caught.value).endswith(f"search again: tinydsn search extend {tmp_path} --generations 0")


def test_folder_without_a_search(tmp_path: Path) -> None:
    save_data(example(1.0), tmp_path)
    with pytest.raises(TinydsnError) as caught:
        write_run_report(tmp_path, tmp_path / "none")
    assert str(caught.value) == (
        f"{tmp_path / 'none' / 'front.json'}: cannot be read (No such file or directory); must be the folder "
        "of a finished tinydsn search"
    )
    assert not (tmp_path / "report.html").exists()


def test_search_in_place_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(TinydsnError) as caught:
        write_run_report(finished(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: the folder of a search, which has no recordings to show "
        f"(add it to the page of a run: tinydsn report RUN --search {tmp_path})"
    )


def test_what_built_it_without_firmware() -> None:
    made = built_with(None, {"noisy": np.array([1, -2], np.int16)})
    # printf '\x01\x00\xfe\xff' | sha256sum
    assert made["noisy_sha256"] == "dd8b10d263a3a65c4bfc3680c3378c52be146db147b84f14629585cf287d424a"
    assert made["flags"] == "" and made["tinydsn"] and "firmware_sha256" not in made
