"""What explanations and how-tos show in code does what they say."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from test_codegen_project import SHA, recording, tiny

from quant.convert import quantize
from quant.errors import TinydsnError
from quant.ops import table
from quant.reference import Executor
from tests.docs_blocks import blocks
from tinydsn.codegen.board import load_board
from tinydsn.codegen.project import generate
from tinydsn.codegen.toolchain import find_compiler
from tinydsn.lowering import lower, walk
from tinydsn.lowering.handlers.functions import table_handler

ROOT = Path(__file__).resolve().parents[2]


def test_a_gated_memory_sleeps() -> None:
    """docs/explanation/gates.md: the example lowers, and both outputs hold."""
    (block,) = (b for b in blocks(ROOT / "docs/explanation/gates.md") if "class " in b.text)
    space: dict[str, object] = {}
    exec(block.text, space)  # noqa: S102
    net = space["Sleeper"]().eval()  # type: ignore[operator]
    graph = lower(net, torch.zeros(8))
    (branch,) = graph.branches
    assert [output.skip for output in branch.outputs] == ["hold", "hold"]
    executor = Executor(graph)
    executor.step(np.ones(8), forced=np.array([True]))
    before = {name: value.copy() for name, value in executor.states.items()}
    executor.step(np.ones(8), forced=np.array([False]))
    assert all((executor.states[name] == value).all() for name, value in before.items())


def test_the_c_blocks_compile(tmp_path: Path) -> None:
    """docs/howto/debugger.md: with the header of a real project, for a real core."""
    board = load_board("stm32f405")
    try:
        compiler = find_compiler(board)
    except TinydsnError as error:
        pytest.skip(str(error))
    generate(tiny(), board, tmp_path / "p", model_sha256=SHA, selftest=recording())
    found = [b.text for b in blocks(ROOT / "docs/howto/debugger.md") if b.language == "c"]
    assert len(found) == 2
    (tmp_path / "blocks.c").write_text("\n".join(found))
    flags = [*board.flags, "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-fsyntax-only"]
    command = [str(compiler.path), *flags, f"-I{tmp_path / 'p' / 'include'}", str(tmp_path / "blocks.c")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Mish(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.mish(x)


def test_a_table_function_takes_two_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """docs/howto/operator.md, 3.: a name in FUNCTIONS and one among the handlers are all that is needed."""
    with pytest.raises(TinydsnError, match="mish"):
        lower(Mish(), torch.zeros(16))

    def mish(x: float) -> float:
        return float(x * np.tanh(np.log1p(np.exp(x))))

    monkeypatch.setattr(table, "FUNCTIONS", MappingProxyType({**table.FUNCTIONS, "mish": mish}))
    handlers = MappingProxyType({**walk.HANDLERS, "mish": table_handler("mish")})
    monkeypatch.setattr(walk, "HANDLERS", handlers)
    pcm = np.random.default_rng(1).integers(-30000, 30000, 16 * 20).astype(np.int16)
    graph = lower(Mish(), torch.zeros(16))
    integer = quantize(graph, [pcm])
    assert [operator.attributes.get("function") for operator in graph.operators()] == ["mish"]
    project = generate(integer, load_board("host"), tmp_path / "p", model_sha256=SHA)
    assert "tinydsn_table_s16(" in (project.folder / "src" / "tinydsn_operators.c").read_text()
