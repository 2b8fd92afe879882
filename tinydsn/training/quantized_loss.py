"""The losses of fine-tuning for integers: of the integer network's output, by way of the float network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from quant.frontend import FrontEnd
from tinydsn.audio.stft import analysis, features, synthesis
from tinydsn.models.network import MaskNetwork
from tinydsn.nn import Gating
from tinydsn.training.data import Batch
from tinydsn.training.losses import sdr_loss, speech_loss
from tinydsn.training.quantized import StraightThrough, Target, WeightScales, rounded_parameters
from tinydsn.training.recipe import Recipe

SMALLEST = 1e-10
"""Added to energies, so that silence has a ratio."""


def quantized_losses(
    model: MaskNetwork, scales: WeightScales, batch: Batch, recipe: Recipe, target: Target
) -> dict[str, Tensor]:
    """Per clip ``[batch]``: ``speech`` and ``sdr`` against clean speech, ``like_speech`` and ``like_sdr``
    against the float network's output, ``si_sdr`` against that in dB, and ``policy``, the cross entropy of
    the policy's logits with the float network's gates.

    ``gates`` ``[batch, K]`` is each gate's share of open frames, ``same`` ``[batch, K]`` the share of frames
    in which it stands as in the float network.
    """
    front_end = FrontEnd()
    spectrum = analysis(batch.noisy, front_end)
    seen = features(spectrum, front_end)
    with torch.no_grad():
        wanted = target.teacher(seen)
        like = synthesis(spectrum * wanted.mask, front_end)
        exact = target.network.run(dict(model.named_parameters()), scales.learned(), batch.noisy)
    gating = Gating(forced=exact.gates) if model.gates else Gating()
    output = functional_call(model, rounded_parameters(model, scales), (seen, gating))
    estimate = StraightThrough.apply(synthesis(spectrum * output.mask, front_end), exact.waves)
    delay = front_end.window - front_end.hop
    estimate, like = estimate[:, delay:], like[:, delay:]
    clean = batch.target[:, : estimate.shape[1]]
    windows = recipe.train.windows
    losses = {
        "speech": speech_loss(estimate, clean, windows, front_end.compression),
        "sdr": sdr_loss(estimate, clean),
        "like_speech": speech_loss(estimate, like, windows, front_end.compression),
        "like_sdr": sdr_loss(estimate, like),
        "si_sdr": si_sdr(estimate.detach(), like),
        "gates": exact.gates.mean(1),
        "same": (exact.gates == wanted.gates).float().mean(1),
        "policy": torch.zeros(len(estimate), device=estimate.device),
    }
    if model.gates:
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(
            output.logits, wanted.gates, reduction="none"
        )
        losses["policy"] = entropy.mean((1, 2))
    return losses


def quantized_total(losses: dict[str, Tensor], recipe: Recipe) -> Tensor:
    """The loss to be lowered, per clip ``[batch]``."""
    options, weight = recipe.quantization, recipe.train.sdr_weight
    speech = losses["speech"] + weight * losses["sdr"]
    like = losses["like_speech"] + weight * losses["like_sdr"]
    return (1 - options.imitation) * speech + options.imitation * like + options.gates * losses["policy"]


def si_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB per clip ``[batch]`` of waves ``[batch, samples]``."""
    energy = target.square().sum(-1, keepdim=True) + SMALLEST
    part = (estimate * target).sum(-1, keepdim=True) / energy * target
    signal, rest = part.square().sum(-1), (estimate - part).square().sum(-1)
    return 10 * torch.log10((signal + SMALLEST) / (rest + SMALLEST))
