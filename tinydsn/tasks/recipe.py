"""Recipes of tasks: a TOML file with the tables ``task``, ``model``, ``mix`` and ``train``."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from quant.errors import ConfigError
from tinydsn.audio.mixing import MixOptions
from tinydsn.models.sequence import SequenceConfig
from tinydsn.tasks.task import TASKS, Task, task_named
from tinydsn.training.recipe import from_tables

TABLE = "task"


@dataclass(frozen=True)
class TaskName:
    """Which task a recipe is for."""

    name: str = ""


@dataclass(frozen=True)
class TaskModel:
    """Sizes of the network that the task leaves open."""

    hidden: int = 64


@dataclass(frozen=True)
class TaskTraining:
    """The optimiser's settings.

    seed        of the start values and the examples
    files       most recordings of each kind that are decoded
    examples    drawn once, before the first step
    steps, batch   length of the run, and examples a step
    rate, warmup, last_rate   peak learning rate, share of warm-up, last rate as a share of the peak
    decay       weight decay of AdamW
    clip        largest norm of the gradient
    average     decay of the running average of the weights; the average is the result
    """

    seed: int = 1
    files: int = 1000
    examples: int = 1500
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
    model: TaskModel = field(default_factory=TaskModel)
    mix: MixOptions = field(default_factory=MixOptions)
    train: TaskTraining = field(default_factory=TaskTraining)

    def __post_init__(self) -> None:
        task_named(self.task.name)
        for name in ("files", "examples", "steps", "batch"):
            if getattr(self.train, name) < 1:
                raise ConfigError(f"[train]: {name} is {getattr(self.train, name)} (must be at least 1)")

    @property
    def chosen(self) -> Task:
        """The task."""
        return TASKS[self.task.name]

    @property
    def network(self) -> SequenceConfig:
        """The network's configuration."""
        task = self.chosen
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


def read_task_recipe(path: Path) -> TaskRecipe:
    """Reads a recipe. Raises ConfigError for an unknown task, or an unknown or ill-typed setting."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    kinds: dict[str, type[Any]] = {
        TABLE: TaskName,
        "model": TaskModel,
        "mix": MixOptions,
        "train": TaskTraining,
    }
    return from_tables(TaskRecipe, kinds, tables, path)
