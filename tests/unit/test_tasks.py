"""Tasks beside enhancement: the network frame by frame, examples and splits, scores, recipes, checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from quant.errors import AudioError, ConfigError, ModelFileError
from tinydsn.audio.corpus import Bank, Clip
from tinydsn.audio.mixing import MixOptions
from tinydsn.models.checkpoint import load_checkpoint, load_network, save_checkpoint
from tinydsn.models.sequence import ANSWERS, BAND_COUNT, BINS, SequenceConfig, SequenceNet, bands
from tinydsn.search.clips import Clip as SearchClip
from tinydsn.search.quality import load_quality
from tinydsn.search.task_clips import to_clip
from tinydsn.tasks import TASKS, Example, Sources, Task
from tinydsn.tasks.data import draw_examples, to_batch
from tinydsn.tasks.examples import AFTER_END, HOP, active_hops, log_bands
from tinydsn.tasks.loop import Watch, frame_loss, train
from tinydsn.tasks.losses import binary_metrics, class_metrics, decided, square_metrics
from tinydsn.tasks.phrases import PHRASES, phrase_clips, phrase_of, split_of
from tinydsn.tasks.quality import decoded
from tinydsn.tasks.recipe import TaskRecipe, TaskTraining, read_task_recipe
from tinydsn.workflow.tasks import task_recipes

DRAWN = [task for task in TASKS.values() if not task.rated]
"""Tasks that learn from examples of their own; test_predictor.py is about the other one."""
MIX = MixOptions(samples=40 * HOP, clip_share=0.0)


def bank(seed: int, *lengths: int) -> Bank:
    """Tones of one second's beat, one a length."""
    rng = np.random.default_rng(seed)
    waves = [
        (6000 * np.sin(np.arange(length) * rng.uniform(0.05, 0.4)) * np.linspace(0, 1, length)).astype(
            np.int16
        )
        for length in lengths
    ]
    return Bank(np.concatenate(waves), np.cumsum([0, *lengths]).astype(np.int64))


SOURCES = Sources(
    bank(0, 3000, 5000),
    bank(1, 20000),
    bank(2, 400),
    tuple(bank(3 + k, 3000 + 100 * k) for k in range(len(PHRASES))),
)


def network(task: Task, seed: int = 0) -> SequenceNet:
    torch.manual_seed(seed)
    return SequenceNet(SequenceConfig(task.name, task.outputs, task.answer, 8)).eval()


@pytest.mark.parametrize("answer", ANSWERS)
@torch.no_grad()
def test_frame_by_frame_equals_the_whole_clip(answer: str) -> None:
    torch.manual_seed(1)
    model = SequenceNet(SequenceConfig("voice-activity", 5, answer)).eval()
    features = 3 * torch.rand(2, 50, BINS)
    whole, step = model(features), model.streaming()
    for clip in range(2):
        step.reset()
        frames = torch.stack([step(frame) for frame in features[clip]])
        torch.testing.assert_close(frames, whole[clip], rtol=0, atol=2e-6)


def test_bands_are_means_of_all_bins() -> None:
    pooled = bands(torch.arange(float(BINS)))
    assert pooled.shape == (BAND_COUNT,)
    assert pooled[:2].tolist() == [0.5, 2.5] and pooled[-1] == np.arange(240, 256).mean()


def test_recordings_are_split_by_a_hash_of_their_names() -> None:
    names = [f"pv_ww__alexa_{index}.opus" for index in range(4000)]
    shares = {
        split: sum(split_of(name) == split for name in names) / 4000 for split in ("train", "valid", "test")
    }
    assert sum(shares.values()) == 1
    assert shares["train"] == pytest.approx(0.8, abs=0.02) and shares["test"] == pytest.approx(0.1, abs=0.02)
    # Frozen: another split would test a network on what it was trained on.
    assert [index for index in range(60) if split_of(names[index]) == "valid"] == [
        9,
        23,
        27,
        30,
        34,
        40,
        41,
        43,
        45,
        48,
        53,
        56,
    ]
    assert [index for index in range(60) if split_of(names[index]) == "test"] == [20, 28, 33]


def recording(name: str, kind: str = "speech", folder: str = "train") -> Clip:
    return Clip(Path(folder) / name, kind, "train", "here", "", 1.0)


def test_a_phrase_is_known_by_its_files_name_and_not_by_its_folder() -> None:
    assert phrase_of(recording("pv_ww__smart_mirror_1b6c.opus")) == PHRASES.index("smart_mirror")
    assert phrase_of(recording("an4__an106-mdxn-b.flac")) is None
    assert phrase_of(recording("pv_ww__alexa_1.opus", "noise")) is None
    listed = [recording(f"pv_ww__{name}_{k}.opus", folder=str(k)) for name in PHRASES for k in range(100)]
    dealt = {split: phrase_clips(listed, split) for split in ("train", "valid", "test")}
    moved = phrase_clips([recording(clip.path.name, folder="elsewhere") for clip in listed], "test")
    assert [[c.path.name for c in row] for row in moved] == [
        [c.path.name for c in row] for row in dealt["test"]
    ]
    assert sum(len(row) for rows in dealt.values() for row in rows) == len(listed)


