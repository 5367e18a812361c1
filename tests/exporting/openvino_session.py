"""Runs ONNX files in OpenVINO."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import onnx
import openvino


class Output(NamedTuple):
    name: str


class OpenVinoSession:
    """An ONNX model with the methods of ONNX Runtime's session that the comparison before an export calls.

    Args:
        model: the `ModelProto`, or the content of its file.
    """

    def __init__(self, model: Any) -> None:
        model = onnx.load_from_string(model) if isinstance(model, bytes) else model
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
        self.content = model.SerializeToString()  # OpenVINO reads the weights from these bytes, but does not keep them
        self.compiled = _core().compile_model(_core().read_model(self.content), "CPU", options)
        self.names = [output.name for output in model.graph.output]
        constants = {value.name for value in model.graph.initializer}  # also inputs that have a default
        self.inputs = [value.name for value in model.graph.input if value.name not in constants]

    def __call__(self, **feed: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs by name."""
        return dict(zip(self.names, self.run(None, feed), strict=True))

    def get_outputs(self) -> list[Output]:
        return [Output(name) for name in self.names]

    def run(self, _: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert set(feed) == set(self.inputs)  # OpenVINO takes an input that is missing as empty
        found = self.compiled(feed)
        return [found[name].copy() for name in self.names]


@cache
def _core() -> openvino.Core:
    return openvino.Core()
