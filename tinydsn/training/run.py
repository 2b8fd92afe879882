"""The state of a training run: made, warm-started, saved and resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from quant.errors import ModelFileError
from tinydsn.models.checkpoint import load_checkpoint
from tinydsn.models.kinds import make_network
from tinydsn.models.network import MaskNetwork
from tinydsn.models.predictor import Predictor
from tinydsn.training.exits import train_only_heads
from tinydsn.training.metering import decide_by
from tinydsn.training.quantized import WeightScales
from tinydsn.training.recipe import Recipe
from tinydsn.training.state import read_state, resuming, write_state

POLICY = "policy."
"""Beginning of the names of what decides."""


@dataclass
class Run:
    """What is saved and resumed.

    average   the running average of the model's weights: the result
    hint      reads the wanted usage from the policy's states, see `tinydsn.training.guidance`
    used      the recent mean usage, for the guidance by signal
    seconds   of computing so far
    scales, average_scales   of the weights, when they are fine-tuned for integers, and their running average
    """

    model: MaskNetwork
    average: MaskNetwork
    hint: nn.Linear
    optimizer: torch.optim.Optimizer
    used: float
    step: int = 0
    seconds: float = 0.0
    scales: WeightScales | None = None
    average_scales: WeightScales | None = None


def new_run(
    recipe: Recipe,
    device: str = "cpu",
    start: Path | None = None,
    widths: Mapping[str, int] | None = None,
    meter: Predictor | None = None,
) -> Run:
    """Weights from the recipe's seed, or from the checkpoint ``start``; and the optimiser. ``widths``: bits
    of the weights to fine-tune for. ``meter``: what decides, for a network of kind "metered".

    ``start`` may lack the policy (a static sibling): that then keeps its start values. Raises
    ModelFileError when another part is missing or has another shape.
    """
    torch.manual_seed(recipe.train.seed)
    model = make_network(recipe.model)
    hint = nn.Linear(recipe.model.policy_hidden, 1)
    if start is not None:
        warm_start(model, start)
    if meter is not None:
        decide_by(model, meter, recipe.guidance)
    average = make_network(recipe.model)
    average.load_state_dict(model.state_dict())
    scales = average_scales = None
    if widths is not None:
        scales, average_scales = (WeightScales(model, widths).to(device) for _ in range(2))
    for module in (model, average, hint):
        module.to(device)
    policy = [*(model.policy.parameters() if model.policy else ()), *hint.parameters()]
    for value in policy:
        value.requires_grad_(recipe.train.policy_rate > 0)
    if recipe.exits.only_heads:
        train_only_heads(model)
    rest = [value for name, value in model.named_parameters() if not name.startswith(POLICY)]
    groups = [{"params": rest, "factor": 1.0}, {"params": policy, "factor": recipe.train.policy_rate}]
    if scales is not None:
        factor = recipe.quantization.scale_rate
        groups.append({"params": list(scales.parameters()), "factor": factor, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=recipe.train.decay)
    used = recipe.guidance.constant
    return Run(model, average, hint, optimizer, used, scales=scales, average_scales=average_scales)


def warm_start(model: MaskNetwork, path: Path) -> None:
    """Copies the weights of a checkpoint; only the policy may be missing on either side, or be another."""
    own, given = model.state_dict(), load_checkpoint(path).state_dict()
    if _policy_names(own) != _policy_names(given):
        given = {name: value for name, value in given.items() if not name.startswith(POLICY)}
    wrong = sorted(
        name
        for name in own.keys() | given.keys()
        if not name.startswith(POLICY)
        and (name not in own or name not in given or own[name].shape != given[name].shape)
    )
    if wrong:
        raise ModelFileError(
            f"{path}: is no start for this recipe's model: {wrong[0]} differs or is missing "
            f"({len(wrong)} in all); give both the same sizes"
        )
    fits = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(own | fits)


def _policy_names(weights: Mapping[str, object]) -> set[str]:
    return {name for name in weights if name.startswith(POLICY)}


def save_run(run: Run, path: Path) -> None:
    """Everything needed to go on, in one safetensors file, replaced as a whole."""
    progress = {"step": str(run.step), "seconds": repr(run.seconds), "used": repr(run.used)}
    write_state(path, _modules(run), run.optimizer, progress)


def _modules(run: Run) -> dict[str, nn.Module]:
    modules: dict[str, nn.Module] = {"model": run.model, "average": run.average, "hint": run.hint}
    if run.scales is not None and run.average_scales is not None:
        modules |= {"scales": run.scales, "average_scales": run.average_scales}
    return modules


def averaged(run: Run) -> list[tuple[nn.Module, nn.Module]]:
    """Each trained module and its running average."""
    pairs: list[tuple[nn.Module, nn.Module]] = [(run.model, run.average)]
    if run.scales is not None and run.average_scales is not None:
        pairs.append((run.scales, run.average_scales))
    return pairs


def load_run(path: Path, recipe: Recipe, device: str = "cpu", widths: Mapping[str, int] | None = None) -> Run:
    """Goes on from `save_run`. Raises ModelFileError for a damaged file or one of another recipe's model."""
    run = new_run(recipe, device, widths=widths)
    with resuming(path):
        progress = read_state(path, _modules(run), run.optimizer)
        run.step, run.seconds = int(progress["step"]), float(progress["seconds"])
        run.used = float(progress["used"])
    return run
