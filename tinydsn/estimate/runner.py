"""Runs integer graphs over a set of recordings, as the search does for each genome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quant.frontend import FrontEnd
from quant.graph import Graph, IntegerGraph
from tinydsn.estimate import host
from tinydsn.estimate.program import translate


class HostRunner:
    """The firmware's kernels on this machine, with the network as data: nothing is compiled for a graph.

    ``recordings``: int16 [n] each. What the front end makes of them is the same for every graph, and computed
    once in each process. Raises MissingTool where the host has no C compiler, when it first runs.
    """

    def __init__(self, recordings: Sequence[np.ndarray]) -> None:
        self._recordings = tuple(recordings)
        self._analysed: dict[tuple[FrontEnd | None, tuple[int, ...]], list[host.Analysed]] = {}

    def __getstate__(self) -> dict[str, object]:
        """Other processes analyse the recordings themselves."""
        return {**self.__dict__, "_analysed": {}}

    def prepare(self, graph: Graph) -> None:
        """Compile, so that several processes need not wait for the first, and analyse the recordings."""
        self._inputs(graph)

    def run(self, graph: IntegerGraph) -> list[host.Outcome]:
        """Each recording from a reset state, the last hop filled with zeros; bit for bit what
        `quant.reference` gives. Raises GraphError or UnsupportedOperator for a graph that has no C."""
        return host.run(translate(graph), graph, self._inputs(graph))

    def _inputs(self, graph: Graph) -> list[host.Analysed]:
        key = (graph.frontend, graph.tensors[graph.inputs[0]].shape)
        if key not in self._analysed:
            self._analysed[key] = [host.analyse(graph, pcm) for pcm in self._recordings]
        return self._analysed[key]
