"""Runs ONNX files in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime


class Session:
    """An ONNX file.

    Args:
        content: the file, or its path.
    """

    def __init__(self, content: bytes | Path) -> None:
        content = content.read_bytes() if isinstance(content, Path) else content
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        self.inputs = [value.name for value in self.session.get_inputs()]
        self.texts = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, **feed: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs by name."""
        return dict(zip(self.names, self.session.run(None, feed), strict=True))


def padded(rows: list) -> dict[str, np.ndarray]:
    """Returns ragged sequences, with 0 beyond their ends, and their lengths."""
    lengths = np.array([len(row) for row in rows], np.int64)
    shape = (len(rows), max(lengths.max(), 1), *np.shape(next(row for row in rows if len(row)))[1:])
    values = np.zeros(shape, np.asarray(rows[0]).dtype)
    for place, row in zip(values, rows, strict=True):
        place[: len(row)] = row
    return {"values": values, "lengths": lengths}
