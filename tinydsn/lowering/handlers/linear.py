"""Linear layers, matrix products, means and sums: ``fully_connected`` and ``batch_matmul``."""

from __future__ import annotations

import math
from typing import Any

import torch

from quant.ops.linear import CUT
from tinydsn.lowering.builder import Constant, Ref, Value
from tinydsn.lowering.call import Call, Handler, axis_last, axis_of, inverse, made, reshape, transpose
from tinydsn.lowering.names import owner


def fully_connected(call: Call, data: Ref, weight: Constant, bias: Constant | None) -> Ref:
    """``data @ weight.T + bias``, named after the weight's module."""
    cut: dict[str, Any] = {CUT: True} if weight.cut else {}
    return call.builder.emit(
        "fully_connected", data, weight, bias, path=owner(weight.name), activation="none", **cut
    )


def linear(call: Call) -> Value:
    """``aten.linear``; a weight that is not constant makes a matrix product."""
    data = call.ref("input")
    if isinstance(call["weight"], Constant):
        weight, bias = call["weight"], call.optional_constant("bias", "bias")
        return fully_connected(call, data, weight, bias)
    if call["bias"] is not None:
        raise call.refuse("its weight is computed from the frame (must be a parameter)", "torch.matmul")
    return reshape(call, product(call, data, transpose(call, call.ref("weight"), (1, 0))), call.shape)


def addmm(call: Call) -> Value:
    """``bias + a @ b``."""
    weight, bias = call.constant("mat2", "second matrix"), call.constant("self", "first term")
    if call["alpha"] != 1 or call["beta"] != 1 or bias.value.dim() != 1:
        raise call.refuse("alpha, beta or a bias matrix", "torch.nn.Linear")
    turned = Constant(weight.name, weight.value.T)
    return fully_connected(call, call.ref("mat1"), turned, bias)


def matmul(call: Call) -> Value:
    """``a @ b``: a constant side makes a fully connected operator."""
    first, second = _operands(call)
    if isinstance(second, Constant) and second.value.dim() <= 2:
        return _times_constant(call, call.to_ref(first), second)
    if isinstance(first, Constant) and first.value.dim() <= 2:
        # W @ x = (x.T @ W.T).T
        data = call.to_ref(second)
        rank = len(data.shape)
        turned = first if first.value.dim() < 2 else Constant(first.name, first.value.T)
        if rank == 1:
            return _times_constant(call, data, turned)
        swap = (*range(rank - 2), rank - 1, rank - 2)
        result = _times_constant(call, transpose(call, data, swap), turned)
        return result if first.value.dim() < 2 else transpose(call, result, swap)
    return reshape(call, product(call, call.to_ref(first), call.to_ref(second)), call.shape)


def _operands(call: Call) -> tuple[Value, Value]:
    """The two matrices, whatever the overload calls them."""
    first = call["self"]
    for name in ("other", "mat2", "vec", "tensor"):
        if name in call.arguments:
            return first, call[name]
    raise call.refuse("unknown arguments")


def _times_constant(call: Call, data: Ref, matrix: Constant) -> Ref:
    """``data @ matrix`` with ``matrix`` [K, N] or [K]."""
    value = matrix.value
    if value.dim() == 2:
        return fully_connected(call, data, Constant(matrix.name, value.T), None)
    result = fully_connected(call, data, Constant(matrix.name, value[None]), None)
    return reshape(call, result, data.shape[:-1])


