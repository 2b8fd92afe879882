"""The loop: lowers the loss, resumes to the same result after a kill, refuses damaged states and recipes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from quant.errors import ConfigError, ModelFileError
from tinydsn.audio.corpus import Bank
from tinydsn.models.checkpoint import load_checkpoint
from tinydsn.models.dsn import GATES, Dsn, DsnConfig
from tinydsn.training import __main__ as command
from tinydsn.training import evaluate, loop
from tinydsn.training.loop import TrainingData, batch_tensors, train
from tinydsn.training.recipe import MixOptions, Recipe, TrainOptions, read_recipe

SMALL = DsnConfig(first=4, middle=4, channels=8, heads=1, width=2, hidden=4, static_ffn=4, gated_ffn=4, up=2)
RECIPE = Recipe(
    model=SMALL,
    mix=MixOptions(samples=8192),
    train=TrainOptions(batch=2, steps=12, windows=(512,)),
)


def tones(seed: int, clips: int) -> Bank:
    rng = np.random.default_rng(seed)
    time = np.arange(12000) / 16000
    parts = []
    for _ in range(clips):
        envelope = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)
        wave = envelope * np.sin(2 * np.pi * rng.uniform(150, 900) * time)
        parts.append((wave * 6000).astype(np.int16))
    return Bank(np.concatenate(parts), np.arange(clips + 1) * 12000)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    rng = np.random.default_rng(9)
    noise = Bank(rng.integers(-3000, 3000, 40000).astype(np.int16), np.array([0, 40000]))
    room = np.zeros(600, np.int16)
    room[[40, 300]] = [20000, 6000]
    rooms = Bank(room, np.array([0, 600]))
    speech = tones(1, 6)
    valid = batch_tensors(tones(2, 3), noise, rooms, RECIPE, 0, 0, 4)
    return TrainingData(speech, noise, rooms, valid)


def quiet(text: str) -> None:
    pass


def test_a_killed_run_ends_with_the_same_weights(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(data, RECIPE, tmp_path / "whole", 0.0, quiet, every=1e9)
    original, killed = loop.train_step, tmp_path / "killed"

    def step_or_die(run: loop.Run, *rest: object) -> dict[str, float]:
        if run.step == 7:
            raise KeyboardInterrupt
        return original(run, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_step", step_or_die)
    with pytest.raises(KeyboardInterrupt):
        train(data, RECIPE, killed, 0.0, quiet, every=0.0)
    monkeypatch.setattr(loop, "train_step", original)
    with safetensors.safe_open(str(killed / "state.safetensors"), "pt") as state:
        assert state.metadata()["step"] == "7"
    resumed = train(data, RECIPE, killed, 0.0, quiet, every=1e9)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert (killed / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_training_lowers_the_loss_and_logs(data: TrainingData, tmp_path: Path) -> None:
    recipe = Recipe(
        SMALL, RECIPE.mix, train=TrainOptions(batch=4, steps=60, rate=5e-3, average=0.8, windows=(512,))
    )
    before = loop.validate(loop.new_run(recipe), data, recipe)
    model = train(data, recipe, tmp_path, 0.0, quiet)
    entry = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert entry["step"] == 60 and entry["done"] == 1.0
    assert entry["speech"] < 0.8 * before["speech"]
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.state_dict().items())


def test_a_run_by_the_clock_ends(data: TrainingData, tmp_path: Path) -> None:
    recipe = Recipe(SMALL, RECIPE.mix, train=TrainOptions(batch=1, windows=(512,)))
    train(data, recipe, tmp_path, 0.01, quiet)
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["done"] == 1.0


def test_usage_loss_moves_the_gates(data: TrainingData) -> None:
    options = TrainOptions(
        batch=2, usage_weight=20.0, usage_low=0.0, usage_high=0.0, windows=(512,), rate=4e-3
    )
    recipe = Recipe(SMALL, RECIPE.mix, train=options)
    run = loop.new_run(recipe)
    used = [loop.train_step(run, data, recipe, 0.8)["used"] for _ in range(60)]
    assert used[0] == pytest.approx(1.0) and used[-1] < 0.5


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04garbage", b"\x80\x02."])
def test_damaged_state(data: TrainingData, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.safetensors").write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        train(data, RECIPE, tmp_path, 0.0, quiet)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'state.safetensors'}: cannot be resumed (") and "\n" not in text
    assert text.endswith("); delete it to start again, or choose another --out")


def test_recipe_file(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(
        "[model]\nhidden = 8\n[mix]\nsnr_low = 0\n[gates]\nopen = 0.2\n[train]\nsteps = 9\nwindows = [512]\n"
    )
    recipe = read_recipe(path)
    assert recipe.model.hidden == 8 and recipe.mix.snr_low == 0 and recipe.gates.open == 0.2
    assert (
        recipe.train.steps == 9
        and recipe.train.windows == (512,)
        and recipe.train.batch == TrainOptions().batch
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("[train\n", "not TOML ("),
        ("[trian]\n", "unknown table [trian] (known: model, mix, gates, train)"),
        ("train = 3\n", "[train] must be a table of settings"),
        ("[train]\nspeed = 1\n", "[train]: unknown setting 'speed' (known: seed, batch, "),
        ("[train]\nsteps = 'many'\n", "[train]: steps is 'many' (must be like 0)"),
        ("[train]\nwindows = []\n", "[train]: windows is [] (must be like (320, 512, 768))"),
        ("[model]\nbins = 100\n", "DsnConfig.bins is 100 ("),
    ],
)
def test_bad_recipes(tmp_path: Path, text: str | None, expected: str) -> None:
    path = tmp_path / "bad.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_command_line_answers_errors_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--corpus", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert evaluate.main([str(tmp_path / "no.safetensors"), "--corpus", str(tmp_path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith(f"{tmp_path / 'none' / 'manifest.csv'}: no such file")


def test_evaluation_removes_the_delay(data: TrainingData) -> None:
    torch.manual_seed(0)
    model = Dsn()
    with torch.no_grad():
        model.last.weight.zero_()
        model.last.bias.fill_(40.0)
    mixture = np.random.default_rng(0).standard_normal(160000).astype(np.float32) * 0.02
    wave, gates = evaluate.enhance(model, mixture)
    assert gates.shape == (625, len(GATES))
    assert np.abs(wave - mixture[: len(wave)])[1000:-1000].max() < 5e-3


def test_evaluation_report(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "dnsmos_available", lambda: False)
    model = Dsn(SMALL)
    enhancer = partial(evaluate.enhance, model)
    results = evaluate.evaluate(enhancer, data.speech, data.noise, data.rooms, count=6)
    report = evaluate.summary(model, results)
    assert list(report["per_snr"]) == ["-5 dB", "+0 dB", "+5 dB", "+10 dB", "+15 dB", "+20 dB"]
    assert report["all"]["gated_compute_used"] == 1.0
    static, gated = model.macs()
    assert report["all"]["mmacs_per_second"] == pytest.approx((static + sum(gated)) * 62.5e-6, abs=0.01)
    noisy = [row["si_sdr_noisy"] for row in report["per_snr"].values()]
    assert noisy == sorted(noisy)
    assert len(evaluate.lines(report)) == 7
