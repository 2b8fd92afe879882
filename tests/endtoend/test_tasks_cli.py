"""A task from its recipe to a search and a table, on a corpus made here; and what is refused on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_search_cli import ReferenceRunner, ShapeCost

from quant.graph import IntegerGraph
from tinydsn.audio.files import write_wav
from tinydsn.cli import invoke
from tinydsn.estimate.predict import Prediction
from tinydsn.search.journal import read
from tinydsn.tasks.phrases import PHRASES, split_of
from tinydsn.workflow import task_table

RATE = 16000
RECIPE = """
[task]
name = "{task}"
[model]
hidden = 6
[mix]
samples = 24000
[train]
examples = 4
steps = 3
batch = 2
"""


class Cost(ShapeCost):
    """Instead of measurements; of networks without gates."""

    def cost(self, graph: IntegerGraph, gates: np.ndarray) -> Prediction:
        return super().cost(graph, np.zeros((1, 1)))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of each kind in each split, and two of each phrase in each of its splits."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    rows = ["file,type,split,source,speaker,seconds"]

    def add(name: str, kind: str, split: str, samples: int) -> None:
        wave = rng.integers(-4000, 4000, samples).astype(np.int16)
        if kind == "rir":
            wave[:] = 0
            wave[[20, 300]] = [20000, 4000]
        write_wav(folder / name, wave)
        rows.append(f"{name},{kind},{split},here,anna,{samples / RATE}")

    for split in ("train", "valid", "test"):
        for kind, samples in (("speech", 9000), ("noise", 12000), ("rir", 600)):
            for index in range(2):
                add(f"{kind}-{split}-{index}.wav", kind, split, samples)
        for stem in ("other", *(f"pv_ww__{phrase}" for phrase in PHRASES)):
            named = (f"{stem}_{index}.wav" for index in range(1000))
            for name in [name for name in named if split_of(name) == split][:2]:
                add(name, "speech", "train", 6000)
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained network for wake phrases."""
    folder = tmp_path_factory.mktemp("run")
    recipe = folder / "wake.toml"
    recipe.write_text(RECIPE.format(task="wake-phrases"))
    assert invoke(["train", str(recipe), "--corpus", str(corpus), "-o", str(folder / "out")]) == 0
    return folder / "out"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert invoke([*arguments]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("error: ")


def test_training_tells_what_it_reached(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["task"] == "wake-phrases" and record["settings"]["train"]["steps"] == 3
    assert set(record["test"]) == {"score", "balanced_accuracy", "false_alarms"}


def test_search_uses_the_tasks_own_measure(
    run: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tinydsn.workflow.search.MeasuredCost", Cost)
    monkeypatch.setattr("tinydsn.workflow.search.HostRunner", ReferenceRunner)
    model, out = str(run / "model.safetensors"), str(tmp_path / "search")
    given = ["--corpus", str(corpus), "--board", "mps2-an386", "-o", out, "--population", "8"]
    capsys.readouterr()
    given += ["--generations", "2", "--clips", "2", "--seconds", "1"]
    assert invoke(["search", model, *given, "--json"]) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert found["front"] and found["homogeneous"]["w8a16"]["quality"] == pytest.approx(0, abs=0.01)
    assert read(Path(out)).header["quality"] == "tinydsn.tasks.quality:wake_phrases"
    text = refused(capsys, "search", "rank", out)
    assert text == (
        f"this rating judges enhanced speech, and {model} is a network for wake-phrases (its own measure is "
        "tinydsn.tasks.quality:wake_phrases; see docs/tasks.md)"
    )


def test_table_and_shipped_files(
    run: Path,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_table, "MeasuredCost", Cost)
    monkeypatch.setattr(task_table, "HostRunner", ReferenceRunner)
    to, output = tmp_path / "wake.safetensors", tmp_path / "table.json"
    given = [
        "--corpus",
        str(corpus),
        "--clips",
        "3",
        "--check",
        "0",
        "--precision",
        "w8a16",
        "w8a8",
        "--to",
        str(to),
    ]
    assert task_table.main([str(run), *given, "-o", str(output)]) == 0
    rows = {row["precision"]: row for row in json.loads(output.read_text())}
    assert set(rows) == {"float", "w8a16", "w8a8"} and abs(rows["w8a16"]["loss"]["mean"]) < 0.01
    assert rows["w8a16"]["against_w8a8"]["low"] <= rows["w8a16"]["against_w8a8"]["high"]
    assert "balanced_accuracy" in rows["float"]["intervals"] and "device" not in rows["w8a8"]
    card = json.loads((tmp_path / "wake.card.json").read_text())
    assert card["test"]["clips"] == 3 and "never heard" in card["caution"]
    assert card["training"]["task"] == "wake-phrases"
    assert task_table.main([str(to), *given]) == 0  # a shipped one again, whose run is gone
    assert json.loads((tmp_path / "wake.card.json").read_text())["training"] == card["training"]
    (tmp_path / "speech").mkdir()
    write_wav(tmp_path / "speech" / "one.wav", np.arange(RATE, dtype=np.int16))
    speech = str(tmp_path / "speech")
    assert refused(capsys, "evaluate", str(to), "--noisy", speech, "--clean", speech) == (
        f"{tmp_path / 'wake.tdsn'}: enhances nothing, so there is nothing to judge (see docs/tasks.md)"
    )


def test_a_recipe_for_an_unknown_task_is_refused(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(task="singing"))
    where = ["--corpus", str(corpus), "-o", str(tmp_path / "out")]
    assert refused(capsys, "train", str(recipe), *where) == (
        f"{recipe}: unknown task 'singing' (must be one of voice-activity, wake-phrases, log-mel, "
        "speech-quality)"
    )
    recipe.write_text(RECIPE.format(task="log-mel"))
    assert refused(capsys, "train", str(recipe), *where, "--start", "a.safetensors") == (
        f"{recipe}: a task's recipe has no use for --start, --meter, --pool and --ratings"
    )
    assert not (tmp_path / "out").exists()
