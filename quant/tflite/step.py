"""A whole streaming step as one TFLite model: states come in as inputs and go out as outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quant.errors import UnsupportedOperator
from quant.graph import Graph, Operator, Tensor
from quant.tflite.model import Model
from quant.tflite.operators import translation

IMAGES = frozenset({"conv2d", "depthwise_conv2d"})


def step_model(graph: Graph, close: bool = False) -> Model:
    """The graph's step as a TFLite model; ``close``: with other roundings where equal bits are impossible.

    Inputs are the graph's, then its states; outputs are the graph's, then the next values of its states, in
    the same order. Raises UnsupportedOperator for gated regions, and for an operator without a TFLite form.
    """
    if graph.branches:
        names = ", ".join(branch.name for branch in graph.branches)
        raise UnsupportedOperator(
            f"model {graph.name!r} has gated regions ({names}), which TFLite cannot skip; export it with all "
            "gates on (--gates max) or off (--gates min)"
        )
    operators = list(graph.operators())
    refused = [operator for operator in operators if not _translates(operator, close)]
    if refused:
        others = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        try:
            translation(refused[0], close)
        except UnsupportedOperator as error:
            hint = "; `--bits close` writes the same function with other roundings" if not close else ""
            raise UnsupportedOperator(f"{error}{others}{hint}") from None
    states = [state.tensor for state in graph.states]
    results = [*graph.outputs, *(state.next for state in graph.states)]
    model = build(operators, graph, [*graph.inputs, *states], results, close)
    _separate_outputs(model)
    return model


def _translates(operator: Operator, close: bool) -> bool:
    try:
        translation(operator, close)
    except UnsupportedOperator:
        return False
    return True


def build(
    operators: Sequence[Operator],
    graph: Graph,
    inputs: Sequence[str],
    outputs: Sequence[str],
    close: bool = False,
) -> Model:
    """The operators as a TFLite model of the graph's tensors. Raises UnsupportedOperator."""
    batched = images(operators, graph)
    used = [name for op in operators for name in (*op.inputs, *op.outputs) if name]
    names = dict.fromkeys([*inputs, *used, *outputs])
    constants = [name for name in names if name in graph.constants and name not in inputs]
    model = Model(
        tensors={name: _shaped(graph.tensors[name], name in batched) for name in names},
        constants={name: graph.constants[name] for name in constants},
        steps=[],
        inputs=list(inputs),
        outputs=list(outputs),
        batched=batched,
    )
    for operator in operators:
        translation(operator, close)(operator, model)
    return model


def images(operators: Iterable[Operator], graph: Graph) -> frozenset[str]:
    """Tensors that get a leading axis of one: what convolutions read and write, and what other operators
    bring together with those (a reshape sets them apart again)."""
    groups = []
    for operator in operators:
        if operator.kind == "reshape":
            continue
        data = operator.inputs[:1] if operator.kind in IMAGES else operator.inputs
        names = {name for name in (*data, *operator.outputs) if name and name not in graph.constants}
        groups.append((names, operator.kind in IMAGES))
    found = {name for names, image in groups if image for name in names}
    while True:
        more = {name for names, _ in groups if names & found for name in names}
        if more <= found:
            return frozenset(found)
        found |= more


def _shaped(tensor: Tensor, batched: bool) -> Tensor:
    if not batched:
        return tensor
    return Tensor(tensor.name, (1, *tensor.shape), tensor.dtype, tensor.quantization)


def _separate_outputs(model: Model) -> None:
    """Copy outputs that are inputs or constants, or stand twice in the list: each gets memory of its own."""
    written = {name for step in model.steps for name in step.outputs}
    for index, name in enumerate(model.outputs):
        if name not in written or name in model.outputs[:index]:
            copy = f"{name}.copy{index}"
            model.outputs[index] = model.reshape(name, copy, model.tensors[name].shape)