def test_a_phrase_without_recordings_is_refused() -> None:
    with pytest.raises(AudioError) as caught:
        phrase_clips([recording("an4__a.flac")], "valid")
    assert str(caught.value) == (
        "the corpus has no recording of the phrase 'alexa' in the split 'valid' (files pv_ww__alexa_*, dealt "
        "80/10/10 by a hash of their names)"
    )


@pytest.mark.parametrize("task", DRAWN, ids=lambda task: task.name)
def test_examples_are_the_same_each_time_and_have_one_answer_a_frame(task: Task) -> None:
    made = draw_examples(task, SOURCES, MIX, 6, 3, "valid")
    again = draw_examples(task, SOURCES, MIX, 2, 3, "valid")
    assert all(np.array_equal(a.noisy, b.noisy) for a, b in zip(made, again, strict=False))
    for example in made:
        assert example.target.shape == (40, task.outputs) and example.weight.shape == (40,)
        assert example.target.min() >= -1 and example.target.max() <= 1 and example.weight.sum() > 0


def test_voice_is_where_clean_speech_has_energy() -> None:
    clean = np.zeros(6 * HOP, np.float32)
    clean[2 * HOP : 3 * HOP], clean[4 * HOP : 5 * HOP] = 0.1, 0.1 * 10 ** (-31 / 20)
    assert active_hops(clean).tolist() == [False, False, True, False, False, False]
    assert not active_hops(np.zeros(4 * HOP, np.float32)).any()


def test_a_phrase_is_asked_for_at_its_end_and_never_inside() -> None:
    for example in draw_examples(TASKS["wake-phrases"], SOURCES, MIX, 12, 0, "train"):
        told = np.flatnonzero(example.target[:, 1:].any(axis=1))
        assert (example.target.sum(axis=1) == 1).all()
        if len(told):
            assert told[-1] < 40 and np.ptp(told) < 2 * AFTER_END / HOP
            assert (example.weight[told] > 1).all() and example.weight[told[-1] + 1 :].tolist().count(
                1.0
            ) == 39 - told[-1]
            assert told[0] == 0 or example.weight[told[0] - 1] == 0


def test_log_mel_asks_for_the_next_frame() -> None:
    (example,) = draw_examples(TASKS["log-mel"], SOURCES, MIX, 1, 0, "train")
    assert np.array_equal(example.target[:-1], log_bands(example.noisy)[1:])
    assert example.weight[-1] == 0 and example.weight[:-1].all()


@pytest.mark.parametrize("task", DRAWN, ids=lambda task: task.name)
def test_quality_is_the_paired_loss_against_the_float_network(task: Task) -> None:
    clips = [to_clip(example) for example in draw_examples(task, SOURCES, MIX, 3, 1, "valid")]
    quality = load_quality(task.quality)
    rows = [np.zeros((40, HOP), np.int16) for _ in clips]
    for row, clip in zip(rows, clips, strict=True):
        row[:, : task.outputs] = np.rint(32767 * decoded(clip.target, task.outputs)[0])
    right = [row.reshape(-1) for row in rows]
    wrong = [np.roll(wave, 7 * HOP + 1) for wave in right]
    given = [SearchClip(c.noisy, c.target, w, 0.0) for c, w in zip(clips, wrong, strict=True)]
    assert quality(wrong, given) == 0.0
    assert quality(right, given) < 0.0
    given = [SearchClip(c.noisy, c.target, w, 0.0) for c, w in zip(clips, right, strict=True)]
    assert quality(wrong, given) > 0.0


def test_metrics_of_known_answers() -> None:
    target, weight = np.array([[1.0], [1.0], [0.0], [0.0]]), np.ones(4)
    found = binary_metrics([(np.array([[0.9], [0.2], [0.1], [0.3]]), target, weight)])
    assert found == {"balanced_accuracy": 0.75, "voice_found": 0.5, "pause_found": 1.0}
    output = np.zeros((20, 7))
    output[5:13, 3] = 0.9
    assert decided(output) == 3 and decided(0.5 * output) == 0
    truth = np.zeros((20, 7))
    truth[:, 0], truth[6, 3], truth[6, 0] = 1.0, 1.0, 0.0
    none = np.eye(7)[np.zeros(20, int)]
    found = class_metrics([(output, truth, np.ones(20)), (output, none, np.ones(20))])
    assert found == {"balanced_accuracy": 0.5, "false_alarms": 1.0}
    levels = np.array([[0.0], [0.5], [0.0]])
    assert square_metrics([(levels, levels, np.array([1.0, 1.0, 0.0]))])["rmse_db"] == 0.0


