"""Operators that only move data: concat, slice, transpose, pad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quant.errors import GraphError
from tinydsn.codegen.aliasing import concat_is_contiguous
from tinydsn.codegen.call import Call, Request

AXES = 4
"""Axes of ``tinydsn_block``."""


@dataclass(frozen=True)
class Block:
    """A strided copy: sizes, strides in the source and in the target, start in either, in elements."""

    size: tuple[int, ...]
    source: tuple[int, ...]
    target: tuple[int, ...]
    source_start: int = 0
    target_start: int = 0


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides in elements."""
    found, step = [], 1
    for size in reversed(shape):
        found.append(step)
        step *= size
    return tuple(reversed(found))


def merged(block: Block, name: str) -> Block:
    """The same copy over exactly four axes: neighbours that move as one are joined, ones are dropped.

    Raises GraphError when more than four axes remain.
    """
    axes = [axis for axis in zip(block.size, block.source, block.target, strict=True) if axis[0] != 1]
    joined: list[tuple[int, int, int]] = []
    for size, source, target in axes:
        if joined:
            before = joined[-1]
            if before[1] == source * size and before[2] == target * size:
                joined[-1] = (before[0] * size, source, target)
                continue
        joined.append((size, source, target))
    if len(joined) > AXES:
        raise GraphError(f"operator {name!r} moves data over {len(joined)} axes (must be at most {AXES})")
    filled = [(1, 0, 0)] * (AXES - len(joined)) + joined
    sizes, sources, targets = zip(*filled, strict=True)
    return Block(sizes, sources, targets, block.source_start, block.target_start)


def _copy(request: Request, blocks: Sequence[tuple[int, Block]], fill: int | None = None) -> Call:
    """Copies of inputs by index, after giving the whole output the value ``fill``."""
    made = [(index, merged(block, request.operator.name)) for index, block in blocks]
    return Call("copy", {"blocks": made, "fill": fill}, kernels=("tinydsn_copy",))


def transpose(request: Request) -> Call:
    """Output axis i is input axis permutation[i]."""
    permutation = request.integers("permutation")
    source = strides(request.input().shape)
    shape = request.output.shape
    block = Block(shape, tuple(source[axis] for axis in permutation), strides(shape))
    return _copy(request, [(0, block)])


def slice_(request: Request) -> Call:
    """A slice that is not contiguous (the others are views)."""
    shape = request.input().shape
    axis = request.integer("axis") % len(shape)
    begin = request.integer("begin")
    source = strides(shape)
    start = (begin + shape[axis] if begin < 0 else begin) * source[axis]
    out = request.output.shape
    return _copy(request, [(0, Block(out, source, strides(out), source_start=start))])


def concat(request: Request) -> Call:
    """Runs by memcpy where contiguous (the writer leaves out those computed in place), else strided."""
    names, shape = request.operator.inputs, request.output.shape
    axis = request.integer("axis") % len(shape)
    target = strides(shape)
    start, blocks, runs = 0, [], []
    for index in range(len(names)):
        tensor = request.input(index)
        block = Block(tensor.shape, strides(tensor.shape), target, target_start=start * target[axis])
        blocks.append((index, block))
        runs.append((index, start * target[axis], tensor.nbytes))
        start += tensor.shape[axis]
    if concat_is_contiguous(request.operator, request.graph):
        return Call("concat", {"runs": runs})
    return _copy(request, blocks)


def pad(request: Request) -> Call:
    """The input amid zero points."""
    before, shape, out = request.integers("before"), request.input().shape, request.output.shape
    target = strides(out)
    start = sum(count * step for count, step in zip(before, target, strict=True))
    block = Block(shape, strides(shape), target, target_start=start)
    return _copy(request, [(0, block)], request.integer("value"))
