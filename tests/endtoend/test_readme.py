"""What the README shows works as written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from quant.convert import quantize
from quant.precision import load_precision
from tinydsn.lowering import load_target, lower
from tinydsn.workflow.models import Model
from tinydsn.workflow.verification import verify_model

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def block(language: str, word: str = "") -> str:
    """The one example in a language that holds the word."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if word in text]
    assert len(found) == 1
    return str(found[0])


def test_the_example_model_becomes_firmware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noisy_speech: np.ndarray
) -> None:
    (tmp_path / "nets_of_readme.py").write_text(block("python", "class Denoiser"))
    monkeypatch.chdir(tmp_path)
    graph = lower(*load_target("nets_of_readme:denoiser"))
    pcm = noisy_speech[: 256 * 120]
    model = Model(quantize(graph, [pcm]), tmp_path / "model.tdsn", "0" * 64)
    assert model.graph.gates == 1
    result = verify_model(model, pcm, ["host"], ["learned", "cycle"], tmp_path / "firmware")
    assert {cell.result["status"] for cell in result.cells} <= {"equal", "skipped"}
    assert result.cells


def test_the_example_precision_is_legal(tmp_path: Path) -> None:
    path = tmp_path / "precision.toml"
    path.write_text(block("toml"))
    table = load_precision(str(path))
    assert table.width("activations", "decoder.skip") == 8
    assert table.width("activations", "first") == 16


def test_pictures_and_links_are_there() -> None:
    folder = Path(__file__).resolve().parents[2]
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert all((folder / target).is_file() for target in targets)
