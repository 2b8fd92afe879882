"""Training of early exits: all of them have a loss, and none may be worse than the one before it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quant.frontend import FrontEnd
from tinydsn.audio.stft import synthesis
from tinydsn.models.exits import ExitNetwork
from tinydsn.models.network import MaskNetwork
from tinydsn.training.losses import sdr_loss, speech_loss


@dataclass(frozen=True)
class ExitOptions:
    """How the exits of an `ExitNetwork` learn beside the output that its policy chooses.

    weight      of the mean of the exits' losses (deep supervision); 0: exits have no loss
    monotone    of what each exit is worse than the one before it
    only_heads  only what turns a stage's result into a mask learns; the stages and the policy stay as they
                are, so that exits can be mended that got worse with depth
    windows     window lengths of the exits' speech loss, samples; one is enough beside the output's own loss,
                and takes a third of the time
    """

    weight: float = 0.0
    monotone: float = 0.0
    only_heads: bool = False
    windows: tuple[int, ...] = (512,)

    @property
    def supervised(self) -> bool:
        """Whether exits have losses."""
        return self.weight > 0 or self.monotone > 0

    @property
    def used(self) -> bool:
        """Whether anything differs from training without exits."""
        return self.supervised or self.only_heads


def exit_masks(model: MaskNetwork, seen: Tensor) -> Tensor:
    """The masks ``[exits, batch, frames, bins]`` of an `ExitNetwork`; ``seen``: ``[batch, frames, bins]``."""
    assert isinstance(model, ExitNetwork)
    return model.exit_masks(seen).float()


def exit_losses(
    masks: Tensor, spectrum: Tensor, target: Tensor, windows: tuple[int, ...], sdr_weight: float
) -> dict[str, Tensor]:
    """Per clip ``[batch]``: ``exits``, the mean of the exits' losses, and ``monotone``, by how much exits are
    worse than those before them; ``exit_speech`` ``[batch, exits]``, the speech loss of each.

    ``masks`` are those of `exit_masks`, ``spectrum`` is complex ``[batch, frames, bins]``, ``target`` the
    clean waves ``[batch, samples]`` aligned with the delayed estimate. An exit's loss is that of the
    output: ``speech + sdr_weight * sdr``.
    """
    front_end = FrontEnd()
    exits, delay = len(masks), front_end.window - front_end.hop
    waves = synthesis((spectrum * masks).flatten(0, 1), front_end)[:, delay:]
    targets = target[:, : waves.shape[1]].repeat(exits, 1)
    speech = speech_loss(waves, targets, windows, front_end.compression).unflatten(0, (exits, -1)).T
    losses = speech + sdr_weight * sdr_loss(waves, targets).unflatten(0, (exits, -1)).T
    return {"exits": losses.mean(-1), "monotone": worsening(losses), "exit_speech": speech.detach()}


def worsening(losses: Tensor) -> Tensor:
    """The sum of ``max(0, loss of exit k+1 - loss of exit k)``, per clip, for losses ``[batch, exits]``.

    No gradient goes to the earlier exit of a pair: it must not get worse to please the later one.
    """
    return torch.relu(losses[:, 1:] - losses[:, :-1].detach()).sum(-1)


def train_only_heads(model: MaskNetwork) -> None:
    """Freezes all parameters but those of the exits' heads."""
    assert isinstance(model, ExitNetwork)
    for name, value in model.named_parameters():
        value.requires_grad_(name.startswith(model.heads))
