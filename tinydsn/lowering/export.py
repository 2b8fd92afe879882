"""Runs ``torch.export`` on a streaming module and turns its refusals into one clear line."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator

import torch
from torch.export import ExportedProgram

from quant.errors import ConfigError, UnsupportedOperator
from tinydsn.lowering.hints import HINTS
from tinydsn.lowering.names import source_line


def export_step(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> ExportedProgram:
    """The module's step as ATen operators, buffer changes as outputs.

    The module is exported in eval mode and is left as it was. Raises ConfigError for an example that is
    not float32, UnsupportedOperator for Python control flow that depends on data and for whatever else
    torch cannot export.
    """
    for frame in example:
        if frame.dtype != torch.float32:
            raise ConfigError(f"the example frame is {frame.dtype} (must be torch.float32)")
    with _eval_mode(module), _quiet():
        try:
            return torch.export.export(module, example).run_decompositions({})
        except Exception as error:  # torch raises a dozen types here, most of them private
            raise _refusal(error) from error


@contextlib.contextmanager
def _eval_mode(module: torch.nn.Module) -> Iterator[None]:
    """Eval mode for the module and its children, each put back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    # the fused path of MultiheadAttention would hide its operators in one
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part, mode in modes:
            part.training = mode


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, log lines or graph dumps of torch on the user's screen."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        silent = io.StringIO()
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(silent),
            contextlib.redirect_stderr(silent),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _refusal(error: Exception) -> UnsupportedOperator | ConfigError:
    """One line for an error of torch.export."""
    text = str(error)
    place = source_line(text) or _raised_at(error)
    where = f" at {place}" if place else ""
    if "data-dependent" in text:
        return UnsupportedOperator(
            f"Python control flow{where} depends on the frame's values; use {HINTS['where']}"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = re.sub(r"\s+", " ", lines[0]) if lines else ""
    return UnsupportedOperator(
        f"torch.export refuses the module{where}: {type(error).__name__}: {first} (the module must take one "
        "frame as float32 tensors and keep its states in registered buffers)"
    )


def _raised_at(error: BaseException) -> str:
    """The user's line in the error's own traceback."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename != __file__:
            lines.append(f'File "{code.co_filename}", line {trace.tb_lineno}')
        trace = trace.tb_next
    return source_line("\n".join(lines))
