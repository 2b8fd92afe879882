"""``tinydsn import``: foreign ``.tflite`` files become firmware with the bits of tflite-micro."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tflite_micro", reason="tinydsn[oracle] is not installed")
pytest.importorskip("tflite", reason="tinydsn[oracle] is not installed")

from refusals import Refused
from tflite_in_models import check, spotter

from quant.model_file import load
from quant.tflite.incoming import Imported, import_graph
from tinydsn.cli import invoke
from tinydsn.workflow import importing
from tinydsn.workflow.importing import random_frames
from tinydsn.workflow.models import load_model

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 24
TENSORFLOW = ("keywords-int8", "keywords-16x8", "separable-int8", "gates-int8", "gates-16x8")
TENSORFLOW += ("residual-int8", "residual-16x8")


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_a_network_has_the_bits_of_tflite_micro_on_two_cores(dtype: str, tmp_path: Path) -> None:
    content = spotter(dtype)
    made = import_graph(content, "spotter.tflite", "spotter")
    kinds = {operator.kind for operator in made.graph.operators()}
    assert {"conv2d", "depthwise_conv2d", "fully_connected", "sigmoid", "tanh", "softmax", "add"} <= kinds
    results = check(content, random_frames(made, FRAMES), tmp_path)
    assert len(np.unique(results)) > 40


def test_the_verb_writes_a_graph_that_every_other_verb_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "spotter.tflite", tmp_path / "out" / "spotter.tdsn"
    source.write_bytes(spotter("int8"))
    assert invoke(["import", str(source), "-o", str(output), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    graph, sha256 = load(output)
    assert made["model_sha256"] == sha256 and graph.name == "spotter"
    assert made["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert made["check"] == {"frames": 60, "values": 60 * 14, "differing": 0}
    assert made["hop"] == 54 and made["operators"]["FULLY_CONNECTED"] == 4
    assert [(port["name"], port["shape"], port["begin"]) for port in made["outputs"]] == [
        ("shares", [1, 4], 0),
        ("state", [1, 10], 4),
    ]
    # the file itself is as good as the graph
    assert load_model(str(source)).sha256 == sha256


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that TensorFlow's converter made; skips without TensorFlow, whose python is named by
    ``TINYDSN_TENSORFLOW_PYTHON``, or in ``.venv-tensorflow`` of the checkout (``tinydsn[tensorflow]``)."""
    python = os.environ.get("TINYDSN_TENSORFLOW_PYTHON") or str(ROOT / ".venv-tensorflow" / "bin" / "python")
    if not Path(python).is_file():
        pytest.skip(
            f"no TensorFlow: {Path(python).parent.parent.name} has no python (install its extra there)"
        )
    worker, folder = ROOT / "tests" / "tensorflow_worker.py", tmp_path_factory.mktemp("tensorflow")
    done = subprocess.run([python, str(worker), str(folder)], capture_output=True, text=True, check=False)
    if "No module named 'tensorflow'" in done.stderr:
        pytest.skip(f"no TensorFlow in {python}")
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("name", TENSORFLOW)
def test_what_tensorflow_converted_has_the_bits_of_tflite_micro(
    name: str, converted: Path, tmp_path: Path
) -> None:
    content = (converted / f"{name}.tflite").read_bytes()
    made = import_graph(content, name, name)
    results = check(content, random_frames(made, FRAMES), tmp_path)
    assert len(np.unique(results)) > 5


