"""The training loop: resumes after a kill, writes a checkpoint every few minutes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from quant.errors import ModelFileError
from quant.frontend import FrontEnd
from tinydsn.audio.corpus import Bank
from tinydsn.audio.files import replace_file
from tinydsn.audio.mixing import draw_batch
from tinydsn.audio.stft import analysis, features, synthesis
from tinydsn.models.checkpoint import save_checkpoint
from tinydsn.models.dsn import Dsn
from tinydsn.nn import Gating
from tinydsn.training.losses import guide_loss, sdr_loss, speech_loss, usage_loss, wanted_usage
from tinydsn.training.recipe import Recipe
from tinydsn.training.schedule import learning_rate

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainingData:
    """Decoded clips of the train split, and fixed mixtures of the valid split."""

    speech: Bank
    noise: Bank
    rooms: Bank
    valid: tuple[Tensor, Tensor, Tensor]
    """noisy and target ``[clips, samples]``, SNR ``[clips]``"""


@dataclass
class Run:
    """The state that is saved and resumed."""

    model: Dsn
    average: Dsn
    guide: nn.Linear
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


def batch_tensors(
    speech: Bank, noise: Bank, rooms: Bank, recipe: Recipe, seed: int, step: int, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy and target waves ``[size, samples]`` and SNRs ``[size]`` of one step."""
    mixtures = draw_batch(speech, noise, rooms, recipe.mix, seed, step, size)
    noisy = torch.from_numpy(np.stack([mixture.noisy for mixture in mixtures]))
    target = torch.from_numpy(np.stack([mixture.target for mixture in mixtures]))
    return noisy, target, torch.tensor([mixture.snr_db for mixture in mixtures])


def new_run(recipe: Recipe) -> Run:
    """Fresh weights from the recipe's seed, and the optimiser."""
    torch.manual_seed(recipe.train.seed)
    model = Dsn(recipe.model)
    average = Dsn(recipe.model)
    average.load_state_dict(model.state_dict())
    guide = nn.Linear(recipe.model.policy_hidden, 1)
    policy = [*model.policy.parameters(), *guide.parameters()]
    rest = [value for name, value in model.named_parameters() if not name.startswith("policy.")]
    groups = [{"params": rest, "factor": 1.0}, {"params": policy, "factor": recipe.train.policy_rate}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=recipe.train.decay)
    return Run(model, average, guide, optimizer)


def save_run(run: Run, path: Path) -> None:
    """Everything needed to go on, in one safetensors file, replaced as a whole."""
    moments = run.optimizer.state_dict()["state"]
    tensors = {"random": torch.get_rng_state()}
    for part, module in _modules(run).items():
        tensors |= {f"{part}/{name}": value.contiguous() for name, value in module.state_dict().items()}
    for index, entry in moments.items():
        tensors |= {f"optimizer/{index}/{name}": value.contiguous() for name, value in entry.items()}
    progress = {"step": str(run.step), "seconds": repr(run.seconds)}
    replace_file(path, safetensors.torch.save(tensors, progress))


def _modules(run: Run) -> dict[str, nn.Module]:
    return {"model": run.model, "average": run.average, "guide": run.guide}


def load_run(path: Path, recipe: Recipe) -> Run:
    """Goes on from `save_run`. Raises ModelFileError for a damaged file or one of another recipe's model."""
    run = new_run(recipe)
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            progress = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        for part, module in _modules(run).items():
            module.load_state_dict(_below(tensors, part))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "optimizer").items():
            index, kind = name.split("/")
            moments.setdefault(int(index), {})[kind] = value
        groups = run.optimizer.state_dict()["param_groups"]
        run.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        run.step, run.seconds = int(progress["step"]), float(progress["seconds"])
        torch.set_rng_state(tensors["random"])
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelFileError(
            f"{path}: cannot be resumed ({reason}); delete it to start again, or choose another --out"
        ) from None
    return run


