"""Networks whose gates are a depth, with a mask after each stage: what training of exits knows of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from tinydsn.models.network import MaskNetwork


class ExitNetwork(MaskNetwork):
    """A network with nested gates: with its first k gates open in all frames it leaves at exit k.

    ``heads`` are the beginnings of the names of the parameters that turn a stage's result into a mask and
    have no part in the stages after it.
    """

    heads: ClassVar[tuple[str, ...]]

    @abstractmethod
    def exit_masks(self, features: Tensor) -> Tensor:
        """The masks ``[exits, batch, frames, bins]`` of all exits, from the one before the first gate to
        the full network, of whole clips ``[batch, frames, bins]`` from a zero state.

        Entry k equals the forward form with the first k gates forced open in all frames, the others closed.
        """
