"""Bit widths by operator name.

A precision table has defaults and an ordered list of rules; a later rule that matches wins, field by field.
As TOML::

    [default]
    weights = 8
    activations = 16
    states = 16

    [[rule]]
    match = "decoder.*"
    weights = 4
    activations = 8

``weights`` are those of an operator (2 to 8 bits), ``activations`` what it computes with and gives (8 or 16),
and ``states`` what a state is stored with (8 or 16). The matrices of a GRU are operators of their own
(``recurrence.gru.input``, ``recurrence.gru.hidden``), whose activations are its gx and gh; the activations
of ``recurrence.gru.update`` are its result where others read it, and its memory is a state. Operators that
compute with 16 bits only (gru_update, layer_norm, softmax) are unmoved by defaults; a rule that gives them 8
brings their result to 8 bits.

The same as a *genome*, a flat table of names and bits in JSON or TOML: ``<operator>.weight`` is the width of
its weights, ``<operator>`` that of its result, and ``<state>`` that of a state; the rest has the defaults of
w8a16.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from quant import ops
from quant.bits import bit_tensors
from quant.errors import ConfigError
from quant.graph import Graph, Operator
from quant.nearest import did_you_mean, unknown
from quant.ops.linear import LEADING_OF

LEGAL: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"weights": (2, 3, 4, 5, 6, 7, 8), "activations": (8, 16), "states": (8, 16)}
)
WHAT: Mapping[str, str] = MappingProxyType(
    {"weights": "operator with weights", "activations": "operator with a result", "states": "state"}
)
WEIGHT = ".weight"
"""Ending of the genes of weights."""
WEIGHTED = frozenset({"fully_connected", "conv2d", "depthwise_conv2d"})
"""Kinds with weights that have a width."""


@dataclass(frozen=True)
class Rule:
    """Widths for the names that ``match`` (a shell-style pattern) matches; None leaves a field alone."""

    match: str
    weights: int | None = None
    activations: int | None = None
    states: int | None = None


@dataclass(frozen=True)
class Precision:
    """Default widths in bits, and rules by name. ``genome``: the rules are genes, whose names are exact."""

    name: str = "w8a16"
    weights: int = 8
    activations: int = 16
    states: int = 16
    rules: tuple[Rule, ...] = ()
    genome: bool = False

    def width(self, field: str, name: str, default: int | None = None) -> int:
        """Bits of ``field`` for the operator or state called ``name``."""
        value = getattr(self, field) if default is None else default
        for rule in self.rules:
            chosen = getattr(rule, field)
            if chosen is not None and self.matches(rule, name):
                value = chosen
        return int(value)

    def matches(self, rule: Rule, name: str) -> bool:
        """Whether a rule is for ``name``."""
        return name == rule.match if self.genome else fnmatchcase(name, rule.match)


PRESETS: Mapping[str, Precision] = MappingProxyType(
    {
        f"w{weights}a{activations}": Precision(f"w{weights}a{activations}", weights, activations)
        for weights in LEGAL["weights"]
        for activations in LEGAL["activations"]
    }
)
"""w2a8, w2a16, ..., w8a16: one width for all weights and one for all activations; states have 16 bits."""


def legal_names(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Names that each field of a precision table may match, in the graph's order.

    ``weights``: operators with weights of their own; ``activations``: operators with results that have a
    width; ``states``: states.
    """
    operators, packed = list(graph.operators()), bit_tensors(graph)

    def made(operator: Operator) -> bool:
        """Whether an operator's result is bits, which have one width."""
        return operator.outputs[0] in packed

    return {
        "weights": tuple(
            item.name for item in operators if item.kind in WEIGHTED and LEADING_OF not in item.attributes
        ),
        "activations": tuple(item.name for item in operators if item.kind != "gate" and not made(item)),
        "states": tuple(state.tensor for state in graph.states if state.tensor not in packed),
    }


