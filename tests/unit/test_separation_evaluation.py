"""Evaluation of a separator: the list of mixtures, the score, and the line between static models."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from test_training_separation import speakers

from tinydsn.audio.metrics import si_sdr
from tinydsn.evaluation import separation as listed
from tinydsn.evaluation.separation import mixed_sdr, render_voices, separated_sdr, separation_list
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
