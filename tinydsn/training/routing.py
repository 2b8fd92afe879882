"""The policy learns, before the run and alone, in which pieces of a clip a gate is worth what it costs.

In the joint run the policy learns little: few clips, a coarse gradient through gates, and a network that
changes meanwhile. Where the network is trained already (a warm start), each gate can be tried on many clips
once, and the policy learns from what that told, in many passes. How dear compute is, is not chosen but found:
so that the best choices use the wanted share of it. Ours; that a router is told by the loss what a path is
worth goes back to the adaptive computation that PAPERS.md, sections 2 and 3, describe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from tinydsn.audio.stft import analysis, features
from tinydsn.nn import Policy
from tinydsn.nn.depth import nested_logits
from tinydsn.training.benefit import benefits, by_piece
from tinydsn.training.data import POLICY_CLIPS, TrainingData, policy_batches
from tinydsn.training.guidance import Guidance, gate_weights, used
from tinydsn.training.pretraining import LAST_RATE, WARMUP, descend
from tinydsn.training.recipe import Recipe
from tinydsn.training.run import Run
from tinydsn.training.schedule import learning_rate

RATE, PASSES, CLIPS, CLIP = 2e-2, 30, 32, 0.5
"""The peak learning rate, how often each clip is seen, clips a step, and the bound of the gradient's norm."""
DEAREST, HALVINGS, SMALL = 100.0, 40, 1e-3


@dataclass(frozen=True)
class Tried:
    """What trying the policy's gates told.

    seen     features ``[clips, frames, bins]``, half precision
    found    what each gate buys, dB ``[clips, pieces, K]``
    weights  each gate's share of the gated compute ``[K]``
    nested   see `MaskNetwork`
    """

    seen: Tensor
    found: Tensor
    weights: Tensor
    nested: bool

    def part(self, begin: int, end: int | None) -> Tried:
        """The same of some of the clips."""
        return Tried(self.seen[begin:end], self.found[begin:end], self.weights, self.nested)


def learn_routes(
    run: Run, data: TrainingData, recipe: Recipe, device: str, say: Callable[[str], None]
) -> None:
    """Trains the policy on ``guidance.pretrain`` hours of clips, and shifts its logits to the wanted usage.

    Nothing else of the network changes. Deterministic, so a run killed meanwhile begins it again. The first
    batch of clips is kept apart, to tell what the choices are worth.
    """
    guidance, policy = recipe.guidance, run.model.policy
    if not isinstance(policy, Policy):
        raise ConfigError("this network's decisions cannot be learned by regret (choose another kind)")
    tried = try_gates(run, data, recipe, device, say)
    apart, tried = tried.part(0, POLICY_CLIPS), tried.part(POLICY_CLIPS, None)
    costs = charge_for(tried, guidance.constant) * tried.weights
    lost = regrets(tried.found, costs, tried.nested)
    torch.manual_seed(recipe.train.seed)
    begin(policy, tried, lost, guidance)
    for value in policy.parameters():
        value.requires_grad_(True)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=RATE, weight_decay=0.0)
    steps, total = PASSES * len(lost) // CLIPS, 0.0
    chosen = torch.Generator().manual_seed(recipe.train.seed)
    for step in range(steps):
        clips = torch.randint(len(lost), (CLIPS,), generator=chosen)
        logits = policy(tried.seen[clips].to(device).float())[0]
        loss = regret_loss(logits, lost[clips].to(device), guidance).mean()
        descend(optimizer, loss, learning_rate(step / steps, RATE, WARMUP, LAST_RATE), CLIP)
        total += float(loss.detach())
        if (step + 1) % 300 == 0:
            say(f"policy {100 * (step + 1) / steps:5.1f} %  regret {total / 300:.4f}")
            total = 0.0
    for value in policy.parameters():
        value.requires_grad_(False)
    run.model.shift_logits(shift_for(told(policy, tried, device), tried, guidance.constant))
    run.average.load_state_dict(run.model.state_dict())
    say(worth(told(policy, apart, device), apart, guidance))


@torch.no_grad()
def begin(policy: Policy, tried: Tried, lost: Tensor, guidance: Guidance) -> None:
    """Fresh weights that hear bands of mean 0 and deviation 1, and answer what is best in the mean.

    From the usual start the policy has learned a quarter as much after as many steps.
    """
    stakes = lost.abs().clamp(max=guidance.softness)
    share = (stakes * (lost > 0)).sum((0, 1)) / stakes.sum((0, 1)).clamp(min=SMALL)
    heard = torch.cat([policy.pooled(part.float()).flatten(0, 1) for part in tried.seen.split(POLICY_CLIPS)])
    policy.gru.reset_parameters()
    policy.gru.weight_ih.div_((heard.std(0) + SMALL).to(policy.gru.weight_ih))
    policy.gru.bias_ih.sub_(policy.gru.weight_ih @ heard.mean(0).to(policy.gru.weight_ih))
    policy.head.reset_parameters()
    policy.head.weight.mul_(0.1)
    policy.head.bias.copy_(torch.logit(share, eps=SMALL))


