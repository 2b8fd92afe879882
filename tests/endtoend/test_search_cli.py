"""``tinydsn search`` on a tiny network and a corpus made here: its verbs, and bad input."""

from __future__ import annotations

import importlib
import json
import pickle
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from quant.calibrate import calibrate
from quant.convert import convert
from quant.graph import IntegerGraph
from quant.precision import load_precision
from quant.reference import Enhanced, Pipeline
from tinydsn.audio.files import to_int16, write_wav
from tinydsn.audio.metrics import Dnsmos, si_sdr
from tinydsn.audio.sources import noise
from tinydsn.cli import invoke
from tinydsn.codegen.board import Board
from tinydsn.estimate.predict import Prediction
from tinydsn.estimate.runner import HostRunner
from tinydsn.estimate.table import open_table
from tinydsn.evaluation.recipes import Audio
from tinydsn.search.clips import draw_clips, load_clips
from tinydsn.search.evaluate import fed, float_output
from tinydsn.search.quality import bounded
from tinydsn.workflow import search_rating
from tinydsn.workflow.search import NetworkFactory, Setup, opened, reopened

RATE = 16000
NET = """
import torch
from quant.frontend import FrontEnd


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.frontend = FrontEnd()
        self.squeeze = torch.nn.Linear(256, 6)
        self.cell = torch.nn.GRUCell(6, 6)
        self.extra = torch.nn.Linear(6, 6)
        self.policy = torch.nn.Linear(6, 1)
        self.mask = torch.nn.Linear(6, 256)
        self.register_buffer("h", torch.zeros(1, 6))

    def forward(self, frame):
        x = torch.relu(self.squeeze(frame))
        h = self.cell(x[None], self.h)
        self.h.copy_(h)
        more = lambda y: y + torch.relu(self.extra(y))
        y = torch.cond(self.policy(h)[0, 0] > 0, more, lambda y: y.clone(), (h,))
        return torch.sigmoid(self.mask(y))[0]


def net():
    return Net().eval(), torch.zeros(256)


def loudness(outputs, clips):
    assert all(len(wave) == len(clip.noisy) for wave, clip in zip(outputs, clips))
    return float(sum(abs(wave.astype(float) - clip.reference).mean() for wave, clip in zip(outputs, clips)))


def wrong(outputs, clips):
    return float("nan")


def worse(outputs, clips):
    return 1 / 0
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of each kind in the valid split."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    rows = ["file,type,split,source,speaker,seconds"]
    time = np.arange(2 * RATE) / RATE
    for index in range(2):
        tone = np.sin(2 * np.pi * (150 + 40 * index) * time) * (1 + np.sin(2 * np.pi * 3 * time)) * 0.1
        room = np.zeros(1600)
        room[0], room[800] = 1.0, 0.3
        waves = {"speech": tone + 0.01 * rng.standard_normal(len(time)), "rir": 0.9 * room}
        waves["noise"] = noise("fan", 2 * RATE, index)
        for kind, wave in waves.items():
            write_wav(folder / f"{kind}{index}.wav", to_int16(wave))
            rows.append(f"{kind}{index}.wav,{kind},valid,made,s{index},{len(wave) / RATE}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


class ShapeCost:
    """Instead of measurements, which take seconds for each new kernel and shape."""

    def __init__(self, board: Board) -> None:
        open_table(board)

    def cost(self, graph: IntegerGraph, gates: np.ndarray) -> Prediction:
        operators = [operator for operator in graph.operators() if "weight_bits" in operator.attributes]
        bits = {operator.inputs[1]: int(str(operator.attributes["weight_bits"])) for operator in operators}
        flash = sum(values.size * bits.get(name, 8) // 8 for name, values in graph.constants.items())
        work = float(sum(tensor.nbytes for tensor in graph.tensors.values()))
        return Prediction(work + float(gates.mean()), work + 1.0, flash)


class ReferenceRunner:
    """Instead of the host's kernels, which need a compiler and give the same."""

    def __init__(self, recordings: Sequence[np.ndarray]) -> None:
        self.recordings = recordings

    def run(self, graph: IntegerGraph) -> list[Enhanced]:
        pipeline = Pipeline(graph)
        return [pipeline.run(pcm) for pcm in self.recordings]


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler and no emulator, in this process."""
    monkeypatch.setattr("tinydsn.workflow.search.MeasuredCost", ShapeCost)
    monkeypatch.setattr("tinydsn.workflow.search.HostRunner", ReferenceRunner)


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny network's target, importable from the current directory."""
    name = f"nets_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def options(corpus: Path, run: str = "run") -> list[str]:
    given = {"--corpus": str(corpus), "--board": "mps2-an386", "-o": run, "--population": "8"}
    given |= {"--generations": "3", "--clips": "2", "--seconds": "1"}
    return [text for pair in given.items() for text in pair]


