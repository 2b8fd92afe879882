"""fully_connected, conv2d, depthwise_conv2d and batch_matmul equal tflite-micro bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracle_harness import (
    RUNS,
    SEEDS,
    WIDE_AND_NARROW,
    ZEROS,
    assert_equal,
    real,
    scales,
    small,
    tensor,
    weights,
)

ACTIVATIONS = st.sampled_from(["none", "relu", "relu6"])
OUTPUTS = {"int8": scales(0.005, 2.0), "int16": scales(5e-4, 0.5)}
"""int16: where TFLite's result leaves 32 bits it wraps around; ours saturates."""


@WIDE_AND_NARROW
@small(60)
@given(data=st.data())
def test_fully_connected(dtype: str, data: st.DataObject) -> None:
    rows, columns, channels = (data.draw(st.integers(1, top)) for top in (3, 70, 9))
    seed, run = data.draw(SEEDS), data.draw(RUNS)
    rng = np.random.default_rng(seed)
    bias = rng.normal(size=channels) * data.draw(st.sampled_from([0.0, 0.1, 30.0]))
    assert_equal(
        "fully_connected",
        [
            tensor("x", (rows, columns), dtype, data.draw(scales(1e-4, 0.1)), data.draw(ZEROS)),
            real("w", (channels, columns)),
            real("b", (channels,)),
        ],
        tensor("y", (rows, channels), dtype, data.draw(OUTPUTS[dtype]), data.draw(ZEROS)),
        {"activation": data.draw(ACTIVATIONS)},
        seed,
        run,
        {1: weights(rng, (channels, columns), 0, 0.01), 2: bias},
    )


def window(data: st.DataObject, kernel: tuple[int, int]) -> tuple[dict[str, object], list[int], list[int]]:
    """Attributes of a window, and the image's and the output's size."""
    padding = tuple(data.draw(st.integers(0, 3)) for _ in range(4))
    stride = tuple(data.draw(st.integers(1, 3)) for _ in range(2))
    dilation = tuple(data.draw(st.integers(1, 2)) for _ in range(2))
    sizes, outputs = [], []
    for axis in range(2):
        around = padding[2 * axis] + padding[2 * axis + 1]
        span = (kernel[axis] - 1) * dilation[axis] + 1
        sizes.append(data.draw(st.integers(max(1, span - around), 9)))
        outputs.append((sizes[-1] + around - span) // stride[axis] + 1)
    attributes: dict[str, object] = {"padding": padding, "stride": stride, "dilation": dilation}
    return {**attributes, "activation": data.draw(ACTIVATIONS)}, sizes, outputs


@WIDE_AND_NARROW
@small(60)
@given(data=st.data())
def test_conv2d(dtype: str, data: st.DataObject) -> None:
    kernel = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    attributes, size, output = window(data, kernel)
    channels, filters = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    seed, run = data.draw(SEEDS), data.draw(RUNS)
    rng = np.random.default_rng(seed)
    weight = weights(rng, (filters, *kernel, channels), 0, 0.01)
    assert_equal(
        "conv2d",
        [
            tensor("x", (*size, channels), dtype, data.draw(scales(1e-4, 0.1)), data.draw(ZEROS)),
            real("w", weight.shape),
            real("b", (filters,)),
        ],
        tensor("y", (*output, filters), dtype, data.draw(OUTPUTS[dtype]), data.draw(ZEROS)),
        attributes,
        seed,
        run,
        {1: weight, 2: rng.normal(size=filters)},
    )


@WIDE_AND_NARROW
@small(60)
@given(data=st.data())
def test_depthwise_conv2d(dtype: str, data: st.DataObject) -> None:
    kernel = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    attributes, size, output = window(data, kernel)
    # TFLite Micro takes one dilation factor a side only with a stride of one
    if attributes["dilation"] != (1, 1):
        attributes["stride"] = (1, 1)
        padding, dilation = attributes["padding"], attributes["dilation"]
        assert isinstance(padding, tuple) and isinstance(dilation, tuple)
        output = [
            size[axis] + padding[2 * axis] + padding[2 * axis + 1] - (kernel[axis] - 1) * dilation[axis]
            for axis in range(2)
        ]
    channels = data.draw(st.integers(1, 9))
    seed, run = data.draw(SEEDS), data.draw(RUNS)
    rng = np.random.default_rng(seed)
    weight = weights(rng, (*kernel, channels), 2, 0.01)
    assert_equal(
        "depthwise_conv2d",
        [
            tensor("x", (*size, channels), dtype, data.draw(scales(1e-4, 0.1)), data.draw(ZEROS)),
            real("w", weight.shape),
            real("b", (channels,)),
        ],
        tensor("y", (*output, channels), dtype, data.draw(OUTPUTS[dtype]), data.draw(ZEROS)),
        attributes,
        seed,
        run,
        {1: weight, 2: rng.normal(size=channels)},
    )


@WIDE_AND_NARROW
@small(60)
@given(data=st.data())
def test_batch_matmul(dtype: str, data: st.DataObject) -> None:
    batch, rows, inner, columns = (data.draw(st.integers(1, top)) for top in (3, 4, 40, 5))
    transposed = data.draw(st.booleans())
    second = (batch, columns, inner) if transposed else (batch, inner, columns)
    one, two = data.draw(scales(1e-3, 0.1)), data.draw(scales(1e-3, 0.1))
    wanted = one * two * (inner / 1.9 if dtype == "int16" else 0.5) * data.draw(scales(1.0, 5000.0))
    assert_equal(
        "batch_matmul",
        [
            tensor("a", (batch, rows, inner), dtype, one, data.draw(ZEROS)),
            tensor("b", second, dtype, two, data.draw(ZEROS)),
        ],
        tensor("y", (batch, rows, columns), dtype, wanted, data.draw(ZEROS)),
        {"transpose_b": transposed},
        data.draw(SEEDS),
        data.draw(RUNS),
    )
