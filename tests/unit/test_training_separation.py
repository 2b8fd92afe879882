"""Training of separators: the loss against a brute-force witness, mixtures of two, and resuming."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training_loop import SAMPLES, banks, hours, quiet, tones

from quant.errors import AudioError, ConfigError
from quant.frontend import FrontEnd
from tinydsn.audio.corpus import Bank
from tinydsn.audio.files import write_wav
from tinydsn.audio.metrics import si_sdr
from tinydsn.audio.mixing import MixOptions, active_power
from tinydsn.audio.stft import analysis, features
from tinydsn.audio.voices import Speakers, VoiceOptions, draw_voices, load_speakers
from tinydsn.models.kinds import make_network
from tinydsn.models.separator import SeparatorConfig
from tinydsn.nn import Gating
from tinydsn.training import loop
from tinydsn.training.benefit import benefit_loss, benefits
from tinydsn.training.data import TrainingData
from tinydsn.training.guidance import Guidance, signal_loss
from tinydsn.training.loop import train
from tinydsn.training.recipe import Recipe, TrainOptions, read_recipe
from tinydsn.training.run import new_run
from tinydsn.training.schedule import GateSchedule
from tinydsn.training.separation import assigned, at_best_level, from_speakers, si_sdr_loss
from tinydsn.workflow.training import recipe_path

SMALL = SeparatorConfig(channels=8, mixed=4, hidden=4, gated_mixed=4, gated_hidden=4, policy_hidden=4)
RECIPE = Recipe(
    model=SMALL,
    mix=MixOptions(samples=SAMPLES, snr_low=5.0),
    gates=GateSchedule(levels=0.5),
    guidance=Guidance(kind="signal", segment=6),
    train=TrainOptions(batch=2, hours=hours(6, 2), windows=(512,), sdr_weight=0.1),
)


def speakers(seed: int, names: str = "abc") -> Speakers:
    found = banks(seed, 1)
    voices = {name: tones(seed + index, 2) for index, name in enumerate(names)}
    return Speakers(voices, found.noise, found.rooms)


def data(recipe: Recipe = RECIPE) -> TrainingData:
    return from_speakers(speakers(1), speakers(7), recipe)


def waves(clips: int, samples: int = 3000) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates that hold both voices and noise, some clips' in the other order."""
    rng = np.random.default_rng(3)
    target = rng.normal(size=(clips, 2, samples)) * [[[0.1], [0.05]]]
    share = rng.uniform(0, 0.9, (clips, 2, 1))
    estimate = target + share * target[:, ::-1] + 0.02 * rng.normal(size=target.shape)
    estimate[::2] = estimate[::2, ::-1]
    return torch.tensor(estimate.copy()), torch.tensor(target)


def test_loss_is_the_best_of_all_assignments() -> None:
    """Beside `si_sdr` of the metrics, over all orders, and nothing limited in between."""
    estimate, target = waves(7)
    found = si_sdr_loss(estimate, assigned(estimate, target)).mean(1)
    for clip in range(7):
        orders = itertools.permutations(range(2))
        best = max(
            np.mean([si_sdr(estimate[clip, k].numpy(), target[clip, order[k]].numpy()) for k in range(2)])
            for order in orders
        )
        assert -found[clip].item() == pytest.approx(best, abs=0.15)  # the limit at 30 dB bends a little
    assert not torch.equal(assigned(estimate, target)[0], target[0])
    assert torch.equal(assigned(estimate, target)[1], target[1])


def test_loss_is_limited_and_does_not_see_the_level() -> None:
    _, target = waves(2)
    assert si_sdr_loss(target, target).numpy() == pytest.approx(np.full((2, 2), -30.0), abs=0.01)
    assert si_sdr_loss(torch.zeros_like(target), target).isfinite().all()
    estimate = waves(2)[0]
    assert torch.allclose(si_sdr_loss(estimate, target), si_sdr_loss(3 * estimate, target), atol=1e-3)
    level = at_best_level(3 * estimate, target)
    assert torch.allclose(level, at_best_level(estimate, target), atol=1e-4)
    assert ((level - target).square().sum() <= (estimate - target).square().sum()).item()


