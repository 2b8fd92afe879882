"""``python -m tinydsn.training --corpus DIR --out DIR --minutes 40 [--recipe FILE.toml]``"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from quant.errors import TinydsnError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m tinydsn.training", description="Train a gated enhancement network on a corpus."
    )
    result.add_argument("--corpus", type=Path, required=True, help="folder with manifest.csv")
    result.add_argument("--out", type=Path, required=True, help="folder for checkpoints and log; resumed")
    result.add_argument(
        "--minutes", type=float, default=40.0, help="length of the run, unless the recipe sets steps"
    )
    result.add_argument("--recipe", type=Path, help="TOML file; default settings without it")
    result.add_argument("--threads", type=int, default=1, help="CPU threads")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Runs the training; 0, or 2 after one line that says what was wrong."""
    options = parser().parse_args(arguments)
    try:
        _run(options)
    except TinydsnError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    import torch

    from tinydsn.training.data import load_training_data
    from tinydsn.training.loop import train
    from tinydsn.training.recipe import Recipe, read_recipe

    torch.set_num_threads(options.threads)
    recipe = read_recipe(options.recipe) if options.recipe else Recipe()
    options.out.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        print(text, flush=True)

    data = load_training_data(options.corpus, recipe, say)
    train(data, recipe, options.out, options.minutes, say)


if __name__ == "__main__":
    sys.exit(main())
