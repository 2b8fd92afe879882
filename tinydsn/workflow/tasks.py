"""Tasks as a user starts them: training by a task's recipe, and which task a model is for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.errors import ConfigError
from tinydsn.audio.files import replace_file
from tinydsn.workflow.models import checkpoint_path

if TYPE_CHECKING:
    from tinydsn.tasks import Task
    from tinydsn.tasks.recipe import TaskRecipe

Watch = Callable[[int, int, dict[str, float]], None]
RECIPES = Path(__file__).resolve().parents[1] / "tasks" / "recipes"
UNUSED = "a task's recipe has no use for --start, --meter, --pool and --ratings"
VALID, TEST = 200, 400
"""Examples of the valid and the test split."""


def task_recipes() -> Mapping[str, Path]:
    """The tasks' recipes that come with the package, by name."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.toml"))}


def task_of(model: str) -> Task | None:
    """The task of a checkpoint or a shipped model; None for enhancement, and for models without a checkpoint.

    Raises ModelFileError for a damaged checkpoint, ConfigError for one of an unknown task.
    """
    checkpoint = checkpoint_path(model)
    if checkpoint is None:
        return None
    from tinydsn.models.checkpoint import load_network
    from tinydsn.models.task_network import TaskNetwork
    from tinydsn.tasks import task_named

    network = load_network(checkpoint)
    return task_named(network.config.task) if isinstance(network, TaskNetwork) else None


def refuse_tasks(model: str, verb: str) -> None:
    """Raise ConfigError for a task's network where speech is judged."""
    task = task_of(model)
    if task is not None:
        raise ConfigError(
            f"{verb} judges enhanced speech, and {model} is a network for {task.name} (its own measure is "
            f"{task.quality}; see docs/tasks.md)"
        )


def mix_of(task: Task) -> Any:
    """The mixtures of the task's shipped recipe."""
    from tinydsn.tasks.recipe import read_task_recipe

    return read_task_recipe(task_recipes()[task.name]).mix


def train_task(
    path: Path,
    corpus: Path,
    out: Path,
    *,
    pool: Path | None = None,
    ratings: Path | None = None,
    threads: int = 1,
    say: Callable[[str], None] = print,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Trains a task's recipe into ``out``: model.safetensors, run.json, log.jsonl, and a state from which the
    same call goes on after a kill.

    ``pool`` (and ``ratings``, without which those that come with the package): for a task that is rated, and
    for no other; else ConfigError. Returns where the weights are, and the float network's figures on the
    valid and the test split.
    """
    import torch

    from tinydsn.tasks.loop import evaluate
    from tinydsn.tasks.loop import train as run_loop
    from tinydsn.tasks.recipe import read_task_recipe
    from tinydsn.training.record import file_hash

    recipe = read_task_recipe(path)
    task = recipe.chosen
    if task.rated and pool is None:
        raise ConfigError(f"{path}: {task.name} trains on the rated pool: give its --pool (`tinydsn rate`)")
    if not task.rated and (pool or ratings):
        raise ConfigError(f"{path}: {UNUSED}")
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    if pool is not None:
        data, valid, test = _rated(recipe, pool, ratings, say)
    else:
        data, valid, test = _drawn(recipe, corpus, say)
    sources = [file_hash(path) for path in (corpus / "manifest.csv", ratings) if path]
    network, last = run_loop(recipe, data, valid, out, say, watch, " ".join(sources))
    record = run_record(recipe, path.stem, corpus, last, evaluate(task, network, test))
    record["seconds"] = round(time.monotonic() - began, 1)
    replace_file(out / "run.json", (json.dumps(record, indent=2) + "\n").encode())
    return {"checkpoint": str(out / "model.safetensors"), **record}


def _drawn(recipe: TaskRecipe, corpus: Path, say: Callable[[str], None]) -> tuple[Any, Any, Any]:
    """Examples of the three splits."""
    from tinydsn.tasks.data import draw_examples, load_sources, to_batch

    began, task, options = time.monotonic(), recipe.chosen, recipe.train

    def batch(split: str, count: int) -> Any:
        sources = load_sources(corpus, split, task, options.files)
        made = to_batch(draw_examples(task, sources, recipe.mix, count, options.seed, split))
        say(
            f"{split}: {count} examples of {recipe.mix.samples / 16000:g} s, {time.monotonic() - began:.0f} s"
        )
        return made

    return batch("train", options.examples), batch("valid", VALID), batch("test", TEST)


def _rated(
    recipe: TaskRecipe, pool: Path, ratings: Path | None, say: Callable[[str], None]
) -> tuple[Any, Any, Any]:
    """Segments of the rated pool's first clips, and its last ones whole."""
    from tinydsn.tasks.rated import Segments, load_rated, split_rated

    options = recipe.train
    splits = split_rated(load_rated(pool, ratings, say))
    say(", ".join(f"{name}: {len(clips.pooled)} clips" for name, clips in splits.items()))
    frames = min(options.frames, splits["train"].pooled.shape[1])
    data = Segments(splits["train"], frames, options.gain_db)
    return data, splits["valid"].whole(), splits["test"].whole()


def run_record(
    recipe: TaskRecipe, name: str, corpus: Path, valid: dict[str, Any], test: dict[str, float]
) -> dict[str, Any]:
    """What a run was made of, and how well its float network does."""
    from tinydsn.training.record import commit, file_hash

    return {
        "recipe": name,
        "task": recipe.chosen.name,
        "settings": recipe.as_dict(),
        "corpus_sha256": file_hash(corpus / "manifest.csv"),
        "commit": commit(),
        "validation": valid,
        "test": {name: round(value, 5) for name, value in test.items()},
    }
