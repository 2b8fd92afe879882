"""Reshapes and transposes: composed, cancelled, and moved behind the operators that do not mind them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from quant.graph import Graph, Operator, Tensor
from tinydsn.lowering.passes import views
from tinydsn.lowering.passes.rewrite import Facts, Replacement, move_name, rewrite

MOVES = ("reshape", "transpose")


def step_of(operator: Operator) -> views.Step:
    """A movement operator as a step of a chain."""
    key = "shape" if operator.kind == "reshape" else "permutation"
    return operator.kind, tuple(int(item) for item in operator.attributes[key])  # type: ignore[union-attr, arg-type]


def merge_moves(graph: Graph) -> Graph:
    """Each chain of moves in its shortest form."""
    return rewrite(graph, _merge)


def _merge(operator: Operator, facts: Facts) -> Replacement | None:
    if operator.kind not in MOVES:
        return None
    chain = [operator]
    best: tuple[str, tuple[views.Step, ...]] | None = None
    while True:
        source = chain[0].inputs[0]
        view = _view(facts.shape(source), chain)
        if view is None:
            break
        short = views.steps(view)
        if _cost(short) < _cost(tuple(step_of(item) for item in chain)):
            best = (source, short)
        before = facts.producer(source, MOVES)
        if before is None or not _may_join(before, chain, facts):
            break
        chain.insert(0, before)
    if best is None:
        return None
    return emit_chain(facts, operator, best[0], best[1])


def _may_join(before: Operator, chain: list[Operator], facts: Facts) -> bool:
    """A chain goes back through reshapes; through a transpose only if that adds no second copy."""
    if before.kind == "reshape" or any(item.kind == "transpose" for item in chain):
        return True
    return facts.readers[before.outputs[0]] == 1


def _view(source: tuple[int, ...], chain: list[Operator]) -> views.View | None:
    """The chain's normal form."""
    view: views.View | None = views.identity(source)
    for item in chain:
        view = None if view is None else views.extend(view, step_of(item))
    return view


def _cost(chain: tuple[views.Step, ...]) -> tuple[int, int]:
    """Data movements first, then operators."""
    return sum(kind == "transpose" for kind, _ in chain), len(chain)


def emit_chain(facts: Facts, operator: Operator, source: str, chain: tuple[views.Step, ...]) -> Replacement:
    """A chain of moves from ``source`` to the output of ``operator``, which it replaces."""
    if not chain:
        return Replacement(alias=source)
    operators, tensors = moves(facts, operator, source, chain, operator.outputs[0])
    return Replacement(operators, tensors=tensors)


def moves(
    facts: Facts, like: Operator, source: str, chain: tuple[views.Step, ...], target: str
) -> tuple[tuple[Operator, ...], tuple[Tensor, ...]]:
    """Operators for a chain from ``source`` to ``target`` (its tensor exists), named after ``like``."""
    operators: list[Operator] = []
    tensors: list[Tensor] = []
    shape, name, taken = facts.shape(source), source, [like.name]
    for position, (kind, argument) in enumerate(chain):
        shape = argument if kind == "reshape" else tuple(shape[axis] for axis in argument)
        last = position == len(chain) - 1
        wanted = like.name if last and like.kind == kind else move_name(like.name, kind)
        unique = like.name if wanted == like.name else facts.fresh(wanted, *taken)
        taken.append(unique)
        output = target if last else facts.fresh(unique, *taken)
        if not last:
            taken.append(output)
            tensors.append(Tensor(output, shape))
        attributes = {"shape": argument} if kind == "reshape" else {"permutation": argument}
        operators.append(Operator(unique, kind, (name,), (output,), attributes, like.source))
        name = output
    return tuple(operators), tuple(tensors)


def sink_moves(graph: Graph, shared: bool = False) -> Graph:
    """Moves behind pointwise operators, so that they meet their inverse or the graph's end.

    ``shared``: also transposes that have other readers, which pays if these follow.
    """
    return rewrite(graph, partial(_sink, shared=shared))


ROWS = ("softmax", "layer_norm", "fully_connected")
POINTWISE = ("relu", "leaky_relu", "sigmoid", "tanh", "table", "step")
BINARY = ("add", "sub", "mul")


def _sink(operator: Operator, facts: Facts, shared: bool) -> Replacement | None:
    if operator.kind in POINTWISE:
        return _sink_pointwise(operator, facts, shared)
    if operator.kind in ROWS:
        return _sink_rows(operator, facts)
    return _sink_binary(operator, facts, shared) if operator.kind in BINARY else None


