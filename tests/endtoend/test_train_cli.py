"""`tinydsn train` and `tinydsn rate` on a tiny corpus: results, resuming, and bad input."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from quant.model_file import load
from tinydsn.audio.files import write_wav
from tinydsn.audio.metrics import dnsmos_available
from tinydsn.cli import invoke
from tinydsn.models.checkpoint import load_checkpoint
from tinydsn.training.record import read_record
from tinydsn.workflow.tasks import task_recipes
from tinydsn.workflow.training import recipe_names, recipe_path

TINY = """
[model]
first = 4
middle = 2
gated_middle = 2
channels = 8
gated_heads = 1
width = 2
split = 4
hidden = 4
gated_hidden = 4
ffn = 4
gated_ffn = 4
up = 2
gated_up = 2
[mix]
samples = 8192
[train]
batch = 2
windows = [512]
hours = 0.002
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Noise bursts as speech, noise, and rooms of one reflection, in the splits train and valid."""
    rng = np.random.default_rng(4)
    folder = tmp_path / "corpus"
    rows = ["file,type,split,source,licence,speaker,lang,seconds,note"]
    for split in ("train", "valid"):
        for kind, samples in (("speech", 20000), ("noise", 30000), ("rir", 800)):
            wave = rng.integers(-4000, 4000, samples).astype(np.int16)
            if kind == "rir":
                wave[:] = 0
                wave[[30, 400]] = [20000, 5000]
            name = f"{kind}-{split}.wav"
            folder.mkdir(exist_ok=True)
            write_wav(folder / name, wave)
            rows.append(f"{name},{kind},{split},here,CC0,anna,en,{samples / 16000},")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert invoke([*arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    return error.removeprefix("error: ")


def test_train_writes_a_checkpoint_and_its_record(
    corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["train", str(recipe), "--corpus", str(corpus), "-o", str(out), "--device", "cpu"]
    assert invoke([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["recipe"] == "tiny" and told["validation"]["done"] == 1.0 and told["hours_before"] == 0
    assert load_checkpoint(told["checkpoint"]).config.channels == 8
    record = read_record(out)
    assert record is not None and record["start"] is None and record["recipe"]["train"]["batch"] == 2
    before = (out / "model.safetensors").read_bytes()
    assert invoke(arguments) == 0
    assert (out / "model.safetensors").read_bytes() == before


def test_a_warm_start_is_recorded(
    corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    static = tmp_path / "static.toml"
    static.write_text(TINY.replace("[mix]", 'gated = false\n[guidance]\nkind = "none"\n[mix]'))
    arguments = ["--corpus", str(corpus), "--device", "cpu", "--json"]
    assert invoke(["train", str(static), "-o", str(tmp_path / "static"), *arguments]) == 0
    start = tmp_path / "static" / "model.safetensors"
    capsys.readouterr()
    gated = ["train", str(recipe), "-o", str(tmp_path / "gated"), "--start", str(start), *arguments]
    assert invoke(gated) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["hours_before"] == told["hours"] > 0
    record = read_record(tmp_path / "gated")
    assert record is not None and record["start"]["name"] == "static"


def test_another_recipe_does_not_go_on_with_a_run(
    corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--corpus", str(corpus), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert invoke(["train", str(recipe), *arguments]) == 0
    recipe.write_text(TINY.replace("hours = 0.002", "hours = 0.003"))
    assert refused(capsys, "train", str(recipe), *arguments) == (
        f"{tmp_path / 'out'}: holds another run (recipe, hours differ); choose another --out or delete it"
    )


def test_bad_input(corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, where = str(tmp_path / "out"), str(corpus)
    assert refused(capsys, "train", "dsn-q", "--corpus", where, "-o", out) == (
        "unknown recipe 'dsn-q', did you mean 'dsn-s'?"  # there are too many to list
    )
    assert refused(capsys, "train", str(recipe), "--corpus", str(tmp_path), "-o", out).startswith(
        f"{tmp_path / 'manifest.csv'}: no such file"
    )
    assert (
        refused(capsys, "train", str(recipe), "--corpus", where, "-o", out, "--device", "tpu")
        == "unknown device 'tpu', did you mean 'cpu'? (must be auto, cpu or cuda)"
    )
    pooled = tmp_path / "pooled.toml"
    pooled.write_text(TINY.replace("[mix]", '[guidance]\nkind = "rating"\n[mix]') + "pool = true\n")
    assert refused(capsys, "train", str(pooled), "--corpus", where, "-o", out) == (
        "the recipe trains on the rated pool: give --pool, a folder for it (3.5 GB)"
    )
    message = refused(
        capsys, "train", str(pooled), "--corpus", where, "-o", out, "--pool", str(tmp_path / "pool")
    )
    assert re.sub(r"[0-9a-f]{16}", "KEY", message) == (
        "no ratings come with tinydsn for the pool KEY of this corpus (make them: `tinydsn rate`, and give "
        "--ratings)"
    )
    assert not (tmp_path / "pool").exists()
    assert not (tmp_path / "out").exists()


def test_losses_go_to_tensorboard(
    corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--corpus", str(corpus), "-o", str(out), "--device", "cpu", "--tensorboard"]
    if find_spec("tensorboard") is None:
        assert refused(capsys, "train", str(recipe), *arguments) == (
            "--tensorboard needs TensorBoard (pip install tensorboard)"
        )
        assert not out.exists()
    else:
        assert invoke(["train", str(recipe), *arguments]) == 0
        assert list((out / "tensorboard").glob("events.*"))


@pytest.mark.skipif(not dnsmos_available(), reason="DNSMOS is not installed (pip install 'tinydsn[metrics]')")
def test_rate_makes_a_table_of_ratings_to_train_with(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratings = tmp_path / "ratings.safetensors"
    arguments = ["rate", "--corpus", str(corpus), "--pool", str(tmp_path / "pool"), "--ratings", str(ratings)]
    assert invoke([*arguments, "--size", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mixtures"] == 2 and 1 <= told["ovrl"]["p10"] <= told["ovrl"]["p90"] <= 5
    pooled = tmp_path / "pooled.toml"
    pooled.write_text(TINY.replace("[mix]", '[guidance]\nkind = "rating"\n[mix]') + "pool = true\n")
    where = ["--corpus", str(corpus), "--pool", str(tmp_path / "pool"), "--ratings", str(ratings)]
    assert invoke(["train", str(pooled), *where, "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert load_checkpoint(tmp_path / "out" / "model.safetensors").gates


@pytest.mark.parametrize("name", [name for name in recipe_names() if name not in task_recipes()])
def test_shipped_recipes_are_sound(name: str) -> None:
    from tinydsn.models.kinds import kind_of, make_network
    from tinydsn.training.recipe import read_recipe

    recipe = read_recipe(recipe_path(name))
    static, gated = make_network(recipe.model).macs()
    most = {"dsn": 35.0, "metered": 15.0, "fsenet": 8.0, "nsnet2": 22.0, "slim": 8.0, "separator": 8.0}
    assert (static + sum(gated)) * 62.5e-6 <= most[kind_of(recipe.model)]
    assert recipe.steps >= (150 if recipe.quantized or recipe.exits.only_heads else 1001)


PLAIN = '[guidance]\nkind = "none"\n'
QUANTIZED = PLAIN + '[quantization]\nprecision = "w3a16"\n'


def trained_start(folder: Path, **changes: int) -> Path:
    """A network of the tiny recipe's sizes; its norms differ, as trained ones do."""
    import tomllib

    import torch

    from tinydsn.models.checkpoint import save_checkpoint
    from tinydsn.models.dsn import Dsn, DsnConfig
    from tinydsn.models.settings import configured

    torch.manual_seed(1)
    model = Dsn(configured(DsnConfig, tomllib.loads(TINY)["model"] | changes))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".norm." in name:
                value.add_(0.1 * torch.randn_like(value))
    save_checkpoint(model, folder / "start.safetensors")
    return folder / "start.safetensors"