def product(call: Call, first: Ref, second: Ref) -> Ref:
    """``first @ second`` of two tensors of the frame, as ``batch_matmul`` on at most three axes.

    The result has the leading axes of ``first``, and 1 where an operand is a vector.
    """
    a = reshape(call, first, (1, *first.shape)) if len(first.shape) == 1 else first
    b = reshape(call, second, (*second.shape, 1)) if len(second.shape) == 1 else second
    a_leading = max(a.shape[:-2], b.shape[:-2], key=len)
    batch_a = tuple(size for size in a.shape[:-2] if size > 1)
    batch_b = tuple(size for size in b.shape[:-2] if size > 1)
    if batch_a != batch_b:
        raise call.refuse(
            f"shapes {first.shape} and {second.shape} broadcast over leading axes (must have the same "
            "leading axes)",
            "operands of the same leading axes",
        )
    leading = (math.prod(batch_a),) if batch_a else ()
    a = reshape(call, a, (*leading, *a.shape[-2:]))
    b = reshape(call, b, (*leading, *b.shape[-2:]))
    result = call.builder.emit("batch_matmul", a, b, transpose_b=False)
    return reshape(call, result, (*a_leading, *result.shape[-2:]))


def reduce(call: Call, scale_by_count: bool) -> Value:
    """Sum or mean over axes: they move last and become one axis, then a row of equal weights."""
    data = call.ref("self")
    rank = len(data.shape)
    wanted = call.arguments.get("dim")
    wanted = [wanted] if isinstance(wanted, int) else wanted
    axes = sorted({axis_of(axis, rank) for axis in wanted}) if wanted else list(range(rank))
    count = math.prod(data.shape[axis] for axis in axes)
    kept = tuple(size for axis, size in enumerate(data.shape) if axis not in axes)
    moved = reshape(call, transpose(call, data, axis_last(rank, axes)), (*kept, count))
    kind = "mean" if scale_by_count else "sum"
    row = made(f"{kind}_of_{count}", torch.full((1, count), 1 / count if scale_by_count else 1.0))
    result = call.builder.emit("fully_connected", moved, row, None, name=kind, activation="none")
    return reshape(call, result, call.shape)


def mean(call: Call) -> Value:
    """``aten.mean``."""
    return reduce(call, scale_by_count=True)


def total(call: Call) -> Value:
    """``aten.sum``."""
    return reduce(call, scale_by_count=False)


def einsum(call: Call) -> Value:
    """Two-operand einsum whose letters are batch, row, shared and column: a ``matmul`` with transposes."""
    equation = call["equation"].replace(" ", "")
    left, _, out = equation.partition("->")
    letters = left.split(",")
    operands = [call.to_ref(value) for value in call["tensors"]]
    if len(letters) != 2 or not out or "." in equation or any(len(set(word)) < len(word) for word in letters):
        raise call.refuse(f"equation {equation!r}", "torch.matmul, transpose and sum")
    first, second = letters
    batch = [c for c in first if c in second and c in out]
    shared = [c for c in first if c in second and c not in out]
    rows = [c for c in first if c not in second]
    columns = [c for c in second if c not in first]
    if len(shared) != 1 or len(rows) > 1 or len(columns) > 1 or set(out) != {*batch, *rows, *columns}:
        raise call.refuse(f"equation {equation!r}", "torch.matmul, transpose and sum")
    sizes = dict(zip(first + second, operands[0].shape + operands[1].shape, strict=True))
    a = transpose(call, operands[0], [first.index(c) for c in (*batch, *rows, *shared)])
    b = transpose(call, operands[1], [second.index(c) for c in (*batch, *shared, *columns)])
    count = math.prod(sizes[c] for c in batch)
    a = reshape(call, a, (count, sizes[rows[0]] if rows else 1, sizes[shared[0]]))
    b = reshape(call, b, (count, sizes[shared[0]], sizes[columns[0]] if columns else 1))
    result = call.builder.emit("batch_matmul", a, b, transpose_b=False)
    order = [*batch, *rows, *columns]
    result = reshape(call, result, tuple(sizes[c] for c in order))
    return transpose(call, result, inverse([out.index(c) for c in order]))


HANDLERS: dict[str, Handler] = {
    "linear": linear,
    "addmm": addmm,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), matmul),
    "mean": mean,
    "sum": total,
    "einsum": einsum,
}
