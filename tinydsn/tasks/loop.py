"""Trains a task's network: minutes on one core, with a state to go on from after a kill."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from quant.errors import ConfigError
from tinydsn.audio.files import replace_file
from tinydsn.models.checkpoint import save_checkpoint
from tinydsn.models.kinds import make_task_network
from tinydsn.models.task_network import TaskNetwork
from tinydsn.tasks.data import Batch
from tinydsn.tasks.recipe import TaskRecipe
from tinydsn.tasks.task import Task
from tinydsn.training.schedule import learning_rate
from tinydsn.training.state import read_state, resuming, state_progress, write_state

REPORT = 500
"""Steps between two looks at the valid split."""
TOGETHER = 50
"""Clips that are looked at together."""
Say = Callable[[str], None]
Watch = Callable[[int, int, dict[str, float]], None]


class Drawn(Protocol):
    """What a network is trained on: so many clips, of which some are picked for a step."""

    def __len__(self) -> int: ...

    def pick(self, rows: Tensor, chooser: torch.Generator) -> Batch:
        """Some of the clips, or segments of them that ``chooser`` draws."""


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


@dataclass
class TaskRun:
    """What is saved and resumed: networks, optimiser, and what was told of the run so far.

    total   of the losses since the last look at the valid split, of ``counted`` steps
    lines   of the log
    """

    model: TaskNetwork
    average: TaskNetwork
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    total: float = 0.0
    counted: int = 0
    lines: list[str] = field(default_factory=list)


def train(
    recipe: TaskRecipe,
    data: Drawn,
    valid: Batch,
    out: Path,
    say: Say = print,
    watch: Watch | None = None,
    made_of: str = "",
    every: float = 60.0,
) -> tuple[TaskNetwork, dict[str, Any]]:
    """Trains by ``recipe``; writes ``model.safetensors`` (averaged weights) and ``log.jsonl`` into ``out``.

    A state is kept there at least every ``every`` seconds and resumed, with the same result as without the
    interruption. ``made_of`` names what else decides the run: ConfigError where the state's is another one,
    ModelFileError where it is damaged. Returns the network and the last line of the log.
    """
    state = out / "state.safetensors"
    key = json.dumps({"recipe": recipe.as_dict(), "made_of": made_of}, sort_keys=True)
    run = _new_run(recipe)
    if state.is_file():
        _resume(run, state, key)
    options, began, saved = recipe.train, time.monotonic() - run.seconds, time.monotonic()
    while run.step < options.steps:
        loss = _step(run, recipe, data)
        run.seconds = time.monotonic() - began
        if watch:
            watch(run.step, options.steps, {"loss": loss})
        if run.step % REPORT == 0 or run.step == options.steps:
            _look(run, recipe.chosen, valid, say)
        if time.monotonic() - saved > every or run.step == options.steps:
            _save(run, state, key)
            saved = time.monotonic()
    save_checkpoint(run.average, out / "model.safetensors")
    replace_file(out / "log.jsonl", ("\n".join(run.lines) + "\n").encode())
    return run.average, json.loads(run.lines[-1])


def _new_run(recipe: TaskRecipe) -> TaskRun:
    torch.manual_seed(recipe.train.seed)
    model = make_task_network(recipe.network).train()
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=recipe.train.decay)
    return TaskRun(model, copy.deepcopy(model).eval(), optimizer)


def _step(run: TaskRun, recipe: TaskRecipe, data: Drawn) -> float:
    """One step; its clips depend on the recipe and the step only."""
    options, step = recipe.train, run.step
    chooser = torch.Generator().manual_seed(options.seed * options.steps + step)
    rows = torch.randint(len(data), (options.batch,), generator=chooser)
    loss = frame_loss(recipe.chosen, run.model, data.pick(rows, chooser))
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), options.clip)
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(step / options.steps, options.rate, options.warmup, options.last_rate)
    run.optimizer.step()
    decay = min(options.average, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(run.average.parameters(), run.model.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for kept, buffer in zip(run.average.buffers(), run.model.buffers(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(buffer, 1 - decay)
    run.step, run.counted = step + 1, run.counted + 1
    run.total += float(loss.detach())
    return float(loss.detach())


def _look(run: TaskRun, task: Task, valid: Batch, say: Say) -> None:
    """A line of the log: the mean loss since the last one, and the averaged network on the valid split."""
    report = {"step": run.step, "seconds": round(run.seconds, 1), "loss": run.total / run.counted}
    report |= evaluate(task, run.average, valid)
    run.lines.append(json.dumps({name: round(value, 5) for name, value in report.items()}))
    run.total, run.counted = 0.0, 0
    say(f"valid {run.lines[-1]}")


def _modules(run: TaskRun) -> dict[str, nn.Module]:
    return {"model": run.model, "average": run.average}


def _save(run: TaskRun, state: Path, key: str) -> None:
    told = {"total": run.total, "counted": run.counted, "lines": run.lines, "seconds": run.seconds}
    progress = {"key": key, "step": str(run.step), "told": json.dumps(told)}
    write_state(state, _modules(run), run.optimizer, progress)


def _resume(run: TaskRun, state: Path, key: str) -> None:
    with resuming(state):
        if state_progress(state)["key"] != key:
            raise ConfigError(f"{state.parent}: holds another run; choose another --out or delete it")
        progress = read_state(state, _modules(run), run.optimizer)
        run.step, told = int(progress["step"]), json.loads(progress["told"])
        run.total, run.counted = told["total"], told["counted"]
        run.lines, run.seconds = told["lines"], told["seconds"]
