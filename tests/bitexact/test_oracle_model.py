"""Every operator of the shipped model that TFLite has too equals tflite-micro, on the model's own values."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from quant.model_file import load
from quant.oracle import run_operator, supports
from quant.reference import Pipeline

pytest.importorskip("tflite_micro", reason="tinydsn[oracle] is not installed")
pytest.importorskip("tflite", reason="tinydsn[oracle] is not installed")


def test_the_shipped_model_operator_by_operator() -> None:
    path = Path(str(files("tinydsn") / "pretrained" / "dsn-s.tdsn"))
    if not path.is_file():
        pytest.skip("the shipped integer model is not here")
    graph, _ = load(path)
    values: dict[str, np.ndarray] = {}
    pipeline = Pipeline(graph, lambda operator, name, value: values.__setitem__(name, value))
    rng = np.random.default_rng(0)
    compared = set()
    for level in (300, 3000, 30000):
        values.clear()
        values.update(pipeline.network.states)
        pcm = np.clip(rng.normal(size=pipeline.hop) * level, -32768, 32767).astype(np.int16)
        pipeline.process(pcm, np.ones(graph.gates, bool))
        for operator in graph.operators():
            if not supports(operator):
                continue
            inputs = {name: values[name] for name in operator.inputs if name in values}
            (expected,) = run_operator(operator, graph, inputs)
            np.testing.assert_array_equal(values[operator.outputs[0]], expected, err_msg=operator.name)
            compared.add(operator.kind)
    assert {"fully_connected", "conv2d", "add", "batch_matmul", "softmax", "sigmoid"} <= compared
    assert {"gru_update", "concat", "slice", "transpose", "reshape"} <= compared