def test_a_fine_tuned_checkpoint_converts_to_the_integers_of_training(
    corpus: Path,
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tinydsn.training.data.VALID_MIXTURES", 2)  # quick
    recipe.write_text(TINY + PLAIN)
    table = tmp_path / "table.toml"
    table.write_text('[default]\nweights = 3\n[[rule]]\nmatch = "policy*"\nweights = 8\n')
    out, start = tmp_path / "out", trained_start(tmp_path)
    arguments = ["train", str(recipe), "--corpus", str(corpus), "-o", str(out), "--device", "cpu"]
    arguments += ["--precision", str(table)]
    assert refused(capsys, *arguments) == (
        "fine-tuning for integers needs trained weights (--start CHECKPOINT)"
    )
    arguments += ["--start", str(start)]
    assert invoke([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    precision = str(out / "precision.toml")
    made = tmp_path / "again.tdsn"
    quantized = ["quantize", told["checkpoint"], "--precision", precision, "--calibration", str(corpus)]
    assert invoke([*quantized, "-o", str(made)]) == 0
    trained, again = load(Path(told["model"]))[0], load(made)[0]
    weights = [name for name in trained.constants if name.endswith(".weight") and "norm" not in name]
    assert len(weights) > 30
    assert all(np.array_equal(trained.constants[name], again.constants[name]) for name in weights)
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps[0] == 0 and steps[-1] > 0
    table.write_text("[default]\nweights = 4\n")
    assert refused(capsys, *arguments) == (
        f"{out}: holds a run of other bit widths; choose another --out or delete it"
    )


def test_a_start_of_another_configuration_is_refused(
    corpus: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.write_text(TINY + QUANTIZED)
    start = trained_start(tmp_path, ffn=6)
    arguments = ("train", str(recipe), "--corpus", str(corpus), "--start", str(start))
    assert refused(capsys, *arguments, "-o", str(tmp_path / "out"), "--device", "cpu") == (
        f"{start}: has another configuration than the recipe's [model]; give both the same"
    )
