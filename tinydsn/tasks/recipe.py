"""Recipes of tasks: a TOML file with the tables ``task``, ``model``, ``mix`` and ``train``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from quant.errors import ConfigError
from tinydsn.audio.mixing import MixOptions
from tinydsn.models.predictor import PredictorConfig
from tinydsn.models.sequence import SequenceConfig
from tinydsn.models.task_network import TaskConfig
from tinydsn.tasks.task import TASKS, Task, task_named
from tinydsn.training.recipe import from_tables

TABLE = "task"


@dataclass(frozen=True)
class TaskName:
    """Which task a recipe is for."""

    name: str = ""


@dataclass(frozen=True)
class TaskModel:
    """Sizes of a GRU's network that the task leaves open."""

    hidden: int = 64


@dataclass(frozen=True)
class PredictorModel:
    """Sizes of a predictor that the task leaves open; see `tinydsn.models.predictor.PredictorConfig`."""

    channels: int = 32
    pooled: int = 32
    hidden: int = 16
    seconds: float = 1.0
    binary: bool = True


MODELS: Mapping[str, type[TaskModel | PredictorModel]] = {
    "sequence": TaskModel,
    "predictor": PredictorModel,
}
"""The table ``[model]`` by the kind of the task's network."""


@dataclass(frozen=True)
class TaskTraining:
    """The optimiser's settings.

    seed        of the start values and the examples
    files       most recordings of each kind that are decoded
    examples    drawn once, before the first step; a task that is rated takes the whole pool
    frames, gain_db   length of a segment of the rated pool, and the most by which its level changes
    steps, batch   length of the run, and examples a step
    rate, warmup, last_rate   peak learning rate, share of warm-up, last rate as a share of the peak
    decay       weight decay of AdamW
    clip        largest norm of the gradient
    average     decay of the running average of the weights; the average is the result
    """

    seed: int = 1
    files: int = 1000
    examples: int = 1500
    frames: int = 313
    gain_db: float = 6.0
    steps: int = 1000
    batch: int = 16
    rate: float = 4e-3
    warmup: float = 0.03
    last_rate: float = 0.01
    decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.995


@dataclass(frozen=True)
class TaskRecipe:
    """Everything that decides a run besides the corpus."""

    task: TaskName
    model: TaskModel | PredictorModel | None = None
    mix: MixOptions = field(default_factory=MixOptions)
    train: TaskTraining = field(default_factory=TaskTraining)

    def __post_init__(self) -> None:
        task = task_named(self.task.name)
        if self.model is None:
            object.__setattr__(self, "model", MODELS[task.network]())
        for name in ("files", "examples", "frames", "steps", "batch"):
            if getattr(self.train, name) < 1:
                raise ConfigError(f"[train]: {name} is {getattr(self.train, name)} (must be at least 1)")

    @property
    def chosen(self) -> Task:
        """The task."""
        return TASKS[self.task.name]

    @property
    def network(self) -> TaskConfig:
        """The network's configuration."""
        task = self.chosen
        if isinstance(self.model, PredictorModel):
            return PredictorConfig(task.name, task.outputs, **asdict(self.model))
        assert isinstance(self.model, TaskModel)
        return SequenceConfig(task.name, task.outputs, task.answer, self.model.hidden)

    def as_dict(self) -> dict[str, Any]:
        """The recipe as nested dictionaries for cards and logs."""
        return asdict(self)


def is_task_recipe(path: Path) -> bool:
    """Whether a TOML file has a table ``[task]``; False for a file that cannot be read."""
    try:
        return TABLE in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _model_of(tables: Mapping[str, Any]) -> type[Any]:
    """What the table ``[model]`` may hold; that of the GRUs for a task that is refused later."""
    named = tables.get(TABLE, {})
    task = TASKS.get(str(named.get("name"))) if isinstance(named, dict) else None
    return MODELS[task.network if task else "sequence"]


def read_task_recipe(path: Path) -> TaskRecipe:
    """Reads a recipe. Raises ConfigError for an unknown task, or an unknown or ill-typed setting."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    kinds: dict[str, type[Any]] = {
        TABLE: TaskName,
        "model": _model_of(tables),
        "mix": MixOptions,
        "train": TaskTraining,
    }
    return from_tables(TaskRecipe, kinds, tables, path)
