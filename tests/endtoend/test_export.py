"""``tinydsn export``: whole streaming steps in tflite-micro equal the integer reference, or are refused."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from quant.convert import quantize
from quant.errors import TinydsnError
from quant.graph import IntegerGraph
from quant.model_file import save
from quant.reference import Executor
from tinydsn.cli import invoke
from tinydsn.profiling.signal import speech_like
from tinydsn.workflow import export as exporting
from tinydsn.workflow.export import export, static_graph
from tinydsn.workflow.models import Model

pytest.importorskip("tflite_micro", reason="tinydsn[oracle] is not installed")
pytest.importorskip("tflite", reason="tinydsn[oracle] is not installed")


@cache
def static_denoiser(precision: str) -> IntegerGraph:
    """A net of everything that a streaming step may need, but layer norm and gates."""
    import torch
    from torch import nn

    from quant.frontend import FrontEnd
    from tinydsn.lowering import lower

    class Denoiser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frontend = FrontEnd()
            self.first = nn.Conv2d(2, 6, (1, 5), (1, 4), (0, 2))
            self.each = nn.Conv2d(6, 6, (1, 3), padding=(0, 1), groups=6)
            self.cell = nn.GRUCell(6, 8)
            self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)
            self.last = nn.Linear(8, 4)
            self.register_buffer("before", torch.zeros(256))
            self.register_buffer("h", torch.zeros(64, 8))

        def forward(self, frame: torch.Tensor) -> torch.Tensor:
            image = torch.stack([self.before, frame]).reshape(1, 2, 1, 256)
            wide = nn.functional.leaky_relu(self.each(torch.relu(self.first(image))), 0.1)
            state = self.cell(wide.reshape(6, 64).transpose(0, 1), self.h)
            shares = torch.softmax(self.query(state) @ self.key(state).transpose(0, 1), -1)
            mixed = nn.functional.silu(shares @ state) * torch.tanh(state)
            self.before.copy_(frame)
            self.h.copy_(state)
            return torch.sigmoid(self.last(mixed)).reshape(256)

    torch.manual_seed(5)
    graph = lower(Denoiser().eval(), torch.zeros(256), name="static")
    return quantize(graph, [speech_like(16000, 16000, seed=1)], precision)


@pytest.mark.parametrize("precision", ["w8a16", "w8a8"])
def test_a_model_without_gates_has_equal_bits(precision: str, tmp_path: Path) -> None:
    graph = static_denoiser(precision)
    kinds = {operator.kind for operator in graph.operators()}
    assert {"conv2d", "depthwise_conv2d", "gru_update", "softmax", "table", "batch_matmul", "mul"} <= kinds
    save(graph, tmp_path / "static.tdsn")
    made = export(str(tmp_path / "static.tdsn"), "tflite", tmp_path / "static.tflite")
    assert (made["bits"], made["check"]["differing"]) == ("equal", 0)
    assert made["check"]["values"] == 60 * 256 and made["close_operators"] == []
    assert [row["name"] for row in made["inputs"]] == ["frame", "before", "h"]
    assert [row["state"] for row in made["outputs"]] == [None, "before", "h"]
    assert made["bytes"] == (tmp_path / "static.tflite").stat().st_size
    assert made["arena"]["total"] >= made["arena"]["tensors"] > 0


def test_a_wrong_bit_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(static_denoiser("w8a16"), tmp_path / "static.tdsn")
    write = exporting.to_flatbuffer

    def wrong(file: exporting.File) -> bytes:
        weight = next(name for name in file.constants if name.endswith("last.weight"))
        file.constants[weight] = file.constants[weight] ^ 1
        return write(file)

    monkeypatch.setattr(exporting, "to_flatbuffer", wrong)
    with pytest.raises(TinydsnError, match="values other than the integer reference"):
        export(str(tmp_path / "static.tdsn"), "tflite", tmp_path / "static.tflite")
    assert not (tmp_path / "static.tflite").exists()


def test_the_shipped_model_with_all_gates_on_is_close(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "on.tflite"
    words = ["export", "dsn-s", "--gates", "max", "--bits", "close", "-o", str(file), "--json"]
    assert invoke(words) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["bits"] == "close" and made["close_operators"]
    assert made["check"]["differing"] > 0 and made["check"]["largest"] < 200
    assert len(made["inputs"]) == len(made["outputs"]) == 4
    assert file.stat().st_size == made["bytes"]


MOST_STEPS = {"layer_norm": 1, "gru_update": 2}
"""How far a close operator is off, in steps of its integer scale."""


def test_a_close_operator_of_the_shipped_model_is_a_step_or_two_off(model: Model) -> None:
    """The error of one operator alone, with the reference's own inputs."""
    from quant.tflite.flatbuffer import to_flatbuffer
    from quant.tflite.runtime import Session
    from quant.tflite.step import build

    graph = static_graph(model.graph, "max")
    seen: dict[str, np.ndarray] = {}
    runner = Executor(graph, lambda operator, name, value: seen.__setitem__(name, value))
    for frame in exporting.frames_of(graph, 20):
        seen.update(runner.states)
        runner.step(frame)
    chosen = [operator for operator in graph.operators() if operator.kind in MOST_STEPS]
    assert {operator.kind for operator in chosen} == set(MOST_STEPS)
    for operator in chosen:
        inputs = [name for name in operator.inputs if name in seen]
        file = build([operator], graph, inputs, operator.outputs, close=True)
        session = Session(to_flatbuffer(file), operator.name)
        (found,) = session.run([seen[name].reshape(file.tensors[name].shape) for name in inputs], 1)
        error = np.abs(found.astype(int).reshape(-1) - seen[operator.outputs[0]].reshape(-1))
        assert error.max() <= MOST_STEPS[operator.kind], operator.name


