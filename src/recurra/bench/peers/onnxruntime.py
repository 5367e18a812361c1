"""ONNX Runtime: inference by the operators RNN, GRU and LSTM."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx  # pyright: ignore[reportMissingImports]
import onnxruntime  # pyright: ignore[reportMissingImports]

from recurra.bench.cases import Case, numbers

from . import base

OPSET, IR_VERSION = 17, 8  # old enough for every ONNX Runtime of the last years


class Peer(base.Peer):
    """One session per case, with weights packed once. A stream feeds the returned state back."""

    modes = ("inference", "float32 session")

    def prepare(self, case: Case) -> base.Ready:
        """Builds the model and its session."""
        given = numbers(case)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        model = build_model(case, given.weights).SerializeToString()
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        states = [output.name for output in session.get_outputs()][1:]
        zero = np.zeros((1, case.batch, case.hidden), np.float32)
        feed = {"X": given.x, **({f"initial_{name}": zero for name in states} if case.streams else {})}

        def call() -> list[np.ndarray]:
            found: Any = session.run(None, feed)
            if case.streams:
                for name, value in zip(states, found[1:], strict=True):
                    feed[f"initial_{name}"] = value
            return found

        return base.Ready(call, lambda found: {"output": found[0][:, 0]})


def build_model(case: Case, weights: dict[str, np.ndarray]) -> Any:
    """Builds a model of one recurrent node with torch's weights. A stream has the state as input and output."""
    helper, order = onnx.helper, "iofc"
    rows = {name: reordered(w, case.cell, order) for name, w in weights.items()}
    constants = {
        "W": rows["weight_ih"][None],
        "R": rows["weight_hh"][None],
        "B": np.concatenate([rows["bias_ih"], rows["bias_hh"]])[None],
    }
    states = ["Y_h", "Y_c"] if case.cell == "LSTM" else ["Y_h"]
    initial = [f"initial_{name}" for name in states] if case.streams else []
    extra = {"linear_before_reset": 1} if case.cell == "GRU" else {}  # torch's variant of the GRU
    inputs = ["X", "W", "R", "B", *(["", *initial] if initial else [])]
    node = helper.make_node(case.cell, inputs, ["Y", *states], hidden_size=case.hidden, **extra)
    state, wide = [1, case.batch, case.hidden], [case.steps, case.batch, case.hidden]

    def tensor(name: str, shape: list[int]) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [node],
        "layer",
        [tensor("X", wide), *(tensor(name, state) for name in initial)],
        [tensor("Y", [case.steps, 1, case.batch, case.hidden]), *(tensor(name, state) for name in states)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)


def reordered(rows: np.ndarray, cell: str, order: str) -> np.ndarray:
    """Returns contiguous rows in ONNX's order of gates."""
    return np.ascontiguousarray(base.reorder(rows, cell, order))
