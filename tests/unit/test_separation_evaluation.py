"""Evaluation of a separator: the list of mixtures, the score, and the line between static models."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training_loop import SAMPLES
from test_training_separation import SMALL, speakers

from tinydsn.audio.metrics import si_sdr
from tinydsn.audio.voices import Speakers
from tinydsn.evaluation import separation as listed
from tinydsn.evaluation.separation import mixed_sdr, render_voices, separated_sdr, separation_list
from tinydsn.models.checkpoint import save_checkpoint
from tinydsn.models.kinds import make_network
from tinydsn.workflow import separation as workflow
from tinydsn.workflow import ship
from tinydsn.workflow.separation import Separated, beside_statics, differences


def test_each_pair_of_speakers_occurs_without_and_with_noise() -> None:
    made = separation_list(["d", "a", "c", "b"])
    pairs = list(itertools.combinations("abcd", 2))
    assert sorted((item.speakers, item.noisy) for item in made) == [
        (pair, noisy) for pair in pairs for noisy in (False, True)
    ]
    assert [item.index for item in made] == list(range(12))
    assert made[:3] == separation_list(["a", "b", "c", "d"])[:3]


def test_a_mixture_is_the_same_each_time() -> None:
    for item in separation_list("abc")[:2]:
        first, again = (render_voices(item, speakers(1)) for _ in range(2))
        assert first.digest() == again.digest() and len(first.mixed) == listed.MIX.samples
        rest = first.mixed.astype(int) - first.voices.sum(0)
        assert bool(np.abs(rest).max() > 2) is item.noisy


def test_score_is_that_of_the_better_order_and_a_silent_output_the_worst() -> None:
    audio = render_voices(separation_list("ab")[0], speakers(1))
    assert mixed_sdr(audio) == pytest.approx(np.mean([si_sdr(audio.mixed, v) for v in audio.voices]))
    near = np.clip(
        audio.voices + np.random.default_rng(1).integers(-99, 99, audio.voices.shape), -32768, 32767
    )
    near = near.astype(np.int16)
    wanted = np.mean([si_sdr(a, b) for a, b in zip(near, audio.voices, strict=True)])
    assert (
        separated_sdr(near, audio.voices) == separated_sdr(near[::-1], audio.voices) == pytest.approx(wanted)
    )
    assert separated_sdr(np.zeros_like(near), audio.voices) == -60


def measured(gains: list[float], cost: float) -> Separated:
    rows = tuple(
        {
            "group": str(index // 2),
            "noisy": bool(index % 2),
            "sdr": {"mixed": 1.0, "firmware": 1.0 + gain},
            "instructions": cost,
        }
        for index, gain in enumerate(gains)
    )
    return Separated(None, rows, {})


def test_front_is_the_line_between_the_static_neighbours() -> None:
    statics = {"half": measured([1, 2, 1, 2], 100.0), "full": measured([3, 4, 3, 4], 300.0)}
    found = beside_statics(measured([3.0, 3.0, 3.0, 3.0], 150.0), statics)
    assert (found["below"], found["above"], found["share_above"]) == ("half", "full", 0.25)
    assert found["firmware"]["clean"]["mean"] == 1.5 and found["firmware"]["noisy"]["mean"] == 0.5
    assert found["firmware"]["all"]["direction"] == "higher"
    assert beside_statics(measured([3.0] * 4, 90.0), statics) is None
    plain = differences(statics["half"], {"firmware": statics["full"].gain("firmware")})
    assert plain["firmware"]["all"]["mean"] == -2 and plain["firmware"]["all"]["verdict"] == "below"


def test_a_separator_is_shipped_with_its_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calibrated on mixtures of two, measured on the two-speaker list (here on the host), and compared."""
    for module in (ship, workflow):
        monkeypatch.setattr(module, "load_speakers", lambda corpus, split: speakers(1))
    monkeypatch.setattr(ship, "CALIBRATION", replace(ship.CALIBRATION, samples=SAMPLES))
    monkeypatch.setattr(ship, "training_of", lambda run, corpus: {"recipe": {"guidance": {"kind": "none"}}})
    monkeypatch.setattr(workflow, "render_voices", short)
    torch.manual_seed(3)
    save_checkpoint(make_network(replace(SMALL, gated=False)), tmp_path / "model.safetensors")
    run = [str(tmp_path), "--corpus", str(tmp_path), "--to", str(tmp_path / "two.safetensors")]
    assert ship.main([*run, "--board", "host", "--limit", "2"]) == 0
    card = json.loads((tmp_path / "two.card.json").read_text())
    assert card["test"]["kind"] == "separation" and card["test"]["equal"]["status"] == "equal"
    assert card["test"]["conditions"]["all"]["files"] == 2
    gain = card["test"]["conditions"]["all"]["improvement"]["firmware"]["mean"]
    assert f"two: SISDR improvement {gain:.2f} dB\n" in capsys.readouterr().out


def short(item: listed.Listed, voices: Speakers) -> listed.Voices:
    """A quarter of a second of a mixture of the list."""
    whole = render_voices(item, voices)
    return listed.Voices(whole.mixed[40000:44000].copy(), whole.voices[:, 40000:44000].copy())