REFUSALS = {
    ("dsn-s", "-o", "x.tflite"): (
        "model 'dsn-s' has gated regions (encoder.gated, attention.gated, recurrence.gated, "
        "feedforward.gated, decoder.gated4), which TFLite cannot skip; export it with all gates on "
        "(--gates max) or off (--gates min)"
    ),
    ("dsn-s", "-o", "x.tflite", "--gates", "max"): (
        "operator 'attention.norm': layer_norm has no TFLite form with equal bits (it sums squares and takes "
        "a root in 64 bits, and TFLite Micro has no operator with results of more than 32), and 2 more; "
        "`--bits close` writes the same function with other roundings"
    ),
    ("dsn-s", "-o", "x.onnx"): "x.onnx: must end with .tflite",
    ("dsn-s", "-o", "x.tflite", "--to", "onnx"): "unknown --to 'onnx' (must be tflite)",
    ("dsn-s", "-o", "x.tflite", "--bits", "most"): "unknown --bits 'most' (must be equal or close)",
    ("dsn-s", "-o", "x.tflite", "--gates", "all"): "unknown --gates 'all' (must be min or max)",
}


@pytest.mark.parametrize("words", REFUSALS, ids=lambda words: " ".join(words))
def test_what_cannot_be_exported_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    assert invoke(["export", *words]) == 2
    assert capsys.readouterr().err == f"error: {REFUSALS[words]}\n"


def test_gates_of_a_model_without_gates_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "static.tdsn"
    save(static_denoiser("w8a8"), path)
    assert invoke(["export", str(path), "-o", str(tmp_path / "x.tflite"), "--gates", "max"]) == 2
    assert capsys.readouterr().err == "error: model 'static' has no gates, so --gates max has no meaning\n"


def test_memory_beside_tflite_micro(model: Model) -> None:
    from quant.errors import MissingTool
    from tinydsn.workflow.export_memory import as_json, memory_row, tables

    try:
        row = memory_row(model, "max", "mps2-an386")
    except MissingTool as error:
        pytest.skip(str(error))
    ours, theirs = row.ours, row.tflite_micro
    assert ours.constants < ours.model and theirs.constants < theirs.model
    assert ours.arena + ours.states <= ours.context < theirs.arena
    assert theirs.arena == theirs.tensors + theirs.bookkeeping
    assert 0 < sum(theirs.bookkeeping_parts.values()) <= theirs.arena
    assert 0 < row.operators < row.tflite_operators and row.bits == "close"
    (network,) = as_json([row])["networks"]
    assert network["tflite_micro"]["arena"] == theirs.arena and network["gates"] == "max"
    (lines,) = tables([row]).values()
    assert lines[-1] == {"bytes": "RAM: all", "tinydsn": ours.context, "TFLite-Micro": theirs.arena}


def test_an_arena_that_is_not_reported_is_an_error() -> None:
    from tinydsn.bench.tflite_arena import measure_arena

    with pytest.raises(TinydsnError, match="tflite-micro did not report its arena"):
        measure_arena(b"no model")