def try_gates(run: Run, data: TrainingData, recipe: Recipe, device: str, say: Callable[[str], None]) -> Tried:
    """`benefits` of all clips, on the CPU. Of a nested network's gates the last are the policy's."""
    assert isinstance(run.model.policy, Policy)
    own, front_end = run.model.policy.gates, FrontEnd()
    batches = 1 + policy_batches(recipe.guidance.pretrain)
    seen, found = [], []
    for step in range(batches):
        batch = data.policy_batch(step).to(device)
        spectrum = analysis(batch.noisy, front_end)
        heard = features(spectrum, front_end)
        bought = benefits(run.model, heard, spectrum, batch.target, recipe)[..., -own:]
        seen.append(heard.half().cpu())
        found.append(bought.cpu())
        if (step + 1) % 10 == 0:
            say(f"gates tried on {(step + 1) * POLICY_CLIPS} of {batches * POLICY_CLIPS} clips")
    return Tried(torch.cat(seen), torch.cat(found), gate_weights(run.model)[-own:], run.model.nested)


def regrets(found: Tensor, costs: Tensor, nested: bool) -> Tensor:
    """What is lost, in dB, if a gate is shut in a piece (below 0: if it is open), all other gates being at
    their best ``[clips, pieces, K]``.

    A gate costs ``costs[k]`` dB, a charge times its share of the gated compute, and buys ``found`` of
    `benefits`. Of a nested network the best depth that has the gate is compared with the best that has not:
    a stage that buys nothing itself may lead to one that does.
    """
    gains = found - costs
    if not nested:
        return gains
    depths = functional.pad(gains.cumsum(-1), (1, 0))
    deeper = depths[..., 1:].flip(-1).cummax(-1).values.flip(-1)
    return deeper - depths[..., :-1].cummax(-1).values


def regret_loss(logits: Tensor, lost: Tensor, guidance: Guidance) -> Tensor:
    """Logistic loss of the logits ``[clips, frames, K]`` against the sign of `regrets`, per clip; a piece
    counts as much as a wrong choice loses there, up to ``softness`` dB.

    So a policy that cannot tell two pieces apart chooses for both what is best in their mean.
    """
    stakes = lost.abs().clamp(max=guidance.softness).unsqueeze(2)
    wrong = functional.softplus(-lost.sign().unsqueeze(2) * by_piece(logits, lost, guidance))
    return (stakes * wrong).mean((1, 2, 3))


def charge_for(tried: Tried, wanted: float) -> float:
    """The dB that all gated compute must cost for the best choices to use the share ``wanted`` of it."""

    def spent(charge: float) -> float:
        best = regrets(tried.found, charge * tried.weights, tried.nested) > 0
        return float(used(best, tried.weights).mean())

    return crossing(spent, wanted, 0.0, DEAREST)


def shift_for(logits: Tensor, tried: Tried, wanted: float) -> float:
    """What to add to all ``logits`` ``[clips, frames, K]`` for the device to use the share ``wanted``."""

    def spent(less: float) -> float:
        return float(used(device_gates(logits - less, tried), tried.weights).mean())

    return -crossing(spent, wanted, -DEAREST, DEAREST)


def crossing(falling: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Where a function that falls goes through ``wanted``, between ``low`` and ``high``."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > wanted else (low, middle)
    return low


@torch.no_grad()
def told(policy: Policy, tried: Tried, device: str) -> Tensor:
    """The policy's logits ``[clips, frames, K]``, on the CPU."""
    parts = tried.seen.split(POLICY_CLIPS)
    return torch.cat([policy(part.to(device).float())[0].cpu() for part in parts])


def device_gates(logits: Tensor, tried: Tried) -> Tensor:
    """The device's gates, bool, for logits ``[..., K]``."""
    return (nested_logits(logits) if tried.nested else logits) > 0


def worth(logits: Tensor, tried: Tried, guidance: Guidance) -> str:
    """A line that says what the choices buy a piece, beside the same shares by chance, and the best choices
    at the same usage."""
    open_shares = by_piece(device_gates(logits, tried).float(), tried.found, guidance).mean(2)
    spent = float(used(open_shares, tried.weights).mean())
    best = regrets(tried.found, charge_for(tried, spent) * tried.weights, tried.nested) > 0
    chosen, ideal = (float((shares * tried.found).sum(-1).mean()) for shares in (open_shares, best))
    chance = float((open_shares.mean((0, 1)) * tried.found.mean((0, 1))).sum())
    return f"policy uses {spent:.3f}: {chosen:.2f} dB a piece (by chance {chance:.2f}, at best {ideal:.2f})"
