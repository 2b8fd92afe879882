"""Trains a task's network: a few minutes on one core, so a run that was killed begins again."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tinydsn.audio.files import replace_file
from tinydsn.models.checkpoint import save_checkpoint
from tinydsn.models.kinds import make_task_network
from tinydsn.models.task_network import TaskNetwork
from tinydsn.tasks.data import Batch
from tinydsn.tasks.recipe import TaskRecipe
from tinydsn.tasks.task import Task
from tinydsn.training.schedule import learning_rate

REPORT = 500
"""Steps between two looks at the valid split."""
TOGETHER = 50
"""Clips that are looked at together."""
Say = Callable[[str], None]
Watch = Callable[[int, int, dict[str, float]], None]


class Drawn(Protocol):
    """What a network is trained on: so many clips, of which some are picked for a step."""

    def __len__(self) -> int: ...

    def pick(self, rows: Tensor) -> Batch: ...


def frame_loss(task: Task, model: TaskNetwork, batch: Batch) -> Tensor:
    """The task's loss, a scalar: mean over frames by weight."""
    losses = task.loss(model.logits(batch.pooled), batch.target) * batch.weight
    return losses.sum() / batch.weight.sum()


@torch.no_grad()
def evaluate(task: Task, model: TaskNetwork, batch: Batch) -> dict[str, float]:
    """The float network's score (mean over clips) and the task's metrics."""
    parts = [model.answer(model.logits(part)) for part in batch.pooled.split(TOGETHER)]
    outputs = torch.cat(parts).numpy().astype(float)
    clips = list(zip(outputs, batch.target.numpy(), batch.weight.numpy(), strict=True))
    return {"score": sum(task.score(*clip) for clip in clips) / len(clips), **task.metrics(clips)}


def train(
    recipe: TaskRecipe, data: Drawn, valid: Batch, out: Path, say: Say = print, watch: Watch | None = None
) -> tuple[TaskNetwork, dict[str, Any]]:
    """Trains by ``recipe``; writes ``model.safetensors`` (averaged weights) and ``log.jsonl`` into ``out``.

    Returns the network and the last line of the log.
    """
    options, task = recipe.train, recipe.chosen
    torch.manual_seed(options.seed)
    model = make_task_network(recipe.network).train()
    average = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=options.decay)
    chooser = torch.Generator().manual_seed(options.seed)
    began, lines, losses = time.monotonic(), [], []
    for step in range(options.steps):
        rows = torch.randint(len(data), (options.batch,), generator=chooser)
        loss = frame_loss(task, model, data.pick(rows))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip)
        done = step / options.steps
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done, options.rate, options.warmup, options.last_rate)
        optimizer.step()
        decay = min(options.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, value in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
            for kept, buffer in zip(average.buffers(), model.buffers(), strict=True):
                if kept.is_floating_point():
                    kept.lerp_(buffer, 1 - decay)
        losses.append(float(loss.detach()))
        if watch:
            watch(step + 1, options.steps, {"loss": losses[-1]})
        if (step + 1) % REPORT == 0 or step + 1 == options.steps:
            report = {"step": step + 1, "seconds": round(time.monotonic() - began, 1)}
            report["loss"] = sum(losses) / len(losses)
            report |= evaluate(task, average, valid)
            lines.append(json.dumps({k: round(v, 5) for k, v in report.items()}))
            say(f"valid {lines[-1]}")
            losses.clear()
    save_checkpoint(average, out / "model.safetensors")
    replace_file(out / "log.jsonl", ("\n".join(lines) + "\n").encode())
    return average, json.loads(lines[-1])
