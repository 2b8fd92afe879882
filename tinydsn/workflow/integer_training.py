"""Fine-tuning for integers: the converter and the host's executor as the training loop wants them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quant.calibrate import Range, calibrate
from quant.convert import convert
from quant.errors import ConfigError
from quant.graph import Graph, IntegerGraph
from quant.learned import LearnedScale, weight_of, with_learned_scales
from quant.model_file import save
from quant.precision import Precision, check_names, load_precision, to_toml
from tinydsn.audio.files import replace_file, to_int16
from tinydsn.estimate.runner import HostRunner
from tinydsn.lowering import lower
from tinydsn.models.checkpoint import load_checkpoint, load_scales
from tinydsn.models.network import MaskNetwork
from tinydsn.training.data import TrainingData
from tinydsn.training.quantized import IntegerOutput, Target
from tinydsn.training.recipe import Recipe

NAME = "model"
PRECISION_FILE = "precision.toml"
CALIBRATION_CLIPS = 16


class HostNetwork:
    """The integer form of a network for any values of its parameters, run by the host's executor.

    ``graph``: its float graph, with any values of the parameters. Value ranges are those that the weights of
    the start gave. Raises ConfigError where a precision's names or the graph's constants are not the model's.
    """

    def __init__(
        self, model: MaskNetwork, graph: Graph, ranges: Mapping[str, Range], precision: Precision
    ) -> None:
        check_names(precision, graph)
        self._graph, self._ranges, self.precision = graph, ranges, precision
        for name, value in model.named_parameters():
            if not np.array_equal(graph.constants.get(name, np.zeros(0)), constant(value)):
                raise ConfigError(f"{name} is no constant of the lowered model, so it cannot be fine-tuned")
        parameters = dict(model.named_parameters())
        self._widths = {
            weight_of(operator): precision.width("weights", operator.name)
            for operator in graph.operators()
            if weight_of(operator) in parameters
        }

    @property
    def widths(self) -> Mapping[str, int]:
        """Bits of each weight, by its name in the network."""
        return self._widths

    def integer(self, values: Mapping[str, Tensor], scales: Mapping[str, LearnedScale]) -> IntegerGraph:
        """What the converter makes of the network's parameters ``values`` with learned ``scales``."""
        own = self._graph.constants
        new = {name: constant(value) for name, value in values.items() if name in own}
        graph = self._graph.replace(constants={**own, **new})
        return convert(with_learned_scales(graph, scales), self._ranges, self.precision)

    def run(
        self, values: Mapping[str, Tensor], scales: Mapping[str, LearnedScale], noisy: Tensor
    ) -> IntegerOutput:
        """Waves ``noisy`` [batch, samples] from reset states, with the network's parameters ``values``."""
        graph = self.integer(values, scales)
        assert graph.frontend is not None
        hop = graph.frontend.hop
        samples = noisy.shape[-1] // hop * hop
        clips = [to_int16(wave) for wave in noisy[:, :samples].cpu().numpy()]
        outcomes = HostRunner(clips).run(graph)
        waves = np.stack([outcome.pcm for outcome in outcomes]).astype(np.float32) / 32768
        gates = np.stack([outcome.gates for outcome in outcomes]).astype(np.float32)
        return IntegerOutput(
            torch.from_numpy(waves).to(noisy.device), torch.from_numpy(gates).to(noisy.device)
        )


def constant(value: Tensor) -> np.ndarray:
    """A parameter as the graph's constant: kernels of convolutions as [out, height, width, in]."""
    array = value.detach().cpu().numpy()
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def make_target(start: Path | None, recipe: Recipe, data: TrainingData, device: str = "cpu") -> Target:
    """What a run is trained for: the recipe's widths, and value ranges from the run's first mixtures.

    Raises ConfigError without a start, or for one of another configuration.
    """
    if start is None:
        raise ConfigError("fine-tuning for integers needs trained weights (--start CHECKPOINT)")
    teacher = load_checkpoint(start)
    if teacher.config != recipe.model:
        raise ConfigError(f"{start}: has another configuration than the recipe's [model]; give both the same")
    precision = load_precision(recipe.quantization.precision)
    graph = lower(teacher.streaming(), torch.zeros(teacher.config.bins), name=NAME)
    heard = [to_int16(wave) for wave in data.batch(0).noisy[:CALIBRATION_CLIPS].numpy()]
    network = HostNetwork(teacher, graph, calibrate(graph, heard), precision)
    return Target(network, teacher.to(device).requires_grad_(False))


def keep_precision(target: Target, out: Path) -> None:
    """Writes a run's widths as ``precision.toml`` into ``out``, or checks that a resumed one has the same.

    Raises ConfigError when it has not.
    """
    assert isinstance(target.network, HostNetwork)
    path, text = out / PRECISION_FILE, to_toml(target.network.precision)
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{out}: holds a run of other bit widths; choose another --out or delete it")
    replace_file(path, text.encode())


def write_graph(target: Target, checkpoint: Path) -> str:
    """Writes the integer graph that was trained beside its checkpoint; returns its SHA-256."""
    assert isinstance(target.network, HostNetwork)
    values = dict(load_checkpoint(checkpoint).named_parameters())
    graph = target.network.integer(values, load_scales(checkpoint))
    return save(graph, checkpoint.with_suffix(".tdsn"))
