"""The project writer and the build: folders, manifest, header, self-test, CMake, a board too small."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.errors import BoardError, ConfigError, GraphError, TinydsnError, UnsupportedOperator
from quant.graph import Branch, BranchOutput, IntegerGraph, Operator, Quantization, State, Tensor
from quant.ops import definition
from quant.ops.base import QuantizeRequest
from quant.reference import Pipeline
from tinydsn.codegen.board import Board, Region, load_board
from tinydsn.codegen.build import build
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.design import design
from tinydsn.codegen.project import Memory, SelfTest, generate
from tinydsn.codegen.toolchain import cmsis_nn_root, find_compiler, static_library
from tinydsn.codegen.writer import Labels, fnv1a, sources

SHA = "c0ffee" + "0" * 58
HOP = 16


def tiny(name: str = "tiny") -> IntegerGraph:
    """A fully connected layer behind a gate, around a state: 16 samples in and out."""
    q15 = Quantization((2.0**-15,))
    tensors = {n: Tensor(n, (1, HOP), "int16", q15) for n in ("x", "old", "a", "b", "y")}
    tensors["gate"] = Tensor("gate", (), "bool")
    rng = np.random.default_rng(0)
    operands = {1: rng.standard_normal((HOP, HOP)) / 4, 2: np.zeros(HOP)}
    layer = Operator("layer", "fully_connected", ("a", "w", "c"), ("b",), {"activation": "none"}, "net.py:7")
    request = QuantizeRequest(layer, (tensors["a"], None, None), (tensors["b"],), operands, 8)
    made = definition("fully_connected").quantize(request)
    tensors |= {key: tensor for key, (tensor, _) in made.constants.items()}
    limits = {"activation_min": -32768, "activation_max": 32767}
    nodes = (
        Operator("mix", "add", ("x", "old"), ("a",), limits, "net.py:5"),
        Operator("decide", "gate", ("a",), ("gate",), {"index": 3, "threshold": 100}),
        Branch("layer", 0, "gate", (made.operator,), (BranchOutput("y", "b", "hold", "a"),)),
    )
    values = {key: array for key, (_, array) in made.constants.items()}
    return IntegerGraph(name, tensors, values, ("x",), ("y",), (State("old", "y"),), nodes)


def recording(frames: int = 5) -> SelfTest:
    pcm = np.random.default_rng(1).integers(-9000, 9000, frames * HOP).astype(np.int16)
    return SelfTest(pcm, Pipeline(tiny()).run(pcm).pcm)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def host() -> Board:
    try:
        board = load_board("host")
        find_compiler(board), static_library(board)
    except TinydsnError as error:
        pytest.skip(str(error))
    return board


@pytest.fixture
def m4() -> Board:
    try:
        board = load_board("mps2-an386")
        find_compiler(board), static_library(board)
    except TinydsnError as error:
        pytest.skip(str(error))
    return board


def test_generating_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    board = load_board("mps2-an386")
    for name in ("one", "two"):
        generate(tiny(), board, tmp_path / name, model_sha256=SHA, selftest=recording())
    first, second = (contents(tmp_path / name) for name in ("one", "two"))
    assert first == second
    assert "src/tinydsn_operators.c" in first


@pytest.mark.parametrize("name", ["tinydsn.c", "tinydsn_internal.h", "tinydsn_operators.c"])
def test_the_text_is_the_golden_one(name: str) -> None:
    """TINYDSN_UPDATE_GOLDEN=1 writes the files again; read the difference."""
    golden = Path(__file__).parent / "golden" / name
    text = sources(design(tiny(), CodeTarget(dsp=True)), Labels("golden", SHA))[f"src/{name}"]
    if os.environ.get("TINYDSN_UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_an_earlier_project_is_replaced_as_a_whole(tmp_path: Path) -> None:
    board = load_board("host")
    generate(tiny(), board, tmp_path / "out", model_sha256=SHA, selftest=recording())
    (tmp_path / "out" / "stray.txt").write_text("left over")
    generate(tiny(), board, tmp_path / "out", model_sha256=SHA)
    names = {path.name for path in (tmp_path / "out").rglob("*")}
    assert "stray.txt" not in names and "tinydsn_selftest.c" not in names
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError) as caught:
        generate(tiny(), load_board("host"), tmp_path, model_sha256=SHA)
    assert str(caught.value) == (
        f"{tmp_path}: holds files that tinydsn did not generate (no tinydsn.json); name a new or empty folder"
    )
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_failed_generation_leaves_nothing_behind(tmp_path: Path) -> None:
    broken = recording()
    with pytest.raises(ConfigError) as caught:
        generate(
            tiny(),
            load_board("host"),
            tmp_path / "out",
            model_sha256=SHA,
            selftest=SelfTest(broken.pcm[:-1], broken.expected),
        )
    assert str(caught.value) == "self-test of 79 samples in and 80 out (must be as many, whole frames of 16)"
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_says_where_the_project_came_from(tmp_path: Path) -> None:
    project = generate(tiny(), load_board("host"), tmp_path / "out", model_sha256=SHA, selftest=recording())
    manifest = json.loads((tmp_path / "out" / "tinydsn.json").read_text())
    assert manifest == project.manifest
    assert manifest["model_sha256"] == SHA and manifest["board"] == "host" and manifest["gates"] == 1
    assert manifest["memory"]["context"] == project.design.context_bytes
    assert manifest["operators"][2] == {
        "name": "layer",
        "kind": "fully_connected",
        "function": "tinydsn_op_002_layer",
        "source": "net.py:7",
        "gate": 0,
    }


def test_the_header_states_sizes_and_the_linked_memory_when_known(tmp_path: Path) -> None:
    memory = Memory(flash=12345, ram=678, stack=90)
    generate(tiny("a */ b"), load_board("host"), tmp_path / "out", model_sha256=SHA, memory=memory)
    text = (tmp_path / "out" / "include" / "tinydsn.h").read_text()
    assert "linked    flash 12345 bytes, RAM 678 bytes, stack 90 bytes" in text
    assert SHA in text and "#define TINYDSN_HOP 16" in text and "#define TINYDSN_GATES 1" in text
    assert "a * / b: integer firmware" in text


def test_the_selftest_names_the_first_frame_that_differs(tmp_path: Path, host: Board) -> None:
    good = recording()
    for frame, code in ((None, 0), (0, 1), (3, 4)):
        expected = good.expected.copy()
        if frame is not None:
            expected[frame * HOP + 5] ^= 1
        generate(tiny(), host, tmp_path / "out", model_sha256=SHA, selftest=SelfTest(good.pcm, expected))
        built = build(tmp_path / "out", host)
        done = subprocess.run([built.elf, "--selftest"], capture_output=True, text=True, check=False)
        assert done.returncode == (0 if code == 0 else 1)
        assert json.loads(done.stdout)["selftest"] == code


def with_cmake(folder: Path, board: Board) -> Path:
    """The program that the project's own CMakeLists.txt builds."""
    if not shutil.which("cmake"):
        pytest.skip("cmake not found")
    generate(tiny(), board, folder / "out", model_sha256=SHA, selftest=recording())
    configure = ["cmake", "-S", str(folder / "out"), "-B", str(folder / "build")]
    configure += [f"-DCMSIS_NN_ROOT={cmsis_nn_root()}"]
    configure += [f"-DTINYDSN_CMSIS_LIBRARY={static_library(board)}"]
    for command in (configure, ["cmake", "--build", str(folder / "build")]):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "tinydsn_app"


