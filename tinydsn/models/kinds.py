"""The networks there are, by the name that recipes (``kind`` in ``[model]``) and checkpoints know them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tinydsn.models.dsn import Dsn, DsnConfig
from tinydsn.models.fsenet import Fsenet, FsenetConfig
from tinydsn.models.metered import MeteredConfig, MeteredDsn
from tinydsn.models.network import MaskNetwork, NetworkConfig
from tinydsn.models.nsnet2 import NsNet2, NsNet2Config
from tinydsn.models.predictor import Predictor, PredictorConfig
from tinydsn.models.separator import Separator, SeparatorConfig
from tinydsn.models.sequence import SequenceConfig, SequenceNet
from tinydsn.models.slim import Slim, SlimConfig
from tinydsn.models.task_network import TaskConfig, TaskNetwork

Network = TypeVar("Network", MaskNetwork, TaskNetwork)


@dataclass(frozen=True)
class Kind(Generic[Network]):
    """The class of a network's configuration, and that of the network, made of a configuration alone."""

    config: type[Any]
    network: type[Network]


KINDS: dict[str, Kind[MaskNetwork]] = {
    "dsn": Kind(DsnConfig, Dsn),
    "fsenet": Kind(FsenetConfig, Fsenet),
    "metered": Kind(MeteredConfig, MeteredDsn),
    "nsnet2": Kind(NsNet2Config, NsNet2),
    "separator": Kind(SeparatorConfig, Separator),
    "slim": Kind(SlimConfig, Slim),
}
"""Enhancement networks."""
TASK_KINDS: dict[str, Kind[TaskNetwork]] = {
    "sequence": Kind(SequenceConfig, SequenceNet),
    "predictor": Kind(PredictorConfig, Predictor),
}
"""Networks of tasks beside enhancement."""


def kind_of(config: NetworkConfig | TaskConfig) -> str:
    """The name of the kind that a configuration is of."""
    return next(name for name, kind in (KINDS | TASK_KINDS).items() if type(config) is kind.config)


def make_network(config: NetworkConfig) -> MaskNetwork:
    """An enhancement network of that configuration with fresh weights."""
    return KINDS[kind_of(config)].network(config)


def make_task_network(config: TaskConfig) -> TaskNetwork:
    """A task's network of that configuration with fresh weights."""
    return TASK_KINDS[kind_of(config)].network(config)
