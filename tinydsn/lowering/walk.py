"""Walks an exported graph node by node: constants are computed, calls go to their handlers."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from quant.errors import GraphError
from tinydsn.lowering.builder import Builder, Comparison, Constant, Ref, Value
from tinydsn.lowering.call import Call
from tinydsn.lowering.control import both, compare, lower_cond
from tinydsn.lowering.handlers import HANDLERS
from tinydsn.lowering.hints import refuse
from tinydsn.lowering.names import join, module_path, parametrized, source_line

Environment = dict[torch.fx.Node, Any]

# their results depend on the shape of their operand only
_BY_SHAPE = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "zero", "fill")
_CHECKS = ("_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size")


@dataclass(frozen=True)
class Walk:
    """Lowers the nodes of an exported graph into ``builder``; ``root`` holds the functions of cond."""

    builder: Builder
    root: torch.nn.Module

    def run(self, graph: torch.fx.Graph, inputs: Sequence[Value]) -> list[Any]:
        """Values of the graph's outputs for values of its placeholders."""
        placeholders = [node for node in graph.nodes if node.op == "placeholder"]
        values: Environment = dict(zip(placeholders, inputs, strict=True))
        for node in graph.nodes:
            if node.op == "call_function":
                values[node] = self._call(node, values)
            elif node.op == "get_attr":
                values[node] = self._attribute(str(node.target))
            elif node.op == "output":
                return [_resolve(item, values) for item in node.args[0]]
        raise GraphError("an exported graph without an output")

    def _attribute(self, path: str) -> Any:
        """A function of cond, or a constant tensor."""
        found = operator.attrgetter(path)(self.root)
        return Constant(path, found) if isinstance(found, torch.Tensor) else found

    def _call(self, node: torch.fx.Node, values: Environment) -> Any:
        """The value of one call."""
        if node.target is operator.getitem:
            return _resolve(node.args[0], values)[node.args[1]]
        if not self.builder.in_branch:
            self.builder.path = module_path(node)
            self.builder.source = source_line(node.meta.get("stack_trace")) or self.builder.source
        if node.target is torch.ops.higher_order.cond:
            arguments = _resolve(node.args, values)
            graphs = [arguments[1].graph, arguments[2].graph]
            return lower_cond(self.builder, arguments, graphs, self._body_of(arguments[1], arguments[2]))
        return self._aten(node, values)

    def _body_of(self, taken: torch.nn.Module, skipped: torch.nn.Module) -> Any:
        """Runs the graph of either function, with that function's own attributes."""

        def run(graph: torch.fx.Graph, operands: Sequence[Value]) -> list[Any]:
            owner = taken if graph is taken.graph else skipped
            return Walk(self.builder, owner).run(graph, operands)

        return run

    def _aten(self, node: torch.fx.Node, values: Environment) -> Any:
        """The value of a call of an ATen operator."""
        target = node.target
        where = self.builder.source
        if not isinstance(target, torch._ops.OpOverload):
            raise refuse(str(target), where)
        name = target._schema.name.removeprefix("aten::")
        if name in _CHECKS:
            return None
        arguments = _bind(node, target, values)
        changing = [value for value in _flat(arguments.values()) if isinstance(value, (Ref, Comparison))]
        if torch.Tag.nondeterministic_seeded in target.tags and not changing:
            raise refuse(str(target), where, "random numbers", "a deterministic step")
        if not changing or (name in _BY_SHAPE and changing == [arguments["self"]]):
            return self._compute(node, target, values)
        call = Call(str(target), arguments, _shape_of(node), self.builder, where)
        if name in ("gt", "le"):
            return compare(call, _selected(node, values), inverted=name == "le")
        if name == "logical_and":
            return both(call)
        handler = HANDLERS.get(name)
        if handler is None:
            raise refuse(str(target), where)
        result = handler(call)
        _check(node, result, where)
        return result

    def _compute(self, node: torch.fx.Node, target: Any, values: Environment) -> Any:
        """Let torch compute what depends on constants only."""
        arguments = _resolve(node.args, values), _resolve(node.kwargs, values)
        names = {value.name for value in _flat(arguments) if isinstance(value, Constant)}
        name = names.pop() if len(names) == 1 else parametrized(node) or join(module_path(node), node.name)
        with torch.no_grad():
            positional, keywords = (_as_torch(part) for part in arguments)
            result = target(*positional, **keywords)
        if isinstance(result, (tuple, list)):
            return tuple(Constant(name, item) for item in result)
        cut = target is torch.ops.aten.slice.Tensor and result.shape != positional[0].shape
        cut = cut or any(value.cut for value in _flat(arguments) if isinstance(value, Constant))
        # what was cut off a parameter leaves the parameter's own name free
        return Constant(f"{name}_cut" if cut and not name.endswith("_cut") else name, result, cut)


