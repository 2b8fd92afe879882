"""Recordings of a split, and examples drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinydsn.audio.corpus import Bank, Clip, load_bank, read_manifest, select
from tinydsn.audio.mixing import MixOptions
from tinydsn.audio.stft import analysis, features
from tinydsn.models.sequence import bands
from tinydsn.tasks.examples import FRONT, Example, Sources
from tinydsn.tasks.phrases import phrase_clips, phrase_of, split_of
from tinydsn.tasks.task import Task, to_tensor

Say = Callable[[str], None]
DRAW_SEED = {"train": 0, "valid": 1, "test": 2}
"""Part of the seeds of examples, so that splits do not share the course of their draws."""


@dataclass(frozen=True)
class Batch:
    """Bands ``[clips, frames, 40]``, target ``[clips, frames, outputs]``, weight ``[clips, frames]``."""

    pooled: Tensor
    target: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.pooled)

    def pick(self, rows: Tensor, chooser: torch.Generator) -> Batch:
        """Some of the clips, whole: there is nothing to draw."""
        return Batch(self.pooled[rows], self.target[rows], self.weight[rows])


def load_sources(
    corpus: Path, split: str, task: Task, files: int = 0, part: tuple[int, int] = (0, 1)
) -> Sources:
    """Decodes what ``task`` needs of a split: every ``part[1]``-th recording from ``part[0]`` on, and of
    these at most ``files`` of each kind (0: all).

    With wake phrases, speech is the corpus's train speech without phrases, dealt by file name as these are.
    Raises AudioError for a corpus that lacks something.
    """
    listed = read_manifest(corpus)

    def bank(clips: Sequence[Clip]) -> Bank:
        chosen = sorted(clips, key=lambda clip: str(clip.path))[part[0] :: part[1]]
        return load_bank(chosen[:: max(1, -(-len(chosen) // files))] if files else chosen)

    noise, rooms = (bank(select(listed, kind, split)) for kind in ("noise", "rir"))
    if not task.phrases:
        return Sources(bank(select(listed, "speech", split)), noise, rooms)
    phrases = tuple(bank(clips) for clips in phrase_clips(listed, split))
    other = [clip for clip in select(listed, "speech", "train") if phrase_of(clip) is None]
    return Sources(bank([c for c in other if split_of(c.path.name) == split]), noise, rooms, phrases)


def draw_examples(
    task: Task, sources: Sources, options: MixOptions, count: int, seed: int, split: str
) -> list[Example]:
    """``count`` examples; the same each time, and a shorter list begins like a longer one."""
    seeds = ([seed, DRAW_SEED[split], index] for index in range(count))
    return [task.draw(sources, options, np.random.default_rng(each)) for each in seeds]


def to_batch(examples: Sequence[Example]) -> Batch:
    """What a network is trained on; the front end in float."""
    pooled = [
        bands(features(analysis(torch.from_numpy(example.noisy)[None], FRONT), FRONT))[0].numpy()
        for example in examples
    ]
    return Batch(
        to_tensor(pooled),
        to_tensor([example.target for example in examples]),
        to_tensor([example.weight for example in examples]),
    )