def _below(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The entries ``part/...``, without the prefix."""
    return {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}


def clip_losses(
    model: Dsn, guide: nn.Linear, noisy: Tensor, target: Tensor, snr: Tensor, recipe: Recipe, gating: Gating
) -> dict[str, Tensor]:
    """Per clip ``[batch]``: losses ``speech``, ``sdr``, ``usage``, ``guide``; ``used``, the share of compute.

    ``gates`` ``[batch, K]`` is each gate's share of open frames.
    """
    front_end = FrontEnd()
    spectrum = analysis(noisy, front_end)
    output = model(features(spectrum, front_end), gating)
    estimate = synthesis(spectrum * output.mask, front_end)
    delay = front_end.window - front_end.hop
    estimate, aligned = estimate[:, delay:], target[:, : estimate.shape[1] - delay]
    gated = torch.tensor(model.macs()[1], dtype=torch.float32)
    weights = gated / gated.sum()
    options, mix = recipe.train, recipe.mix
    wanted = wanted_usage(snr, options.usage_low, options.usage_high, mix.snr_low, mix.snr_high)
    return {
        "speech": speech_loss(estimate, aligned, options.windows, front_end.compression),
        "sdr": sdr_loss(estimate, aligned),
        "usage": usage_loss(output.gates, weights, wanted),
        "guide": guide_loss(output.states, guide, wanted, options.guide_from),
        "used": (output.gates.detach() * weights).sum(-1).mean(-1),
        "gates": output.gates.detach().mean(1),
    }


def train_step(run: Run, data: TrainingData, recipe: Recipe, done: float) -> dict[str, float]:
    """One step at the share ``done`` of the run; returns the means of the losses."""
    options, gates = recipe.train, recipe.gates
    noisy, target, snr = batch_tensors(
        data.speech, data.noise, data.rooms, recipe, options.seed, run.step, options.batch
    )
    forced = torch.ones(1) if gates.forced_open(done) else None
    gating = Gating(gates.noise(done), gates.temperature(done), forced)
    losses = clip_losses(run.model, run.guide, noisy, target, snr, recipe, gating)
    usage_weight = options.usage_weight * gates.usage_weight(done)
    total = losses["speech"] + options.sdr_weight * losses["sdr"] + usage_weight * losses["usage"]
    total = total + options.guide_weight * losses["guide"]
    run.optimizer.zero_grad(set_to_none=True)
    total.mean().backward()
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), options.clip)
    for group in run.optimizer.param_groups:
        group["lr"] = group["factor"] * learning_rate(done, options.rate, options.warmup, options.last_rate)
    if torch.isfinite(norm):
        run.optimizer.step()
    run.step += 1
    decay = min(options.average, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for mean, value in zip(run.average.parameters(), run.model.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
    means = {
        name: float(losses[name].detach().mean()) for name in ("speech", "sdr", "usage", "guide", "used")
    }
    return means | {"norm": float(norm)}


@torch.no_grad()
def validate(run: Run, data: TrainingData, recipe: Recipe) -> dict[str, Any]:
    """Losses of the averaged weights with the device's gates; usage of the noisier and the cleaner half."""
    noisy, target, snr = data.valid
    losses = clip_losses(run.average, run.guide, noisy, target, snr, recipe, Gating())
    low = snr < snr.median()
    gates = losses["gates"]
    return {
        "speech": round(float(losses["speech"].mean()), 5),
        "sdr": round(-float(losses["sdr"].mean()), 3),
        "usage_error": round(float(losses["usage"].mean()), 4),
        "used_low_snr": round(float(losses["used"][low].mean()), 3),
        "used_high_snr": round(float(losses["used"][~low].mean()), 3),
        "gates_low_snr": [round(value, 2) for value in gates[low].mean(0).tolist()],
        "gates_high_snr": [round(value, 2) for value in gates[~low].mean(0).tolist()],
    }


def train(
    data: TrainingData, recipe: Recipe, out: Path, minutes: float, say: Say = print, every: float = 120.0
) -> Dsn:
    """Trains until the recipe's ``steps`` (or, if 0, for ``minutes``), and returns the averaged weights.

    Writes ``model.safetensors`` (averaged weights), ``state.safetensors`` (to resume) and ``log.jsonl``
    into ``out`` at least every ``every`` seconds and at the end. An existing state is resumed: with
    ``steps`` set the result is the same as without the interruption.
    """
    state = out / "state.safetensors"
    run = load_run(state, recipe) if state.is_file() else new_run(recipe)
    steps = recipe.train.steps
    began = saved = time.monotonic() - run.seconds
    saved += run.seconds
    sums: dict[str, float] = {}
    first = run.step
    while (done := run.step / steps if steps else run.seconds / (60 * minutes)) < 1:
        for name, value in train_step(run, data, recipe, done).items():
            sums[name] = sums.get(name, 0.0) + value
        run.seconds = time.monotonic() - began
        if run.step % 50 == 0:
            means = "  ".join(f"{name} {value / (run.step - first):.4f}" for name, value in sums.items())
            say(f"{100 * done:5.1f} %  step {run.step}  {run.seconds:.0f} s  {means}")
            first, sums = run.step, {}
        if time.monotonic() - saved > every:
            _save(run, data, recipe, out, done, say)
            saved = time.monotonic()
    _save(run, data, recipe, out, 1.0, say)
    return run.average


def _save(run: Run, data: TrainingData, recipe: Recipe, out: Path, done: float, say: Say) -> None:
    report = {"step": run.step, "seconds": round(run.seconds, 1), "done": round(done, 4)}
    report |= validate(run, data, recipe)
    save_checkpoint(run.average, out / "model.safetensors")
    save_run(run, out / "state.safetensors")
    line = json.dumps(report)
    with (out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    say(f"valid {line}")
