"""The integer graph on disk: one ``.tdsn`` file, a safetensors file whose metadata is the graph as JSON.

The same graph always gives the same bytes, so the file's SHA-256 names the model.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quant.errors import ConfigError, GraphError, ModelFileError
from quant.frontend import FrontEnd
from quant.graph import (
    Branch,
    BranchOutput,
    IntegerGraph,
    Node,
    Operator,
    Quantization,
    State,
    Tensor,
    check,
)

FORMAT = "tinydsn integer graph"
SCHEMA = 1


def save(graph: IntegerGraph, path: Path) -> str:
    """Write the graph atomically; returns the file's SHA-256."""
    data = to_bytes(graph)
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def to_bytes(graph: IntegerGraph) -> bytes:
    """The file's bytes."""
    from safetensors.numpy import save as pack

    arrays = {name: np.ascontiguousarray(graph.constants[name]) for name in sorted(graph.constants)}
    body = json.dumps(_graph_to_json(graph), sort_keys=True, separators=(",", ":"))
    return _with_sorted_header(pack(arrays, {"format": FORMAT, "graph": body}))


def _with_sorted_header(data: bytes) -> bytes:
    """The same safetensors file with its header's keys in order: the library writes metadata in any order."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:start]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[start:]


def load(path: Path) -> tuple[IntegerGraph, str]:
    """Read a graph; returns it with the file's SHA-256. Raises ModelFileError for a damaged or other file."""
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load as unpack

    if not path.is_file():
        raise ModelFileError(f"{path}: no such file (an integer graph is made by `tinydsn quantize`)")
    data = path.read_bytes()
    try:
        arrays = unpack(data)
        with safe_open(str(path), "np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, ValueError, OSError) as error:
        raise ModelFileError(
            f"{path}: damaged or not an integer graph ({error}); quantize the model again"
        ) from error
    if metadata.get("format") != FORMAT:
        raise ModelFileError(
            f"{path}: not an integer graph (make one with `tinydsn quantize ... -o FILE.tdsn`)"
        )
    try:
        graph = _graph_from_json(json.loads(metadata["graph"]), arrays)
        _check_constants(graph)
        check(graph)
    except (AttributeError, GraphError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{path}: damaged integer graph ({error!r}); quantize the model again"
        ) from error
    return graph, hashlib.sha256(data).hexdigest()


def _check_constants(graph: IntegerGraph) -> None:
    for name, values in graph.constants.items():
        tensor = graph.tensors[name]
        if (tensor.shape, tensor.dtype) != (values.shape, str(values.dtype)):
            raise ValueError(f"tensor {name} is {tensor.dtype} {tensor.shape}, its values are not")


def write_atomically(path: Path, data: bytes) -> None:
    """Write to a temporary name beside ``path``, then rename: all or nothing.

    Raises ConfigError as `check_output`, and OSError, which names ``path``, for a full disk and the like.
    """
    check_output(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        Path(temporary).unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Refuse, before the work, a path that `write_atomically` could not write after it.

    Raises ConfigError for a folder, for a device (which the renaming would replace), and where the folder
    that is to hold the file cannot be written or made.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder (name the file to write)")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: is no file but a device or a pipe (name the file to write)")
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir():
        raise ConfigError(f"{path}: cannot be written (Not a directory: {there})")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{path}: cannot be written (no permission in {there})")


def _graph_to_json(graph: IntegerGraph) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": graph.name,
        "frontend": graph.frontend.to_json() if graph.frontend else None,
        "tensors": [_tensor_to_json(graph.tensors[name]) for name in sorted(graph.tensors)],
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "states": [[state.tensor, state.next] for state in graph.states],
        "nodes": [_node_to_json(node) for node in graph.nodes],
    }


def _tensor_to_json(tensor: Tensor) -> dict[str, Any]:
    quantization = tensor.quantization
    made: dict[str, Any] = {"name": tensor.name, "shape": tensor.shape, "dtype": tensor.dtype}
    if quantization is not None:
        made["scale"] = quantization.scale
        made["zero_point"] = quantization.zero_point
        made["axis"] = quantization.axis
    return made


def _operator_to_json(operator: Operator) -> dict[str, Any]:
    return {
        "name": operator.name,
        "kind": operator.kind,
        "inputs": operator.inputs,
        "outputs": operator.outputs,
        "attributes": dict(operator.attributes),
        "source": operator.source,
    }


def _node_to_json(node: Node) -> dict[str, Any]:
    if isinstance(node, Operator):
        return _operator_to_json(node)
    return {
        "branch": node.name,
        "gate": node.gate,
        "predicate": node.predicate,
        **({"inverted": True} if node.inverted else {}),
        **({"unless": node.unless} if node.unless else {}),
        "body": [_operator_to_json(operator) for operator in node.body],
        "outputs": [[output.tensor, output.taken, output.skip, output.held] for output in node.outputs],
    }


def _graph_from_json(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> IntegerGraph:
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']}, this version reads {SCHEMA}")
    tensors = [_tensor_from_json(item) for item in data["tensors"]]
    return IntegerGraph(
        name=data["name"],
        tensors={tensor.name: tensor for tensor in tensors},
        constants=arrays,
        inputs=tuple(data["inputs"]),
        outputs=tuple(data["outputs"]),
        states=tuple(State(*pair) for pair in data["states"]),
        nodes=tuple(_node_from_json(item) for item in data["nodes"]),
        frontend=FrontEnd.from_json(data["frontend"]) if data["frontend"] else None,
    )


def _tensor_from_json(data: Mapping[str, Any]) -> Tensor:
    quantization = None
    if "scale" in data:
        quantization = Quantization(tuple(data["scale"]), data["zero_point"], data["axis"])
    return Tensor(data["name"], tuple(data["shape"]), data["dtype"], quantization)


def _operator_from_json(data: Mapping[str, Any]) -> Operator:
    attributes = {
        key: tuple(value) if isinstance(value, list) else value for key, value in data["attributes"].items()
    }
    return Operator(
        data["name"], data["kind"], tuple(data["inputs"]), tuple(data["outputs"]), attributes, data["source"]
    )


def _node_from_json(data: Mapping[str, Any]) -> Node:
    if "branch" not in data:
        return _operator_from_json(data)
    return Branch(
        name=data["branch"],
        gate=data["gate"],
        predicate=data["predicate"],
        body=tuple(_operator_from_json(item) for item in data["body"]),
        outputs=tuple(BranchOutput(*item) for item in data["outputs"]),
        inverted=data.get("inverted", False),
        unless=(data["unless"][0], data["unless"][1]) if "unless" in data else None,
    )
