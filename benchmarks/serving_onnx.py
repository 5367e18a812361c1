"""Exports a text classifier to ONNX for the peers of `serving.py`: one LSTM, attention pooling and a linear head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tokenizers import Tokenizer

import recurra
from recurra.bench.peers.onnxruntime import IR_VERSION, OPSET, reordered

FAR = -1e9
"""Score of steps beyond the end of a text; its exponential is 0."""

GROUP = 8
"""Texts in one call. More texts of different length take longer per text, because of the padding."""


def build(estimator: Any) -> onnx.ModelProto:
    """Builds the network as a graph: `tokens` `(batch, time)` and `lengths` `(batch,)` to `probabilities`."""
    w = {name: value.detach().float().numpy() for name, value in estimator.network_.state_dict().items()}
    rows = {name: reordered(w[f"encoder.recurrent.{name}_l0"], "LSTM", "iofc") for name in _GATED}
    hidden = rows["weight_hh"].shape[1]
    make, dims = onnx.helper, onnx.TensorProto
    constants = {
        "embedding": w["encoder.embedding.weight"],
        "W": rows["weight_ih"][None],
        "R": rows["weight_hh"][None],
        "B": np.concatenate([rows["bias_ih"], rows["bias_hh"]])[None],
        "score": np.ascontiguousarray(w["pooling.score.weight"].T),
        "head": np.ascontiguousarray(w["head.weight"].T),
        "bias": w["head.bias"],
        "far": np.float32(FAR),
        "zero": np.int64(0),
        "one": np.int64(1),
        "direction": np.array([1]),
        "last": np.array([-1]),
        "first": np.array([1]),
    }
    nodes = [
        make.make_node("Gather", ["embedding", "tokens"], ["vectors"]),
        make.make_node("Transpose", ["vectors"], ["x"], perm=[1, 0, 2]),
        make.make_node("LSTM", ["x", "W", "R", "B", "lengths"], ["y"], hidden_size=hidden),
        make.make_node("Squeeze", ["y", "direction"], ["y3"]),
        make.make_node("Transpose", ["y3"], ["output"], perm=[1, 0, 2]),
        make.make_node("MatMul", ["output", "score"], ["scores"]),
        make.make_node("Shape", ["tokens"], ["shape"]),
        make.make_node("Gather", ["shape", "one"], ["time"]),
        make.make_node("Range", ["zero", "time", "one"], ["steps"]),
        make.make_node("Cast", ["lengths"], ["lengths64"], to=dims.INT64),
        make.make_node("Unsqueeze", ["lengths64", "last"], ["ends"]),
        make.make_node("Less", ["steps", "ends"], ["inside"]),
        make.make_node("Unsqueeze", ["inside", "last"], ["mask"]),
        make.make_node("Where", ["mask", "scores", "far"], ["masked"]),
        make.make_node("Softmax", ["masked"], ["weights"], axis=1),
        make.make_node("Mul", ["output", "weights"], ["weighted"]),
        make.make_node("ReduceSum", ["weighted", "first"], ["pooled"], keepdims=0),
        make.make_node("Gemm", ["pooled", "head", "bias"], ["logits"]),
        make.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    inputs = [
        make.make_tensor_value_info("tokens", dims.INT64, ["batch", "time"]),
        make.make_tensor_value_info("lengths", dims.INT32, ["batch"]),
    ]
    outputs = [make.make_tensor_value_info("probabilities", dims.FLOAT, ["batch", len(w["head.bias"])])]
    values = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = make.make_graph(nodes, "classifier", inputs, outputs, values)
    return make.make_model(graph, opset_imports=[make.make_opsetid("", OPSET)], ir_version=IR_VERSION)


_GATED = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def export(model: Path) -> Path:
    """Writes the ONNX file beside a model folder, unless it exists; returns its path."""
    path = model.with_suffix(".onnx")
    if not path.exists():
        onnx.save(build(recurra.load(model)), path)
    return path


class Classifier:
    """The exported model in ONNX Runtime, with its tokenizer.

    Args:
        model: model folder.
        threads: threads of ONNX Runtime.
    """

    def __init__(self, model: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(export(model), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))

    def __call__(self, texts: list[str]) -> list[list[float]]:
        """Returns the probabilities of each text. Texts of similar length share a call, since it pads them."""
        ids = [found.ids for found in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        found: list[list[float]] = [[]] * len(ids)
        for begin in range(0, len(ids), GROUP):
            group = order[begin : begin + GROUP]
            for i, row in zip(group, self._run([ids[i] for i in group]), strict=True):
                found[i] = row
        return found

    def _run(self, ids: list[list[int]]) -> list[list[float]]:
        lengths = np.array([len(i) for i in ids], np.int32)
        tokens = np.zeros((len(ids), max(lengths.max(), 1)), np.int64)
        for row, found in zip(tokens, ids, strict=True):
            row[: len(found)] = found
        (found,) = self.session.run(["probabilities"], {"tokens": tokens, "lengths": lengths})
        return np.asarray(found).tolist()
