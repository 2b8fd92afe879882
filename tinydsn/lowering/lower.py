"""``lower``: a streaming module becomes a float graph."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from quant import ops
from quant.errors import ConfigError, UnsupportedOperator
from quant.frontend import FrontEnd
from quant.graph import Graph, State, check
from tinydsn.lowering.builder import Builder, Constant, Value
from tinydsn.lowering.export import export_step
from tinydsn.lowering.hints import refuse
from tinydsn.lowering.passes import simplify
from tinydsn.lowering.walk import Walk


def lower(
    module: torch.nn.Module,
    example: torch.Tensor | tuple[torch.Tensor, ...],
    name: str | None = None,
) -> Graph:
    """The float graph of one streaming step.

    module:  takes one frame and keeps its states in registered buffers (their present values become the
             states before the first frame); gates are ``torch.cond``. Its attribute ``frontend`` (a
             FrontEnd, or None or absent for a model that works on PCM itself) goes into the graph.
    example: one float32 frame, or a tuple when the step takes several tensors; only shapes matter.
    name:    the graph's name; by default the module's class.

    Raises UnsupportedOperator, with the operator, the model's line and the nearest supported form, for
    what the operator table does not hold; ConfigError for a wrong example or front end.
    """
    frames = example if isinstance(example, tuple) else (example,)
    frontend = _frontend(module, frames)
    graph = _lowered(module, export_step(module, frames), name or type(module).__name__, frontend)
    check(graph)
    graph = simplify(graph)
    _check_constraints(graph)
    _check_output(graph)
    return graph


def _check_output(graph: Graph) -> None:
    """Raise ConfigError for an output that its front end cannot take."""
    frontend, output = graph.frontend, graph.tensors[graph.outputs[0]]
    if frontend is not None and frontend.masks and output.size != frontend.channels * frontend.bins:
        several = f"{frontend.channels} channels of " if frontend.channels > 1 else ""
        raise ConfigError(
            f"the step's output has shape {output.shape} but the front end has "
            f"{several}{frontend.bins} bins (must be a mask of as many elements)"
        )
    if frontend is not None and not frontend.masks and output.size > frontend.hop:
        raise ConfigError(
            f"the step's output has shape {output.shape} but a hop has {frontend.hop} samples (must be at "
            "most as many elements)"
        )


def _check_constraints(graph: Graph) -> None:
    """Raise UnsupportedOperator for an operator that breaks a constraint of its kind."""
    for operator in graph.operators():
        for constraint in ops.definition(operator.kind).constraints:
            holds, found = constraint(operator, graph.tensors)
            if not holds:
                place = f" at {operator.source}" if operator.source else ""
                rule = (constraint.__doc__ or "").strip()
                raise UnsupportedOperator(f"{operator.kind} {operator.name!r}{place}: {rule} Found: {found}.")


def _frontend(module: torch.nn.Module, frames: tuple[torch.Tensor, ...]) -> FrontEnd | None:
    """The module's front end, which must fit its frame."""
    frontend = getattr(module, "frontend", None)
    if frontend is None:
        return None
    if not isinstance(frontend, FrontEnd):
        raise ConfigError(
            f"attribute frontend of {type(module).__name__} is a {type(frontend).__name__} "
            "(must be a quant.frontend.FrontEnd, or None)"
        )
    if frames[0].numel() != frontend.bins:
        raise ConfigError(
            f"the example frame has shape {tuple(frames[0].shape)} but the front end has "
            f"{frontend.bins} bins (must be as many elements)"
        )
    return frontend


def _lowered(
    module: torch.nn.Module, program: ExportedProgram, name: str, frontend: FrontEnd | None
) -> Graph:
    """The graph as torch exported it, before any pass."""
    builder = Builder()
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    signature = program.graph_signature
    changed = {spec.target for spec in signature.output_specs if spec.kind is OutputKind.BUFFER_MUTATION}
    values: list[Value] = []
    inputs: list[str] = []
    initial: dict[str, torch.Tensor] = {}
    for spec, node in zip(signature.input_specs, placeholders, strict=True):
        if spec.kind is InputKind.USER_INPUT:
            ref = builder.tensor(builder.names.unique(node.name), tuple(node.meta["val"].shape))
            inputs.append(ref.name)
            values.append(ref)
            continue
        assert spec.target is not None
        value = _stored(program, spec.target)
        if spec.target in changed:
            initial[spec.target] = value
            values.append(builder.tensor(builder.names.unique(spec.target), _state_shape(spec.target, value)))
        else:
            values.append(Constant(spec.target, value))
    results = Walk(builder, program.graph_module).run(program.graph, values)
    return _finish(program, builder, results, name, frontend, inputs, initial)


def _stored(program: ExportedProgram, target: str) -> torch.Tensor:
    """A parameter, buffer or lifted constant by its path."""
    found = program.state_dict.get(target)
    return program.constants[target] if found is None else found


def _state_shape(target: str, value: torch.Tensor) -> tuple[int, ...]:
    """Shape of a state, which must hold float32 numbers."""
    if value.dtype != torch.float32:
        raise refuse(f"buffer {target!r}", "", f"a state of {value.dtype} (must be torch.float32)", "float32")
    return tuple(value.shape)


def _finish(
    program: ExportedProgram,
    builder: Builder,
    results: list[Value],
    name: str,
    frontend: FrontEnd | None,
    inputs: list[str],
    initial: dict[str, torch.Tensor],
) -> Graph:
    """Outputs and states from the results of the step, in the signature's order."""
    outputs: list[str] = []
    states: list[State] = []
    for spec, value in zip(program.graph_signature.output_specs, results, strict=True):
        if spec.kind is OutputKind.BUFFER_MUTATION and spec.target in initial:
            states.append(State(spec.target, builder.read(value)))
        elif spec.kind is OutputKind.USER_OUTPUT and value is not None:
            outputs.append(builder.read(value))
        else:
            what = f"output {len(outputs)} of the step"
            found = f"{spec.kind.name.lower().replace('_', ' ')} that is not a tensor or a buffer"
            raise refuse(what, "", found, "tensors as outputs, buffers as states")
    tensors, constants, nodes = builder.finished()
    start = {
        target: value.detach().cpu().numpy().copy() for target, value in initial.items() if bool(value.any())
    }
    return Graph(
        name, tensors, {**constants, **start}, tuple(inputs), tuple(outputs), tuple(states), nodes, frontend
    )
