"""``tinydsn evaluate``: folders and the committed list, resumed after a kill, static siblings, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinydsn.audio.files import read_wav, write_wav
from tinydsn.cli import invoke
from tinydsn.workflow import evaluation

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "corpus"
GRAPH = ROOT / "tinydsn" / "pretrained" / "dsn-s.tdsn"
METRICS = {"SIG", "BAK", "OVRL", "PESQ", "STOI", "SISDR"}

for package in ("pesq", "pystoi", "speechmos", "onnxruntime"):
    pytest.importorskip(package)


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of an earlier evaluation is found."""
    monkeypatch.setattr(evaluation, "cache_dir", lambda: tmp_path / "cache")


@pytest.fixture
def folders(tmp_path: Path, noisy_speech: np.ndarray) -> tuple[Path, Path]:
    """Two pairs of 2.5 s; the clean ones are what the noise was added to."""
    rng = np.random.default_rng(0)
    for index, name in enumerate(("p1_a", "p2_b")):
        clean = noisy_speech[40000 * index : 40000 * (index + 1)]
        noise = rng.normal(0, 120 * (1 + 9 * index), len(clean))
        write_wav(tmp_path / "clean" / f"{name}.wav", clean)
        write_wav(tmp_path / "noisy" / f"{name}.wav", np.clip(clean + noise, -32768, 32767).astype(np.int16))
    return tmp_path / "noisy", tmp_path / "clean"


