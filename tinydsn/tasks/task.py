"""What a task is, and the four there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quant.errors import ConfigError
from tinydsn.audio.mixing import MixOptions
from tinydsn.models.sequence import BAND_COUNT
from tinydsn.tasks import examples, losses
from tinydsn.tasks.examples import HOP, Example, Sources
from tinydsn.tasks.phrases import PHRASES


@dataclass(frozen=True)
class Task:
    """One task.

    outputs, answer: see `tinydsn.models.sequence.SequenceConfig`. draw: one example of so many samples. loss:
    of logits and targets ``[batch, frames, outputs]``, per frame ``[batch, frames]``. score: a clip's loss
    from the network's own output, float [frames, outputs], target and weight; to be small. metrics: the
    figures that are told, over all clips. phrases: whether it needs the wake phrases, split by file name.
    rated: whether it trains on the rated pool (`tinydsn.tasks.rated`), not on examples of ``draw``. network:
    its kind (`tinydsn.models.kinds.TASK_KINDS`).
    """

    name: str
    outputs: int
    answer: str
    draw: Callable[[Sources, MixOptions, np.random.Generator], Example]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    metrics: Callable[[Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]], dict[str, float]]
    phrases: bool = False
    rated: bool = False
    network: str = "sequence"

    @property
    def quality(self) -> str:
        """The task's quality function, as `tinydsn search --quality` takes it."""
        return f"tinydsn.tasks.quality:{self.name.replace('-', '_')}"


_ALL = (
    Task(
        name="voice-activity",
        outputs=1,
        answer="sigmoid",
        draw=examples.voice,
        loss=losses.binary_loss,
        score=losses.binary_score,
        metrics=losses.binary_metrics,
    ),
    Task(
        name="wake-phrases",
        outputs=len(PHRASES) + 1,
        answer="softmax",
        draw=examples.wake,
        loss=losses.class_loss,
        score=losses.class_score,
        metrics=losses.class_metrics,
        phrases=True,
    ),
    Task(
        name="log-mel",
        outputs=BAND_COUNT,
        answer="linear",
        draw=examples.log_mel,
        loss=losses.square_loss,
        score=losses.square_score,
        metrics=losses.square_metrics,
    ),
    Task(
        name="speech-quality",
        outputs=3,
        answer="linear",
        draw=examples.rated,
        loss=losses.square_loss,
        score=losses.rating_score,
        metrics=losses.rating_metrics,
        rated=True,
        network="predictor",
    ),
)
TASKS = {task.name: task for task in _ALL}


def task_named(name: str) -> Task:
    """The task of that name. Raises ConfigError for an unknown one."""
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r} (must be one of {', '.join(TASKS)})")
    return TASKS[name]


def frames_of(pcm: np.ndarray, outputs: int) -> np.ndarray:
    """A network's output float64 [frames, outputs] in [-1, 1) from int16 PCM [frames * hop]."""
    return pcm.reshape(-1, HOP)[:, :outputs] / 32768.0


def to_tensor(arrays: Sequence[np.ndarray]) -> Tensor:
    """float32 [clips, ...] of arrays of one shape."""
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
