"""Makes ``.tflite`` files with TensorFlow's converter: a program for a Python of its own.

``python tensorflow_worker.py FOLDER`` writes NAME.tflite for each model, int8 and 16x8 where both can be,
with fixed seeds. It imports nothing of this project, whose packages that Python does not have.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from tensorflow.keras import Input, Model, layers

SHAPE = (12, 10, 1)
CLASSES = 4


def keywords() -> Model:
    """A convolution over time and frequency, then a classifier."""
    x = Input(SHAPE, batch_size=1)
    y = layers.DepthwiseConv2D((5, 4), strides=2, padding="same", depth_multiplier=8, activation="relu")(x)
    y = layers.Dense(CLASSES)(layers.Flatten()(y))
    return Model(x, layers.Softmax()(y))


def separable() -> Model:
    """Depthwise and pointwise convolutions with ReLU6, padding of its own, and an average."""
    x = Input(SHAPE)
    y = layers.ZeroPadding2D(((2, 1), (1, 0)))(x)
    y = layers.Conv2D(8, (3, 3), strides=(2, 1))(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    for strides in (1, 2):
        y = layers.DepthwiseConv2D(3, strides, padding="same")(y)
        y = layers.Conv2D(8, 1)(layers.ReLU()(y))
        y = layers.ReLU()(y)
    y = layers.AveragePooling2D((2, 2))(y)
    return Model(x, layers.Softmax()(layers.Dense(CLASSES)(layers.Flatten()(y))))


def dilated() -> Model:
    """A dilated convolution of an open batch, which the converter writes with SPACE_TO_BATCH_ND."""
    x = Input(SHAPE)
    return Model(x, layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(layers.Conv2D(8, 3)(x)))


def gates() -> Model:
    """Sums, products and both squashing functions, as in a recurrent cell; two inputs, two outputs."""
    x, h = Input((16,), batch_size=1), Input((24,), batch_size=1)
    update = layers.Dense(24, activation="sigmoid")(layers.Concatenate()([x, h]))
    new = layers.Dense(24, activation="tanh")(layers.Dense(40, activation="relu")(x))
    moved = layers.Multiply()([update, layers.Subtract()([h, new])])
    state = layers.Add()([new, moved])
    return Model([x, h], [layers.Dense(6)(state), state])


def residual() -> Model:
    """Sums of what has several scales, a constant row, and a ReLU of its own."""
    x = Input((6, 8), batch_size=1)
    y = layers.Dense(8, use_bias=False)(x)
    y = layers.ReLU()(layers.Add()([y, x]))
    row = tf.constant(np.linspace(-1, 2, 8).astype(np.float32))
    y = layers.Lambda(lambda value: value * row)(y)
    return Model(x, layers.Permute((2, 1))(y))


def pooled() -> Model:
    """A maximum, which there is no operator for."""
    x = Input(SHAPE, batch_size=1)
    return Model(x, layers.MaxPooling2D(2)(layers.Conv2D(4, 3)(x)))


INTEGER = {"keywords": keywords, "separable": separable, "gates": gates, "residual": residual}
OTHERS = {"pooled": pooled, "dilated": dilated}


def samples(model: Model) -> Callable[[], Iterator[list[np.ndarray]]]:
    """Inputs for calibration."""

    def make() -> Iterator[list[np.ndarray]]:
        rng = np.random.default_rng(1)
        for _ in range(40):
            yield [
                rng.standard_normal([size or 1 for size in one.shape]).astype(np.float32)
                for one in model.inputs
            ]

    return make


def convert(model: Model, kind: str) -> bytes:
    """``kind``: int8, 16x8, float, or dynamic (int8 weights, float activations)."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind == "float":
        return converter.convert()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "dynamic":
        return converter.convert()
    wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    converter.target_spec.supported_ops = [wide if kind == "16x8" else tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int16 if kind == "16x8" else tf.int8
    converter.representative_dataset = samples(model)
    return converter.convert()


class Flex(tf.Module):
    """An operator that only TensorFlow has."""

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32)])
    def step(self, x: tf.Tensor) -> tf.Tensor:
        return tf.linalg.inv(tf.reshape(x, (2, 2)))


class Loop(tf.Module):
    """A loop, whose condition and body are subgraphs."""

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32)])
    def step(self, x: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(
            lambda i, y: tf.reduce_sum(y) < 9.0, lambda i, y: (i + 1, y + 1.0), (tf.constant(0), x)
        )[1]


def convert_module(module: tf.Module) -> bytes:
    """A float file of a module, flex operators allowed."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.step.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return converter.convert()


def main(folder: Path) -> None:
    """All files."""
    for name, make in {**INTEGER, **OTHERS}.items():
        for kind in ("int8", "16x8") if name in INTEGER else ("int8",):
            tf.keras.utils.set_random_seed(7)
            try:
                (folder / f"{name}-{kind}.tflite").write_bytes(convert(make(), kind))
            except Exception as error:  # noqa: BLE001
                print(f"{name}-{kind}: {type(error).__name__}: {str(error)[:300]}")
    for kind in ("float", "dynamic"):
        tf.keras.utils.set_random_seed(7)
        (folder / f"keywords-{kind}.tflite").write_bytes(convert(keywords(), kind))
    for name, module in {"flex": Flex(), "loop": Loop()}.items():
        (folder / f"{name}.tflite").write_bytes(convert_module(module))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
