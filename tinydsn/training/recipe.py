"""Training recipes: a TOML file with the tables ``model``, ``mix``, ``gates``, ``guidance``, ``train`` and,
for networks with exits, ``exits``, for separators, ``voices``, to fine-tune for integers, ``quantization``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from quant.errors import ConfigError
from quant.nearest import unknown
from tinydsn.audio.corpus import RATE
from tinydsn.audio.mixing import MixOptions
from tinydsn.audio.voices import VoiceOptions
from tinydsn.models.dsn import DsnConfig
from tinydsn.models.exits import ExitNetwork
from tinydsn.models.kinds import KINDS, kind_of
from tinydsn.models.metered import MeteredConfig
from tinydsn.models.network import NetworkConfig
from tinydsn.training.exits import ExitOptions
from tinydsn.training.guidance import Guidance
from tinydsn.training.quantized import QuantizationOptions
from tinydsn.training.schedule import GateSchedule

Made = TypeVar("Made")
DEFAULT_KIND = "dsn"


@dataclass(frozen=True)
class TrainOptions:
    """The optimiser's settings.

    seed            of the start values, the mixtures and the gates' noise
    hours           length of the run, in hours of mixtures seen
    batch           mixtures a step
    pool            cut the mixtures from the rated pool, instead of drawing new ones all the time
    rate, warmup, last_rate   peak learning rate, share of warm-up, last rate as a share of the peak
    policy_rate     the policy's learning rate as a multiple of ``rate``; 0: it stays as it was pretrained,
                    and the network learns to live with its gates
    decay           weight decay of AdamW (betas 0.9 and 0.99)
    clip            largest norm of the gradient
    average         decay of the running average of the weights; the average is the result
    windows         window lengths of the multi-resolution speech loss, samples
    sdr_weight      weight of the waveform's SDR loss (dB) beside the spectral loss
    bf16            the network in bfloat16 on a GPU; spectra and losses stay in float32
    """

    seed: int = 1
    hours: float = 25.0
    batch: int = 4
    pool: bool = False
    rate: float = 4e-3
    warmup: float = 0.03
    last_rate: float = 0.01
    policy_rate: float = 2.5
    decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.999
    windows: tuple[int, ...] = (320, 512, 768)
    sdr_weight: float = 0.003
    bf16: bool = False


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run besides the corpus and the weights it starts from."""

    model: NetworkConfig = field(default_factory=DsnConfig)
    mix: MixOptions = field(default_factory=MixOptions)
    gates: GateSchedule = field(default_factory=GateSchedule)
    guidance: Guidance = field(default_factory=lambda: Guidance(kind="snr", best=20.0, worst=-5.0))
    train: TrainOptions = field(default_factory=TrainOptions)
    quantization: QuantizationOptions = field(default_factory=QuantizationOptions)
    exits: ExitOptions = field(default_factory=ExitOptions)
    voices: VoiceOptions = field(default_factory=VoiceOptions)

    def __post_init__(self) -> None:
        if self.guidance.kind == "rating" and not self.train.pool:
            raise ConfigError("guidance by rating needs rated mixtures (set pool = true in [train])")
        if self.guidance.kind == "snr" and self.train.pool:
            raise ConfigError("guidance by snr needs mixtures of known SNR (set pool = false in [train])")
        if self.metered and self.guidance.hints:
            raise ConfigError("a meter needs no hint, it was trained before (set hint = 0 in [guidance])")
        if self.guidance.kind == "regret" and self.train.policy_rate > 0:
            raise ConfigError("guidance by regret ends where the run begins (set policy_rate = 0 in [train])")
        learnt = self.metered or self.guidance.pretrain
        if self.train.policy_rate == 0 and self.model.gated and not learnt:
            raise ConfigError("a policy that is not trained must be pretrained (set pretrain in [guidance])")
        if self.guidance.kind != "none" and not self.model.gated:
            raise ConfigError('a network without gates has no guidance (set kind = "none" in [guidance])')
        if self.quantized and self.guidance.kind != "none":
            raise ConfigError(
                'fine-tuning for integers keeps the gates as they are (set kind = "none" in [guidance])'
            )
        if self.quantized and self.train.bf16:
            raise ConfigError("fine-tuning for integers runs in float32 (set bf16 = false in [train])")
        if self.exits.used and not issubclass(KINDS[kind_of(self.model)].network, ExitNetwork):
            raise ConfigError(f'a network of kind "{kind_of(self.model)}" has no exits (leave out [exits])')
        if self.exits.used and self.quantized:
            raise ConfigError("fine-tuning for integers trains no exits (leave out [exits])")
        if self.separates and (self.train.pool or self.quantized):
            raise ConfigError(
                "separation trains in float on mixtures that it draws itself (set pool = false in [train], "
                "leave out [quantization])"
            )
        if self.exits.only_heads and self.guidance.kind != "none":
            raise ConfigError(
                'training of heads alone keeps the gates as they are (set kind = "none" in [guidance])'
            )

    @property
    def steps(self) -> int:
        """Length of the run in optimiser steps, at least 1."""
        return max(1, round(self.train.hours * 3600 * RATE / (self.train.batch * self.mix.samples)))

    @property
    def quantized(self) -> bool:
        """Whether the run fine-tunes for integers."""
        return bool(self.quantization.precision)

    @property
    def metered(self) -> bool:
        """Whether a meter decides the gates, which must be given."""
        return isinstance(self.model, MeteredConfig) and self.model.gated

    @property
    def separates(self) -> bool:
        """Whether the network has more than one output channel: a speaker in each."""
        return KINDS[kind_of(self.model)].network.channels > 1

    def as_dict(self) -> dict[str, Any]:
        """The recipe as nested dictionaries for cards and logs."""
        tables = asdict(self)
        tables["model"] = {"kind": kind_of(self.model), **tables["model"]}
        if self.quantized:  # a file's name, not where it lay
            tables["quantization"]["precision"] = Path(self.quantization.precision).stem
        else:
            del tables["quantization"]
        if not self.exits.used:
            del tables["exits"]
        if not self.separates:
            del tables["voices"]
        return tables


