"""Recordings with known DNSMOS ratings: the rated pool of metric guidance as examples of a task.

A clip's rating is the target of every frame of it. Bands are computed once, 40 numbers a frame; a training
example is a segment of a clip, and inherits the clip's rating.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quant.errors import ConfigError
from tinydsn.audio.metrics import SEGMENT
from tinydsn.audio.stft import analysis, features
from tinydsn.models.sequence import bands
from tinydsn.tasks.data import Batch
from tinydsn.tasks.examples import FRONT, rating_weight, scaled_rating
from tinydsn.training.pool import pool_file, read_scores, read_table, shipped_path

HELD_OUT = 0.05
"""Share of the pool's clips, from its end, in each of the valid and the test split."""
CHUNK = 25
"""Clips that go through the front end together."""
MADE_BY = "make it: `tinydsn rate`"
Say = Callable[[str], None]


@dataclass(frozen=True)
class RatedClips:
    """Clips of one split.

    pooled   bands float16 ``[clips, frames, 40]``
    target   ratings float32 ``[clips, 3]``, SIG, BAK, OVRL, as `scaled_rating` tells them
    """

    pooled: Tensor
    target: Tensor

    def whole(self) -> Batch:
        """The clips as they are."""
        frames = self.pooled.shape[1]
        weight = torch.from_numpy(rating_weight(frames)).expand(len(self.pooled), -1)
        return Batch(self.pooled.float(), self.target[:, None].expand(-1, frames, -1), weight)


@dataclass(frozen=True)
class Segments:
    """Segments of rated clips, from anywhere in them and with a gain of their own.

    frames: of a segment. gain_db: the most by which it becomes louder or softer, which hardly moves a rating.
    """

    clips: RatedClips
    frames: int
    gain_db: float

    def __len__(self) -> int:
        return len(self.clips.pooled)

    def pick(self, rows: Tensor, chooser: torch.Generator) -> Batch:
        """A segment of each of some clips, with start and gain drawn from ``chooser``."""
        room = self.clips.pooled.shape[1] - self.frames + 1
        starts = torch.randint(room, (len(rows),), generator=chooser)
        spread = 2 * torch.rand(len(rows), generator=chooser) - 1
        # magnitudes to the power of 0.3: bands are means of such
        gains = 10 ** (self.gain_db * spread * FRONT.compression / 20)
        places = starts[:, None] + torch.arange(self.frames)
        pooled = self.clips.pooled[rows[:, None], places].float() * gains[:, None, None]
        target = self.clips.target[rows][:, None].expand(-1, self.frames, -1)
        weight = torch.from_numpy(rating_weight(self.frames)).expand(len(rows), -1)
        return Batch(pooled, target, weight)


def shipped_for(pool: Path) -> Path:
    """The table that comes with the package for a pool whose waves are in ``pool``. Raises ConfigError."""
    for path in sorted(pool.glob(pool_file(pool, "*").name)):
        table = shipped_path(path.stem.removeprefix("pool-"))
        if table.is_file():
            return table
    raise ConfigError(
        f"{pool}: holds no pool whose ratings come with tinydsn ({MADE_BY}, and give its --ratings)"
    )


def load_rated(pool: Path, ratings: Path | None, say: Say) -> RatedClips:
    """The noisy clips of the rated pool in ``pool``, which `tinydsn rate` made. ``ratings``: its table, or
    None for the one that comes with the package.

    Raises ConfigError where its waves are not there, ModelFileError for a table that is damaged or not
    complete.
    """
    ratings = ratings or shipped_for(pool)
    key = read_table(ratings)[0] or ""
    scores = read_scores(ratings, key)
    path, shape = pool_file(pool, key), (len(scores), 2, SEGMENT)
    if not path.is_file() or path.stat().st_size != 2 * int(np.prod(shape)):
        raise ConfigError(f"{path}: not there or not complete, and {ratings} is its table ({MADE_BY})")
    waves = np.memmap(path, np.int16, "r", shape=shape)
    made = []
    for start in range(0, len(waves), CHUNK):
        part = waves[start : start + CHUNK, 0].astype(np.float32) / 32768
        made.append(bands(features(analysis(torch.from_numpy(part), FRONT), FRONT)).half())
        if (start // CHUNK + 1) % 40 == 0:
            say(f"bands of {start + len(part)} of {len(waves)} clips")
    return RatedClips(torch.cat(made), torch.from_numpy(scaled_rating(scores)))


def split_rated(clips: RatedClips) -> dict[str, RatedClips]:
    """The splits ``train``, ``valid`` and ``test``, in the pool's order. No two share a clip, but sources:
    all are mixtures of the corpus's train split."""
    count = len(clips.pooled)
    held = max(1, round(HELD_OUT * count))
    ends = {
        "train": (0, count - 2 * held),
        "valid": (count - 2 * held, count - held),
        "test": (count - held, count),
    }
    return {name: RatedClips(clips.pooled[a:b], clips.target[a:b]) for name, (a, b) in ends.items()}
