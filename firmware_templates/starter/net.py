"""A small gated network: replace it by your own, or change its sizes.

``forward`` takes one frame of 256 compressed magnitudes and returns a mask; states live in buffers, and each
``torch.cond`` becomes a branch that is really skipped.
"""

import torch

from quant.frontend import FrontEnd


class Denoiser(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frontend = FrontEnd()  # 16 kHz, windows of 512, hops of 256 samples
        self.cell = torch.nn.GRUCell(256, 32)
        self.extra = torch.nn.Linear(32, 32)
        self.policy = torch.nn.Linear(32, 1)
        self.mask = torch.nn.Linear(32, 256)
        self.register_buffer("state", torch.zeros(1, 32))

    def _more(self, y: torch.Tensor) -> torch.Tensor:
        return y + torch.relu(self.extra(y))

    def _skip(self, y: torch.Tensor) -> torch.Tensor:
        return y.clone()

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        state = self.cell(frame[None], self.state)
        self.state.copy_(state)
        y = torch.cond(self.policy(state)[0, 0] > 0, self._more, self._skip, (state,))
        return torch.sigmoid(self.mask(y))[0]


def denoiser() -> tuple[torch.nn.Module, torch.Tensor]:
    """The network and an example frame: what ``tinydsn quantize net:denoiser`` calls."""
    torch.manual_seed(0)  # load your trained weights here
    return Denoiser().eval(), torch.zeros(256)