def answered(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert invoke(["search", *arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert invoke(["search", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1].removeprefix("error: ")


def test_search_status_extend_and_pick(
    nets: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"{nets}:net", *options(corpus)]
    result = answered(arguments, capsys)
    assert result["evaluations"] == 24 and result["corrupt_lines"] == 0
    assert {"w4a8", "w6a8", "w8a8", "w8a16"} <= set(result["homogeneous"])
    for point in result["front"]:
        assert {"genome", "quality", "flash", "instructions", "all_on", "usage", "departs"} == set(point)
        assert point["genome"]["policy.weight"] == 8 and point["genome"]["policy"] == 16
    assert json.loads((tmp_path / "run" / "front.json").read_text()) == result
    picture = ElementTree.parse(tmp_path / "run" / "front.svg").getroot()
    assert [node for node in picture if node.get("class") == "front"]

    again = answered(arguments, capsys)
    assert again["front"] == result["front"] and again["evaluations"] == 24
    report = answered(["status", "run"], capsys)
    assert (report["evaluations"], report["of"], report["board"]) == (24, 24, "mps2-an386")
    longer = answered(["extend", "run", "--generations", "1"], capsys)
    assert longer["evaluations"] == 32
    assert answered(["status", "run"], capsys)["of"] == 32

    limit = int(np.median([point["flash"] for point in longer["front"]]))
    chosen = answered(["pick", "run", "--max-flash", str(limit), "-o", "precision.toml"], capsys)
    assert chosen["flash"] <= limit and chosen in [
        {"precision": "precision.toml", **point} for point in longer["front"]
    ]
    table = load_precision("precision.toml")
    assert {rule.match for rule in table.rules} >= {"squeeze", "mask"}
    assert "no point of the front is within the limits" in refusal(
        ["pick", "run", "--max-flash", "1", "-o", "none.toml"], capsys
    )
    assert not (tmp_path / "none.toml").exists()


def test_a_quality_of_ones_own_and_a_pickled_evaluator(
    nets: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--quality", f"{nets}:loudness", "--generations", "1"]
    point = answered([f"{nets}:net", *options(corpus), *own], capsys)["front"][0]
    assert point["quality"] >= 0
    setup, _, _ = reopened(tmp_path / "run")
    made = pickle.loads(pickle.dumps(NetworkFactory(setup, tmp_path / "run")))()
    score = made.score(opened(setup).space.genome(point["genome"]))
    assert score.to_json() == {key: value for key, value in point.items() if key != "genome"}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler for the evaluator")
def test_the_runner_gives_what_the_reference_gives(nets: str, corpus: Path) -> None:
    setup = Setup(f"{nets}:net", corpus, "mps2-an386", clips=2, seconds=1.0)
    problem = opened(setup)
    clips = draw_clips(corpus, 2, RATE, 0)
    ranges = calibrate(problem.graph, [clip.noisy for clip in clips.items])
    recordings = [fed(problem.graph, clip.noisy) for clip in clips.items]
    integer = convert(problem.graph, ranges, problem.space.precision(problem.presets["w4a8"]))
    for pcm, made in zip(recordings, HostRunner(recordings).run(integer), strict=True):
        reference = Pipeline(integer).run(pcm)
        assert np.array_equal(made.pcm, reference.pcm) and np.array_equal(made.gates, reference.gates)
    heard = float_output(problem.graph, recordings[0])
    integer = convert(problem.graph, ranges, problem.space.precision(problem.presets["w8a16"]))
    close = Pipeline(integer).run(recordings[0])
    assert si_sdr(close.pcm, heard.pcm) > 30


def test_parts_of_the_split_share_no_recording(corpus: Path) -> None:
    first, second = (draw_clips(corpus, 3, RATE, part) for part in (0, 1))
    assert first.digest == draw_clips(corpus, 3, RATE, 0).digest != second.digest
    assert [clip.snr for clip in first.items] == sorted(clip.snr for clip in first.items)


def test_bad_input(nets: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, given = f"{nets}:net", options(corpus)
    assert refusal([target, *given[2:]], capsys) == (
        "Missing option '--corpus'. (see `tinydsn search start --help`)"
    )
    assert refusal([target, *options(tmp_path)], capsys).startswith(f"{tmp_path}/manifest.csv: no such file")
    assert refusal(["model.tdsn", *given], capsys).startswith("model.tdsn: is an integer graph")
    assert refusal([target, *given, "--board", "mps3"], capsys).startswith("unknown board 'mps3'")
    assert refusal([target, *given, "--population", "9"], capsys) == (
        "population 9 (must be a multiple of 4, at least 8)"
    )
    assert refusal([target, *given, "--quality", "loudness"], capsys) == (
        "unknown quality 'loudness' (must be si-sdr, or package.module:function)"
    )
    assert refusal([target, *given, "--quality", f"{nets}:nothing"], capsys) == (
        f"--quality '{nets}:nothing': {nets} has no function 'nothing'"
    )
    assert refusal([target, *given, "--board", "host"], capsys).startswith("host: instructions are counted")
    for wrong, message in (("wrong", "gave nan (must be a finite number)"), ("worse", ": ZeroDivisionError")):
        run = ["-o", wrong, "--quality", f"{nets}:{wrong}"]
        assert refusal([target, *given, *run], capsys).startswith(f"--quality '{nets}:{wrong}'")
        assert message in refusal([target, *given, *run], capsys)
    assert refusal(["status", "nowhere"], capsys).startswith("nowhere/journal.jsonl: no journal of a search")
    assert refusal(["pick", "nowhere", "-o", "p.toml"], capsys).startswith(
        "nowhere/journal.jsonl: no journal"
    )
    answered([target, *given, "--generations", "1"], capsys)
    assert refusal([target, *given, "--seed", "1", "--generations", "1"], capsys) == (
        "run: holds another search: its seed is 0, not 1 (name another folder, or give the same options)"
    )
    (tmp_path / f"{nets}.py").write_text(NET.replace("manual_seed(4)", "manual_seed(500)"))
    importlib.invalidate_caches()
    sys.modules.pop(nets)
    assert refusal(["pick", "run", "-o", "p.toml"], capsys) == (
        f"run: {target} has changed since it was searched; search again"
    )


def test_points_are_rated_on_what_the_search_did_not_hear(
    nets: str,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PESQ and DNSMOS are stand-ins that fall as the output departs from the float network's."""
    answered([f"{nets}:net", *options(corpus), "--generations", "2"], capsys)
    heard: list[np.ndarray] = []

    def closeness(wave: np.ndarray, target: np.ndarray) -> float:
        heard.append(target)
        return bounded(si_sdr(wave, target))

    def level(wave: np.ndarray) -> Dnsmos:
        return Dnsmos(1.0, 1.0, float(np.std(wave)))

    monkeypatch.setattr(search_rating, "require_metrics", lambda: None)
    monkeypatch.setattr(search_rating, "SEGMENT", RATE)
    monkeypatch.setattr(search_rating, "pesq_wb", closeness)
    monkeypatch.setattr(search_rating, "dnsmos", level)
    clip = draw_clips(corpus, 1, RATE, 1).items[0]
    audio = Audio(clip.noisy, clip.target, clip.noisy)
    monkeypatch.setattr(search_rating, "committed_list", lambda: (None,) * 3)
    monkeypatch.setattr(
        search_rating,
        "listed",
        lambda recipes, at: [SimpleNamespace(load=lambda: audio, snr=3.0)] * len(recipes),
    )
    few = ["run", "--clips", "1", "--jobs", "1"]

    refused = refusal(["test", "run", "--jobs", "1"], capsys)
    assert refused == "run/rank.json: is not there (rank the points first: `tinydsn search rank`)"
    ranked = answered(["rank", *few], capsys)
    points = ranked["points"]
    front = json.loads((tmp_path / "run" / "front.json").read_text())["front"]
    assert sum(point["front"] for point in points) == len(front) and len(points) > len(front)
    assert any(point["kept"] for point in points)
    assert [point["rank"] for point in points] == sorted(point["rank"] for point in points)
    best = max(points, key=lambda point: point["delta_PESQ"])
    assert best["rank"] <= points[-1]["rank"]
    searched = load_clips(tmp_path / "run" / "clips.npz").items
    assert not any(np.array_equal(item.target, target) for item in searched for target in heard)

    before = len(heard)
    assert answered(["rank", *few], capsys) == ranked and len(heard) == before + 1  # the float network alone
    thinned = answered(["rank", *few, "--points", "2"], capsys)["points"]
    assert sum(point["front"] for point in thinned) == 2 and len(heard) == before + 2
    assert answered(["rank", *few], capsys) == ranked

    capsys.readouterr()
    code = invoke(["search", "proxy", *few, "--json"])
    checked = json.loads(capsys.readouterr().out)
    assert checked["genomes"] == 16 and code == (0 if checked["enough"] else 1)
    assert checked["enough"] == (min(checked["spearman"].values()) >= 0.8)

    tested = answered(["test", "run", "--limit", "2", "--jobs", "1"], capsys)
    names = {point["name"] for point in tested["points"]}
    assert {"point 0", "w4a8", "w8a16"} <= names and tested["clips"] == 2
    assert "the test split was used already" in refusal(["test", "run", "--jobs", "1"], capsys)
    assert json.loads((tmp_path / "run" / "test.json").read_text()) == tested
    (tmp_path / "run" / "test.json").unlink()
    fewer = answered(["test", "run", "--limit", "2", "--points", "1", "--jobs", "1"], capsys)["points"]
    assert fewer == [row for row in tested["points"] if row["name"] == "point 0" or row["name"][0] == "w"]
    assert len(tested["points"]) > len(fewer)
