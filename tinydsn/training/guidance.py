"""What tells the gates how much compute to use: the objectives beside the speech loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quant.errors import ConfigError
from quant.nearest import unknown
from tinydsn.models.network import MaskNetwork

KINDS = ("none", "rating", "snr", "constant", "signal", "benefit", "regret")
SAMPLES_FLOOR = 1e-6


@dataclass(frozen=True)
class Guidance:
    """The usage objective; PAPERS.md, sections 1 ("MGT loss") and 7.

    kind        ``rating``: the wanted usage follows the DNSMOS OVRL of the noisy mixture (Zhao et al. 2026);
                ``snr``: it follows the mixture's SNR, where no rating is known; ``constant``: it is the same
                for all; ``signal``: usage costs where the output is good already (Elminshawi et al. 2025)
                and pays where it is not, and its mean is held at ``constant``; ``benefit``: a gate pays
                where opening it alone lowers the error (`tinydsn.training.benefit`); ``regret``: before
                the run the policy alone learns in which pieces a gate buys more than it costs, and then
                stays (`tinydsn.training.routing`); ``none``: no objective, as for a network without gates
    weight      of the usage loss
    low, high   wanted usage at ``best`` and at ``worst``
    best, worst OVRL (or SNR, dB) between which the wanted usage is linear
    constant    wanted usage of ``constant``, wanted mean usage of ``signal``, ``benefit``, ``regret``
    hint        weight of the loss that makes the policy's states tell the wanted usage (``rating``, ``snr``)
    hint_from   first frame of a clip that the hint looks at
    pretrain    hours of audio with which the policy alone learns, before the run: to tell the wanted usage,
                or, by ``regret``, where gates are worth it
    slope       of the gates' logits over the told usage's logit, when pretraining sets them
    variety     weight of the loss against gates that never change (`tinydsn.training.variety`)
    least       share of the frames in which each gate shall be open, and in which it shall be shut
    segment     length of the pieces that ``signal``, ``benefit`` and ``regret`` look at, frames
    threshold, softness   SDR of a piece, dB, at which usage costs nothing, and the slope; ``regret``: what a
                piece counts at most, dB
    price       a piece far above ``threshold`` pays half of this for its usage; one far below earns as much
    steady      what usage costs beside, times the error of the recent mean usage
    held        a gate's bias moves by this times what its share of open frames lacks of ``constant``, each
                step; 0: the losses alone decide
    """

    kind: str = "rating"
    weight: float = 1.0
    low: float = 0.1
    high: float = 0.9
    best: float = 3.2
    worst: float = 1.5
    constant: float = 0.5
    hint: float = 1.0
    hint_from: int = 30
    pretrain: float = 0.0
    slope: float = 3.0
    variety: float = 0.0
    least: float = 0.1
    segment: int = 24
    threshold: float = 8.0
    softness: float = 3.0
    price: float = 0.1
    steady: float = 1.0
    held: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(unknown("kind of guidance", self.kind, KINDS))
        if self.kind == "regret" and self.pretrain <= 0:
            raise ConfigError("guidance 'regret' is learned before the run (set pretrain in [guidance])")
        if self.pretrain > 0 and not self.hints and self.kind != "regret":
            raise ConfigError(f"guidance {self.kind!r} has no wanted usage to pretrain the policy on")
        if self.best == self.worst or self.segment < 1 or self.softness <= 0:
            raise ConfigError("guidance: best and worst must differ, segment and softness be above 0")

    @property
    def hints(self) -> bool:
        """Is there a wanted usage that the policy can be told?"""
        return self.kind in ("rating", "snr") and self.hint > 0


def wanted_usage(condition: Tensor, guidance: Guidance) -> Tensor:
    """Wanted share of the gated compute per clip for ratings or SNRs ``[batch]``."""
    if guidance.kind == "constant":
        return torch.full_like(condition, guidance.constant)
    position = ((guidance.best - condition) / (guidance.best - guidance.worst)).clamp(0, 1)
    return guidance.low + (guidance.high - guidance.low) * position


def opening_thresholds(model: MaskNetwork) -> dict[int, float]:
    """By gate, in opening order: the usage above which it opens, if usage shall follow what is told.

    Gate k opens where the told usage exceeds the share of compute of the gates that open before it and half
    of its own.
    """
    gated = dict(zip(model.gates, model.macs()[1], strict=True))
    whole, before = sum(gated.values()), 0.0
    thresholds = {}
    for name in model.opening_order():
        share = gated[name] / whole
        thresholds[model.gates.index(name)] = before + share / 2
        before += share
    return thresholds


def hint_loss(states: Tensor, hint: torch.nn.Linear, wanted: Tensor, first: int) -> Tensor:
    """How badly the wanted usage can be read from the policy's states: squared error per clip ``[batch]``.

    states ``[batch, frames, hidden]``; ``hint`` maps a state to one number and is thrown away after the
    training; the frames before ``first`` do not count, as nothing can be known there yet. The usage loss
    alone hardly teaches the policy to hear the noise: its gradient comes through hard gates.
    """
    return (torch.sigmoid(hint(states[:, first:]))[..., 0] - wanted[:, None]).square().mean(-1)


def gate_weights(model: MaskNetwork) -> Tensor:
    """Each gate's share of the gated multiply-accumulates ``[K]``."""
    gated = torch.tensor(model.macs()[1], dtype=torch.float32)
    return gated / gated.sum()


