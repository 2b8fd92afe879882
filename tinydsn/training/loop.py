"""The training loop: resumes after a kill, writes a checkpoint every few minutes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quant.frontend import FrontEnd
from tinydsn.audio.stft import analysis, features
from tinydsn.models.checkpoint import save_checkpoint
from tinydsn.models.network import MaskNetwork
from tinydsn.models.predictor import Predictor
from tinydsn.nn import Gating
from tinydsn.training.benefit import benefit_loss, benefits
from tinydsn.training.data import Batch, TrainingData
from tinydsn.training.exits import exit_losses, exit_masks
from tinydsn.training.guidance import (
    gate_weights,
    hint_loss,
    recent_usage,
    signal_loss,
    usage_loss,
    used,
    wanted_usage,
)
from tinydsn.training.levels import forced_gates
from tinydsn.training.losses import sdr_loss, speech_loss
from tinydsn.training.pretraining import pretrain_policy
from tinydsn.training.quantized import Target
from tinydsn.training.quantized_loss import quantized_losses, quantized_total
from tinydsn.training.recipe import Recipe
from tinydsn.training.routing import learn_routes
from tinydsn.training.run import Run, averaged, load_run, new_run, save_run
from tinydsn.training.schedule import learning_rate
from tinydsn.training.separation import at_best_level, separation_losses
from tinydsn.training.variety import variety_loss
from tinydsn.training.waves import rendered

Say = Callable[[str], None]
Watch = Callable[[int, int, dict[str, float]], None]
"""Called after each step with the steps done, the steps in all, and the step's losses."""


def clip_losses(
    model: MaskNetwork,
    hint: nn.Linear,
    batch: Batch,
    recipe: Recipe,
    gating: Gating,
    excess: float = 0.0,
    free: Tensor | None = None,
) -> dict[str, Tensor]:
    """Per clip ``[batch]``: losses ``speech``, ``sdr``, ``usage``, ``hint``; ``used``, the share of compute.

    ``gates`` ``[batch, K]`` is each gate's share of open frames, ``opened`` that of the device's gate if
    nothing were forced. With exits also what `exit_losses` gives.
    ``excess``: see `signal_loss`. ``free``: which clips the policy decides, bool ``[batch]``; None is all.
    """
    front_end = FrontEnd()
    spectrum = analysis(batch.noisy, front_end)
    narrow = recipe.train.bf16 and batch.noisy.is_cuda
    with torch.autocast("cuda", torch.bfloat16, enabled=narrow):
        seen = features(spectrum, front_end)
        output = model(seen, gating)
        masks = exit_masks(model, seen) if recipe.exits.supervised else None
    estimate, aligned = rendered(output.mask, spectrum, batch.target, recipe)
    if recipe.separates:
        losses = separation_losses(estimate, aligned, recipe, front_end.compression)
        estimate = at_best_level(estimate, aligned)
    else:
        losses = {
            "speech": speech_loss(estimate, aligned, recipe.train.windows, front_end.compression),
            "sdr": sdr_loss(estimate, aligned),
        }
    losses["gates"] = output.gates.detach().mean(1)
    losses["opened"] = (output.logits.detach() > 0).float().mean(1)
    if masks is not None:
        losses |= exit_losses(masks, spectrum, aligned, recipe.exits.windows, recipe.train.sdr_weight)
    zero = torch.zeros_like(losses["sdr"])
    losses |= {"usage": zero, "hint": zero, "used": zero}
    if not model.gates:
        return losses
    guidance, gates = recipe.guidance, output.gates.float()
    weights = gate_weights(model).to(gates.device)
    losses["used"] = used(gates.detach(), weights).mean(-1)
    if guidance.kind == "signal":
        losses["usage"] = signal_loss(gates, weights, estimate, aligned, front_end.hop, guidance, excess)
    elif guidance.kind == "benefit":
        own = torch.arange(len(gates), device=gates.device)[slice(None) if free is None else free]
        found = benefits(model, seen[own], spectrum[own], batch.target[own], recipe)
        losses["usage"] = zero.index_add(0, own, benefit_loss(gates[own], found, guidance))
    elif guidance.kind not in ("none", "regret"):
        wanted = wanted_usage(batch.condition, guidance)
        losses["usage"] = usage_loss(gates, weights, wanted)
        if guidance.variety > 0:
            losses["usage"] = losses["usage"] + guidance.variety * variety_loss(gates, guidance.least)
        if guidance.hints:
            losses["hint"] = hint_loss(output.states.float(), hint, wanted, guidance.hint_from)
    return losses


