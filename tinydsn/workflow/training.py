"""Training as a user starts it: recipes by name, a record of the run, the rating of the pool."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from quant.errors import ConfigError
from quant.nearest import unknown
from tinydsn.workflow.models import checkpoint_path
from tinydsn.workflow.tasks import UNUSED, task_recipes, train_task

Watch = Callable[[int, int, dict[str, float]], None]
"""Called after each step with the steps done, the steps in all, and the step's losses."""

DEVICES = ("auto", "cpu", "cuda")
RECIPES = Path(__file__).resolve().parents[1] / "training" / "recipes"


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted([*(path.stem for path in RECIPES.glob("*.toml")), *task_recipes()])


def recipe_path(name: str) -> Path:
    """A recipe file by its path or by the name of a shipped one. Raises ConfigError for neither."""
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    if name not in recipe_names():
        raise ConfigError(unknown("recipe", name, recipe_names(), "or a TOML file"))
    return task_recipes().get(name, RECIPES / f"{name}.toml")


def device_of(wanted: str) -> str:
    """``cpu`` or ``cuda`` for cpu, cuda or auto. Raises ConfigError for a GPU that is not there."""
    import torch

    if wanted not in DEVICES:
        raise ConfigError(unknown("device", wanted, DEVICES))
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise ConfigError("no CUDA GPU is usable here (use --device cpu, or install a CUDA build of torch)")
    return "cuda" if wanted == "cuda" or (wanted == "auto" and there) else "cpu"


def tensorboard_watch(folder: Path) -> Watch:
    """Writes each step's losses for TensorBoard. Raises ConfigError when that is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError("--tensorboard needs TensorBoard (pip install tensorboard)") from None
    writer = SummaryWriter(str(folder))  # type: ignore[no-untyped-call]

    def watch(done: int, total: int, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            writer.add_scalar(name, value, done)  # type: ignore[no-untyped-call]

    return watch


def train(
    recipe: str,
    corpus: Path,
    out: Path,
    *,
    start: Path | None = None,
    meter: Path | None = None,
    pool: Path | None = None,
    ratings: Path | None = None,
    device: str = "auto",
    threads: int = 1,
    tensorboard: bool = False,
    precision: str | None = None,
    say: Callable[[str], None] = print,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Trains a recipe, or goes on with it; returns where the weights are and the last validation.

    ``start`` is a checkpoint or a shipped model's name; so is ``meter``, of speech-quality, which a network
    of kind "metered" needs unless its start is one. With ``tensorboard`` the losses go into
    ``out/tensorboard`` too. A recipe that fine-tunes for integers, for ``precision`` if that is given, also
    writes ``precision.toml`` and, at the end, ``model.tdsn``.
    """
    from tinydsn.tasks.recipe import is_task_recipe

    if is_task_recipe(recipe_path(recipe)):
        if start or meter:
            raise ConfigError(f"{recipe}: {UNUSED}")
        path = recipe_path(recipe)
        return train_task(
            path, corpus, out, pool=pool, ratings=ratings, threads=threads, say=say, watch=watch
        )
    import torch

    from tinydsn.training.data import load_training_data
    from tinydsn.training.loop import train as run_loop
    from tinydsn.training.metering import read_meter
    from tinydsn.training.recipe import read_recipe
    from tinydsn.training.record import write_record
    from tinydsn.training.separation import load_separation_data

    if start is not None:
        start = checkpoint_path(str(start)) or start
    if meter is not None:
        meter = checkpoint_path(str(meter)) or meter
    path = recipe_path(recipe)
    settings, chosen = read_recipe(path), device_of(device)
    if precision is not None:
        settings = replace(settings, quantization=replace(settings.quantization, precision=precision))
    metering = read_meter(meter, settings, start)
    torch.set_num_threads(threads)
    if settings.separates:
        if pool or ratings:
            raise ConfigError(f"{path}: a separator's recipe has no use for --pool and --ratings")
        data = load_separation_data(corpus, settings, say)
    else:
        data = load_training_data(corpus, settings, say, pool, ratings)
    watchers = [watch] if watch else []
    if tensorboard:
        watchers.append(tensorboard_watch(out / "tensorboard"))
    target = None
    if settings.quantized:
        from tinydsn.workflow.integer_training import keep_precision, make_target, write_graph

        say("measuring value ranges")
        target = make_target(start, settings, data, chosen)
    out.mkdir(parents=True, exist_ok=True)
    record = write_record(out, path.stem, settings, corpus, start, chosen, meter)
    if target is not None:
        keep_precision(target, out)

    def tell(done: int, total: int, losses: dict[str, float]) -> None:
        for each in watchers:
            each(done, total, losses)

    run_loop(data, settings, out, say, device=chosen, start=start, watch=tell, target=target, meter=metering)
    told = {"checkpoint": str(out / "model.safetensors")}
    if target is not None:
        write_graph(target, out / "model.safetensors")
        told["model"] = str(out / "model.tdsn")
    last = json.loads((out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return {
        **told,
        "recipe": path.stem,
        "hours": round(record["hours"], 4),
        "hours_before": round(record["hours_before"], 4),
        "validation": last,
    }


def rate_pool(
    corpus: Path, pool: Path, ratings: Path, size: int, watch: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Renders the pool of metric guidance into ``pool`` and rates it; goes on where it was stopped."""
    import numpy as np

    from tinydsn.training.pool import (
        PoolOptions,
        load_banks,
        read_scores,
        recipe_hash,
        rendered_pool,
        score_pool,
    )

    banks, options = load_banks(corpus, "train"), PoolOptions(size=size)
    key = recipe_hash(banks, options)
    waves = rendered_pool(banks, options, pool, lambda done, total: watch("rendered", done, total))
    score_pool(waves, key, ratings, lambda done, total: watch("rated", done, total))
    scores = read_scores(ratings, key)
    low, middle, high = (float(v) for v in np.quantile(scores[:, 2], (0.1, 0.5, 0.9)))
    return {
        "ratings": str(ratings),
        "pool": key,
        "mixtures": size,
        "ovrl": {"p10": round(low, 3), "median": round(middle, 3), "p90": round(high, 3)},
    }
