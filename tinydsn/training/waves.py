"""From a mask to the waves that losses compare."""

from __future__ import annotations

from torch import Tensor

from quant.frontend import FrontEnd
from tinydsn.audio.stft import masked, synthesis
from tinydsn.training.recipe import Recipe
from tinydsn.training.separation import assigned


def rendered(mask: Tensor, spectrum: Tensor, target: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Estimates and targets ``[batch, samples]``, or ``[batch, voices, samples]``, without the front end's
    delay and of equal length; voices in the estimates' order."""
    front_end = FrontEnd()
    delay = front_end.window - front_end.hop
    estimate = synthesis(masked(spectrum, mask.float()), front_end)[..., delay:]
    aligned = target[..., : estimate.shape[-1]]
    return estimate, assigned(estimate, aligned) if recipe.separates else aligned