def test_usage_costs_more_where_both_voices_are_good() -> None:
    guidance = Guidance(kind="signal", segment=4, price=1.0)
    target = torch.randn(1, 2, 16 * 256, generator=torch.Generator().manual_seed(1))
    good = target + 0.01
    gates = torch.ones(1, 16, 3, requires_grad=True)
    weights = torch.full((3,), 1 / 3)

    def cost(estimate: torch.Tensor) -> float:
        return signal_loss(gates, weights, estimate, target, 256, guidance).item()

    half = torch.stack([good[:, 0], target[:, 0]], 1)
    assert cost(good) > 0.45 and cost(target.flip(1)) < -0.4 and cost(half) < cost(good)


def test_mixtures_are_two_speakers_at_the_wanted_levels() -> None:
    found, options = speakers(1), MixOptions(samples=SAMPLES, snr_low=5.0, snr_high=6.0, rir_share=0.0)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        clean = draw_voices(found, options, VoiceOptions(3.0, 1.0), rng)
        assert len(set(clean.speakers)) == 2 and clean.snr_db is None
        np.testing.assert_allclose(clean.voices.sum(0), clean.mixed, atol=1e-5)
        apart = 10 * np.log10(active_power(clean.voices[1]) / active_power(clean.voices[0]))
        assert abs(apart) <= 3.01
        noisy = draw_voices(found, options, VoiceOptions(3.0, 0.0), rng)
        noise = noisy.mixed - noisy.voices.sum(0)
        snr = 10 * np.log10(active_power(noisy.voices.sum(0)) / np.mean(noise.astype(float) ** 2))
        assert noisy.snr_db == pytest.approx(snr, abs=0.01) and 5 <= noisy.snr_db <= 6


def test_batches_depend_on_the_step_alone() -> None:
    made = data()
    first, again, other = made.batch(3), data().batch(3), made.batch(4)
    assert torch.equal(first.noisy, again.noisy) and torch.equal(first.target, again.target)
    assert not torch.equal(first.noisy, other.noisy)
    assert first.target.shape == (2, 2, SAMPLES) and first.condition.shape == (2,)


def test_the_loss_falls() -> None:
    """Early in a run: all gates are open, and the policy is not asked."""
    run, made = new_run(RECIPE), data()
    batch = made.batch(0)
    with torch.no_grad():
        before = loop.clip_losses(run.model, run.hint, batch, RECIPE, Gating())["sdr"].mean()
    for _ in range(8):
        loop.train_step(run, batch, RECIPE, 0.03)
    with torch.no_grad():
        after = loop.clip_losses(run.model, run.hint, batch, RECIPE, Gating())["sdr"].mean()
    assert after < before - 0.3


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """A run that is stopped in the middle of its steps, as by a kill, goes on to the same weights."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = train(data(), RECIPE, tmp_path / "whole", quiet, every=1e9)
        with pytest.raises(KeyboardInterrupt):
            train(data(), RECIPE, tmp_path / "cut", quiet, every=0.0, watch=stop_at(4))
        resumed = train(data(), RECIPE, tmp_path / "cut", quiet, every=1e9)
    finally:
        torch.set_num_threads(threads)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    last = json.loads((tmp_path / "cut/log.jsonl").read_text().splitlines()[-1])
    assert last["sdr_gain"] == pytest.approx(last["sdr"] - data().valid.condition.mean().item(), abs=2e-3)


def stop_at(step: int) -> Callable[[int, int, dict[str, float]], None]:
    def watch(done: int, total: int, losses: dict[str, float]) -> None:
        if done == step:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize(
    "name", ["separation", "separation-full", "separation-three-quarters", "separation-half"]
)
def test_shipped_recipes(name: str) -> None:
    recipe = read_recipe(recipe_path(name))
    static, gated = make_network(recipe.model).macs()
    assert recipe.separates and recipe.train.hours == 25
    assert (static + sum(gated)) * 62.5e-6 <= 8
    assert recipe.as_dict()["voices"] == {"level_db": 5.0, "clean_share": 0.5}


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    assert "voices" not in Recipe().as_dict()
    with pytest.raises(ConfigError) as caught:
        replace(RECIPE, train=replace(RECIPE.train, pool=True))
    assert str(caught.value) == (
        "separation trains in float on mixtures that it draws itself (set pool = false in [train], leave out "
        "[quantization])"
    )
    with pytest.raises(ConfigError) as caught:
        VoiceOptions(clean_share=1.5)
    assert str(caught.value) == "two voices: level_db must be at least 0, and clean_share in 0..1"


def test_speakers_are_told_apart_by_name(tmp_path: Path) -> None:
    """A clip without a name, and those of a collective one, are left out."""
    rows = ["file,type,split,source,speaker,seconds"]
    names = ["ann", "bob", "ann", "", "unlabelled(words)"]
    for index, name in enumerate(names):
        write_wav(tmp_path / f"{index}.wav", np.full(800 + index, 500, np.int16))
        rows.append(f"{index}.wav,speech,train,here,{name},1")
    write_wav(tmp_path / "n.wav", np.full(900, 500, np.int16))
    rows += ["n.wav,noise,train,here,,1", "n.wav,rir,train,here,,1"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    found = load_speakers(tmp_path, "train").voices
    assert {name: np.diff(bank.offsets).tolist() for name, bank in found.items()} == {
        "ann": [800, 802],
        "bob": [801],
    }
    (tmp_path / "manifest.csv").write_text("\n".join(row for row in rows if "bob" not in row))
    with pytest.raises(AudioError) as caught:
        load_speakers(tmp_path, "train")
    assert str(caught.value) == (
        f"{tmp_path}: the split 'train' has 1 speakers with a name (must be at least 2; the manifest's "
        "column speaker has the names)"
    )


def test_a_bank_of_one_clip_fills_a_mixture() -> None:
    short = Bank(np.full(4000, 900, np.int16), np.array([0, 4000]))
    found = replace(speakers(1), voices={"a": short, "b": short})
    drawn = draw_voices(
        found, MixOptions(samples=SAMPLES, rir_share=1.0), VoiceOptions(), np.random.default_rng(0)
    )
    assert drawn.voices.shape == (2, SAMPLES) and np.isfinite(drawn.mixed).all()


def test_gates_are_held_to_their_share() -> None:
    """Each bias moves by what its gate's share of open frames lacks, besides what the losses do to it."""

    def bias(held: float, done: float) -> torch.Tensor:
        guidance = Guidance(kind="signal", segment=6, constant=0.4, steady=0.0, held=held)
        recipe = replace(RECIPE, guidance=guidance)
        run = new_run(recipe)
        with torch.no_grad():
            run.model.policy.head.bias.copy_(torch.tensor([3.0, -3.0]))
        loop.train_step(run, data().batch(0), recipe, done)
        return run.model.policy.head.bias.detach()

    torch.testing.assert_close(bias(0.3, 0.5) - bias(0.0, 0.5), 0.3 * torch.tensor([0.4 - 1, 0.4 - 0]))
    assert torch.equal(bias(0.3, 0.05), bias(0.0, 0.05))  # as long as all gates are held open


