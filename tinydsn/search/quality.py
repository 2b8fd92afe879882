"""How much worse than the float network: paired loss of SI-SDR, or a function of the user's."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Sequence

import numpy as np

from quant.errors import ConfigError
from quant.nearest import did_you_mean, functions_of, unknown
from tinydsn.audio.metrics import si_sdr
from tinydsn.search.clips import Clip

Quality = Callable[[Sequence[np.ndarray], Sequence[Clip]], float]
"""Given a genome's outputs (int16, aligned with their clips) and the clips: a loss, to be small."""

LIMIT_DB = 60.0
"""SI-SDR is cut to plus and minus this, so that an output of nothing is bad and not infinite."""
DEFAULT = "si-sdr"


def sisdr_loss(enhanced: Sequence[np.ndarray], clips: Sequence[Clip]) -> float:
    """Mean over the clips of the float network's SI-SDR less the genome's, against clean speech, in dB."""
    losses = [
        bounded(si_sdr(clip.reference, clip.target)) - bounded(si_sdr(wave, clip.target))
        for wave, clip in zip(enhanced, clips, strict=True)
    ]
    return float(np.mean(losses))


def bounded(ratio: float) -> float:
    """dB within plus and minus `LIMIT_DB`."""
    return min(max(ratio, -LIMIT_DB), LIMIT_DB)


def load_quality(text: str) -> Quality:
    """`sisdr_loss` for "si-sdr", else ``package.module:function``, with the current directory on the path.

    Raises ConfigError when there is no such function, and from it what a user's function raises or when it
    gives no number.
    """
    if text == DEFAULT:
        return sisdr_loss
    module_name, colon, name = text.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise ConfigError(unknown("quality", text, (DEFAULT,), "or package.module:function"))
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module_name), name, None)
    except Exception as error:  # a user's module may raise anything while it is imported
        raise ConfigError(
            f"--quality {text!r}: cannot import {module_name} ({type(error).__name__}: {error})"
        ) from None
    if not callable(function):
        hint = did_you_mean(name, functions_of(sys.modules[module_name]))
        raise ConfigError(f"--quality {text!r}: {module_name} has no function {name!r}{hint}")

    def checked(enhanced: Sequence[np.ndarray], clips: Sequence[Clip]) -> float:
        try:
            value = float(function(enhanced, clips))
        except Exception as error:  # a user's function may raise anything
            raise ConfigError(f"--quality {text!r}: {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise ConfigError(f"--quality {text!r} gave {value} (must be a finite number)")
        return value

    return checked
