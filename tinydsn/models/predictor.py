"""A predictor of speech quality whose maps have one bit an element: DNSMOS ratings of what it hears.

After PAPERS.md, section 5: a convolutional network with Heaviside activations in {0, 1}, so that nearly all
products become sums. Ours is a causal student, frame by frame: 40 bands, four convolutions over time and
frequency with steps behind them, a learned pooling over frequency, a leaky mean over a second, and a small
head. ``binary = false`` gives the same network with ReLUs, the reference that it is measured against.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from quant.errors import ConfigError
from quant.frontend import FrontEnd
from tinydsn.models.sequence import BAND_COUNT, BINS, bands
from tinydsn.models.task_network import TaskNetwork
from tinydsn.nn.step import Step

FRAME_RATE = 62.5
OVRL = 2
"""Which of the three answers tells the rating of the whole."""
MIDDLE_RATING, RANGE_RATING = 3.0, 2.0
"""A rating is MIDDLE_RATING + RANGE_RATING * answer."""
SPREAD, SPARSE = 0.3, -0.1
"""Initial standard deviation and mean of what meets a threshold: within the surrogate's reach, and 37 % of
the bits are set."""


class BlockShape(NamedTuple):
    """A convolution: kernel over ``taps`` frames, ``dilation`` apart, and over ``width`` positions, every
    ``stride``-th."""

    taps: int
    dilation: int
    width: int
    stride: int

    @property
    def history(self) -> int:
        """Frames before the present one that it reads."""
        return (self.taps - 1) * self.dilation

    def positions(self, before: int) -> int:
        """Positions of its result, padded by half a kernel, for so many."""
        return (before + 2 * (self.width // 2) - self.width) // self.stride + 1


BLOCKS = (BlockShape(2, 1, 5, 4), BlockShape(3, 2, 3, 2), BlockShape(3, 4, 3, 1), BlockShape(3, 8, 3, 2))
"""40 bands become 10, 5, 5 and 3 positions; 30 frames of history, 0.48 s, where memory costs one bit an
element."""
POSITIONS = 3


@dataclass(frozen=True)
class PredictorConfig:
    """Sizes of a `Predictor`.

    task       name of the task it was trained for
    outputs    numbers it answers with in each frame, in [-1, 1)
    channels   of each convolution; whole words of 32 waste nothing
    pooled     features a frame that are averaged over time
    hidden     units of the head
    seconds    time constant of the average
    binary     maps of one bit; false: ReLUs, the float twin
    """

    task: str = "speech-quality"
    outputs: int = 3
    channels: int = 32
    pooled: int = 32
    hidden: int = 16
    seconds: float = 1.0
    binary: bool = True

    def __post_init__(self) -> None:
        for name in ("outputs", "channels", "pooled", "hidden"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= BINS:
                raise ConfigError(
                    f"PredictorConfig.{name} is {value!r} (must be a whole number from 1 to {BINS})"
                )
        if not 1 / FRAME_RATE <= self.seconds <= 60:
            raise ConfigError(f"PredictorConfig.seconds is {self.seconds!r} (must be from 0.016 to 60)")

    @property
    def rate(self) -> float:
        """Share of the present frame in the average."""
        return 1.0 / (FRAME_RATE * self.seconds)


class Block(nn.Module):
    """Convolution, batch norm and activation; whole clips ``[batch, inputs, frames, positions]``, causal."""

    def __init__(self, inputs: int, outputs: int, shape: BlockShape, binary: bool) -> None:
        super().__init__()
        self.shape = shape
        self.conv = nn.Conv2d(
            inputs,
            outputs,
            (shape.taps, shape.width),
            (1, shape.stride),
            (0, shape.width // 2),
            (shape.dilation, 1),
            bias=False,
        )
        self.norm = nn.BatchNorm2d(outputs)
        if binary:
            nn.init.constant_(self.norm.weight, SPREAD)
            nn.init.constant_(self.norm.bias, SPARSE)
        self.activation = Step() if binary else nn.ReLU()

    def forward(self, image: Tensor) -> Tensor:
        """The map of the whole clip; before it there is nothing but zeros."""
        padded = nn.functional.pad(image, (0, 0, self.shape.history, 0))
        result: Tensor = self.activation(self.norm(self.conv(padded)))
        return result


class Predictor(TaskNetwork):
    """The network over whole clips; `streaming` gives the same network frame by frame."""

    def __init__(self, config: PredictorConfig | None = None) -> None:
        super().__init__()
        self.config = config or PredictorConfig()
        channels, binary = self.config.channels, self.config.binary
        sizes = (1, *(channels,) * len(BLOCKS))
        self.blocks = nn.ModuleList(
            Block(inputs, channels, shape, binary) for inputs, shape in zip(sizes, BLOCKS, strict=False)
        )
        self.pool = nn.Linear(POSITIONS * channels, self.config.pooled)
        self.first = nn.Linear(self.config.pooled, self.config.hidden)
        self.second = nn.Linear(self.config.hidden, self.config.outputs)

    def logits(self, pooled: Tensor) -> Tensor:
        """``[batch, frames, outputs]`` for bands ``[batch, frames, 40]``, from zero states."""
        image = pooled.unsqueeze(1)
        for block in self.blocks:
            image = block(image)
        # [batch, channels, frames, positions] -> [batch, frames, positions * channels], as a frame has them
        features = torch.relu(self.pool(image.permute(0, 2, 3, 1).flatten(2)))
        return self.head(leaky_mean(features, self.config.rate))

    def head(self, mean: Tensor) -> Tensor:
        """The answer ``[..., outputs]`` to averaged features ``[..., pooled]``."""
        result: Tensor = self.second(torch.relu(self.first(mean)))
        return result

    def answer(self, logits: Tensor) -> Tensor:
        """The numbers themselves."""
        return logits

    def forward(self, features: Tensor) -> Tensor:
        """Whole clips ``[batch, frames, 256]`` of compressed magnitudes to ``[batch, frames, outputs]``."""
        return self.logits(bands(features))

    def streaming(self) -> PredictorStep:
        """The same network as a step function, with the norms inside the convolutions' weights (copies)."""
        return PredictorStep(self)

    def macs(self) -> int:
        """Multiply-accumulates of one frame; a map of bits needs only the sums of set ones."""
        weights = [block.conv.weight for block in self.blocks if isinstance(block, Block)]
        layers = (self.pool, self.first, self.second)
        return BINS + map_macs(weights) + self.config.pooled + sum(layer.weight.numel() for layer in layers)

    def map_elements(self) -> int:
        """Elements of the convolutions' maps that a frame keeps: each result, and the frames before it that
        the next convolution reads. One bit each, or 32 in the float twin."""
        positions, total = BAND_COUNT, 0
        for index, shape in enumerate(BLOCKS):
            positions = shape.positions(positions)
            kept = 1 + (BLOCKS[index + 1].history if index + 1 < len(BLOCKS) else 0)
            total += kept * positions * self.config.channels
        return total


