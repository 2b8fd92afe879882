"""The predictor of speech quality: frame by frame, its memory, the rated pool as examples, training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from quant import bits
from quant.calibrate import calibrate
from quant.convert import convert
from quant.errors import ConfigError
from quant.graph import IntegerGraph
from quant.precision import PRESETS
from tinydsn.audio.corpus import Bank
from tinydsn.audio.metrics import SEGMENT, Dnsmos
from tinydsn.audio.mixing import MixOptions
from tinydsn.lowering import lower
from tinydsn.models.checkpoint import load_network, save_checkpoint
from tinydsn.models.predictor import Predictor, PredictorConfig, leaky_mean
from tinydsn.models.sequence import BINS
from tinydsn.tasks import TASKS, Sources
from tinydsn.tasks.data import Batch
from tinydsn.tasks.examples import SETTLED, rating_weight, scaled_rating
from tinydsn.tasks.loop import frame_loss, train
from tinydsn.tasks.losses import rating_metrics, rating_score
from tinydsn.tasks.rated import RatedClips, Segments, load_rated, split_rated
from tinydsn.tasks.recipe import PredictorModel, TaskRecipe, TaskTraining, read_task_recipe
from tinydsn.workflow.tasks import task_recipes, train_task
from tinydsn.workflow.training import train as train_recipe

BOTH = pytest.mark.parametrize("binary", [True, False], ids=["binary", "float"])


def predictor(binary: bool, channels: int = 8) -> Predictor:
    """A network whose norms have seen something."""
    torch.manual_seed(1)
    network = Predictor(PredictorConfig(channels=channels, binary=binary)).train()
    with torch.no_grad():
        for _ in range(8):
            network(1.2 * torch.rand(2, 50, BINS))
    return network.eval()


def graph(network: Predictor) -> IntegerGraph:
    made = lower(network.streaming(), torch.zeros(BINS), name="quality")
    wave = np.random.default_rng(0).integers(-3000, 3000, 30 * 256).astype(np.int16)
    return convert(made, calibrate(made, [wave]), PRESETS["w8a16"])


@BOTH
@torch.no_grad()
def test_frame_by_frame_equals_the_whole_clip(binary: bool) -> None:
    # float64, in which no rounding turns a bit
    network = predictor(binary).double()
    features = 1.2 * torch.rand(2, 60, BINS, dtype=torch.float64)
    whole, step = network(features), network.streaming().double()
    assert whole.std() > 1e-3
    for clip in range(2):
        step.reset()
        frames = torch.stack([step(frame) for frame in features[clip]])
        torch.testing.assert_close(frames, whole[clip], rtol=0, atol=1e-12)


@torch.no_grad()
def test_no_frame_hears_a_later_one() -> None:
    network, features = predictor(True), torch.rand(1, 50, BINS)
    changed = features.clone()
    changed[:, 30:] += 1.0
    first, second = network(features)[0], network(changed)[0]
    assert torch.equal(first[:30], second[:30]) and not torch.equal(first[30:], second[30:])


def test_a_leaky_mean_is_its_recursion() -> None:
    values, rate = torch.rand(2, 40, 3, dtype=torch.float64), 0.1
    found, mean = leaky_mean(values, rate), torch.zeros(2, 3, dtype=torch.float64)
    for frame in range(40):
        mean = mean + rate * (values[:, frame] - mean)
        torch.testing.assert_close(found[:, frame], mean)


def test_sizes_of_the_shipped_networks() -> None:
    network = Predictor()
    assert network.macs() * 62.5 < 8e6
    assert sum(p.numel() for p in network.parameters()) < 40_000
    assert network.map_elements() == 32 * (10 * 5 + 5 * 9 + 5 * 17 + 3)


def test_maps_take_one_bit_an_element() -> None:
    small, large = (graph(predictor(binary, 32)) for binary in (True, False))
    packed = {
        name for name, tensor in small.tensors.items() if tensor.dtype == bits.DTYPE
    } - small.constants.keys()
    assert len(packed) == 4 + 3 * 3  # maps, and of three of them joined, past and future history
    assert all(large.tensors[name].size == 8 * small.tensors[name].nbytes for name in packed)
    assert {tensor.dtype for name, tensor in large.tensors.items() if name in packed} == {"int16"}


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    network = predictor(True)
    save_checkpoint(network, tmp_path / "one.safetensors")
    loaded = load_network(tmp_path / "one.safetensors")
    assert isinstance(loaded, Predictor) and loaded.config == network.config
    features = torch.rand(1, 40, BINS)
    assert torch.equal(loaded(features), network(features))


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        PredictorConfig(channels=0)
    assert str(caught.value) == "PredictorConfig.channels is 0 (must be a whole number from 1 to 256)"
    with pytest.raises(ConfigError) as caught:
        PredictorConfig(seconds=0.0)
    assert str(caught.value) == "PredictorConfig.seconds is 0.0 (must be from 0.016 to 60)"


def test_a_rating_is_asked_for_where_the_mean_has_settled() -> None:
    assert rating_weight(563).tolist() == [0.0] * SETTLED + [1.0] * (563 - SETTLED)
    assert rating_weight(20).sum() == 10
    assert scaled_rating(np.array([1.0, 3.0, 5.0])).tolist() == [-1.0, 0.0, 32767 / 32768]


def test_correlations_of_known_answers() -> None:
    true = np.array([[-0.5, 0.1, -0.2], [0.0, 0.3, 0.1], [0.4, -0.2, 0.3]])
    clips = [(np.tile(row, (9, 1)), np.tile(row, (9, 1)), rating_weight(9)) for row in true]
    found = rating_metrics(clips)
    assert found["pearson_ovrl"] == pytest.approx(1) and found["rmse_ovrl"] == pytest.approx(0)
    turned = rating_metrics([(-output, target, weight) for output, target, weight in clips])
    assert turned["spearman_ovrl"] == pytest.approx(-1) and turned["pearson_bak"] == pytest.approx(-1)
    still = rating_metrics([(np.zeros((9, 3)), target, weight) for _, target, weight in clips])
    assert still["pearson_ovrl"] == 0.0
    output, target, weight = clips[0]
    assert rating_score(output + 0.5, target, weight) == pytest.approx(1.0)
    output[:4] = 1.0  # before anything is asked
    assert rating_score(output, target, weight) == pytest.approx(0.0)


def rated(clips: int, frames: int = 60) -> RatedClips:
    """Noise of different levels, whose ratings are those levels."""
    rng = np.random.default_rng(2)
    levels = rng.uniform(0.2, 1.0, clips).astype(np.float32)
    pooled = levels[:, None, None] * rng.random((clips, frames, 40)).astype(np.float32)
    ratings = np.stack([levels, -levels, levels - 0.5], axis=1)
    return RatedClips(torch.from_numpy(pooled).half(), torch.from_numpy(ratings))


def test_segments_inherit_the_rating_of_their_clip() -> None:
    clips, rows = rated(6), torch.tensor([4, 1, 4])
    made = [Segments(clips, 20, 0.0).pick(rows, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(made[0].pooled, made[1].pooled) and made[0].pooled.shape == (3, 20, 40)
    assert not torch.equal(made[0].pooled[0], made[0].pooled[2])
    assert torch.equal(made[0].target, clips.target[rows][:, None].expand(-1, 20, -1))
    whole = clips.pooled[4].float()
    assert any(torch.equal(made[0].pooled[0], whole[start : start + 20]) for start in range(41))
    louder = (
        Segments(clips, 60, 6.0).pick(rows, torch.Generator().manual_seed(7)).pooled
        / clips.pooled[rows].float()
    )
    assert (
        louder.amax() <= 10 ** (6 * 0.3 / 20) + 1e-3 and louder.flatten(1).std(1).max() < 1e-3 < louder.std()
    )


def test_splits_share_no_clip() -> None:
    clips = rated(60)
    parts = split_rated(clips)
    assert [len(parts[name].pooled) for name in ("train", "valid", "test")] == [54, 3, 3]
    assert torch.equal(torch.cat([part.target for part in parts.values()]), clips.target)


@pytest.fixture
def pool(tmp_path: Path) -> tuple[Path, Path]:
    """A rendered pool of 20 clips, and its table."""
    waves = np.zeros((20, 2, SEGMENT), np.int16)
    waves[:, 0] = (np.arange(20)[:, None] * np.sin(np.arange(SEGMENT) / 9) * 200).astype(np.int16)
    (tmp_path / "pool-abc.i16").write_bytes(waves.tobytes())
    scores = np.stack([np.linspace(1, 4, 20)] * 3, axis=1).astype(np.float32)
    table = tmp_path / "scores.safetensors"
    table.write_bytes(save({"scores": scores}, {"pool": "abc"}))
    return tmp_path, table


def test_the_rated_pool_is_read_without_its_corpus(pool: tuple[Path, Path]) -> None:
    folder, table = pool
    clips = load_rated(folder, table, lambda line: None)
    assert clips.pooled.shape == (20, 563, 40) and clips.pooled[0].abs().max() == 0
    means = clips.pooled.float().mean((1, 2))
    assert (means.diff() > 0).all() and clips.target[19].tolist() == [0.5, 0.5, 0.5]
    path = folder / "pool-abc.i16"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ConfigError) as caught:
        load_rated(folder, table, lambda line: None)
    assert str(caught.value) == (
        f"{path}: not there or not complete, and {table} is its table (make it: `tinydsn rate`)"
    )


def test_a_run_on_the_rated_pool(pool: tuple[Path, Path], tmp_path: Path) -> None:
    folder, table = pool
    (tmp_path / "manifest.csv").write_text("file,type,split,source,speaker,seconds\n")
    recipe = tmp_path / "small.toml"
    sizes = "[model]\nchannels = 4\npooled = 4\n[train]\nsteps = 2\nbatch = 2\nframes = 70\n"
    recipe.write_text(f'[task]\nname = "speech-quality"\n{sizes}')
    given = {"pool": folder, "ratings": table, "say": lambda line: None}
    told = train_recipe(str(recipe), tmp_path, tmp_path / "run", **given)
    assert set(told["test"]) == {
        "score",
        "pearson_ovrl",
        "spearman_ovrl",
        "pearson_sig",
        "pearson_bak",
        "rmse_ovrl",
    }
    assert isinstance(load_network(tmp_path / "run" / "model.safetensors"), Predictor)
    with pytest.raises(ConfigError) as caught:
        train_recipe(str(recipe), tmp_path, tmp_path / "run")
    assert str(caught.value) == (
        f"{recipe}: speech-quality trains on the rated pool: give its --pool (`tinydsn rate`)"
    )
    with pytest.raises(ConfigError) as caught:
        train_recipe(str(recipe), tmp_path, tmp_path / "run", pool=folder)
    assert str(caught.value) == (
        f"{folder}: holds no pool whose ratings come with tinydsn (make it: `tinydsn rate`, and give its "
        "--ratings)"
    )
    other = task_recipes()["log-mel"]
    with pytest.raises(ConfigError) as caught:
        train_task(other, tmp_path, tmp_path / "run", pool=folder)
    assert (
        str(caught.value) == f"{other}: a task's recipe has no use for --start, --meter, --pool and --ratings"
    )


def interrupted(recipe: TaskRecipe, data: Segments, valid: Batch, out: Path) -> None:
    """A run that is killed in its tenth step, after a state was written at each."""

    def kill(step: int, steps: int, means: dict[str, float]) -> None:
        if step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, data, valid, out, lambda line: None, kill, every=0.0)


@BOTH
def test_training_lowers_the_loss_and_is_the_same_after_a_kill(binary: bool, tmp_path: Path) -> None:
    recipe = read_task_recipe(task_recipes()["speech-quality" if binary else "speech-quality-float"])
    assert recipe.model == PredictorModel(binary=binary)
    options = TaskTraining(steps=50, batch=8, rate=1e-2, average=0.5, frames=40)
    recipe = replace(recipe, model=PredictorModel(channels=8, binary=binary, seconds=0.1), train=options)
    clips, weights = rated(16), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        data = Segments(clips, 40, 3.0)
        if name == "two":
            interrupted(recipe, data, clips.whole(), tmp_path / name)
        model, _ = train(recipe, data, clips.whole(), tmp_path / name, lambda line: None)
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] and model.config.binary == binary
    task = TASKS["speech-quality"]
    fresh = Predictor(recipe.network).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        assert frame_loss(task, model, clips.whole()) < 0.5 * frame_loss(task, fresh, clips.whole())


def test_an_example_has_the_rating_of_its_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    def rate(wave: np.ndarray) -> Dnsmos:
        heard.append(wave)
        return Dnsmos(2.0, 3.0, 4.0)

    monkeypatch.setattr("tinydsn.tasks.examples.dnsmos", rate)
    rng = np.random.default_rng(0)
    noise = Bank(rng.integers(-5000, 5000, 20000).astype(np.int16), np.array([0, 20000]))
    mix = MixOptions(samples=40 * 256, clip_share=0.0)
    example = TASKS["speech-quality"].draw(Sources(noise, noise, noise), mix, rng)
    assert np.array_equal(heard[0], example.noisy) and example.weight.sum() == 20
    assert example.target.shape == (40, 3) and example.target[7].tolist() == [-0.5, 0.0, 0.5]