def _bind(node: torch.fx.Node, target: Any, values: Environment) -> dict[str, Any]:
    """Arguments by their schema's names, defaults filled in."""
    bound: dict[str, Any] = {}
    for position, argument in enumerate(target._schema.arguments):
        if position < len(node.args) and not argument.kwarg_only:
            bound[argument.name] = _resolve(node.args[position], values)
        elif argument.name in node.kwargs:
            bound[argument.name] = _resolve(node.kwargs[argument.name], values)
        elif argument.has_default_value():
            bound[argument.name] = argument.default_value
    return bound


def _resolve(item: Any, values: Environment) -> Any:
    """Nodes in a nest of lists replaced by their values."""
    if isinstance(item, torch.fx.Node):
        return values[item]
    if isinstance(item, (list, tuple)):
        return [_resolve(part, values) for part in item]
    if isinstance(item, dict):
        return {key: _resolve(part, values) for key, part in item.items()}
    return item


def _flat(item: Any) -> list[Any]:
    """Leaves of a nest of lists and dictionaries."""
    if isinstance(item, dict):
        item = item.values()
    if isinstance(item, (Ref, Constant, Comparison, str, bytes)) or not hasattr(item, "__iter__"):
        return [item]
    if isinstance(item, torch.Tensor):
        return [item]
    return [leaf for part in item for leaf in _flat(part)]


def _as_torch(item: Any) -> Any:
    """Constants as torch tensors; a tensor of the frame as zeros of its shape."""
    if isinstance(item, Constant):
        return item.value
    if isinstance(item, Ref):
        return torch.zeros(item.shape)
    if isinstance(item, (list, tuple)):
        return [_as_torch(part) for part in item]
    if isinstance(item, dict):
        return {key: _as_torch(part) for key, part in item.items()}
    return item


def _shape_of(node: torch.fx.Node) -> tuple[int, ...]:
    """Torch's shape of the (first) result; () where it has none."""
    value = node.meta.get("val")
    value = value[0] if isinstance(value, (list, tuple)) else value
    return tuple(int(size) for size in value.shape) if isinstance(value, torch.Tensor) else ()


def _selected(node: torch.fx.Node, values: Environment) -> tuple[Value, int] | None:
    """(logits, k) when the first operand of a comparison is ``logits[k]`` of one axis."""
    source = node.args[0]
    if not isinstance(source, torch.fx.Node) or source.target is not torch.ops.aten.select.int:
        return None
    logits = _resolve(source.args[0], values)
    if len(logits.shape) != 1:
        return None
    index = source.args[2]
    return (logits, index % logits.shape[0]) if isinstance(index, int) else None


def _check(node: torch.fx.Node, result: Any, where: str) -> None:
    """The shapes must be torch's, and all numbers float32."""
    expected = node.meta.get("val")
    results, fakes = (result, expected) if isinstance(result, tuple) else ((result,), (expected,))
    for value, fake in zip(results, fakes or (), strict=False):
        if not isinstance(value, Ref) or not isinstance(fake, torch.Tensor):
            continue
        if fake.dtype != torch.float32:
            raise refuse(str(node.target), where, f"a result of {fake.dtype} (must be torch.float32)")
        if value.shape != tuple(fake.shape):
            raise GraphError(
                f"{node.target} at {where}: lowered to shape {value.shape}, torch has {tuple(fake.shape)}"
            )
