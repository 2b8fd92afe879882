"""Finds the user's function that makes a streaming module: ``package.module:function``."""

from __future__ import annotations

import importlib
import os
import sys

import torch

from quant.errors import ConfigError
from quant.nearest import did_you_mean, functions_of

Example = torch.Tensor | tuple[torch.Tensor, ...]
EXAMPLE = "mypackage.nets:denoiser"


def load_target(target: str) -> tuple[torch.nn.Module, Example]:
    """Call the function that ``target`` names, with the current directory on the import path.

    The function takes no arguments and returns ``(module, example)``: the streaming module (set to eval
    mode here) and one frame, a tensor or a tuple of tensors. Raises ConfigError for a target that is not
    ``package.module:function``, that cannot be imported, or that returns something else.
    """
    module_name, colon, function_name = target.partition(":")
    names = [*module_name.split("."), function_name]
    if not colon or not all(name.isidentifier() for name in names) or module_name.endswith(".py"):
        raise ConfigError(f"{target!r} is not a target (must be package.module:function, such as {EXAMPLE})")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        python_module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything while it is imported
        raise ConfigError(
            f"cannot import {module_name!r} of target {target!r}: {type(error).__name__}: {error} "
            f"(must be importable from {os.getcwd()} or from an installed package)"
        ) from error
    function = getattr(python_module, function_name, None)
    if not callable(function):
        hint = did_you_mean(function_name, functions_of(python_module))
        raise ConfigError(
            f"module {module_name!r} has no function {function_name!r}{hint} (target {target!r})"
        )
    try:
        result = function()
    except Exception as error:
        raise ConfigError(f"{target} failed: {type(error).__name__}: {error}") from error
    return _checked(target, result)


def _checked(target: str, result: object) -> tuple[torch.nn.Module, Example]:
    """The pair, with its module in eval mode; ConfigError when ``result`` is not one."""
    if isinstance(result, tuple) and len(result) == 2:
        module, example = result
        frames = example if isinstance(example, tuple) else (example,)
        if isinstance(module, torch.nn.Module) and all(isinstance(frame, torch.Tensor) for frame in frames):
            return module.eval(), example
    found = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
    if isinstance(result, tuple) and len(result) == 2:
        found = f"({', '.join(type(item).__name__ for item in result)})"
    raise ConfigError(
        f"{target} returned {found} (must be the pair (torch.nn.Module, example frame), the frame a tensor "
        "or a tuple of tensors)"
    )
