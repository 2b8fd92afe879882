"""The search space of a graph: which widths are free, which follow, which stay.

Names and legal widths are those of `quant.precision`: ``<operator>.weight``, ``<operator>``, ``<state>``.
Operators that only move values (reshape, concat, ...) have the width of what they move. Operators that
serve the gates alone, and their states, stay at 8-bit weights and 16-bit activations unless asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from quant.errors import ConfigError
from quant.graph import Branch, Graph, Operator
from quant.nearest import nearest
from quant.precision import PRESETS, WEIGHT, Precision, from_genome, genome_of
from quant.precision import genes as legal_genes
from tinydsn.search.score import Genome

MOVES = frozenset({"reshape", "transpose", "slice", "concat", "pad"})
HOMOGENEOUS = ("w4a8", "w6a8", "w8a8", "w4a16", "w6a16", "w8a16")
"""Presets that every search begins with."""
NARROWEST, POLICY = "w2a8", "w8a16"
WIDEST = 16


@dataclass(frozen=True)
class Gene:
    """A width that the search chooses among ``choices`` (bits); grouped genes of a name move together."""

    name: str
    choices: tuple[int, ...]
    group: str


@dataclass(frozen=True)
class Follower:
    """An operator whose result is as wide as the widest of ``sources`` (names; "" is an input, 16 bits)."""

    name: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """Free genes, fixed widths, and followers in the graph's order."""

    genes: tuple[Gene, ...]
    fixed: tuple[tuple[str, int], ...] = ()
    followers: tuple[Follower, ...] = ()

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the genes of each group."""
        found: dict[str, list[int]] = {}
        for index, gene in enumerate(self.genes):
            found.setdefault(gene.group, []).append(index)
        return tuple(tuple(members) for members in found.values())

    @property
    def singles(self) -> tuple[tuple[int, ...], ...]:
        """Each gene alone."""
        return tuple((index,) for index in range(len(self.genes)))

    @property
    def digest(self) -> str:
        """Names the space: SHA-256 of its content."""
        content = [
            [[gene.name, gene.choices, gene.group] for gene in self.genes],
            self.fixed,
            [[follower.name, follower.sources] for follower in self.followers],
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def key(self, genome: Genome) -> str:
        """The genome's canonical name; equal genomes, and only they, have equal names."""
        return ".".join(map(str, genome))

    def widths(self, genome: Genome) -> dict[str, int]:
        """The whole genome as names and bits, loadable by ``--precision``."""
        found = dict(self.fixed)
        found |= {gene.name: bits for gene, bits in zip(self.genes, genome, strict=True)}
        for follower in self.followers:
            found[follower.name] = max((found.get(name, WIDEST) for name in follower.sources), default=WIDEST)
        return found

    def precision(self, genome: Genome) -> Precision:
        """The precision table of a genome."""
        return from_genome(self.widths(genome))

    def genome(self, widths: Mapping[str, int]) -> Genome:
        """The genome with these widths; names that are not free are left out of account.

        Raises ConfigError for a missing name (another model's genome) and for a width that is not legal.
        """
        chosen = []
        for gene in self.genes:
            if gene.name not in widths:
                near = nearest(gene.name, widths)
                hint = f"; it has {near!r}" if near else ""
                raise ConfigError(
                    f"genome: lacks {gene.name!r}{hint} (is the genome of another model, or of other options)"
                )
            bits = widths[gene.name]
            if bits not in gene.choices:
                legal = ", ".join(map(str, gene.choices))
                raise ConfigError(f"genome: {gene.name} = {bits} (must be one of {legal} bits)")
            chosen.append(bits)
        return tuple(chosen)


