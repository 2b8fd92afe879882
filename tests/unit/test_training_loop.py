"""The loop: lowers the loss, resumes to the same result after a kill, refuses damaged states and recipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from quant.errors import ConfigError, ModelFileError
from tinydsn.audio.corpus import Bank
from tinydsn.models.checkpoint import load_checkpoint, save_checkpoint
from tinydsn.models.dsn import Dsn, DsnConfig
from tinydsn.models.network import MaskNetwork
from tinydsn.training import loop
from tinydsn.training.data import TrainingData, from_banks
from tinydsn.training.guidance import Guidance
from tinydsn.training.loop import train
from tinydsn.training.pool import Banks
from tinydsn.training.recipe import MixOptions, Recipe, TrainOptions, read_recipe
from tinydsn.training.run import new_run

SMALL = DsnConfig(
    first=4, middle=2, gated_middle=4, channels=8, heads=1, gated_heads=1, width=2, split=4, hidden=4,
    gated_hidden=4, ffn=4, gated_ffn=4, up=2, gated_up=2,
)  # fmt: skip
SAMPLES = 8192


def hours(steps: int, batch: int) -> float:
    """The length of a run of so many steps."""
    return steps * batch * SAMPLES / 16000 / 3600


VARIED = MixOptions(
    samples=SAMPLES,
    babble_share=0.15,
    speech_speed=0.15,
    noise_speed=0.35,
    second_noise_share=0.4,
    colour_share=0.5,
    clip_share=0.05,
    silent_share=0.03,
)
"""Everything that can be mixed in."""

RECIPE = Recipe(
    model=SMALL,
    mix=VARIED,
    train=TrainOptions(batch=2, hours=hours(12, 2), windows=(512,)),
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


def banks(seed: int, clips: int) -> Banks:
    rng = np.random.default_rng(9)
    noise = Bank(rng.integers(-3000, 3000, 40000).astype(np.int16), np.array([0, 40000]))
    room = np.zeros(600, np.int16)
    room[[40, 300]] = [20000, 6000]
    return Banks(tones(seed, clips), noise, Bank(room, np.array([0, 600])))


def data(recipe: Recipe = RECIPE) -> TrainingData:
    return from_banks(banks(1, 6), banks(2, 3), recipe)


def quiet(text: str) -> None:
    pass


VARIANTS = {"snr": RECIPE, "signal": replace(RECIPE, guidance=Guidance(kind="signal", segment=6))}

KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.unit import test_training_loop as here
recipe = here.VARIANTS[sys.argv[3]]
here.train(here.data(recipe), recipe, Path(sys.argv[2]), print, every=0.0)
"""


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_killed_at_once_ends_with_the_same_weights(variant: str, tmp_path: Path) -> None:
    """The run of another process gets SIGKILL in the middle of its steps; then it goes on here."""
    recipe, killed = VARIANTS[variant], tmp_path / "killed"
    killed.mkdir()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = train(data(recipe), recipe, tmp_path, quiet, every=1e9)
        root = str(Path(__file__).resolve().parents[2])
        command = [sys.executable, "-c", KILLED, root, str(killed), variant]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        while process.poll() is None and steps_saved(killed) < 3:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert 3 <= steps_saved(killed) < 12, "the process ended before it could be killed"
        resumed = train(data(recipe), recipe, killed, quiet, every=1e9)
    finally:
        torch.set_num_threads(threads)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert (killed / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def train_in_two(recipe: Recipe, folder: Path) -> MaskNetwork:
    """The result of a run that is stopped after its second step, and goes on."""

    class Killed(Exception):
        pass

    def stop(step: int, steps: int, means: dict[str, float]) -> None:
        if step == 2:
            raise Killed

    with pytest.raises(Killed):
        train(data(recipe), recipe, folder, quiet, every=0.0, watch=stop)
    return train(data(recipe), recipe, folder, quiet)


def steps_saved(folder: Path) -> int:
    """Steps in the state that lies in ``folder``; 0 without one."""
    path = folder / "state.safetensors"
    if not path.is_file():
        return 0
    with safetensors.safe_open(str(path), "pt") as state:
        return int(state.metadata()["step"])


def test_a_static_network_trains(tmp_path: Path) -> None:
    recipe = replace(RECIPE, model=replace(SMALL, gated=False), guidance=Guidance(kind="none"))
    train(data(recipe), recipe, tmp_path, quiet)
    entry = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert entry["done"] == 1.0 and "used_low_snr" not in entry
    assert not load_checkpoint(tmp_path / "model.safetensors").gates


def test_training_lowers_the_loss_and_logs(tmp_path: Path) -> None:
    options = TrainOptions(batch=4, hours=hours(60, 4), rate=5e-3, average=0.8, windows=(512,))
    recipe = Recipe(SMALL, RECIPE.mix, train=options)
    before = loop.validate(new_run(recipe), data(recipe), recipe)
    model = train(data(recipe), recipe, tmp_path, quiet)
    entry = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert entry["step"] == 60 and entry["done"] == 1.0
    assert entry["speech"] < 0.8 * before["speech"]
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.state_dict().items())


