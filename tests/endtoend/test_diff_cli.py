"""``tinydsn diff``: models and generated projects beside each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.errors import ConfigError
from quant.model_file import load, save
from tinydsn.cli import invoke
from tinydsn.codegen.board import load_board
from tinydsn.codegen.build import BuildResult
from tinydsn.workflow.diff import Side
from tinydsn.workflow.diff import diff as compare
from tinydsn.workflow.models import load_model

FRAMES = "6"


def diff(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = invoke(["diff", *arguments, "--frames", FRAMES, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dsn-s with one weight of its last convolution changed."""
    graph, _ = load(load_model("dsn-s").path)
    last = next(operator for operator in graph.operators() if operator.name == "last")
    weight = graph.constants[last.inputs[1]].copy()
    weight.flat[np.argmax(np.abs(weight))] //= 2
    path = tmp_path_factory.mktemp("changed") / "changed.tdsn"
    save(replace(graph, constants={**graph.constants, last.inputs[1]: weight}), path)
    return path


def test_a_model_beside_itself(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = diff(capsys, "dsn-s", "dsn-s")
    assert code == 0
    assert found["outputs"]["status"] == "equal"
    assert found["graph"] == found["operators"] == found["symbols"] == []
    assert {row["change"] for row in (*found["instructions"], *found["memory"])} == {0}


def test_one_weight(capsys: pytest.CaptureFixture[str], changed: Path) -> None:
    code, found = diff(capsys, "dsn-s", str(changed))
    assert code == 1
    assert found["graph"] == [{"operator": "last", "change": "weights"}]
    assert found["outputs"]["status"] == "differs"
    assert found["outputs"]["differing_gates"] == 0
    assert found["outputs"]["snr_db"] > 0
    assert {row["change"] for row in found["memory"]} == {0}


def test_the_same_model_with_other_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = diff(capsys, "dsn-s", "dsn-s", "--kernels-b", "cmsis-nn")
    assert code == 1
    assert (found["outputs"]["status"], found["graph"]) == ("equal", [])
    rows = {row["gates"]: row for row in found["instructions"]}
    assert rows["max, mean"]["change"] == rows["max, mean"]["b"] - rows["max, mean"]["a"] > 0
    assert any(row["symbol"].startswith("arm_") and row["a"] == 0 < row["b"] for row in found["symbols"])


def test_projects_and_the_host(capsys: pytest.CaptureFixture[str], changed: Path, tmp_path: Path) -> None:
    folders = []
    for name, model in (("a", "dsn-s"), ("b", str(changed))):
        folders.append(str(tmp_path / name))
        assert invoke(["generate", model, "--board", "host", "-o", folders[-1], "--json"]) == 0
    capsys.readouterr()
    code, found = diff(capsys, *folders)  # the board is the projects'
    assert found["board"] == "host"
    assert (code, found["graph"], found["instructions"]) == (1, None, [])
    assert found["outputs"]["status"] == "differs"


def test_bad_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert invoke(["diff", "dsn-s", str(tmp_path)]) == 2
    line = f"error: {tmp_path}: not a project that `tinydsn generate` wrote (no tinydsn.json)\n"
    assert capsys.readouterr().err == line
    damaged = f"{tmp_path / 'tinydsn.json'}: damaged, or written by another version of tinydsn; "
    manifest = {"schema": 1, "board": "host", "model_sha256": "0", "gates": 5, "hop": 256, "frontend": None}
    manifest["largest_tensors"] = []
    for text in ("{", "[]", "{}", json.dumps({**manifest, "schema": 99})):
        (tmp_path / "tinydsn.json").write_text(text)
        for verb in (["diff", "dsn-s"], ["build"]):
            assert invoke([*verb, str(tmp_path)]) == 2
            assert capsys.readouterr().err == f"error: {damaged}generate the project again\n"
    (tmp_path / "tinydsn.json").write_text(json.dumps(manifest))
    assert invoke(["build", str(tmp_path), "--board", "stm32f405"]) == 2
    line = f"error: {tmp_path}: made for host, not for stm32f405 (generate a project for that board)\n"
    assert capsys.readouterr().err == line
    assert invoke(["diff", str(tmp_path), "dsn-s", "--board", "mps2-an386"]) == 2
    line = f"error: {tmp_path}: made for host, not for mps2-an386 (choose --board host)\n"
    assert capsys.readouterr().err == line
    other = tmp_path / "other"
    other.mkdir()
    (other / "tinydsn.json").write_text(json.dumps({**manifest, "board": "mps2-an386"}))
    assert invoke(["diff", str(tmp_path), str(other)]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path} is made for host, {other} for mps2-an386: nothing to compare (generate one of "
        "them for the other's board)\n"
    )


def test_rates_that_differ() -> None:
    first, second = (
        Side(name, "", load_board("host"), BuildResult(Path(name), 0, 0, 0, {}), 0, 256, rate, None)
        for name, rate in (("a", 16000), ("b", 8000))
    )
    with pytest.raises(ConfigError) as caught:
        compare(first, second, np.zeros(256, np.int16))
    assert str(caught.value) == "a runs at 16000 Hz, b at 8000 Hz: nothing to compare"


def test_a_model_of_another_rate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    graph, _ = load(load_model("dsn-s").path)
    assert graph.frontend is not None
    slow = tmp_path / "slow.tdsn"
    save(replace(graph, frontend=replace(graph.frontend, sample_rate=8000)), slow)
    code, found = diff(capsys, str(slow), str(slow), "--board", "host")
    assert (code, found["outputs"]["status"]) == (0, "equal")
    arguments = ["diff", str(slow), str(slow), "--board", "host", "--frames", "2", "--corpus", str(tmp_path)]
    assert invoke(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {slow}: runs at 8000 Hz; quality on a corpus needs 16000 Hz (leave --corpus out)"
    )
