"""Integer graphs on disk: the same graph and the same bytes back, and clear words for a damaged file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from convert_example import FRAME, Builder, audio

from quant.convert import quantize
from quant.errors import ModelFileError
from quant.frontend import FrontEnd
from quant.graph import BranchOutput, IntegerGraph
from quant.model_file import load, save, to_bytes
from quant.reference import Pipeline


def example() -> IntegerGraph:
    """A state with an initial value, a gated region, tuples, tables and floats among the attributes."""
    build = Builder()
    build.state("mean", (FRAME,), np.linspace(-0.5, 0.5, FRAME))
    build.add("add", "sum", ("x", "mean"))
    build.linear("policy", "sum", 2)
    build.gate("open", "policy", 1)
    build.linear("acc", "sum", FRAME)
    body = [build.make("leaky_relu", "bent", ("acc",), alpha=0.1)]
    build.branch("region", 0, "open", body, [BranchOutput("result", "bent", "hold", "acc")])
    build.add("table", "wave", ("result",), function="silu")
    build.linear("next", "wave", FRAME, 0.5)
    build.update("mean", "next")
    build.add("sigmoid", "out", ("next",))
    return quantize(build.graph("out"), [audio()])


def test_round_trip(tmp_path: Path) -> None:
    graph = example()
    path = tmp_path / "deep" / "model.tdsn"
    digest = save(graph, path)
    found, same_digest = load(path)
    assert digest == same_digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert isinstance(found, IntegerGraph)
    for name in ("name", "tensors", "inputs", "outputs", "states", "nodes", "frontend"):
        assert getattr(found, name) == getattr(graph, name), name
    assert found.constants.keys() == graph.constants.keys()
    for name, values in graph.constants.items():
        assert found.constants[name].dtype == values.dtype
        np.testing.assert_array_equal(found.constants[name], values)
    assert to_bytes(found) == path.read_bytes()
    assert [item.name for item in path.parent.iterdir()] == ["model.tdsn"]
    before, after = (Pipeline(item).run(audio(seed=9)) for item in (graph, found))
    np.testing.assert_array_equal(before.pcm, after.pcm)
    np.testing.assert_array_equal(before.gates, after.gates)


def test_the_same_model_gives_the_same_bytes() -> None:
    first = to_bytes(example())
    # safetensors by itself writes its metadata in one of two orders, by chance
    assert all(to_bytes(example()) == first for _ in range(8))


def test_the_front_end_is_kept(tmp_path: Path) -> None:
    front = FrontEnd(window=64, hop=32, bins=32)
    graph = example()
    graph = IntegerGraph(**{**graph.__dict__, "frontend": front})
    save(graph, tmp_path / "model.tdsn")
    assert load(tmp_path / "model.tdsn")[0].frontend == front


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load(path)
    return str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    path = tmp_path / "none.tdsn"
    assert refusal(path) == f"{path}: no such file (an integer graph is made by `tinydsn quantize`)"
    assert refusal(tmp_path) == f"{tmp_path}: no such file (an integer graph is made by `tinydsn quantize`)"


@pytest.mark.parametrize("data", [b"", b"{}", b"not a model at all, only text", bytes(64)])
def test_garbage(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.tdsn"
    path.write_bytes(data)
    message = refusal(path)
    assert message.startswith(f"{path}: damaged or not an integer graph (")
    assert message.endswith("); quantize the model again")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tdsn"
    whole = to_bytes(example())
    for length in (4, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert refusal(path).startswith(f"{path}: damaged or not an integer graph (")


def test_another_safetensors_file(tmp_path: Path) -> None:
    from safetensors.numpy import save as pack

    path = tmp_path / "model.tdsn"
    path.write_bytes(pack({"a": np.zeros(3, np.float32)}))
    expected = f"{path}: not an integer graph (make one with `tinydsn quantize ... -o FILE.tdsn`)"
    assert refusal(path) == expected


def change(path: Path, key: str, value: object) -> None:
    """Write the example with one field of its JSON changed."""
    from safetensors.numpy import save as pack

    graph = example()
    length = int.from_bytes(to_bytes(graph)[:8], "little")
    metadata = json.loads(to_bytes(graph)[8 : 8 + length])["__metadata__"]
    body = json.loads(metadata["graph"])
    body[key] = value
    metadata["graph"] = json.dumps(body)
    path.write_bytes(pack({name: np.array(values) for name, values in graph.constants.items()}, metadata))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schema", 99, "schema 99, this version reads 1"),
        ("tensors", [], "KeyError"),
        ("tensors", 3, "TypeError"),
        ("nodes", [[]], "TypeError"),
        ("nodes", [{"name": "a", "kind": "relu", "inputs": [], "outputs": []}], "KeyError('attributes')"),
        ("nodes", [{"name": "a", "kind": "relu", "attributes": []}], "AttributeError"),
        ("outputs", ["elsewhere"], "the graph's output reads unknown tensor 'elsewhere'"),
        ("states", [["mean"]], "TypeError"),
    ],
)  # fmt: skip
def test_a_graph_that_makes_no_sense(tmp_path: Path, key: str, value: object, words: str) -> None:
    path = tmp_path / "model.tdsn"
    change(path, key, value)
    message = refusal(path)
    assert message.startswith(f"{path}: damaged integer graph (")
    assert words in message
    assert message.endswith("); quantize the model again")


def test_constants_of_another_shape(tmp_path: Path) -> None:
    path = tmp_path / "model.tdsn"
    graph = example()
    shorter = {**graph.constants, "next.bias": graph.constants["next.bias"][:-1]}
    path.write_bytes(to_bytes(IntegerGraph(**{**graph.__dict__, "constants": shorter})))
    assert refusal(path) == (
        f"{path}: damaged integer graph (ValueError('tensor next.bias is int64 (8,), its values are not')); "
        "quantize the model again"
    )