def evaluated(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    found = invoke(["evaluate", *arguments, "--json"])
    captured = capsys.readouterr()
    if found == 2 and ("is not on this machine" in captured.err or "not found" in captured.err):
        pytest.skip(captured.err.strip())
    assert found == code, captured.err
    return dict(json.loads(captured.out))


def options(folders: tuple[Path, Path]) -> list[str]:
    return ["--noisy", str(folders[0]), "--clean", str(folders[1])]


def test_two_folders_on_the_emulated_board(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save = tmp_path / "out"
    result = evaluated(["dsn-s", *options(folders), "--save", str(save), "--speaker", "^(p.)"], capsys)
    for system in ("noisy", "float", "integer", "firmware"):
        assert set(result[system]) == METRICS
        for value in result[system].values():
            assert value["low"] <= value["mean"] <= value["high"]
    assert result["integer"] == result["firmware"] and result["equal"]["status"] == "equal"
    assert result["board"] == "mps2-an386" and result["files"] == result["speakers"] == 2
    counts = result["instructions"]
    assert 235_000 < counts["mean"] <= counts["p99"] <= counts["max"] <= counts["all_on"] * 1.01
    assert set(result["usage"]) == {"float", "firmware"} and len(result["usage"]["float"]["gates"]) == 5
    assert sum(result["gate_weights"].values()) == pytest.approx(1, abs=1e-3)
    assert sum(part["files"] for part in result["by_input_sisdr"]) == 2
    assert result["by_snr"] == [] and set(result["mixes"]) == {"test", "speech", "noise"}
    wave = read_wav(save / "firmware" / "p1_a.wav")
    assert sorted(path.name for path in (save / "float").iterdir()) == ["p1_a.wav", "p2_b.wav"]
    run = tmp_path / "run.wav"
    assert (
        invoke(["run", "dsn-s", "--board", "host", "--wav", str(folders[0] / "p1_a.wav"), "--out", str(run)])
        == 0
    )
    assert len(wave) == 40000 and np.array_equal(wave[:-256], read_wav(run)[256:])


def test_a_graph_alone_and_a_comparison(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(GRAPH), *options(folders), "--board", "host", "--limit", "1", "--bias", "32767"]
    result = evaluated([*arguments, "--against", "dsn-s"], capsys)
    assert "float" not in result and "quantization" not in result and result["files"] == 1
    assert set(result["usage"]) == {"firmware"} and result["usage"]["firmware"]["mean"] == 1.0
    assert result["instructions"] is None and result["macs"]["firmware"] == result["macs"]["all_on"]
    (other,) = result["against"]
    assert other["model"] == "dsn-s" and set(other["firmware"]) == METRICS
    assert other["firmware"]["PESQ"]["verdict"] in ("within 0.03", "below", "inconclusive")
    assert other["report"]["usage"]["firmware"]["mean"] < 1 and "float" in other["report"]
    assert other["report"]["noisy"] == result["noisy"]


def test_a_static_sibling(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from quant.convert import quantize
    from quant.model_file import save
    from tinydsn.models.checkpoint import save_checkpoint
    from tinydsn.models.dsn import Dsn, DsnConfig
    from tinydsn.workflow.quantization import float_graph

    checkpoint = tmp_path / "static.safetensors"
    save_checkpoint(Dsn(DsnConfig(gated=False)), checkpoint)
    clip = read_wav(folders[0] / "p1_a.wav")
    save(quantize(float_graph(str(checkpoint)), [clip]), checkpoint.with_suffix(".tdsn"))
    result = evaluated([str(checkpoint), *options(folders), "--limit", "1"], capsys)
    assert result["usage"]["firmware"] == {"mean": None, "low": None, "high": None, "gates": {}}
    assert result["instructions"]["share_of_all_on"] == 1.0 and result["gate_weights"] == {}
    assert invoke(["evaluate", str(checkpoint), *options(folders), "--limit", "1", "--board", "host"]) == 0
    assert "firmware" in capsys.readouterr().out


def test_only_some_files_are_checked_against_the_reference(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["dsn-s", *options(folders), "--board", "host"]
    some = evaluated([*arguments, "--check", "1", "--fresh"], capsys)
    assert some["equal"]["status"] == "equal"
    # A file that was left out is compared once that is wanted, although its scores are stored.
    every = evaluated(arguments, capsys)
    assert every["equal"]["frames"] == 2 * some["equal"]["frames"] > 0
    assert every["firmware"] == some["firmware"]


def test_forced_gates(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    result = evaluated([str(GRAPH), *options(folders), "--limit", "1", "--force", "01000"], capsys)
    assert result["forced"] == "01000" and result["equal"]["status"] == "equal"
    assert list(result["usage"]["firmware"]["gates"].values()) == [0.0, 1.0, 0.0, 0.0, 0.0]
    assert set(result["instructions"]) == {"mean", "p99", "max", "low", "high"}
    assert 235_000 < result["instructions"]["mean"] <= result["instructions"]["max"]
    assert result["instructions"]["max"] < 1.02 * result["instructions"]["mean"]


def test_the_committed_list(capsys: pytest.CaptureFixture[str]) -> None:
    if not (CORPUS / "manifest.csv").is_file():
        pytest.skip("the corpus is not here")
    result = evaluated(["dsn-s", "--corpus", str(CORPUS), "--limit", "2", "--board", "host"], capsys)
    assert result["files"] == 2 and result["seconds"] == 18.02
    assert [(part["from"], part["to"]) for part in result["by_snr"]] == [(-5.0, 0.0), (0.0, 5.0)]


def test_a_killed_run_goes_on(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed after its first file; the second run computes the rest, and the table is that of a whole run."""
    arguments = [str(GRAPH), *options(folders), "--board", "host"]
    whole = evaluated(arguments, capsys)
    script = (
        "import sys; from pathlib import Path; from tinydsn.cli import invoke\n"
        "from tinydsn.workflow import evaluation\n"
        "if __name__ == '__main__':\n"
        f"    evaluation.cache_dir = lambda: Path({str(tmp_path / 'killed')!r})\n"
        "    sys.exit(invoke(sys.argv[1:]))\n"
    )
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py"), "evaluate", *arguments, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while not (stored := list((tmp_path / "killed").rglob("rows.jsonl"))) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    before = stored[0].read_bytes().count(b"\n")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == whole
    assert stored[0].read_bytes().count(b"\n") >= before and before < 8


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert invoke(["evaluate", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err.removeprefix("error: ").rstrip("\n")


def test_bad_input(
    folders: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noisy, clean = folders
    save = ["--save", str(tmp_path / "out")]
    assert refusal(["dsn-s"], capsys) == (
        "name --noisy DIR and --clean DIR, or --corpus DIR (one of the two)"
    )
    assert refusal(["dsn-s", "--corpus", str(tmp_path)], capsys).startswith(f"{tmp_path}/speech/test/")
    assert "did you mean 'dsn-s'?" in refusal(["dns-s", *options(folders), *save], capsys)
    unknown = refusal(["dsn-s", *options(folders), *save, "--board", "mps2"], capsys)
    assert "mps2" in unknown and "mps2-an386" in unknown
    assert refusal(["dsn-s", *options(folders), *save, "--against", "none.tdsn"], capsys).startswith(
        "none.tdsn: no such file"
    )
    assert refusal(["dsn-s", *options(folders), *save, "--force", "110"], capsys) == (
        "--force '110': must be 5 digits of 0 or 1, one for each gate of dsn-s (encoder, attention, "
        "recurrence, feedforward, decoder)"
    )
    write_wav(clean / "p2_b.wav", np.ones(39999, np.int16))
    assert refusal(["dsn-s", *options(folders), *save], capsys) == (
        f"{noisy / 'p2_b.wav'}: 40000 samples, and {clean / 'p2_b.wav'}: 39999 (must be equally long)"
    )
    (clean / "p2_b.wav").unlink()
    assert refusal(["dsn-s", *options(folders), *save], capsys) == (
        f"{clean}: lacks p2_b.wav, which {noisy} has (names must be equal)"
    )
    (noisy / "p2_b.wav").unlink()
    with monkeypatch.context() as patch:
        patch.setenv("QEMU", str(tmp_path / "no-qemu"))
        assert "no-qemu" in refusal(["dsn-s", *options(folders), *save], capsys)
    with monkeypatch.context() as patch:
        patch.setattr("tinydsn.audio.metrics.util.find_spec", lambda name: None)
        assert refusal(["dsn-s", *options(folders), *save], capsys) == (
            "the metrics need pesq, pystoi, speechmos, onnxruntime "
            "(install the extra: pip install 'tinydsn[metrics]')"
        )
    assert not (tmp_path / "out").exists()


def test_a_difference_from_the_reference_is_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(status: str) -> types.ModuleType:
        module = types.ModuleType("tinydsn.api")
        table = {"faults": [], "equal": {"status": status, "first_difference": {"file": "a"}}}
        vars(module)["evaluate"] = lambda checkpoint, **options: table
        return module

    for status, code in (("equal", 0), ("differs", 1)):
        module = answer(status)
        monkeypatch.setitem(sys.modules, "tinydsn.api", module)
        monkeypatch.setattr("tinydsn.api", module, raising=False)
        assert invoke(["evaluate", "x", "--corpus", "y", "--json"]) == code
    assert capsys.readouterr().err == "the firmware differs from the integer reference: {'file': 'a'}\n"