def usage_after(guidance: Guidance, steps: int = 60) -> list[float]:
    """Share of the gated compute in use at each step, gates no longer forced and without noise."""
    options = TrainOptions(batch=2, windows=(512,), rate=4e-3, policy_rate=5.0)
    recipe = Recipe(SMALL, RECIPE.mix, guidance=guidance, train=options)
    run, made = new_run(recipe), data(recipe)
    return [loop.train_step(run, made.batch(step), recipe, 0.8)["used"] for step in range(steps)]


def test_a_wanted_usage_moves_the_gates() -> None:
    moved = usage_after(Guidance(kind="snr", best=20.0, worst=-5.0, low=0.0, high=0.0, weight=20.0))
    assert moved[0] == pytest.approx(1.0) and moved[-1] < 0.5
    constant = usage_after(Guidance(kind="constant", constant=0.0, weight=20.0))
    assert constant[-1] < 0.5


def test_a_signal_holds_the_mean_usage_and_does_not_shut_the_gates() -> None:
    moved = usage_after(Guidance(kind="signal", segment=6, constant=0.4, threshold=-30.0), steps=120)
    assert moved[0] == pytest.approx(1.0)
    assert 0.2 < sum(moved[-60:]) / 60 < 0.6 and min(moved) < 0.3 < max(moved[-40:])


def test_a_gated_network_starts_from_its_static_sibling(tmp_path: Path) -> None:
    torch.manual_seed(3)
    static = Dsn(replace(SMALL, gated=False))
    save_checkpoint(static, tmp_path / "static.safetensors")
    run = new_run(RECIPE, start=tmp_path / "static.safetensors")
    for name, value in static.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], value), name
    assert torch.equal(run.average.state_dict()["policy.head.bias"], torch.full((5,), 2.0))


def test_a_start_of_other_sizes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.safetensors"
    save_checkpoint(Dsn(replace(SMALL, ffn=6)), path)
    with pytest.raises(ModelFileError) as caught:
        new_run(RECIPE, start=path)
    assert str(caught.value) == (
        f"{path}: is no start for this recipe's model: feedforward.static.first.bias differs or is missing "
        "(3 in all); give both the same sizes"
    )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04garbage", b"\x80\x02."])
def test_damaged_state(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.safetensors").write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        train(data(), RECIPE, tmp_path, quiet)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'state.safetensors'}: cannot be resumed (") and "\n" not in text
    assert text.endswith("); delete it to start again, or choose another --out")


def test_recipe_file(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(
        "[model]\nhidden = 8\n[mix]\nsnr_low = 0\n[gates]\nopen = 0.2\n[guidance]\nkind = 'constant'\n"
        "[train]\nhours = 1\nwindows = [512]\nbf16 = true\n"
    )
    recipe = read_recipe(path)
    assert recipe.model.hidden == 8 and recipe.mix.snr_low == 0 and recipe.gates.open == 0.2
    assert recipe.guidance.kind == "constant" and recipe.train.bf16 is True
    assert recipe.train.windows == (512,) and recipe.train.batch == TrainOptions().batch
    assert recipe.steps == 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("[train\n", "not TOML ("),
        (
            "[trian]\n",
            "unknown table 'trian', did you mean 'train'? "
            "(must be model, mix, gates, guidance, train, quantization, exits or voices)",
        ),
        ("train = 3\n", "[train] must be a table of settings"),
        ("[train]\nspeed = 1\n", "[train]: unknown setting 'speed'"),
        ("[train]\nhours = 'many'\n", "[train]: hours is 'many' (must be like 25.0)"),
        ("[train]\nwindows = []\n", "[train]: windows is [] (must be like (320, 512, 768))"),
        ("[train]\npool = 1\n", "[train]: pool is 1 (must be like False)"),
        ("[train]\nbatch = true\n", "[train]: batch is True (must be like 4)"),
        ("[model]\nbins = 100\n", "DsnConfig.bins is 100 ("),
        ("[guidance]\nkind = 'loud'\n", "unknown kind of guidance 'loud' (must be none, rating, snr, "),
        ("[guidance]\nkind = 'rating'\n", "guidance by rating needs rated mixtures (set pool = true in "),
        ("[train]\npool = true\n", "guidance by snr needs mixtures of known SNR (set pool = false in "),
        ("[model]\ngated = false\n", "a network without gates has no guidance (set kind = "),
    ],
)
def test_bad_recipes(tmp_path: Path, text: str | None, expected: str) -> None:
    path = tmp_path / "bad.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    assert expected in str(caught.value) and "\n" not in str(caught.value)
