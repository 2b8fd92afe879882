"""Identifiers, literals and arrays of the generated C; scratch sizes against CMSIS-NN's own functions."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest

from quant.errors import GraphError, TinydsnError
from tinydsn.codegen.call import CodeTarget
from tinydsn.codegen.emit_cmsis import (
    convolve_s8_scratch,
    convolve_s16_scratch,
    depthwise_scratch,
    safe_window,
)
from tinydsn.codegen.emit_moves import Block, merged, strides
from tinydsn.codegen.linear import Window
from tinydsn.codegen.text import Array, comment_safe, identifier, literal, unique_identifiers, wrap


def test_identifiers_are_legal_and_unique() -> None:
    assert identifier("gru.0.hidden-state") == "gru_0_hidden_state"
    assert identifier("0.weight") == "x0_weight"
    assert identifier("größe") == "gr_e"
    assert unique_identifiers(["a.b", "a_b", "a-b"]) == {"a.b": "a_b", "a_b": "a_b_2", "a-b": "a_b_3"}


def test_extreme_integers_have_exact_literals() -> None:
    assert literal(-(2**31)) == "INT32_MIN"
    assert literal(2**40, "int64") == "INT64_C(1099511627776)"
    assert literal(-5, "int64") == "-5"


def test_lines_are_wrapped_between_numbers() -> None:
    lines = wrap((str(value) for value in range(100)), 40)
    assert max(map(len, lines)) <= 40
    assert "".join(lines).replace(" ", "") == "".join(f"{value}," for value in range(100))


def test_an_array_declares_itself() -> None:
    array = Array("tinydsn_w", np.array([[1, -2], [3, 4]], np.int8), "")
    assert array.declaration == "const int8_t tinydsn_w[4]"
    assert array.rows == ["1, -2, 3, 4,"]


def test_text_cannot_end_a_comment() -> None:
    assert comment_safe("a */ b /* c") == "a * / b / * c"


def test_axes_that_move_together_are_one() -> None:
    shape = (2, 3, 4, 5, 6)
    block = Block(shape, strides(shape), strides(shape))
    assert merged(block, "op") == Block((1, 1, 1, 720), (0, 0, 0, 1), (0, 0, 0, 1))


def test_a_copy_over_five_true_axes_is_refused() -> None:
    shape = (2, 3, 4, 5, 6)
    with pytest.raises(GraphError) as caught:
        merged(Block(shape, strides(shape), strides(shape[::-1])[::-1]), "op")
    assert str(caught.value) == "operator 'op' moves data over 5 axes (must be at most 4)"


class Dims(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("n", "h", "w", "c")]


class Params(ctypes.Structure):
    _fields_ = [(f"word{index}", ctypes.c_int32) for index in range(11)]


@pytest.fixture(scope="module")
def cmsis(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    from tinydsn.codegen.toolchain import Core, static_library

    try:
        library = static_library(Core("", ("-fPIC",)))
    except TinydsnError as error:
        pytest.skip(str(error))
    shared = tmp_path_factory.mktemp("cmsis") / "cmsis.so"
    names = [f"arm_convolve_wrapper_s8_get_buffer_size{core}" for core in ("", "_mve")]
    names += [f"arm_convolve_wrapper_s16_get_buffer_size_{core}" for core in ("dsp", "mve")]
    depthwise = "arm_depthwise_conv_wrapper_{}_get_buffer_size_{}"
    names += [depthwise.format(kind, core) for kind in ("s8", "s16") for core in ("dsp", "mve")]
    keep = [f"-Wl,-u,{name}" for name in names]
    subprocess.run(["gcc", "-shared", *keep, str(library), "-Wl,--gc-sections", "-o", shared], check=True)
    return ctypes.CDLL(str(shared))


WINDOWS = [
    Window(size, channels, kernel, stride, dilation, before, before, (1, 1))
    for size in ((1, 9), (8, 8))
    for channels in (1, 3, 8, 130)
    for kernel in ((1, 1), (1, 3), (3, 3), (5, 2))
    for stride in ((1, 1), (1, 2), (1, 4))
    for dilation in ((1, 1), (1, 2))
    for before in ((0, 0), (1, 1), (2, 2))
]


def asked(library: ctypes.CDLL, name: str, window: Window, depthwise: bool) -> int:
    """CMSIS-NN's own answer."""
    (sh, sw), (dh, dw), (ph, pw) = window.stride, window.dilation, window.before
    tiles = (sw, sh, pw, ph, dw, dh, -128, 127)
    params = Params(0, 0, 1, *tiles) if depthwise else Params(0, 0, *tiles, 0)
    size = Dims(1, *window.size, window.channels)
    kernel = Dims(1, *window.kernel, window.channels)
    out = Dims(1, *window.out, window.channels)
    return int(getattr(library, name)(*map(ctypes.byref, (params, size, kernel, out))))


@pytest.mark.parametrize("mve", [False, True])
def test_scratch_of_convolutions_is_what_cmsis_nn_asks_for(cmsis: ctypes.CDLL, mve: bool) -> None:
    target = CodeTarget(dsp=True, mve=mve)
    name = "arm_convolve_wrapper_s8_get_buffer_size" + ("_mve" if mve else "")
    for window in WINDOWS:
        assert convolve_s8_scratch(window, target) == asked(cmsis, name, window, False), window


@pytest.mark.parametrize("mve", [False, True])
def test_scratch_of_16x8_convolutions_is_what_cmsis_nn_asks_for(cmsis: ctypes.CDLL, mve: bool) -> None:
    target = CodeTarget(dsp=True, mve=mve)
    name = f"arm_convolve_wrapper_s16_get_buffer_size_{'mve' if mve else 'dsp'}"
    for window in WINDOWS:
        assert convolve_s16_scratch(window, target) == asked(cmsis, name, window, False), window


@pytest.mark.parametrize("mve", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_scratch_of_depthwise_is_what_cmsis_nn_asks_for(cmsis: ctypes.CDLL, mve: bool, wide: bool) -> None:
    target = CodeTarget(dsp=True, mve=mve)
    kind, core = ("s16" if wide else "s8"), ("mve" if mve else "dsp")
    for window in WINDOWS:
        found = asked(cmsis, f"arm_depthwise_conv_wrapper_{kind}_get_buffer_size_{core}", window, True)
        assert depthwise_scratch(window, wide, target) == found, window


def row(width: int, kernel: int, stride: int, before: int, after: int) -> Window:
    out = (width + before + after - kernel) // stride + 1
    return Window((1, width), 4, (1, kernel), (1, stride), (1, 1), (0, before), (0, after), (1, out))


def test_rows_with_uneven_padding_are_turned_for_mve_only() -> None:
    mve = CodeTarget(dsp=True, mve=True)
    causal, even = row(16, 3, 1, 2, 0), row(16, 3, 1, 1, 1)
    assert safe_window(causal, mve) == causal.turned()
    assert safe_window(even, mve) == even
    assert safe_window(causal, CodeTarget(dsp=True)) == causal


def test_a_padded_single_element_has_no_kernel_of_cmsis_nn_on_mve() -> None:
    assert safe_window(row(1, 3, 1, 1, 1), CodeTarget(dsp=True, mve=True)) is None
    assert safe_window(row(1, 3, 1, 1, 1), CodeTarget(dsp=True)) is not None