def space_of(graph: Graph, policy: bool = False) -> Space:
    """The search space of a float graph. ``policy``: the operators that serve the gates are free too.

    Raises ConfigError for a graph without any free gene.
    """
    kept = frozenset() if policy else policy_names(graph)
    producers, blocks = _producers(graph), block_names(graph, kept)
    narrow, usual = genome_of(PRESETS[NARROWEST], graph), genome_of(PRESETS[POLICY], graph)
    moves = {op.name: op for op in graph.operators() if op.kind in MOVES}
    states = {state.tensor for state in graph.states}
    genes, fixed = [], {}
    for name, choices in legal_genes(graph).items():
        owner = name.removesuffix(WEIGHT)
        field = "weights" if name != owner else "states" if name in states else "activations"
        if owner in kept:
            fixed[name] = usual[name]
        elif name not in moves:
            # What the presets leave at 16 bits is a group of its own, so that presets are uniform in groups.
            wide = "-wide" if field == "activations" and narrow[name] == WIDEST else ""
            genes.append(Gene(name, choices, f"{blocks[owner]}/{field}{wide}"))
    if not genes:
        raise ConfigError(f"model {graph.name!r} has no operator whose width could be searched")
    followers = tuple(
        Follower(name, tuple(producers.get(item, "") for item in op.inputs if item not in graph.constants))
        for name, op in moves.items()
        if name not in kept
    )
    return Space(tuple(genes), tuple(fixed.items()), followers)


def homogeneous(space: Space, graph: Graph) -> dict[str, Genome]:
    """The presets as genomes of the space, by name; what is fixed in the space stays as it is."""
    return {name: space.genome(genome_of(PRESETS[name], graph)) for name in HOMOGENEOUS}


def policy_names(graph: Graph) -> frozenset[str]:
    """Operators and states whose values reach no output except by opening and closing gates."""
    if not graph.gates:
        return frozenset()
    needed = set(graph.outputs)
    updates = {state.tensor: state.next for state in graph.states}
    size = -1
    while size != len(needed):
        size = len(needed)
        needed |= {updates[name] for name in updates if name in needed}
        for node in reversed(graph.nodes):
            _add_needed(node, needed)
    operators = {op.name for op in graph.operators() if not needed & set(op.outputs)}
    return frozenset(operators | {state.tensor for state in graph.states if state.tensor not in needed})


def _add_needed(node: Operator | Branch, needed: set[str]) -> None:
    """Add what ``node`` reads to compute what is needed of it."""
    if isinstance(node, Branch):
        for output in node.outputs:
            if output.tensor in needed:
                needed |= {output.taken, output.held} - {""}
    for operator in reversed(node.body if isinstance(node, Branch) else (node,)):
        if needed & set(operator.outputs):
            needed |= {name for name in operator.inputs if name}


def block_names(graph: Graph, kept: frozenset[str]) -> dict[str, str]:
    """Operator or state -> its block: the first part of the operator's dotted name (of the operator that
    makes the state); operators without one belong to the block before them. ``kept`` are not looked at."""
    found: dict[str, str] = {}
    makers: dict[str, str] = {}
    block = ""
    for operator in graph.operators():
        head, dot, _ = operator.name.partition(".")
        if operator.name in kept:
            continue
        if dot or operator.kind not in MOVES and any(name in graph.constants for name in operator.inputs):
            block = head
        found[operator.name] = block or head
        makers |= {name: operator.name for name in operator.outputs}
    for branch in graph.branches:
        makers |= {out.tensor: makers.get(out.taken, "") for out in branch.outputs}
    # A state that only holds an input has no maker.
    return found | {item.tensor: found.get(makers.get(item.next, ""), item.tensor) for item in graph.states}


def _producers(graph: Graph) -> dict[str, str]:
    """Tensor -> the operator or state whose width it has; a region's result has that of its body's."""
    found = {state.tensor: state.tensor for state in graph.states}
    for node in graph.nodes:
        for operator in node.body if isinstance(node, Branch) else (node,):
            found |= {name: operator.name for name in operator.outputs}
        if isinstance(node, Branch):
            found |= {out.tensor: found.get(out.held or out.taken, "") for out in node.outputs}
    return found
