"""Regions that replace each other: lowering, reference, ranges, files, executors."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quant import model_file
from quant.calibrate import calibrate
from quant.convert import convert
from quant.errors import UnsupportedOperator
from quant.gates import GatePattern, to_words
from quant.graph import Graph, IntegerGraph
from quant.precision import PRESETS
from quant.reference import Executor, Pipeline
from quant.without_gates import without_gates
from tinydsn.estimate import host
from tinydsn.estimate.program import translate
from tinydsn.lowering import lower
from tinydsn.nn.ladder import at_level
from tinydsn.workflow.subject import cost_patterns, gate_macs

SIZE = 4
MACS = (4, 8, 12)
"""Of each level."""


class Ladder(nn.Module):
    """Three levels by two nested logits, each of another size, and a state that counts frames."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Parameter(torch.rand(SIZE, 3))
        self.register_buffer("last", torch.zeros(SIZE))

    def forward(self, frame: Tensor) -> Tensor:
        first = frame[0:1]
        logits = torch.cat([first, first - torch.relu(first - frame[1:2])])
        (found,) = at_level(logits, self._level, (torch.zeros_like(frame),), (frame, self.last))
        self.last.copy_(found)
        return found

    def _level(self, frame: Tensor, last: Tensor, level: int) -> tuple[Tensor, ...]:
        hidden = frame[: level + 1]
        return (nn.functional.linear(hidden, self.wide[:, : level + 1]) - 0.5 * last,)


@cache
def graph() -> Graph:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return lower(Ladder(), torch.zeros(SIZE))


@cache
def integer() -> IntegerGraph:
    return convert(graph(), calibrate(graph(), [samples()]), PRESETS["w8a16"])


def samples() -> np.ndarray:
    return np.random.default_rng(0).integers(-20000, 20000, 40 * SIZE).astype(np.int16)


def test_each_region_names_the_gate_that_opens_it_and_the_one_that_closes_it() -> None:
    found = [(branch.gate, branch.inverted, branch.unless) for branch in graph().branches]
    assert found == [(0, True, None), (0, False, (1, "gate1")), (1, False, None)]
    assert [branch.share([0.75, 0.25]) for branch in graph().branches] == [0.25, 0.5, 0.25]
    assert [graph().behind(gate) for gate in range(2)] == [(1,), ()]


def test_every_level_is_the_module() -> None:
    torch.manual_seed(0)
    module, executor, levels = Ladder(), Executor(graph()), set()
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        for frame in np.random.default_rng(2).uniform(-1, 1, (20, SIZE)):
            made = executor.step(frame)
            np.testing.assert_allclose(
                made.outputs[0], module(torch.from_numpy(frame).float()).numpy(), atol=1e-6
            )
            levels.add(tuple(made.gates))
    assert levels == {(False, False), (True, False), (True, True)}


def test_regions_of_which_the_policy_took_none_have_ranges_too() -> None:
    never = np.full(8 * SIZE, -9000, np.int16)
    written = {name for operator in graph().operators() for name in operator.outputs if "gate" not in name}
    assert written <= set(calibrate(graph(), [never]))


@pytest.mark.parametrize("pattern", ["learned", "min", "max", "cycle"])
def test_the_evaluator_equals_the_reference(pattern: str) -> None:
    forced = GatePattern(pattern).forced(40, 2)
    words = None if forced is None else [to_words(forced)]
    (found,) = host.run(translate(integer()), integer(), [host.analyse(integer(), samples())], words)
    expected = Pipeline(integer()).run(samples(), GatePattern(pattern))
    np.testing.assert_array_equal(found.pcm, expected.pcm)
    np.testing.assert_array_equal(found.gates, expected.gates)


@pytest.mark.parametrize("taken", [False, True])
def test_without_gates_one_level_is_left(taken: bool) -> None:
    plain = without_gates(integer(), taken)
    expected = Pipeline(integer()).run(samples(), GatePattern("max" if taken else "min"))
    np.testing.assert_array_equal(Pipeline(plain).run(samples()).pcm, expected.pcm)
    assert [op.kind for op in plain.operators()].count("fully_connected") == 1


def test_a_file_keeps_the_conditions(tmp_path: Path) -> None:
    model_file.save(integer(), tmp_path / "ladder.tdsn")
    loaded, _ = model_file.load(tmp_path / "ladder.tdsn")
    assert loaded.branches == integer().branches


def test_a_gate_adds_its_level_less_the_one_before() -> None:
    gains = [wide - narrow for narrow, wide in zip(MACS, MACS[1:], strict=False)]
    assert gate_macs(graph()).tolist() == gains
    assert cost_patterns(graph()) == [(True, True), (False, False), (True, False)]


def test_other_pairs_of_decisions_are_refused() -> None:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            both = torch.logical_and(x[0] > 0, x[1] > 0)
            return torch.cond(both, torch.tanh, torch.clone, (x,))

    with pytest.raises(UnsupportedOperator) as caught:
        lower(Both(), torch.zeros(SIZE))
    place = str(caught.value).split(" at ")[1].split(":")[0]
    assert place == "test_ladder.py"
    assert str(caught.value).endswith(
        ": operands that are not an open gate and a closed one; use torch.logical_and(logits[k] > threshold, "
        "logits[k + 1] <= threshold)"
    )
