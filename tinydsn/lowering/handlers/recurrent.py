"""GRU cells: two fully connected operators and the update."""

from __future__ import annotations

from tinydsn.lowering.builder import Constant, Ref, Value
from tinydsn.lowering.call import Call, Handler, reshape, slice_axis
from tinydsn.lowering.names import join, owner


def cell(call: Call, data: Ref, hidden: Ref, weights: tuple[Constant | None, ...], tag: str = "") -> Ref:
    """One step of torch's GRU (gates in the order r, z, n) on rows: ``[R, I]``, ``[R, H]`` -> ``[R, H]``.

    ``weights`` are w_ih, w_hh, b_ih, b_hh; the biases may be None.
    """
    w_ih, w_hh, b_ih, b_hh = weights
    assert w_ih is not None
    path = join(owner(w_ih.name), tag)
    emit = call.builder.emit
    gx = emit("fully_connected", data, w_ih, b_ih, path=path, name="input", activation="none")
    gh = emit("fully_connected", hidden, w_hh, b_hh, path=path, name="hidden", activation="none")
    return emit("gru_update", gx, gh, hidden, path=path, name="update")


def gru_cell(call: Call) -> Value:
    """``aten.gru_cell``."""
    weights = (
        call.constant("w_ih", "input weight"),
        call.constant("w_hh", "hidden weight"),
        call.optional_constant("b_ih", "input bias"),
        call.optional_constant("b_hh", "hidden bias"),
    )
    return cell(call, call.ref("input"), call.ref("hx"), weights)


def gru(call: Call) -> tuple[Value, ...]:
    """``torch.nn.GRU`` over a single frame: one cell a layer.

    ``input`` [1, 1, I] and ``hx`` [layers, 1, H]; the outputs are [1, 1, H] and [layers, 1, H].
    """
    data, hidden = call.ref("input"), call.ref("hx")
    steps = data.shape[1 if call["batch_first"] else 0]
    rows = data.shape[0 if call["batch_first"] else 1]
    if steps != 1 or call["bidirectional"]:
        raise call.refuse(
            f"{steps} time steps{' in both directions' if call['bidirectional'] else ''} (must be one frame)",
            "torch.nn.GRUCell, with its state in a buffer",
        )
    params = call["params"]
    if not all(isinstance(param, Constant) for param in params):
        raise call.refuse("its weights are computed from the frame (must be parameters)")
    count = 4 if call["has_biases"] else 2
    value = reshape(call, data, (rows, data.shape[2]))
    states: list[Ref] = []
    for layer in range(call["num_layers"]):
        weights = (*params[layer * count : (layer + 1) * count], None, None)[:4]
        before = slice_axis(call, hidden, 0, layer, layer + 1)
        tag = f"layer{layer}" if call["num_layers"] > 1 else ""
        value = cell(call, value, reshape(call, before, before.shape[1:]), weights, tag)
        states.append(reshape(call, value, (1, *value.shape)))
    after = states[0] if len(states) == 1 else call.builder.emit("concat", *states, axis=0)
    return reshape(call, value, call.shape), after


HANDLERS: dict[str, Handler] = {"gru_cell": gru_cell, "gru": gru}