def used(gates: Tensor, weights: Tensor) -> Tensor:
    """Share of the gated compute in use ``[batch, frames]`` for gates ``[..., K]`` and weights ``[K]``."""
    return (gates * weights).sum(-1)


def usage_loss(gates: Tensor, weights: Tensor, wanted: Tensor) -> Tensor:
    """``(mean over frames of sum_k gate_k * weight_k - wanted) ** 2`` per clip ``[batch]``.

    gates ``[batch, frames, K]``, weights ``[K]`` with sum 1 (share of each gate in the gated compute).
    """
    return (used(gates, weights).mean(-1) - wanted).square()


def signal_loss(
    gates: Tensor,
    weights: Tensor,
    estimate: Tensor,
    target: Tensor,
    hop: int,
    guidance: Guidance,
    excess: float = 0.0,
) -> Tensor:
    """Usage weighted by how good the output is already, per clip ``[batch]`` (PAPERS.md, section 7).

    A piece with an SDR above ``threshold`` pays for its usage, one below is paid; ``excess``, the recent mean
    usage less the wanted one, is charged in all pieces alike. That charge vanishes as soon as the mean is
    right: a price that winds up until it is goes on rising while gates move, and shuts all of them for good.
    Waves ``[batch, samples]``, aligned with the frames; of several voices ``[batch, voices, samples]``, whose
    energies add. No gradient goes through the weights.
    """
    size = guidance.segment * hop
    pieces = min(estimate.shape[-1] // size, gates.shape[1] // guidance.segment)
    with torch.no_grad():
        signal = piece_energy(target, pieces, size)
        error = piece_energy(estimate - target, pieces, size)
        ratio = 10 * torch.log10((signal + SAMPLES_FLOOR) / (error + SAMPLES_FLOOR))
        good = torch.sigmoid((ratio - guidance.threshold) / guidance.softness)
        cost = guidance.price * (good - 0.5) + guidance.steady * excess
    usage = used(gates, weights)[:, : pieces * guidance.segment]
    return (usage.unflatten(1, (pieces, guidance.segment)).mean(-1) * cost).mean(-1)


def piece_energy(wave: Tensor, pieces: int, size: int) -> Tensor:
    """Energies ``[batch, pieces]`` of pieces of ``size`` samples; those of several voices add."""
    energy = wave[..., : pieces * size].unflatten(-1, (pieces, size)).square().sum(-1)
    return energy if energy.dim() == 2 else energy.sum(1)


def recent_usage(before: float, mean_used: float) -> float:
    """The running mean of the usage, over a few steps, after a step with this mean usage: one batch would
    be charged for being hard, many steps come too late and the usage swings."""
    return before + (mean_used - before) / 4
