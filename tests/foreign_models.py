"""Three small networks that know nothing of this project's building blocks: users' models, so to say.

Their weights are random with a fixed seed. Each function returns ``(streaming module, example frame)``, as
``tinydsn quantize tests.foreign_models:gru_denoiser`` wants it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quant.frontend import FrontEnd

PCM_HOP = 64


class GruDenoiser(nn.Module):
    """Mask network: linear, two GRU cells of which one is gated (its contribution is zero when skipped)."""

    h0: Tensor
    h1: Tensor

    def __init__(self, hidden: int = 24) -> None:
        super().__init__()
        self.frontend = FrontEnd(window=256, hop=128, bins=129)
        self.embed = nn.Linear(129, hidden)
        self.policy = nn.Linear(hidden, 1)
        self.cells = nn.ModuleList([nn.GRUCell(hidden, hidden), nn.GRUCell(hidden, 12)])
        self.wide = nn.Linear(12, hidden, bias=False)
        self.mask = nn.Sequential(nn.Linear(hidden, 40), nn.ReLU6(), nn.Linear(40, 129), nn.Sigmoid())
        self.register_buffer("h0", torch.full((1, hidden), 0.125))
        self.register_buffer("h1", torch.zeros(1, 12))

    def forward(self, frame: Tensor) -> Tensor:
        x = torch.tanh(self.embed(frame[None]))
        h0 = self.cells[0](x, self.h0)

        def taken(h0: Tensor, h1: Tensor) -> tuple[Tensor, Tensor]:
            h1 = self.cells[1](h0, h1)
            return self.wide(h1), h1

        def skipped(h0: Tensor, h1: Tensor) -> tuple[Tensor, Tensor]:
            return torch.zeros_like(h0), h1.clone()

        extra, h1 = torch.cond(self.policy(x)[0, 0] > 0.05, taken, skipped, (h0, self.h1))
        self.h0.copy_(h0)
        self.h1.copy_(h1)
        return self.mask(h0 + extra).squeeze(0)


class CausalConv(nn.Module):
    """Dilated convolution over time whose past lies in a buffer; depthwise, then over channels."""

    past: Tensor

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.depth = nn.Conv1d(channels, channels, kernel, dilation=dilation, groups=channels)
        self.norm = nn.BatchNorm1d(channels)
        self.point = nn.Conv1d(channels, channels, 1)
        self.register_buffer("past", torch.zeros(1, channels, (kernel - 1) * dilation))

    def forward(self, x: Tensor) -> Tensor:
        line = torch.cat([self.past, x], dim=2)
        self.past.copy_(line[:, :, -self.past.shape[2] :])
        return self.point(F.leaky_relu(self.norm(self.depth(line)), 0.1))


class Tcn(nn.Module):
    """PCM to PCM: a strided convolution in, dilated ones with FIFO buffers, a gated 2-D one, and back."""

    samples: Tensor
    frames: Tensor

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.frontend = None
        self.encoder = nn.Conv1d(1, channels, 16, stride=8)
        self.blocks = nn.ModuleList([CausalConv(channels, 3, dilation) for dilation in (1, 2, 4)])
        self.policy = nn.Linear(channels, 1)
        self.image = nn.Conv2d(3, 4, 3, padding=(1, 2), dilation=(1, 2))
        self.mix = nn.Conv2d(4, 1, 1)
        self.decoder = nn.Conv1d(channels, 8, 1)
        self.register_buffer("samples", torch.zeros(8))
        self.register_buffer("frames", torch.zeros(1, 2, channels, PCM_HOP // 8))

    def forward(self, pcm: Tensor) -> Tensor:
        line = torch.cat([self.samples, pcm])
        self.samples.copy_(line[-8:])
        x = F.relu(self.encoder(line.view(1, 1, -1)))
        level = self.policy(x.mean(dim=2)).view(-1)
        for block in self.blocks:
            x = x + block(x)
        # an image of channels x time, with this frame and the two before as its channels
        stack = torch.cat([self.frames, x.unsqueeze(1)], 1)
        self.frames.copy_(stack[:, 1:])

        def taken(x: Tensor, stack: Tensor) -> Tensor:
            return x + self.mix(torch.relu(self.image(stack))).squeeze(1)

        def skipped(x: Tensor, stack: Tensor) -> Tensor:
            return x.clone()

        x = torch.cond(level[0] > 0, taken, skipped, (x, stack))
        return torch.tanh(self.decoder(x)).transpose(1, 2).reshape(-1)


class AttentionBlock(nn.Module):
    """Mask network: attention over frequency patches (torch's own module) and feed-forward, both gated."""

    history: Tensor

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.frontend = FrontEnd(window=256, hop=128, bins=128)
        self.embed = nn.Linear(16, width)
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.policy = nn.Linear(width, 2)
        self.first = nn.Linear(width, 2 * width)
        self.second = nn.Linear(2 * width, width)
        self.out = nn.Linear(width, 8)
        self.register_buffer("history", torch.zeros(16, 8))

    def _attend(self, x: Tensor) -> Tensor:
        y = self.norm(x).unsqueeze(0)
        return x + self.attention(y, y, y, need_weights=False)[0][0]

    def _feed(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(x)))

    def forward(self, frame: Tensor) -> Tensor:
        patches = frame.view(16, 8)
        x = self.embed(torch.cat([patches, self.history], -1))
        self.history.copy_(0.75 * self.history + 0.25 * patches)
        on = self.policy(x.mean(0)) > 0
        x = torch.cond(on[0], self._attend, torch.clone, (x,))
        x = torch.cond(on[1], self._feed, torch.clone, (x,))
        return torch.sigmoid(self.out(x)).flatten()


def _sharpen(policy: nn.Linear, middle: list[float], factor: float = 20.0) -> None:
    """Let logits that lie around ``middle`` for real speech lie around 0, ``factor`` times as far apart."""
    with torch.no_grad():
        policy.weight.mul_(factor)
        policy.bias.sub_(torch.tensor(middle)).mul_(factor)


def gru_denoiser() -> tuple[nn.Module, Tensor]:
    """The GRU denoiser and one frame of features."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        module = GruDenoiser()
        _sharpen(module.policy, [0.125])
    return module.eval(), torch.zeros(129)


def tcn() -> tuple[nn.Module, Tensor]:
    """The TCN and one hop of PCM; its batch norms have seen something other than mean 0 and variance 1."""
    with torch.random.fork_rng():
        torch.manual_seed(12)
        module = Tcn()
        # quiet speech must stand out from the biases
        with torch.no_grad():
            module.encoder.weight.mul_(8)
            for conv in (module.encoder, module.decoder):
                assert conv.bias is not None
                conv.bias.mul_(0.1)
        _sharpen(module.policy, [-0.17])
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d):
                assert part.running_mean is not None and part.running_var is not None
                nn.init.uniform_(part.running_mean, -0.1, 0.1)
                nn.init.uniform_(part.running_var, 0.2, 1.0)
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.uniform_(part.bias, -0.1, 0.1)
    return module.eval(), torch.zeros(PCM_HOP)


def gated_attention() -> tuple[nn.Module, Tensor]:
    """The gated attention block and one frame of features."""
    with torch.random.fork_rng():
        torch.manual_seed(13)
        module = AttentionBlock()
        _sharpen(module.policy, [0.171, -0.301])
    return module.eval(), torch.zeros(128)
