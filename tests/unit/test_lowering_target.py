"""load_target: package.module:function."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from quant.errors import ConfigError
from tinydsn.lowering import load_target

NETS = """
import torch
raw = torch.nn.Linear(4, 4)
def good():
    return torch.nn.Linear(4, 4), torch.zeros(4)
def several():
    return torch.nn.Linear(4, 4), (torch.zeros(4), torch.zeros(2))
def alone():
    return torch.nn.Linear(4, 4)
def three():
    return 1, 2, 3
def swapped():
    return torch.zeros(4), torch.nn.Linear(4, 4)
def failing():
    raise KeyError("weights")
def needs(path):
    return path
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current directory; its name."""
    name = f"nets_{os.getpid()}"
    (tmp_path / f"{name}.py").write_text(NETS)
    (tmp_path / f"broken_{name}.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def message(target: str) -> str:
    """The whole message of the ConfigError."""
    with pytest.raises(ConfigError) as caught:
        load_target(target)
    return str(caught.value)


def test_module_and_example_in_eval_mode(nets: str) -> None:
    module, example = load_target(f"{nets}:good")
    assert isinstance(module, torch.nn.Linear) and not module.training
    assert isinstance(example, torch.Tensor) and example.shape == (4,)
    assert len(load_target(f"{nets}:several")[1]) == 2


WRONG = ["nets", "nets.py:good", "nets:", ":good", "ne ts:good", "a..b:c", "nets:a:b"]


@pytest.mark.parametrize("target", WRONG)
def test_wrong_strings(target: str) -> None:
    assert message(target) == (
        f"{target!r} is not a target (must be package.module:function, such as mypackage.nets:denoiser)"
    )


def test_missing_module_and_function(nets: str, tmp_path: Path) -> None:
    assert message("no_such_nets:good") == (
        "cannot import 'no_such_nets' of target 'no_such_nets:good': ModuleNotFoundError: No module named "
        f"'no_such_nets' (must be importable from {tmp_path} or from an installed package)"
    )
    assert message(f"broken_{nets}:good") == (
        f"cannot import 'broken_{nets}' of target 'broken_{nets}:good': ModuleNotFoundError: No module named "
        f"'no_such_package_at_all' (must be importable from {tmp_path} or from an installed package)"
    )
    assert message(f"{nets}:bad") == f"module '{nets}' has no function 'bad' (target '{nets}:bad')"
    assert message(f"{nets}:torch") == f"module '{nets}' has no function 'torch' (target '{nets}:torch')"


def test_wrong_results(nets: str) -> None:
    must = "(must be the pair (torch.nn.Module, example frame), the frame a tensor or a tuple of tensors)"
    assert message(f"{nets}:alone") == f"{nets}:alone returned Linear {must}"
    assert message(f"{nets}:three") == f"{nets}:three returned a tuple of 3 {must}"
    assert message(f"{nets}:swapped") == f"{nets}:swapped returned (Tensor, Linear) {must}"


def test_a_failing_function(nets: str) -> None:
    assert message(f"{nets}:failing") == f"{nets}:failing failed: KeyError: 'weights'"
    assert message(f"{nets}:needs") == (
        f"{nets}:needs failed: TypeError: needs() missing 1 required positional argument: 'path'"
    )