def test_cmake_links_the_project_for_a_core(tmp_path: Path, m4: Board) -> None:
    assert with_cmake(tmp_path, m4).is_file()


def test_cmake_builds_the_project_by_itself(tmp_path: Path, host: Board) -> None:
    program = with_cmake(tmp_path, host)
    done = subprocess.run([program, "--selftest"], check=False, capture_output=True)
    assert done.returncode == 0, done.stdout


def test_the_build_measures_what_the_linker_wrote(tmp_path: Path, m4: Board) -> None:
    project = generate(tiny(), m4, tmp_path / "out", model_sha256=SHA)
    built = build(tmp_path / "out", m4)
    assert built.weights >= project.design.weight_bytes
    assert project.design.context_bytes <= built.ram < project.design.context_bytes + 600
    assert built.weights < built.flash < 30000
    assert built.symbols["tinydsn_layer_weight"] == HOP * HOP
    assert "tinydsn_op_002_layer" in built.symbols


def test_a_board_that_is_too_small_is_refused_with_numbers(tmp_path: Path, m4: Board) -> None:
    assert m4.flash is not None and m4.ram is not None
    small = replace(m4, flash=Region(m4.flash.origin, 1024))
    generate(tiny(), small, tmp_path / "out", model_sha256=SHA)
    with pytest.raises(BoardError) as caught:
        build(tmp_path / "out", small)
    message = str(caught.value)
    assert message.startswith("the model does not fit mps2-an386: it overflows FLASH by ")
    assert "largest parts in bytes: " in message and "\n" not in message


def test_a_folder_without_a_manifest_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build(tmp_path, load_board("host"))
    assert str(caught.value) == f"{tmp_path}: not a project that `tinydsn generate` wrote (no tinydsn.json)"


def test_a_graph_with_two_outputs_is_refused(tmp_path: Path) -> None:
    graph = tiny().replace(outputs=("y", "a"))
    assert isinstance(graph, IntegerGraph)
    with pytest.raises(GraphError) as caught:
        generate(graph, load_board("host"), tmp_path / "out", model_sha256=SHA)
    assert str(caught.value) == "graph 'tiny' has 1 inputs and 2 outputs (must be one each)"


def test_an_operator_without_a_kernel_is_named_with_its_line(tmp_path: Path) -> None:
    graph = tiny()
    strange = Operator("warp", "einsum", ("x",), ("b2",), {}, "net.py:9")
    tensors = {**graph.tensors, "b2": replace(graph.tensors["b"], name="b2")}
    graph = graph.replace(tensors=tensors, nodes=(*graph.nodes, strange))
    assert isinstance(graph, IntegerGraph)
    with pytest.raises(UnsupportedOperator) as caught:
        generate(graph, load_board("host"), tmp_path / "out", model_sha256=SHA)
    message = str(caught.value)
    assert message.startswith("operator 'warp' (net.py:9): no C kernel for 'einsum' (there are add, ")


def test_the_hash_is_fnv1a() -> None:
    assert fnv1a(b"") == 0x811C9DC5 and fnv1a(b"a") == 0xE40C292C