def settings(kind: type[Any], values: Any, where: str) -> Any:
    """A dataclass of settings from a table. Raises ConfigError for an unknown or ill-typed one."""
    known = kind.__dataclass_fields__
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be a table of settings")
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{where}: {unknown('setting', name, known)}")
        default = known[name].default
        fits = isinstance(value, type(default)) or (isinstance(default, float) and isinstance(value, int))
        if isinstance(default, tuple):
            fits = isinstance(value, list) and bool(value) and all(isinstance(item, int) for item in value)
        if not fits or isinstance(value, bool) != isinstance(default, bool):
            raise ConfigError(f"{where}: {name} is {value!r} (must be like {default!r})")
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def from_tables(
    made: Callable[..., Made], kinds: Mapping[str, type[Any]], tables: Mapping[str, Any], path: Path
) -> Made:
    """``made`` with the settings of each table of ``kinds`` by its name. Raises ConfigError, naming ``path``,
    for a table of another name, and for what `settings` or ``made`` refuses."""
    for name in tables:
        if name not in kinds:
            raise ConfigError(f"{path}: {unknown('table', name, kinds)}")
    read = {name: settings(kinds[name], values, f"{path} [{name}]") for name, values in tables.items()}
    try:
        return made(**read)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _network_kind(tables: dict[str, Any], path: Path) -> type[Any]:
    """The configuration that ``kind`` in the table ``model`` asks for, "dsn" without one; takes it out."""
    table = tables.get("model", {})
    kind = table.pop("kind", DEFAULT_KIND) if isinstance(table, dict) else DEFAULT_KIND
    if kind not in KINDS:
        raise ConfigError(f"{path} [model]: {unknown('kind', str(kind), KINDS)}")
    return KINDS[kind].config


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe. Raises ConfigError for a missing file, bad TOML, or an unknown or ill-typed setting."""
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error})") from None
    kinds: dict[str, type[Any]] = {
        "model": _network_kind(tables, path),
        "mix": MixOptions,
        "gates": GateSchedule,
        "guidance": Guidance,
        "train": TrainOptions,
        "quantization": QuantizationOptions,
        "exits": ExitOptions,
        "voices": VoiceOptions,
    }
    return from_tables(Recipe, kinds, tables, path)
