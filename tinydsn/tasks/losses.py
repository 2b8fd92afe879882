"""Losses to train by, and scores to judge a network's own output by; for each kind of answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinydsn.models.predictor import OVRL, RANGE_RATING
from tinydsn.tasks.examples import RANGE_DB

LEAST = 2.0**-15
"""A probability of 0 counts as one step of the Q15 output."""
SMOOTH, DETECT = 8, 0.5
"""A phrase is told when its mean probability over 8 frames (0.13 s) is above 0.5 anywhere in a clip."""
Judged = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A clip: output and target [frames, outputs], weight [frames]."""


def binary_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of sigmoids, in nats."""
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")[..., 0]


def class_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of a softmax, in nats."""
    return -(torch.log_softmax(logits, -1) * target).sum(-1)


def square_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the outputs, in squares of the target's unit times 64."""
    return 64.0 * (logits - target).square().mean(-1)


def weighted(values: np.ndarray, weight: np.ndarray) -> float:
    """Mean of ``values`` [frames] by weight."""
    return float((values * weight).sum() / weight.sum())


def binary_score(output: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """Mean cross entropy of a clip, in nats."""
    told = np.where(target > 0.5, output, 1.0 - output)[:, 0]
    return weighted(-np.log(np.maximum(told, LEAST)), weight)


def class_score(output: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """Mean cross entropy of a clip, in nats."""
    return weighted(-np.log(np.maximum((output * target).sum(-1), LEAST)), weight)


def square_score(output: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """Mean squared error of a clip, in dB^2."""
    return weighted(np.square(RANGE_DB * (output - target)).mean(-1), weight)


def told(output: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What is told of a whole clip [outputs]: the mean over its frames by weight."""
    mean: np.ndarray = (output * weight[:, None]).sum(axis=0) / weight.sum()
    return mean


def rating_score(output: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """Squared error of a clip's told ratings, in squares of a rating's unit, mean over the three."""
    return float(np.square(RANGE_RATING * (told(output, weight) - told(target, weight))).mean())


def rating_metrics(clips: Sequence[Judged]) -> dict[str, float]:
    """Correlation over clips of told and true ratings: Pearson's of each, and Spearman's of OVRL; and the
    root of its mean squared error. 0 where either does not vary."""
    from scipy import stats

    found, true = (np.array([told(clip[side], clip[2]) for clip in clips]) for side in (0, 1))

    def correlation(measure: Callable[..., Any], index: int) -> float:
        first, second = found[:, index], true[:, index]
        if np.ptp(first) == 0 or np.ptp(second) == 0:
            return 0.0
        return float(measure(first, second).statistic)

    return {
        "pearson_ovrl": correlation(stats.pearsonr, OVRL),
        "spearman_ovrl": correlation(stats.spearmanr, OVRL),
        "pearson_sig": correlation(stats.pearsonr, 0),
        "pearson_bak": correlation(stats.pearsonr, 1),
        "rmse_ovrl": float(RANGE_RATING * np.sqrt(np.square(found[:, OVRL] - true[:, OVRL]).mean())),
    }


def binary_metrics(clips: Sequence[Judged]) -> dict[str, float]:
    """Balanced accuracy over all frames at 0.5: mean of the share of voice found and that of pauses."""
    told = np.concatenate([output[:, 0] > 0.5 for output, _, _ in clips])
    true = np.concatenate([target[:, 0] > 0.5 for _, target, _ in clips])
    shares = [float((told[true == value] == value).mean()) for value in (False, True)]
    return {"balanced_accuracy": float(np.mean(shares)), "voice_found": shares[1], "pause_found": shares[0]}


def decided(output: np.ndarray) -> int:
    """The phrase told in a clip, 1 and up; 0 for none. ``output``: probabilities [frames, 7]."""
    window = min(SMOOTH, len(output))
    mean = np.lib.stride_tricks.sliding_window_view(output[:, 1:], window, axis=0).mean(-1)
    best = mean.max(axis=0)
    return int(best.argmax()) + 1 if best.max() > DETECT else 0


def class_metrics(clips: Sequence[Judged]) -> dict[str, float]:
    """Balanced accuracy over clips (mean of the shares found of each phrase and of none), and false alarms:
    the share of clips without a phrase in which one was told."""
    told = np.array([decided(output) for output, _, _ in clips])
    true = np.array(
        [int(target.max(axis=0)[1:].argmax() + 1) * int(target[:, 1:].any()) for _, target, _ in clips]
    )
    shares = [float((told[true == value] == value).mean()) for value in np.unique(true)]
    alarms = float((told[true == 0] != 0).mean()) if (true == 0).any() else 0.0
    return {"balanced_accuracy": float(np.mean(shares)), "false_alarms": alarms}


def square_metrics(clips: Sequence[Judged]) -> dict[str, float]:
    """Root of the mean squared error in dB; ``repeat``: that of telling the present spectrum again."""
    told = np.mean([square_score(*clip) for clip in clips])
    again = np.mean([square_score(np.concatenate([t[:1], t[:-1]]), t, w) for _, t, w in clips])
    return {"rmse_db": float(np.sqrt(told)), "repeat_rmse_db": float(np.sqrt(again))}