def leaky_mean(values: Tensor, rate: float) -> Tensor:
    """``m[t] = m[t-1] + rate * (x[t] - m[t-1])`` over frames of ``[batch, frames, features]``, m[-1] = 0."""
    time = torch.arange(values.shape[1], dtype=values.dtype, device=values.device)
    age = time[:, None] - time[None, :]
    weights = torch.where(age >= 0, rate * (1.0 - rate) ** age.clamp(min=0), 0.0)
    return weights @ values


def map_macs(weights: Iterable[Tensor]) -> int:
    """Multiply-accumulates of one frame's maps, for the convolutions' weights."""
    total, positions = 0, BAND_COUNT
    for shape, weight in zip(BLOCKS, weights, strict=True):
        positions = shape.positions(positions)
        total += positions * weight.numel()
    return total


class Listener(nn.Module):
    """The parts of a `Predictor` in evaluation mode, frame by frame up to the units of its head.

    The norms are inside the convolutions' weights (copies); the other layers are the network's own.
    """

    def __init__(self, network: Predictor) -> None:
        super().__init__()
        self.config = network.config
        blocks = [block.eval() for block in network.blocks if isinstance(block, Block)]
        self.convs = nn.ModuleList(fuse_conv_bn_eval(block.conv, block.norm) for block in blocks)
        self.activations = nn.ModuleList(block.activation for block in blocks)
        self.pool, self.first = network.pool, network.first

    def start(self) -> dict[str, Tensor]:
        """The states before the first frame, by name: of each block the frames that it still needs, and the
        mean of the pooled features."""
        states, positions, channels = {}, BAND_COUNT, 1
        for index, shape in enumerate(BLOCKS):
            states[f"history{index}"] = torch.zeros(shape.history, positions, channels)
            positions, channels = shape.positions(positions), self.config.channels
        return states | {"mean": torch.zeros(self.config.pooled)}

    def listen(self, frame: Tensor, states: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The head's units ``[hidden]``, in which the answer is linear, and the next states, for one frame
        ``[256]``."""
        columns, after = bands(frame).view(1, BAND_COUNT, 1), {}
        for index, (conv, activation) in enumerate(zip(self.convs, self.activations, strict=True)):
            image = torch.cat([states[f"history{index}"], columns])
            after[f"history{index}"] = image[1:]
            # [frames, positions, channels] -> a map of one frame, channels last again
            columns = activation(conv(image.permute(2, 0, 1).unsqueeze(0)))[0].permute(1, 2, 0)
        features = torch.relu(self.pool(columns.reshape(-1)))
        mean = states["mean"] + self.config.rate * (features - states["mean"])
        return torch.relu(self.first(mean)), after | {"mean": mean}


class PredictorStep(Listener):
    """One frame of a `Predictor` in evaluation mode: ``forward(frame[256]) -> [outputs]``, states in buffers.

    Running it over a clip from `reset` equals `Predictor.forward` but for rounding, which a bit can turn.
    """

    def __init__(self, network: Predictor) -> None:
        super().__init__(network)
        self.frontend: FrontEnd | None = FrontEnd(kind="stft-features")
        self.second = network.second
        start = self.start()
        self.states = tuple(start)
        for name, zeros in start.items():
            self.register_buffer(name, zeros, persistent=False)

    def reset(self) -> None:
        """Sets the states to zero."""
        for buffer in self.buffers():
            buffer.zero_()

    def forward(self, frame: Tensor) -> Tensor:
        """The answer ``[outputs]`` to one frame ``[256]``."""
        units, after = self.listen(frame, {name: self.get_buffer(name) for name in self.states})
        for name, state in after.items():
            self.get_buffer(name).copy_(state)
        return self.second(units)  # type: ignore[no-any-return]
