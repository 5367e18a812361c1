"""Builds ONNX files: chooses the graph of a model, writes it, and compares it with the model."""

from __future__ import annotations

from typing import Any

import torch

from recurra._util.extras import needs_extra
from recurra.errors import UsageError
from recurra.nn import RECURRENT
from recurra.tasks import Estimator

OPSET, OLDEST = 17, 17
"""Version of the operators by default, old enough for every ONNX Runtime since 1.12; and the oldest that is written."""


def build(
    model: Any,
    *,
    int8: bool = False,
    opset: int | None = None,
    required_inputs: bool = False,
    part: str | None = None,
) -> bytes:
    """Returns the content of an ONNX file.

    Args:
        model: a fitted estimator, or a module with recurrent layers.
        int8: stores the weights as 8-bit integers.
        opset: version of the operators; by default 17.
        required_inputs: makes optional inputs required, for runtimes that ignore or refuse them.
        part: `"encoder"` or `"decoder"` of a translator; by default the whole model.

    Raises:
        UsageError: ONNX cannot represent the model, or the version is not supported.
        ExportCheckError: the graph does not compute what the model computes.
    """
    with needs_extra("export", "export to ONNX"):
        import onnx
        import onnxruntime  # noqa: F401

        from recurra.onnx.check import check
        from recurra.onnx.graph import Graph
    newest = onnx.defs.onnx_opset_version()
    if opset is not None and not OLDEST <= opset <= newest:
        raise UsageError(f"opset is from {OLDEST} to {newest}, not {opset}")
    graph = Graph(opset or OPSET, int8=int8, required=required_inputs)
    plan = _plan(graph, model, part)
    found = graph.model(plan.metadata)
    check(plan, found)
    return found.SerializeToString()


def _plan(graph: Any, model: Any, part: str | None) -> Any:
    if isinstance(model, Estimator):
        from recurra.tasks.serving.graphs import plan_of

        return plan_of(graph, model, part)
    if part is not None:
        raise UsageError("only translators have parts; export a layer of the module by itself")
    if isinstance(model, RECURRENT) or type(model) in (torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM):
        from recurra.onnx.layers import layer_plan

        return layer_plan(graph, model)
    if isinstance(model, torch.nn.Module):
        from recurra.onnx.modules import module_plan

        return module_plan(graph, model)
    raise UsageError(f"export takes a fitted estimator or a torch.nn.Module, not {type(model).__name__}")