FLOAT = "is float32 (convert it with full integer quantization, inputs and outputs too)"
UNSUPPORTED = {
    "keywords-float": FLOAT,
    "keywords-dynamic": FLOAT,
    "flex": "operator 1 (custom FlexMatrixInverse): a flex operator, which only TensorFlow has",
    "separable-16x8": "(AVERAGE_POOL_2D): of int16 (must be int8, with one scale)",
    "loop": "3 subgraphs (must be one, with others only to initialise variables)",
    "pooled-int8": "operator 1 (MAX_POOL_2D): cannot be imported (must be one of ADD, ",
    "dilated-int8": "operator 1 (SPACE_TO_BATCH_ND): cannot be imported (must be one of ADD, ",
}
"""Files of TensorFlow that are refused."""


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_tensorflow_converted_otherwise_is_refused(
    name: str, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = converted / f"{name}.tflite", tmp_path / "x.tdsn"
    assert invoke(["import", str(source), "-o", str(output)]) == 2
    assert UNSUPPORTED[name] in capsys.readouterr().err
    assert not output.exists()


@dataclass(frozen=True)
class Spotter:
    """A streaming keyword spotter of a package, and a seed of `chirps` that makes it answer."""

    sha256: str
    seed: int


SPOTTERS = {
    "alexa": Spotter("9011a8155b04de858c48038529235cbc0e42e9fca05a55bf588cb80a653a723b", 201),
    "hey_jarvis": Spotter("21a7976add39ee24ec96c63d96b7aaa18e24d1d9824b963e451da8feb4b78b77", 147),
    "hey_mycroft": Spotter("c2a9b6ed51182db72e014781d5a4ece1929dc232a40b5b4be384f0295f0e1571", 380),
    "okay_nabu": Spotter("d89128c4d16a72de429119fb2254ce46649553c2a24f5dd840175c80d7b9d094", 42),
}
"""Of pymicro-wakeword 2.5.0 (``tinydsn[keywords]``)."""


def spotter_file(name: str) -> bytes:
    """A file of the package, which is not imported; ``TINYDSN_WAKEWORD_MODELS`` names a folder of them."""
    folder = os.environ.get("TINYDSN_WAKEWORD_MODELS")
    if folder is None:
        found = find_spec("pymicro_wakeword")
        if found is None or not found.submodule_search_locations:
            pytest.skip("pymicro-wakeword is not installed (tinydsn[keywords])")
        folder = str(Path(found.submodule_search_locations[0]) / "models")
    path = Path(folder) / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SPOTTERS[name].sha256:
        pytest.skip(f"{path} is not of pymicro-wakeword 2.5.0")
    return content


def chirps(seed: int, frames: int) -> np.ndarray:
    """int16 [frames, 120]: three spectra of 40 bands a frame, waves that drift over the bands."""
    rng = np.random.default_rng(seed)
    time, bands = np.arange(frames * 3)[:, None], np.arange(40)[None] / 40
    total = np.zeros((frames * 3, 40))
    for _ in range(6):
        size, bend, speed, phase = (
            rng.uniform(*limits) for limits in ((20, 90), (0.5, 6), (0.01, 0.4), (0, 6.28))
        )
        total += size * np.sin(2 * np.pi * bend * bands + speed * time + phase)
    return np.clip(np.round(total + rng.uniform(-60, 60)), -128, 127).astype(np.int16).reshape(frames, 120)


@pytest.mark.parametrize("name", SPOTTERS)
def test_a_foreign_keyword_spotter_has_the_bits_of_tflite_micro_on_two_cores(
    name: str, tmp_path: Path
) -> None:
    content = spotter_file(name)
    made = import_graph(content, f"{name}.tflite", name)
    assert len(made.graph.states) == 6 and [port.dtype for port in made.outputs] == ["uint8"]
    results = check(content, chirps(SPOTTERS[name].seed, 80), tmp_path)
    assert len(np.unique(results[:, 0])) > 10


def test_bad_files_are_refused_in_one_line_and_nothing_is_written(refused: Refused, tmp_path: Path) -> None:
    whole = spotter("int8")
    (tmp_path / "spotter.tflite").write_bytes(whole)
    (tmp_path / "cut.tflite").write_bytes(whole[:3000])
    (tmp_path / "text.tflite").write_text("no model at all")
    for name, message in {
        "missing.tflite": "missing.tflite: no such file",
        "text.tflite": "text.tflite: not a .tflite file (bytes 4 to 7 must be TFL3)",
        "cut.tflite": "cut.tflite: damaged .tflite file (",
    }.items():
        assert refused("import", name, "-o", "x.tdsn").startswith(f"error: {message}")
    assert refused("import", "spotter.tflite", "-o", "x.tflite") == "error: x.tflite: must end with .tdsn"
    assert refused("verify", "text.tflite", "--wav", "x.wav") == (
        "error: text.tflite: not a .tflite file (bytes 4 to 7 must be TFL3)"
    )


def test_a_float_file_of_another_package_is_refused(refused: Refused) -> None:
    found = find_spec("tflite_micro")
    assert found is not None and found.submodule_search_locations
    source = Path(found.submodule_search_locations[0]) / "python" / "tflite_micro" / "sine_float.tflite"
    if not source.is_file():
        pytest.skip("tflite-micro has no float model of its own")
    line = refused("import", source, "-o", "x.tdsn")
    assert line.endswith("is float32 (convert it with full integer quantization, inputs and outputs too)")


def test_other_bits_than_tflite_micro_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "spotter.tflite"
    source.write_bytes(spotter("int8"))
    right = importing.import_graph

    def wrong(content: bytes, where: str, name: str) -> Imported:
        made = right(content, where, name)
        values = dict(made.graph.constants)
        key = next(key for key in values if key.endswith(".weight"))
        values[key] = values[key] ^ 1
        return replace(made, graph=made.graph.replace(constants=values))  # type: ignore[arg-type]

    monkeypatch.setattr(importing, "import_graph", wrong)
    assert invoke(["import", str(source), "-o", str(tmp_path / "x.tdsn")]) == 2
    assert "values differ from tflite-micro's" in capsys.readouterr().err
    assert not (tmp_path / "x.tdsn").exists()
