"""Users' own models, by the command line and by Python: quantized, built, and equal on the cores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tinydsn
from quant.graph import IntegerGraph
from quant.model_file import to_bytes
from quant.reference import hop_of
from tests import foreign_models
from tinydsn.audio.files import RATE, write_wav
from tinydsn.cli import invoke
from tinydsn.workflow.models import load_model
from tinydsn.workflow.verification import verify_model

NAMES = ("gru_denoiser", "tcn", "gated_attention")
PRECISIONS = ("w8a16", "w8a8")
BOARDS = ("host", "mps2-an386", "mps3-an547")
PATTERNS = ("learned", "cycle")
FRAMES = 300
CALIBRATION_SECONDS = 3


@pytest.fixture(scope="session")
def clips(noisy_speech: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings to calibrate on; the tests run on other parts of the audio."""
    folder = tmp_path_factory.mktemp("clips")
    for index, clip in enumerate(np.split(noisy_speech[-CALIBRATION_SECONDS * RATE :], CALIBRATION_SECONDS)):
        write_wav(folder / f"{index}.wav", clip)
    return folder


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_users_model_is_equal_on_host_and_cores(
    name: str,
    precision: str,
    clips: Path,
    noisy_speech: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f"{name}.tdsn"
    arguments = ["quantize", f"tests.foreign_models:{name}", "--calibration", str(clips), "-o", str(path)]
    assert invoke([*arguments, "--precision", precision, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    model = load_model(str(path))
    assert told["model_sha256"] == model.sha256
    assert told["gates"] == model.graph.gates > 0
    assert activation_type(model.graph) == {"w8a16": "int16", "w8a8": "int8"}[precision]
    pcm = noisy_speech[: FRAMES * hop_of(model.graph)]
    result = verify_model(model, pcm, BOARDS, PATTERNS, tmp_path / "firmware")
    skipped = {cell.board for cell in result.cells if cell.result["status"] == "skipped"}
    for cell in result.cells:
        assert cell.board in skipped or cell.result["status"] == "equal", cell.result
    learned = result.reference["learned"]
    assert np.std(learned.pcm) > 30
    assert np.any(learned.pcm != result.reference["cycle"].pcm)
    assert learned.gates.any(axis=0).all() and not learned.gates.all(axis=0).any()
    if skipped:
        pytest.skip(f"equal on the others; without a tool: {', '.join(sorted(skipped))}")


def activation_type(graph: IntegerGraph) -> str:
    """What most operators compute with."""
    types = [graph.tensors[operator.outputs[0]].dtype for operator in graph.operators()]
    return max(("int8", "int16"), key=types.count)


def by_python(name: str, clips: Path) -> IntegerGraph:
    """The same through the functions of the package."""
    from tinydsn.workflow.quantization import calibration_clips, calibration_files

    module, example = getattr(foreign_models, name)()
    graph = tinydsn.lower(module, example, name)
    return tinydsn.quantize(graph, calibration_clips(calibration_files(clips), RATE))


def test_the_python_functions_give_the_bytes_of_the_command_line(clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "gru_denoiser.tdsn"
    arguments = ["quantize", "tests.foreign_models:gru_denoiser", "--calibration", str(clips)]
    assert invoke([*arguments, "-o", str(path), "--json"]) == 0
    name = load_model(str(path)).graph.name
    graph = by_python("gru_denoiser", clips).replace(name=name)
    assert isinstance(graph, IntegerGraph)
    assert to_bytes(graph) == path.read_bytes()
