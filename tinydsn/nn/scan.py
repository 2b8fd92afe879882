"""A GRU over time, with a gradient of its own for training on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def gru_over_time(cell: nn.GRUCell, inputs: Tensor, weight_ih: Tensor | None = None) -> Tensor:
    """The state of ``cell`` after each frame ``[sequences, frames, hidden]``, from a zero state, for inputs
    ``[sequences, frames, features]``; ``weight_ih``: in place of the cell's.

    The equations of ``torch.gru``. That is fused on a GPU; on a CPU it records some twenty small operators a
    frame for the gradient, which took two thirds of a training step. So there, and only where a gradient is
    wanted, `_Scan` does the same in six operators a frame forwards and four backwards.
    """
    weight = cell.weight_ih if weight_ih is None else weight_ih
    parameters = [weight, cell.weight_hh, cell.bias_ih, cell.bias_hh]
    if inputs.is_cuda or not torch.is_grad_enabled():
        state = inputs.new_zeros(1, inputs.shape[0], cell.hidden_size)
        return torch.gru(inputs, state, parameters, True, 1, 0.0, False, False, True)[0]
    scanned: Tensor = _Scan.apply(inputs, *parameters)
    return scanned


class _Scan(torch.autograd.Function):
    """The recurrence, with all that does not depend on the frame before taken out of the loop over frames.

    Names as in ``torch.nn.GRU``: r and z are the reset and update gates, n the new state, ``W_hn h + b_hn``
    what r multiplies. Tensors are ``[frames, sequences, ...]``.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
    ) -> Tensor:
        frames, sequences, hidden = inputs.shape[1], inputs.shape[0], weight_hh.shape[1]
        heard = inputs.transpose(0, 1).reshape(frames * sequences, -1)
        gates = torch.addmm(bias_ih[: 2 * hidden], heard, weight_ih[: 2 * hidden].T)
        gates = gates.view(frames, sequences, 2 * hidden)
        new = torch.addmm(bias_ih[2 * hidden :], heard, weight_ih[2 * hidden :].T)
        new = new.view(frames, sequences, hidden)
        recurrent = bias_hh.repeat(frames, sequences, 1)
        states = inputs.new_zeros(frames + 1, sequences, hidden)
        transposed = weight_hh.T.contiguous()
        steps = zip(
            gates.unbind(),
            gates[..., :hidden].unbind(),
            gates[..., hidden:].unbind(),
            new.unbind(),
            recurrent.unbind(),
            recurrent[..., : 2 * hidden].unbind(),
            recurrent[..., 2 * hidden :].unbind(),
            states.unbind()[1:],
            strict=True,
        )
        state = states[0]
        for both, r, z, n, all_three, for_gates, for_new, after in steps:
            all_three.addmm_(state, transposed)
            both.add_(for_gates).sigmoid_()
            n.addcmul_(r, for_new).tanh_()
            state = torch.lerp(n, state, z, out=after)
        ctx.save_for_backward(heard, weight_ih, weight_hh, gates, new, recurrent, states)
        return states[1:].transpose(0, 1).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        heard, weight_ih, weight_hh, gates, new, recurrent, states = ctx.saved_tensors
        frames, sequences, hidden = new.shape
        r, z, for_new, before = (
            gates[..., :hidden],
            gates[..., hidden:],
            recurrent[..., 2 * hidden :],
            states[:-1],
        )
        # How the sums inside r, z and n, and the term that r multiplies, move the state.
        of_new = (1 - z) * (1 - new * new)
        of_reset = of_new * for_new * r * (1 - r)
        of_update = (before - new) * z * (1 - z)
        slopes = torch.stack([of_reset, of_update, of_new * r], 2)
        sums = torch.empty_like(slopes)
        totals, carried = torch.empty_like(new), new.new_zeros(sequences, hidden)
        steps = zip(
            gradients[0].transpose(0, 1).unbind(),
            totals.unbind(),
            totals.unsqueeze(2).unbind(),
            slopes.unbind(),
            sums.unbind(),
            sums.view(frames, sequences, 3 * hidden).unbind(),
            z.unbind(),
            strict=True,
        )
        for arriving, total, spread, slope, part, flat, kept in reversed(list(steps)):
            torch.add(arriving, carried, out=total)
            torch.mul(spread, slope, out=part)
            carried = (total * kept).addmm_(flat, weight_hh)
        sums = sums.view(frames * sequences, 3 * hidden)
        of_hidden = sums.T @ before.reshape(frames * sequences, hidden), sums.sum(0)
        sums[:, 2 * hidden :] = (totals * of_new).view(frames * sequences, hidden)
        of_inputs = (sums @ weight_ih).view(frames, sequences, -1).transpose(0, 1)
        return of_inputs, sums.T @ heard, of_hidden[0], sums.sum(0), of_hidden[1]