def _worth_moving(move: Operator, facts: Facts) -> bool:
    """A reshape is free; a transpose may only move where no other reader keeps it in place."""
    return move.kind == "reshape" or facts.readers[move.outputs[0]] == 1


def _sink_pointwise(operator: Operator, facts: Facts, shared: bool) -> Replacement | None:
    move = facts.producer(operator.inputs[0], MOVES)
    if move is None or not (shared or _worth_moving(move, facts)):
        return None
    return _behind(operator, move, (move.inputs[0], *operator.inputs[1:]), facts, {})


def _sink_rows(operator: Operator, facts: Facts) -> Replacement | None:
    """A reshape of the leading axes behind an operator that works on the last."""
    move = facts.producer(operator.inputs[0], "reshape")
    if move is None:
        return None
    source, shape = facts.shape(move.inputs[0]), facts.shape(operator.inputs[0])
    if not source or source[-1] != shape[-1]:
        return None
    result = facts.shape(operator.outputs[0])
    inner = Tensor(facts.fresh(f"{operator.outputs[0]}.before"), (*source[:-1], result[-1]))
    name = facts.fresh(move_name(operator.name, "reshape"), inner.name)
    after = Operator(name, "reshape", (inner.name,), operator.outputs, {"shape": result}, operator.source)
    before = replace(operator, inputs=(*move.inputs, *operator.inputs[1:]), outputs=(inner.name,))
    return Replacement((before, after), tensors=(inner,))


def _sink_binary(operator: Operator, facts: Facts, shared: bool) -> Replacement | None:
    """Both operands moved alike, or one moved and the other easy to move back."""
    found = [facts.producer(name, MOVES) for name in operator.inputs]
    shapes = [facts.shape(name) for name in operator.inputs]
    for side in (0, 1):
        move = found[side]
        if move is None or shapes[side] != facts.shape(operator.outputs[0]):
            continue
        if not shared and not _worth_moving(move, facts) and not _both_same(found, facts):
            continue
        other = _moved_back(operator.inputs[1 - side], move, facts)
        if other is not None:
            name, extra = other
            inputs = (move.inputs[0], name) if side == 0 else (name, move.inputs[0])
            return _behind(operator, move, inputs, facts, extra)
    return None


def _both_same(found: list[Operator | None], facts: Facts) -> bool:
    """Two equal moves, at least one of which would vanish."""
    first, second = found
    if first is None or second is None or step_of(first) != step_of(second):
        return False
    return any(facts.readers[move.outputs[0]] == 1 for move in (first, second))


def _moved_back(name: str, move: Operator, facts: Facts) -> tuple[str, dict[str, np.ndarray]] | None:
    """An operand as it is before ``move``: its own source, or a constant moved back."""
    source, shape = facts.shape(move.inputs[0]), facts.shape(name)
    size = int(np.prod(shape))
    value = facts.constant(name)
    if size == 1 and shape in ((), (1,)):
        return name, {}
    trailing = shape == source[len(source) - len(shape) :] and _keeps_last(move, len(shape))
    if trailing and size < np.prod(source):
        return name, {}
    own = facts.producer(name, MOVES)
    if own is not None and step_of(own) == step_of(move) and facts.shape(own.inputs[0]) == source:
        return own.inputs[0], {}
    if value is None or shape != facts.shape(move.outputs[0]):
        return None
    order = np.argsort(step_of(move)[1])
    back = value.reshape(source) if move.kind == "reshape" else value.transpose(order)
    fresh = facts.fresh(name)
    return fresh, {fresh: np.ascontiguousarray(back)}


def _keeps_last(move: Operator, count: int) -> bool:
    """Whether the last ``count`` axes stay the last (a reshape between equal last axes does that)."""
    if move.kind == "reshape":
        return True
    permutation = step_of(move)[1]
    return permutation[-count:] == tuple(range(len(permutation) - count, len(permutation)))


def _behind(
    operator: Operator,
    move: Operator,
    inputs: tuple[str, ...],
    facts: Facts,
    constants: dict[str, np.ndarray],
) -> Replacement:
    """The operator on moved inputs, and ``move`` behind it."""
    inner = Tensor(facts.fresh(f"{operator.outputs[0]}.before", *constants), facts.shape(move.inputs[0]))
    after_name = facts.fresh(move_name(operator.name, move.kind), inner.name, *constants)
    after = Operator(after_name, move.kind, (inner.name,), operator.outputs, move.attributes, operator.source)
    tensors = (inner, *(Tensor(name, value.shape) for name, value in constants.items()))
    before = replace(operator, inputs=inputs, outputs=(inner.name,))
    return Replacement((before, after), tensors=tensors, constants=constants)
