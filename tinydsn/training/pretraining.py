"""The policy learns to hear before it decides: trained alone to tell the wanted usage, which is cheap.

Inside the whole network the policy sees few clips, and its gates' gradient is coarse: 25 h of joint training
left it telling a quarter of the variance of the wanted usage. Alone, it sees six times as much audio in three
minutes, and tells two thirds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from tinydsn.audio.stft import analysis, features
from tinydsn.models.network import MaskNetwork
from tinydsn.nn import Policy
from tinydsn.training.data import TrainingData, policy_batches
from tinydsn.training.guidance import Guidance, hint_loss, opening_thresholds, wanted_usage
from tinydsn.training.recipe import Recipe
from tinydsn.training.run import Run
from tinydsn.training.schedule import learning_rate

RATE, WARMUP, LAST_RATE = 1e-2, 0.1, 0.01


def pretrain_policy(
    run: Run, data: TrainingData, recipe: Recipe, device: str, say: Callable[[str], None]
) -> None:
    """Trains the policy's GRU and the hint for ``guidance.pretrain`` hours, then sets the gates by it.

    Nothing else of the network changes. Deterministic, so a run killed meanwhile begins it again.
    """
    guidance, policy = recipe.guidance, run.model.policy
    if not isinstance(policy, Policy):
        raise ConfigError("this network's decisions cannot be pretrained (set pretrain = 0 in [guidance])")
    steps = policy_batches(guidance.pretrain)
    parameters = [*policy.gru.parameters(), *run.hint.parameters()]
    for value in parameters:
        value.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, lr=RATE)
    front_end, total = FrontEnd(), 0.0
    for step in range(steps):
        batch = data.policy_batch(step).to(device)
        with torch.no_grad():
            seen = features(analysis(batch.noisy, front_end), front_end)
        states = policy(seen)[1]
        loss = hint_loss(states, run.hint, wanted_usage(batch.condition, guidance), guidance.hint_from).mean()
        descend(optimizer, loss, learning_rate(step / steps, RATE, WARMUP, LAST_RATE))
        total += float(loss.detach())
        if (step + 1) % 100 == 0:
            say(f"policy {100 * (step + 1) / steps:5.1f} %  hint {total / 100:.4f}")
            total = 0.0
    for value in parameters:
        value.requires_grad_(recipe.train.policy_rate > 0)
    thermometer(run.model, policy, run.hint, guidance)
    run.average.load_state_dict(run.model.state_dict())


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, bound: float | None = None) -> None:
    """One step down ``loss`` at the learning rate ``rate``; ``bound``: the largest norm of the gradient."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if bound is not None:
        values = [value for group in optimizer.param_groups for value in group["params"]]
        torch.nn.utils.clip_grad_norm_(values, bound)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()


@torch.no_grad()
def thermometer(model: MaskNetwork, policy: Policy, hint: nn.Linear, guidance: Guidance) -> None:
    """Sets the policy's head so that the gates open one after the other as the told usage rises.

    Where each opens: `opening_thresholds`. ``guidance.slope`` is the logits' slope.
    """
    for index, threshold in opening_thresholds(model).items():
        policy.head.weight[index] = guidance.slope * hint.weight[0]
        offset = math.log(threshold / (1 - threshold))
        policy.head.bias[index] = guidance.slope * (hint.bias[0] - offset)