def genes(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Every name that a genome for ``graph`` may hold, and its legal widths."""
    names = legal_names(graph)
    found = {f"{name}{WEIGHT}": LEGAL["weights"] for name in names["weights"]}
    found |= {name: LEGAL["activations"] for name in names["activations"]}
    return found | {name: LEGAL["states"] for name in names["states"]}


def activation_bits(graph: Graph, precision: Precision) -> dict[str, int]:
    """Bits of each operator's result.

    Without a rule that names the operator, what feeds a recurrent update has the states' width, and what
    feeds a gate, or is computed with 16 bits only, has 16.
    """
    readers: dict[str, set[str]] = {}
    for operator in graph.operators():
        for name in operator.inputs:
            readers.setdefault(name, set()).add(operator.kind)
    result: dict[str, int] = {}
    for operator in graph.operators():
        kinds = set().union(*(readers.get(name, set()) for name in operator.outputs))
        default = None
        if "gate" in kinds or is_wide(operator):
            default = 16
        elif "gru_update" in kinds:
            default = precision.states
        result[operator.name] = precision.width("activations", operator.name, default)
    return result


def is_wide(operator: Operator) -> bool:
    """Whether an operator's result has 16 bits whatever its width is."""
    slot = ops.definition(operator.kind).slots(operator, "int8").outputs[0]
    return slot is not None and slot.dtype == "int16"


def genome_of(precision: Precision, graph: Graph) -> dict[str, int]:
    """The whole genome: every gene of ``graph`` with its width in bits, whatever gave it."""
    names, activations = legal_names(graph), activation_bits(graph, precision)
    found = {f"{name}{WEIGHT}": precision.width("weights", name) for name in names["weights"]}
    found |= {name: activations[name] for name in names["activations"]}
    return found | {name: precision.width("states", name) for name in names["states"]}


def from_genome(genome: Mapping[str, int], name: str = "genome") -> Precision:
    """The precision table of a genome, by exact names. Raises ConfigError for a width that is not legal."""
    rules = []
    for key, bits in genome.items():
        field = "weights" if key.endswith(WEIGHT) else "activations"
        _check_width(name, key, field, bits)
        if field == "weights":
            rules.append(Rule(key.removesuffix(WEIGHT), weights=bits))
        else:
            rules.append(Rule(key, activations=bits, states=bits))
    return Precision(name, rules=tuple(rules), genome=True)


def check_names(precision: Precision, graph: Graph) -> None:
    """Raise ConfigError when a rule gives a width to nothing in ``graph``, naming the nearest legal name."""
    names = legal_names(graph)
    for rule in precision.rules:
        fields = [field for field in LEGAL if getattr(rule, field) is not None] or list(LEGAL)
        known = [name for field in fields for name in names[field]]
        found = [any(precision.matches(rule, name) for name in names[field]) for field in fields]
        if precision.genome and not any(found):
            ending = WEIGHT if rule.weights is not None else ""
            raise ConfigError(
                f"precision {precision.name}: {rule.match + ending!r} is no name of model {graph.name!r}"
                f"{_nearest(rule.match + ending, genes(graph))} (is it the genome of another model?)"
            )
        if not any(found):
            what = WHAT[fields[0]] if len(fields) == 1 else "operator or state"
            raise ConfigError(
                f"precision {precision.name}: pattern {rule.match!r} matches no {what}"
                f"{_nearest(rule.match, known)}"
            )


def _nearest(text: str, known: Iterable[str]) -> str:
    """Such as ``, did you mean 'decoder.skip'?``; without anything near, the first names."""
    names = list(dict.fromkeys(known))
    return did_you_mean(text, names, 0.5) or f" (names look like {', '.join(names[:3]) or 'nothing'})"


def load_precision(text: str) -> Precision:
    """A preset by name, or a file: a TOML table, or a genome in TOML or JSON.

    Raises ConfigError naming the legal values.
    """
    if text in PRESETS:
        return PRESETS[text]
    path = Path(text)
    if not path.is_file() and path.suffix.lower() in (".toml", ".json"):
        raise ConfigError(f"{path}: no such file (precision is a table of names and bits, or such as w8a16)")
    if not path.is_file():
        raise ConfigError(
            f"unknown precision {text!r}{did_you_mean(text, PRESETS)} (must be w2 to w8 with a8 or a16, such "
            "as w8a16, or a TOML or JSON file)"
        )
    return _made(path, _read(path))


def from_toml(text: str, name: str) -> Precision:
    """The table or genome that `to_toml` wrote, called ``name``. Raises ConfigError for anything else."""
    path = Path(f"{name}.toml")
    try:
        return _made(path, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error


def _made(path: Path, data: dict[str, object]) -> Precision:
    flat = bool(data) and not any(isinstance(value, dict | list) for value in data.values())
    if path.suffix.lower() == ".json" or (flat and not {"default", "rule"} & set(data)):
        return from_genome(data, path.stem)  # type: ignore[arg-type]
    return _from_tables(path, data)


def _read(path: Path) -> dict[str, object]:
    try:
        if path.suffix.lower() != ".json":
            return tomllib.loads(path.read_text())
        data = json.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not a JSON file: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f'{path}: must be an object of names and bits, such as {{"first.weight": 4}}')
    return data


def _from_tables(path: Path, data: dict[str, object]) -> Precision:
    for name in sorted(set(data) - {"default", "rule"}):
        hint = did_you_mean(name, ("default", "rule"))
        raise ConfigError(f"{path}: unknown table {name!r}{hint} (must be [default] or [[rule]])")
    default, entries = data.get("default", {}), data.get("rule", [])
    if not isinstance(entries, list) or not all(isinstance(table, dict) for table in (default, *entries)):
        raise ConfigError(f"{path}: default and rule must be tables: [default], and [[rule]] for each rule")
    assert isinstance(default, dict)
    defaults = _widths(path, default)
    rules = []
    for entry in entries:
        match = entry.pop("match", None)
        if not isinstance(match, str):
            raise ConfigError(f'{path}: a [[rule]] needs match = "name pattern"')
        rules.append(Rule(match, **_widths(path, entry)))
    return Precision(path.stem, rules=tuple(rules), **defaults)  # type: ignore[arg-type]


def _widths(path: Path, table: dict[str, object]) -> dict[str, int]:
    result: dict[str, int] = {}
    for key, value in table.items():
        if key not in LEGAL:
            raise ConfigError(f"{path}: {unknown('key', key, LEGAL)}")
        result[key] = _check_width(path, key, key, value)
    return result


def _check_width(where: object, key: str, field: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value not in LEGAL[field]:
        *most, last = (str(width) for width in LEGAL[field])
        raise ConfigError(f"{where}: {key} = {value} (must be {', '.join(most)} or {last} bits)")
    return value


def to_toml(precision: Precision) -> str:
    """The text of a file that `load_precision` reads as the same table (its name is the file's)."""
    if precision.genome:
        lines = []
        for rule in precision.rules:
            ending, bits = (WEIGHT, rule.weights) if rule.weights is not None else ("", rule.activations)
            lines.append(f"{json.dumps(rule.match + ending)} = {bits}")
        return "\n".join(lines) + "\n"
    lines = ["[default]", *(f"{field} = {getattr(precision, field)}" for field in LEGAL)]
    for rule in precision.rules:
        lines += ["", "[[rule]]", f"match = {json.dumps(rule.match)}"]
        given = ((field, getattr(rule, field)) for field in LEGAL)
        lines += [f"{field} = {bits}" for field, bits in given if bits is not None]
    return "\n".join(lines) + "\n"