@pytest.mark.parametrize("task", DRAWN, ids=lambda task: task.name)
def test_training_lowers_the_loss_and_is_repeatable(task: Task, tmp_path: Path) -> None:
    data = to_batch(draw_examples(task, SOURCES, MIX, 8, 2, "train"))
    recipe = read_task_recipe(task_recipes()[task.name])
    recipe = TaskRecipe(recipe.task, train=TaskTraining(steps=12, batch=8, rate=1e-2, average=0.5))
    weights = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        model, last = train(recipe, data, data, tmp_path / name, lambda line: None)
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    torch.manual_seed(recipe.train.seed)
    fresh = frame_loss(task, SequenceNet(recipe.network), data)
    assert float(frame_loss(task, model, data).detach()) < 0.9 * float(fresh.detach())
    assert weights[0] == weights[1] and last["step"] == 12


def test_a_killed_run_goes_on_to_the_same_weights_and_log(tmp_path: Path) -> None:
    task = TASKS["voice-activity"]
    data = to_batch(draw_examples(task, SOURCES, MIX, 4, 2, "train"))
    recipe = read_task_recipe(task_recipes()[task.name])
    recipe = TaskRecipe(recipe.task, train=TaskTraining(steps=9, batch=2))
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()

    def kill(step: int, steps: int, means: dict[str, float]) -> None:
        if step == 6:
            raise KeyboardInterrupt

    def run(name: str, watch: Watch | None = None, made_of: str = "here") -> bytes:
        train(recipe, data, data, tmp_path / name, lambda line: None, watch, made_of, 0.0)
        return (tmp_path / name / "model.safetensors").read_bytes()

    with pytest.raises(KeyboardInterrupt):
        run("cut", kill)
    seen: list[int] = []
    resumed = run("cut", lambda step, steps, means: seen.append(step))
    assert resumed == run("whole") and seen == [6, 7, 8, 9]
    logs = [json.loads((tmp_path / name / "log.jsonl").read_text()) for name in ("whole", "cut")]
    assert [line.pop("seconds") >= 0 for line in logs] == [True, True] and logs[0] == logs[1]
    assert run("cut") == resumed  # a run that is done stays as it is
    with pytest.raises(ConfigError) as caught:
        run("cut", made_of="elsewhere")
    assert str(caught.value) == f"{tmp_path}/cut: holds another run; choose another --out or delete it"
    state = tmp_path / "cut" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-5])
    with pytest.raises(ModelFileError) as damaged:
        run("cut")
    assert str(damaged.value).startswith(f"{state}: cannot be resumed (")


def refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_task_recipe(path)
    return str(caught.value).removeprefix(f"{path}")


def test_bad_recipes(tmp_path: Path) -> None:
    assert refusal(tmp_path, '[task]\nname = "singing"\n') == (
        ": unknown task 'singing' (must be one of voice-activity, wake-phrases, log-mel, speech-quality)"
    )
    assert refusal(tmp_path, '[task]\nname = "log-mel"\n[gates]\n') == (
        ": unknown table 'gates' (must be task, model, mix or train)"
    )
    assert refusal(tmp_path, '[task]\nname = "log-mel"\n[train]\nsteps = 0\n') == (
        ": [train]: steps is 0 (must be at least 1)"
    )


def test_shipped_recipes_are_for_the_tasks_of_their_names() -> None:
    assert set(task_recipes()) == {*TASKS, "speech-quality-float", "speech-quality-small"}
    for name, path in task_recipes().items():
        assert read_task_recipe(path).task.name == name.removesuffix("-float").removesuffix("-small")


def test_a_tasks_checkpoint_comes_back_and_is_no_enhancement_network(tmp_path: Path) -> None:
    model, path = network(TASKS["wake-phrases"]), tmp_path / "wake.safetensors"
    save_checkpoint(model, path)
    loaded = load_network(path)
    assert loaded.config == model.config
    assert all(torch.equal(v, loaded.state_dict()[n]) for n, v in model.state_dict().items())
    with pytest.raises(ModelFileError) as caught:
        load_checkpoint(path)
    assert str(caught.value) == (
        f"{path}: is a network for wake-phrases, which enhances nothing (must be a checkpoint of an "
        "enhancement network here)"
    )


def test_a_target_survives_its_form_as_audio() -> None:
    example = Example(
        np.zeros(2 * HOP, np.float32), np.array([[0.25, -1.0], [1.0, 0.0]]), np.array([0.0, 3.0])
    )
    target, weight = decoded(to_clip(example).target, 2)
    assert target.tolist() == [[0.25, -1.0], [32767 / 32768, 0.0]] and weight.tolist() == [0.0, 3.0]
