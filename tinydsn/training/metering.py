"""A trained quality meter in the place of a policy: read, copied, and its rating sets the first gates."""

from __future__ import annotations

from pathlib import Path

import torch

from quant.errors import ConfigError
from tinydsn.models.checkpoint import load_checkpoint, load_network
from tinydsn.models.metered import MeteredConfig, MeteredDsn, MeterPolicy, check_meter
from tinydsn.models.network import MaskNetwork
from tinydsn.models.predictor import MIDDLE_RATING, OVRL, RANGE_RATING, Predictor
from tinydsn.training.guidance import Guidance, opening_thresholds
from tinydsn.training.recipe import Recipe

STEEPEST = 4.0
"""A sigmoid's logit rises so much faster than the sigmoid itself, where that is a half."""


def read_meter(path: Path | None, recipe: Recipe, start: Path | None) -> Predictor | None:
    """The meter of a run, None where it needs none or goes on with that of its ``start``.

    Raises ConfigError where it is missing, not wanted, or of other sizes than the recipe's, ModelFileError
    for a damaged checkpoint.
    """
    if not recipe.metered:
        if path is not None:
            raise ConfigError('only a network of kind "metered" has a meter (leave out --meter)')
        return None
    if path is None:
        if start is not None and isinstance(load_checkpoint(start), MeteredDsn):
            return None
        raise ConfigError(
            'a network of kind "metered" needs its meter (give --meter, a checkpoint of speech-quality)'
        )
    network = load_network(path)
    if not isinstance(network, Predictor):
        raise ConfigError(f"{path}: is no meter (must be a checkpoint of speech-quality)")
    assert isinstance(recipe.model, MeteredConfig)
    try:
        check_meter(recipe.model.meter, network.config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return network


@torch.no_grad()
def decide_by(model: MaskNetwork, meter: Predictor, guidance: Guidance) -> None:
    """Copies a meter into the network's policy, and sets the head so that usage follows the told OVRL.

    The wanted usage is linear in the OVRL, and that is linear in the meter's units: each gate opens where the
    wanted usage exceeds its threshold (`opening_thresholds`). ``guidance.slope`` is the logits' slope over
    the usage's own logit where that is 0. Guidance by SNR has no bounds of OVRL: the head stays as it is.
    """
    policy = model.policy
    if not isinstance(policy, MeterPolicy):
        raise ConfigError("this network has no meter (must be of kind metered)")
    policy.take(meter)
    if guidance.kind == "snr":
        return
    fall = (guidance.high - guidance.low) / (guidance.best - guidance.worst)
    weight = -fall * RANGE_RATING * meter.second.weight[OVRL]
    told = MIDDLE_RATING + RANGE_RATING * meter.second.bias[OVRL]
    bias = guidance.low + fall * (guidance.best - told)
    slope = STEEPEST * guidance.slope
    for index, threshold in opening_thresholds(model).items():
        policy.head.weight[index] = slope * weight
        policy.head.bias[index] = slope * (bias - threshold)
