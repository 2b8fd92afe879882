"""The graph under construction: values that handlers pass around, and the operators they emit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from quant import ops
from quant.errors import GraphError
from quant.graph import Attribute, Branch, DType, Node, Operator, Tensor
from tinydsn.lowering.names import Names, join

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Ref:
    """A tensor that changes from frame to frame, by its name in the graph."""

    name: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class Constant:
    """A value known now: a parameter, a buffer that never changes, or what torch computed from such.

    ``cut``: it was sliced out of a larger one, which it may share its place in flash with.
    """

    name: str
    value: torch.Tensor
    cut: bool = False

    @property
    def shape(self) -> Shape:
        """Shape of the value."""
        return tuple(self.value.shape)

    @property
    def array(self) -> np.ndarray:
        """A copy of the value, as float32."""
        return np.array(self.value.detach().cpu().numpy(), np.float32, order="C")


@dataclass(frozen=True)
class Comparison:
    """``source > threshold``, element by element, or of one element when ``index`` is given.

    ``inverted``: ``<=`` instead. ``unless``: a second one that must not hold.
    """

    source: Ref
    threshold: float
    index: int | None = None
    inverted: bool = False
    unless: Comparison | None = None

    @property
    def shape(self) -> Shape:
        """Shape of the booleans."""
        return self.source.shape if self.index is None else ()


Value = Ref | Constant | Comparison


class Builder:
    """Collects tensors, constants and nodes; handlers emit operators through it.

    ``path`` and ``source`` are those of the ATen node being lowered.
    """

    def __init__(self) -> None:
        self.names = Names()
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[Node] = []
        self.gates: dict[Comparison, tuple[int, str]] = {}
        self.path = ""
        self.source = ""
        self._body: list[Operator] | None = None

    @property
    def in_branch(self) -> bool:
        """Whether operators are emitted into a gated region."""
        return self._body is not None

    def tensor(self, name: str, shape: Shape) -> Ref:
        """A new float tensor."""
        self.tensors[name] = Tensor(name, tuple(shape))
        return Ref(name, tuple(shape))

    def emit(
        self,
        kind: str,
        *inputs: Value | None,
        name: str = "",
        path: str | None = None,
        **attributes: Attribute,
    ) -> Ref:
        """Append one operator and return its output.

        ``name`` ("" for a fully named ``path``) is put after ``path`` (default: the module's).
        """
        wanted = join(self.path if path is None else path, name or ("" if path else kind))
        unique = self.names.unique(wanted or kind)
        read = tuple("" if value is None else self.read(value) for value in inputs)
        shapes = [self.tensors[item].shape if item else () for item in read]
        (shape,) = ops.definition(kind).infer(shapes, attributes)
        dtype: DType = "bool" if kind == "gate" else "float32"
        self.tensors[unique] = Tensor(unique, shape, dtype)
        operator = Operator(unique, kind, read, (unique,), attributes, self.source)
        (self.nodes if self._body is None else self._body).append(operator)
        return Ref(unique, shape)

    def read(self, value: Value) -> str:
        """Name by which an operator reads ``value``; puts constants into the graph."""
        if isinstance(value, Ref):
            return value.name
        if isinstance(value, Comparison):
            raise GraphError("a comparison can only be the predicate of torch.cond")
        return self.constant(value.name, value.array)

    def constant(self, name: str, array: np.ndarray) -> str:
        """Put a constant into the graph, or find it there."""
        known = self.constants.get(name)
        if known is not None and known.shape == array.shape and np.array_equal(known, array):
            return name
        unique = self.names.unique(name)
        self.tensors[unique] = Tensor(unique, array.shape)
        self.constants[unique] = array
        return unique

    def begin_branch(self) -> None:
        """Emit into a gated region from now on."""
        self._body = []

    def end_branch(self) -> tuple[Operator, ...]:
        """The operators emitted since ``begin_branch``."""
        assert self._body is not None
        body, self._body = tuple(self._body), None
        return body

    def append_branch(self, branch: Branch) -> None:
        """Add a finished gated region."""
        self.nodes.append(branch)

    def finished(self) -> tuple[Mapping[str, Tensor], Mapping[str, np.ndarray], tuple[Node, ...]]:
        """Tensors, constants and nodes."""
        return self.tensors, self.constants, tuple(self.nodes)