def train_step(
    run: Run, batch: Batch, recipe: Recipe, done: float, target: Target | None = None
) -> dict[str, float]:
    """One step at the share ``done`` of the run; returns the means of the losses. ``target``: of fine-tuning
    for integers."""
    options = recipe.train
    if target is None:
        total, losses = _objective(run, batch, recipe, done)
        names = ["speech", "sdr", "usage", "hint", "used"]
        names += ["exits", "monotone"] if recipe.exits.supervised else []
    else:
        assert run.scales is not None
        losses = quantized_losses(run.model, run.scales, batch, recipe, target)
        total, names = quantized_total(losses, recipe), ["speech", "sdr", "like_speech", "si_sdr", "policy"]
    run.optimizer.zero_grad(set_to_none=True)
    total.mean().backward()
    trained = [value for module, _ in averaged(run) for value in module.parameters()]
    norm = torch.nn.utils.clip_grad_norm_(trained, options.clip)
    for group in run.optimizer.param_groups:
        group["lr"] = group["factor"] * learning_rate(done, options.rate, options.warmup, options.last_rate)
    if torch.isfinite(norm):
        run.optimizer.step()
    run.step += 1
    decay = min(options.average, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for module, average in averaged(run):
            for mean, value in zip(average.parameters(), module.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
    means = {name: float(losses[name].detach().mean()) for name in names}
    if recipe.guidance.kind == "signal" and recipe.gates.usage_weight(done) > 0:
        run.used = recent_usage(run.used, means["used"])
    if recipe.guidance.held > 0 and recipe.gates.usage_weight(done) > 0:
        run.model.shift_logits(recipe.guidance.held * (recipe.guidance.constant - losses["opened"].mean(0)))
    return means | {"norm": float(norm)}


def _objective(run: Run, batch: Batch, recipe: Recipe, done: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss to be lowered per clip ``[batch]``, and its parts."""
    gates, guidance = recipe.gates, recipe.guidance
    forced, free = forced_gates(run.model, len(batch.noisy), gates, done)
    forced, free = None if forced is None else forced.to(batch.noisy.device), free.to(batch.noisy.device)
    gating = Gating(gates.noise(done), gates.temperature(done), forced)
    excess = run.used - guidance.constant
    losses = clip_losses(run.model, run.hint, batch, recipe, gating, excess, free)
    losses |= {name: losses[name][free] for name in ("used", "opened")} | {"usage": losses["usage"] * free}
    total = losses["speech"] + recipe.train.sdr_weight * losses["sdr"]
    usage = guidance.weight * gates.usage_weight(done) * losses["usage"]
    total = total + usage + guidance.hint * losses["hint"]
    if recipe.exits.supervised:
        total = total + recipe.exits.weight * losses["exits"] + recipe.exits.monotone * losses["monotone"]
    return total, losses


@torch.no_grad()
def validate(run: Run, data: TrainingData, recipe: Recipe, target: Target | None = None) -> dict[str, Any]:
    """Losses of the averaged weights with the device's gates; usage of the noisier and the cleaner half.

    With a ``target`` those of the integer network: ``si_sdr`` is that against the float network in dB.
    """
    valid = data.valid.to(next(run.average.parameters()).device.type)
    if target is not None:
        assert run.average_scales is not None
        found = quantized_losses(run.average, run.average_scales, valid, recipe, target)
        return {
            "speech": round(float(found["speech"].mean()), 5),
            "sdr": round(-float(found["sdr"].mean()), 3),
            "si_sdr": round(float(found["si_sdr"].mean()), 3),
            "gates": [round(value, 3) for value in found["gates"].mean(0).tolist()],
            "gates_same": [round(value, 3) for value in found["same"].mean(0).tolist()],
        }
    losses = clip_losses(run.average, run.hint, valid, recipe, Gating())
    low = valid.condition < valid.condition.median()
    report: dict[str, Any] = {
        "speech": round(float(losses["speech"].mean()), 5),
        "sdr": round(-float(losses["sdr"].mean()), 3),
    }
    if recipe.separates:
        report["sdr_gain"] = round(report["sdr"] - float(valid.condition.mean()), 3)
    if recipe.exits.supervised:
        speech = losses["exit_speech"]
        worse = (speech[:, 1:] > speech[:, :-1]).float()
        report["exits"] = [round(value, 5) for value in speech.mean(0).tolist()]
        report["exits_worse"] = [round(value, 3) for value in worse.mean(0).tolist()]
    if run.average.gates:
        for name, half in (("low", low), ("high", ~low)):
            report[f"used_{name}_snr"] = round(float(losses["used"][half].mean()), 3)
            report[f"gates_{name}_snr"] = [round(v, 2) for v in losses["gates"][half].mean(0).tolist()]
    return report


def train(
    data: TrainingData,
    recipe: Recipe,
    out: Path,
    say: Say = print,
    every: float = 120.0,
    device: str = "cpu",
    start: Path | None = None,
    watch: Watch | None = None,
    target: Target | None = None,
    meter: Predictor | None = None,
) -> MaskNetwork:
    """Trains until the recipe's hours are seen, and returns the averaged weights.

    Writes ``model.safetensors`` (averaged weights), ``state.safetensors`` (to resume) and ``log.jsonl``
    into ``out`` at least every ``every`` seconds and at the end. An existing state is resumed, with the
    same result as without the interruption; ``start`` is the checkpoint of a warm start. ``target``
    fine-tunes for integers; the checkpoint then holds the scales of the weights too. ``meter``: what decides
    for a network of kind "metered", unless the start is one.
    """
    state = out / "state.safetensors"
    widths = None if target is None else target.network.widths
    if state.is_file():
        run = load_run(state, recipe, device, widths)
    else:
        run = new_run(recipe, device, start, widths, meter)
        if target is not None:
            _save(run, data, recipe, out, say, target)  # what the start is worth in integers
        if recipe.guidance.pretrain > 0:
            pretrained = learn_routes if recipe.guidance.kind == "regret" else pretrain_policy
            pretrained(run, data, recipe, device, say)
            save_run(run, state)
    steps, began = recipe.steps, time.monotonic() - run.seconds
    saved = time.monotonic()
    sums: dict[str, float] = {}
    first = run.step
    while run.step < steps:
        means = train_step(run, data.batch(run.step).to(device), recipe, run.step / steps, target)
        for name, value in means.items():
            sums[name] = sums.get(name, 0.0) + value
        run.seconds = time.monotonic() - began
        if watch:
            watch(run.step, steps, means)
        if run.step % 50 == 0:
            text = "  ".join(f"{name} {value / (run.step - first):.4f}" for name, value in sums.items())
            say(f"{100 * run.step / steps:5.1f} %  step {run.step}  {run.seconds:.0f} s  {text}")
            first, sums = run.step, {}
        if time.monotonic() - saved > every:
            _save(run, data, recipe, out, say, target)
            saved = time.monotonic()
    _save(run, data, recipe, out, say, target)
    return run.average


def _save(
    run: Run, data: TrainingData, recipe: Recipe, out: Path, say: Say, target: Target | None = None
) -> None:
    done = run.step / recipe.steps
    report = {"step": run.step, "seconds": round(run.seconds, 1), "done": round(done, 4)}
    report |= validate(run, data, recipe, target)
    scales = run.average_scales.learned() if run.average_scales is not None else None
    save_checkpoint(run.average, out / "model.safetensors", scales=scales)
    save_run(run, out / "state.safetensors")
    line = json.dumps(report)
    with (out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    say(f"valid {line}")
