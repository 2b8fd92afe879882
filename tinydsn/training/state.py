"""The state of a run in one safetensors file: modules, the optimiser's moments, random numbers, progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from quant.errors import ModelFileError
from tinydsn.audio.files import replace_file

Modules = Mapping[str, nn.Module]


def write_state(
    path: Path, modules: Modules, optimizer: torch.optim.Optimizer, progress: Mapping[str, str]
) -> None:
    """Everything needed to go on, replaced as a whole."""
    tensors = {"random": torch.get_rng_state()}
    for part, module in modules.items():
        tensors |= {f"{part}/{name}": value.contiguous() for name, value in module.state_dict().items()}
    for index, entry in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value.contiguous() for name, value in entry.items()}
    replace_file(path, safetensors.torch.save(tensors, dict(progress)))


def read_state(path: Path, modules: Modules, optimizer: torch.optim.Optimizer) -> dict[str, str]:
    """Takes over what `write_state` wrote, and returns the progress. Inside `resuming`."""
    with safetensors.safe_open(str(path), "pt") as file:
        progress = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    for part, module in modules.items():
        module.load_state_dict(_below(tensors, part))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer").items():
        index, kind = name.split("/")
        moments.setdefault(int(index), {})[kind] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    torch.set_rng_state(tensors["random"])
    return dict(progress)


def state_progress(path: Path) -> dict[str, str]:
    """The progress alone. Inside `resuming`."""
    with safetensors.safe_open(str(path), "pt") as file:
        return dict(file.metadata() or {})


@contextmanager
def resuming(path: Path) -> Iterator[None]:
    """Raises ModelFileError where the state in ``path`` is damaged or of other modules."""
    try:
        yield
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelFileError(
            f"{path}: cannot be resumed ({reason}); delete it to start again, or choose another --out"
        ) from None


def _below(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The entries ``part/...``, without the prefix."""
    return {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}
