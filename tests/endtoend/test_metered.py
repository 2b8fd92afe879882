"""A DSN gated by a quality meter: firmware equals the reference, and `tinydsn train` takes a meter."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from dynamic_networks import equal_means, noise
from test_train_cli import TINY, corpus, refused

from quant import bits
from quant.convert import quantize
from quant.frontend import FrontEnd
from quant.gates import GatePattern
from quant.graph import IntegerGraph
from quant.precision import PRESETS
from quant.reference import Pipeline
from tinydsn.audio.stft import analysis, features
from tinydsn.cli import invoke
from tinydsn.lowering import lower
from tinydsn.models.checkpoint import load_checkpoint, save_checkpoint
from tinydsn.models.metered import Meter, MeteredConfig, MeteredDsn, MeterPolicy
from tinydsn.models.predictor import Predictor, PredictorConfig
from tinydsn.training.record import file_hash

__all__ = ["corpus"]
FRAMES = 14
PATTERNS = tuple(GatePattern(name) for name in ("learned", "min", "max", "cycle"))


@cache
def integer() -> IntegerGraph:
    """A network of which each gate is open in some frames and shut in others; bits in part of a word."""
    config = MeteredConfig(
        first=4, middle=2, gated_middle=4, channels=8, heads=1, gated_heads=1, width=2, split=4, hidden=4,
        gated_hidden=4, ffn=4, gated_ffn=4, up=2, gated_up=2, meter_channels=20, meter_pooled=8,
        meter_seconds=0.1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = MeteredDsn(config).eval()
    wave = torch.from_numpy(noise(FRAMES) / 32768.0).float()[None]
    assert isinstance(network.policy, MeterPolicy)
    with torch.no_grad():
        head = network.policy.head
        head.weight.mul_(20)
        logits = network.policy(features(analysis(wave, FrontEnd()), FrontEnd()))[0][0]
        head.bias.sub_(logits.quantile(torch.tensor(0.5), dim=0))
    return quantize(lower(network.streaming(), torch.zeros(256)), [noise(FRAMES)], PRESETS["w8a16"])


@pytest.mark.parametrize("board", ["host", "mps2-an386", "mps3-an547"])
def test_firmware_equals_the_reference(board: str, tmp_path: Path) -> None:
    means = equal_means(integer(), board, noise(FRAMES), PATTERNS, tmp_path)
    if means is not None:
        assert means["min"] < means["learned"] < means["max"]


def test_the_meters_maps_are_bits() -> None:
    graph = integer()
    assert sum(operator.kind == "binary_conv2d" for operator in graph.operators()) == 4
    states = {state.tensor: graph.tensors[state.tensor] for state in graph.states}
    kept = {name: tensor for name, tensor in states.items() if name.startswith("policy_history")}
    assert [tensor.dtype == bits.DTYPE for _, tensor in sorted(kept.items())] == [False, True, True, True]
    assert states["policy_mean"].size == 8


def test_integer_gates_change() -> None:
    gates = Pipeline(integer()).run(noise(FRAMES)).gates
    assert ((gates.mean(0) > 0) & (gates.mean(0) < 1)).all()
    assert np.diff(gates.astype(int), axis=0).any(0).all()


def test_train_takes_a_meter(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    recipe, meter = tmp_path / "metered.toml", tmp_path / "meter.safetensors"
    sizes = 'kind = "metered"\nmeter_channels = 4\nmeter_pooled = 4\npolicy_hidden = 4'
    guided = '[guidance]\nkind = "snr"\nbest = 20.0\nworst = -5.0\nhint = 0.0\n[mix]'
    text = TINY.replace("[model]", f"[model]\n{sizes}").replace("[mix]", guided)
    recipe.write_text(text.replace("hours = 0.002", "hours = 0.0006"))
    trained = Predictor(PredictorConfig(channels=4, pooled=4, hidden=4))
    save_checkpoint(trained, meter)
    arguments = [
        "train",
        str(recipe),
        "--corpus",
        str(corpus),
        "-o",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    ]
    assert refused(capsys, *arguments) == (
        'a network of kind "metered" needs its meter (give --meter, a checkpoint of speech-quality)'
    )
    assert not (tmp_path / "out").exists()
    assert invoke([*arguments, "--meter", str(meter), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["validation"]["done"] == 1.0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["meter"] == {"name": "meter.safetensors", "sha256": file_hash(meter)}
    assert record["recipe"]["model"]["kind"] == "metered"
    made = load_checkpoint(tmp_path / "out" / "model.safetensors")
    assert isinstance(made.policy, MeterPolicy)
    for name, value in Meter(trained.eval()).state_dict().items():
        assert torch.equal(made.policy.meter.state_dict()[name], value), name
