"""How much worse than the float network a quantized one does a task, for ``tinydsn search --quality``.

A clip's ``target`` holds what the network ought to answer in the form of its own output, see `encoded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tinydsn.tasks.examples import HOP, Example
from tinydsn.tasks.task import Task, frames_of, task_named

WEIGHT_ONE = 1024
"""What the weight 1 is in an encoded target."""


class Judged(Protocol):
    """int16 ``[frames * hop]`` each: the target, see `encoded`, and the float network's output."""

    @property
    def target(self) -> np.ndarray: ...

    @property
    def reference(self) -> np.ndarray: ...


def encoded(example: Example) -> np.ndarray:
    """Target and weight as int16 ``[frames * hop]``: in each hop the target in Q15, then weight * 1024."""
    frames, outputs = example.target.shape
    rows = np.zeros((frames, HOP), np.int16)
    rows[:, :outputs] = np.clip(np.rint(example.target * 32768.0), -32768, 32767)
    rows[:, outputs] = np.rint(example.weight * WEIGHT_ONE)
    return rows.reshape(-1)


def decoded(wave: np.ndarray, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Target float64 [frames, outputs] and weight [frames] of `encoded`."""
    rows = wave.reshape(-1, HOP)
    return rows[:, :outputs] / 32768.0, rows[:, outputs] / float(WEIGHT_ONE)


def clip_score(task: Task, wave: np.ndarray, target: np.ndarray) -> float:
    """A clip's score of a network's output, both int16 [frames * hop]."""
    return task.score(frames_of(wave, task.outputs), *decoded(target, task.outputs))


def paired_loss(task: Task, outputs: Sequence[np.ndarray], clips: Sequence[Judged]) -> float:
    """Mean over the clips of a network's score less the float network's."""
    losses = [
        clip_score(task, wave, clip.target) - clip_score(task, clip.reference, clip.target)
        for wave, clip in zip(outputs, clips, strict=True)
    ]
    return float(np.mean(losses))


def voice_activity(outputs: Sequence[np.ndarray], clips: Sequence[Judged]) -> float:
    """Cross entropy of voice and pause, in nats a frame, above the float network's."""
    return paired_loss(task_named("voice-activity"), outputs, clips)


def wake_phrases(outputs: Sequence[np.ndarray], clips: Sequence[Judged]) -> float:
    """Cross entropy of the seven classes, in nats a frame by weight, above the float network's."""
    return paired_loss(task_named("wake-phrases"), outputs, clips)


def speech_quality(outputs: Sequence[np.ndarray], clips: Sequence[Judged]) -> float:
    """Mean squared error of the told ratings, in squares of their unit, above the float network's."""
    return paired_loss(task_named("speech-quality"), outputs, clips)


def log_mel(outputs: Sequence[np.ndarray], clips: Sequence[Judged]) -> float:
    """Mean squared error of the told log-mel spectrum, in dB^2, above the float network's."""
    return paired_loss(task_named("log-mel"), outputs, clips)
