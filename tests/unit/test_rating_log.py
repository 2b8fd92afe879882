"""Ratings on disk: what was rated is known, on the same clips and by the same measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinydsn.search.clips import Clip, Clips
from tinydsn.workflow.rating_log import NAME, RatingLog

WAVE = np.arange(8, dtype=np.int16)
CLIPS = Clips((Clip(WAVE, WAVE, WAVE, 3.0),))
OTHERS = Clips((Clip(WAVE, WAVE, WAVE + np.int16(1), 3.0),))


def test_ratings_are_known_on_the_clips_that_they_were_made_on(tmp_path: Path) -> None:
    log = RatingLog(tmp_path, CLIPS)
    assert log.known == {}
    log.add("a", {"PESQ": 2.0})
    log.add("b", {"PESQ": 1.5})
    assert RatingLog(tmp_path, CLIPS).known == log.known == {"a": {"PESQ": 2.0}, "b": {"PESQ": 1.5}}
    assert RatingLog(tmp_path, OTHERS).known == {}


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    RatingLog(tmp_path, CLIPS).add("a", {"PESQ": 2.0})
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole + whole[:20])
    again = RatingLog(tmp_path, CLIPS)
    assert list(again.known) == ["a"]
    again.add("b", {"PESQ": 1.0})
    assert list(RatingLog(tmp_path, CLIPS).known) == ["a", "b"]