def test_a_gate_pays_where_it_lowers_the_error() -> None:
    """Of two pieces the first gate helps in the first one, the second gate in none."""
    found = torch.tensor([[[2.0, 0.0], [-2.0, 0.0]]])
    guidance = Guidance(kind="benefit", segment=3, softness=0.5, price=0.2)
    gates = torch.zeros(1, 7, 2, requires_grad=True)  # the last frame is of no whole piece
    benefit_loss(gates, found, guidance).sum().backward()
    assert gates.grad is not None
    first, second = gates.grad[0, :, 0], gates.grad[0, :, 1]
    assert (first[:3] < 0).all() and (first[3:6] > 0).all() and first[6] == 0 and not second.any()
    whole = benefit_loss(torch.ones(1, 7, 2), found, guidance)
    half = benefit_loss(torch.ones(1, 7, 2) * torch.tensor([1.0] * 3 + [0.0] * 4)[:, None], found, guidance)
    assert float(whole) == pytest.approx(0, abs=1e-7) and float(half) == pytest.approx(-0.2 / 4, rel=1e-2)


def test_benefits_are_what_each_gate_alone_takes_off_the_error() -> None:
    recipe = replace(RECIPE, guidance=Guidance(kind="benefit", segment=6))
    model, batch = new_run(recipe).model, data().batch(0)
    spectrum = analysis(batch.noisy, FrontEnd())
    seen = features(spectrum, FrontEnd())
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.startswith("blocks.1.") and ".parts.1." in name:
                value.zero_()
    found = benefits(model, seen, spectrum, batch.target, recipe)
    assert found.shape == (2, (SAMPLES - 512 + 256) // (6 * 256), 2)
    assert found[..., 0].abs().min() > 0 and not found[..., 1].any()
    run = new_run(recipe)
    losses = loop.clip_losses(run.model, run.hint, batch, recipe, Gating(), free=torch.tensor([False, True]))
    assert losses["usage"][0] == 0 and losses["usage"][1] != 0
