"""What genomes of a task's network are judged on: examples of the valid split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tinydsn.audio.files import to_int16
from tinydsn.audio.mixing import MixOptions
from tinydsn.search.clips import PARTS, SEED, SPLIT, Clip, Clips
from tinydsn.tasks.data import draw_examples, load_sources
from tinydsn.tasks.examples import HOP, Example
from tinydsn.tasks.quality import encoded
from tinydsn.tasks.task import Task


def to_clip(example: Example) -> Clip:
    """An example as a clip of whole hops; its target is `tinydsn.tasks.quality.encoded`."""
    samples = len(example.target) * HOP
    return Clip(to_int16(example.noisy[:samples]), encoded(example), np.zeros(0, np.int16), 0.0)


def draw_task_clips(
    task: Task, options: MixOptions, corpus: Path, count: int, samples: int, part: int
) -> Clips:
    """``count`` examples from one of two parts of the valid split that share no recording; always the same.

    Raises AudioError when corpus or split are not there.
    """
    sources = load_sources(corpus, SPLIT, task, part=(part, PARTS))
    options = replace(options, samples=samples)
    return Clips(tuple(map(to_clip, draw_examples(task, sources, options, count, SEED + part, SPLIT))))
