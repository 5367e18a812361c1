"""`recurra.export`: writes a model as a file that runs without Recurra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recurra._util.atomic import written

from .formats import check_options, format_for


def export(
    model: Any,
    path: str | Path,
    *,
    format: str | None = None,
    int8: bool = False,
    opset: int | None = None,
    required_inputs: bool = False,
    part: str | None = None,
    title: str | None = None,
    examples: Sequence[Any] = (),
) -> Path:
    """Writes a model as a file that runs without Recurra.

    Code is compared with the model before it is written. If an error occurs, no file is left, and an existing file is
    unchanged.

    Args:
        model: a fitted estimator, or a module with recurrent layers of `recurra.nn` or `torch.nn`.
        path: file to write.
        format: name of a format; by default that of the ending of `path`.
        int8: stores the weights as 8-bit integers.
        opset: version of the ONNX operators.
        required_inputs: makes the optional inputs of an ONNX file required, such as states. OpenVINO, onnxruntime-web
            and onnxruntime-node have no optional inputs.
        part: `"encoder"` or `"decoder"`, for ONNX files of a translator that decode step by step.
        title: title of a web page.
        examples: inputs that a web page offers; it opens with the first.

    Returns:
        The path of the file.

    Raises:
        UsageError: the format cannot represent the model, or does not have one of the options.
        DataError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import recurra
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = recurra.export(recurra.nn.GRU(3, 4), Path(folder, "gesture.c"))
        ...     "void gesture_step(gesture_state *state" in path.read_text()
        True
    """
    path = Path(path)
    chosen = format_for(path, format)
    given = {
        "int8": int8,
        "opset": opset,
        "required_inputs": required_inputs,
        "part": part,
        "title": title,
        "examples": list(examples),
    }
    options = check_options(chosen, given)
    if "name" in chosen.options:
        options["name"] = path.stem
    content = chosen.load()(model, **options)
    with written(path) as partial:
        partial.write_bytes(content)
    return path
