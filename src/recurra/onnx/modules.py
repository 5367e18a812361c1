"""Graphs of modules that contain recurrent layers: torch.fx lists their calls, and each is translated."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.fx.node import map_arg

from recurra.errors import UsageError
from recurra.nn import RECURRENT, Pooling, accelerate
from recurra.ops import Linear

from .graph import Graph
from .layers import add_layer, add_pooling
from .plan import Arrays, Plan, add_lengths, draw_lengths
from .recurrence import Ragged, States


class _Value(NamedTuple):
    """A value of the graph with its number of axes."""

    name: str
    rank: int


def module_plan(graph: Graph, module: torch.nn.Module) -> Plan:
    """Returns the graph of a module of known layers.

    The first argument of its `forward` becomes the input `x`, or `tokens` if an embedding takes it. An argument
    `lengths` becomes the input `lengths`. The outputs are `scores` and, if there are more, `output.1`, ….

    Raises:
        UsageError: the module does something that has no translation.
    """
    kind = type(module).__name__
    module = accelerate(copy.deepcopy(module)).cpu().eval()
    try:
        traced = torch.fx.Tracer().trace(module)
    except Exception as error:  # the code of the module may raise any error for a symbol in place of a tensor
        raise _refused(kind, f"its forward depends on the values ({str(error).splitlines()[0]:.80})") from None
    return _Translation(graph, module, traced, kind).plan()


def _refused(kind: str, reason: str) -> UsageError:
    return UsageError(
        f"the module {kind} cannot be exported: {reason}; export its recurrent layers one by one, or use known layers"
    )


class _Translation:
    """Translates the calls of a module, in their order."""

    def __init__(self, graph: Graph, module: torch.nn.Module, traced: torch.fx.Graph, kind: str) -> None:
        self.graph, self.module, self.traced, self.kind = graph, module, traced, kind
        self.values: dict[Any, Any] = {}
        self.ragged: Ragged | None = None
        self.outputs: list[str] = []

    def plan(self) -> Plan:
        """Returns the complete graph."""
        for node in self.traced.nodes:
            if node.op == "placeholder":
                self.values[node] = self._input(node)
            elif node.op == "output":
                self._output(node.args[0])
            else:
                self.values[node] = self._call(node)
        return Plan(self.graph, self._sample, self._answer)

    # inputs and outputs

    def _input(self, node: Any) -> Any:
        if node.target == "lengths":
            self.ragged = add_lengths(self.graph)
            return "lengths"
        if self.values:
            if node.args:
                return node.args[0]  # an argument with a default
            raise _refused(self.kind, f"its forward has the argument {node.target}")
        consumer = self._consumer(node)
        if isinstance(consumer, torch.nn.Embedding):
            self.size, self.name = consumer.num_embeddings, "tokens"
            return _Value(self.graph.input("tokens", np.int64, ["batch", "time"]), 2)
        self.name, self.time_first = "x", False
        stack = getattr(consumer, "stack", None)
        self.size = consumer.in_features if stack is None else stack.input_size
        self.time_first = stack is not None and not consumer.batch_first
        axes = ["time", "batch"] if self.time_first else ["batch", "time"]
        return _Value(self.graph.input("x", np.float32, [*axes, self.size]), 3)

    def _consumer(self, node: Any) -> Any:
        """Returns the first layer that takes the input and tells its size."""
        for user in node.users:
            if user.op == "call_module":
                found: Any = self.module.get_submodule(user.target)
                if isinstance(found, (torch.nn.Embedding, torch.nn.Linear, *RECURRENT)):
                    return found
        raise _refused(self.kind, "no Embedding, Linear or recurrent layer takes its input directly")

    def _output(self, found: Any) -> None:
        for value in _flat(map_arg(found, lambda node: self.values[node])):
            if not isinstance(value, _Value):
                raise _refused(self.kind, f"it returns {type(value).__name__}")
            name = f"output.{len(self.outputs)}" if self.outputs else "scores"
            self.graph.output(name, value.name, np.float32, [None] * value.rank)
            self.outputs.append(name)

    # calls

    def _call(self, node: Any) -> Any:
        args, kwargs = map_arg((node.args, node.kwargs), lambda part: self.values[part])
        if node.op == "call_module":
            layer: Any = self.module.get_submodule(node.target)
            translate, what = _LAYERS.get(type(layer)), type(layer).__name__
            translate = translate or next(
                (t for k, t in _LAYERS.items() if isinstance(layer, k) and k in RECURRENT), None
            )
            arguments = (self, layer, *args)
        elif node.op in ("call_function", "call_method"):
            what = node.target if isinstance(node.target, str) else node.target.__name__
            translate, arguments = _CALLS.get(what), (self, *args)
        else:
            translate, arguments, what = None, (), f"the parameter {node.target}"
        if translate is None:
            raise _refused(self.kind, f"{what} has no translation")
        try:
            return translate(*arguments, **kwargs)
        except (TypeError, AttributeError, IndexError):
            raise _refused(self.kind, f"{what} has no translation for these arguments") from None

    def whole(self, x: str, axis: int, time: int) -> Ragged:
        """Returns lengths of sequences without padding."""
        steps, batch = self.graph.size(x, time), self.graph.size(x, axis)
        return Ragged.of(self.graph, self.graph.op("Expand", steps, batch))

    # comparison

    def _sample(self, rng: np.random.Generator) -> Arrays:
        lengths = draw_lengths(rng)
        shape = len(lengths), max(int(lengths.max()), 1)
        if self.name == "tokens":
            feed = {"tokens": rng.integers(0, self.size, shape)}
        else:
            shape = shape[::-1] if self.time_first else shape
            feed = {"x": rng.normal(size=(*shape, self.size)).astype(np.float32)}
        return feed if self.ragged is None else {**feed, "lengths": lengths}

    def _answer(self, feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        given = {name: torch.from_numpy(value) for name, value in feed.items()}
        with torch.inference_mode():
            lengths = {"lengths": given.pop("lengths")} if "lengths" in given else {}
            parts = _flat(self.module(*given.values(), **lengths))
        return {name: part.float().numpy() for name, part in zip(self.outputs, parts, strict=True)}


def _flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list) and not isinstance(value, _Value):
        return [part for each in value for part in _flat(each)]
    return [value]


def _recurrent(at: _Translation, layer: Any, x: _Value, state: Any = None, lengths: Any = None) -> Any:
    if x.rank != 3 or lengths not in (None, "lengths"):
        raise TypeError
    first = not layer.batch_first
    ragged = at.whole(x.name, int(first), int(not first)) if lengths is None else at.ragged
    assert ragged is not None  # noqa: S101  (the input comes before)
    count, names = layer.stack.num_layers * layer.stack.directions, layer.stack.cell.states
    initial = None
    if state is not None:
        parts = [state] if isinstance(state, _Value) else state
        picked = [[at.graph.op("Gather", part.name, at.graph.const(i)) for i in range(count)] for part in parts]
        initial = States(dict(zip(names, picked, strict=True)))
    output, last = add_layer(at.graph, layer, x.name, ragged, initial, time_first=first)
    states = [
        _Value(at.graph.concat([at.graph.unsqueeze(value, 0) for value in last.values[name]], 0), 3) for name in names
    ]
    single = len(states) == 1 and isinstance(layer, torch.nn.RNNBase)
    return _Value(output, 3), (states[0] if single else tuple(states))


def _linear(at: _Translation, layer: Any, x: _Value) -> _Value:
    return _Value(at.graph.linear(x.name, layer.weight, layer.bias, "linear"), x.rank)


def _embedding(at: _Translation, layer: Any, x: _Value) -> _Value:
    if layer.max_norm is not None:
        raise TypeError
    return _Value(at.graph.rows(layer.weight, x.name, "embedding"), x.rank + 1)


def _layer_norm(at: _Translation, layer: Any, x: _Value) -> _Value:
    shape = layer.normalized_shape
    weight = np.ones(shape, np.float32) if layer.weight is None else layer.weight
    bias = np.zeros(shape, np.float32) if layer.bias is None else layer.bias
    parts = at.graph.weight(weight, "norm.weight"), at.graph.weight(bias, "norm.bias")
    return _Value(at.graph.op("LayerNormalization", x.name, *parts, axis=-len(shape), epsilon=float(layer.eps)), x.rank)


def _pooling(at: _Translation, layer: Any, output: _Value, last: _Value, lengths: Any) -> _Value:
    if lengths != "lengths" or at.ragged is None:
        raise TypeError
    return _Value(add_pooling(at.graph, layer, output.name, last.name, at.ragged), 2)


def _same(at: _Translation, layer: Any, x: Any) -> Any:
    return x


def _one(kind: str, **attributes: Any) -> Callable[..., _Value]:
    return lambda at, x: _Value(at.graph.op(kind, x.name, **attributes), x.rank)


def _two(kind: str) -> Callable[..., _Value]:
    def translate(at: _Translation, x: Any, y: Any) -> _Value:
        names = [v.name if isinstance(v, _Value) else at.graph.const(np.float32(v)) for v in (x, y)]
        return _Value(at.graph.op(kind, *names), max(v.rank for v in (x, y) if isinstance(v, _Value)))

    return translate


def _activation(kind: str) -> Callable[..., _Value]:
    return lambda at, layer, x: _Value(at.graph.op(kind, x.name), x.rank)


def _softmax(at: _Translation, x: _Value, dim: int, **options: Any) -> _Value:
    return _Value(at.graph.op("Softmax", x.name, axis=dim), x.rank)


def _cat(at: _Translation, parts: Any, dim: int = 0) -> _Value:
    return _Value(at.graph.concat([part.name for part in parts], dim), parts[0].rank)


def _item(at: _Translation, value: Any, index: Any) -> Any:
    if not isinstance(value, _Value):
        return value[index]
    index, axis = index if isinstance(index, tuple) else (index,), 0
    for part in index:
        if isinstance(part, slice) and part == slice(None):
            axis += 1
        elif isinstance(part, int):
            value = _Value(at.graph.op("Gather", value.name, at.graph.const(part), axis=axis), value.rank - 1)
        elif isinstance(part, slice) and part.step is None:
            end = np.iinfo(np.int64).max if part.stop is None else part.stop
            value, axis = _Value(at.graph.slice(value.name, axis, part.start or 0, end), value.rank), axis + 1
        else:
            raise TypeError
    return value


def _transpose(at: _Translation, x: _Value, first: int, second: int) -> _Value:
    order = list(range(x.rank))
    order[first], order[second] = order[second], order[first]
    return _Value(at.graph.op("Transpose", x.name, perm=order), x.rank)


def _reduced(kind: str) -> Callable[..., _Value]:
    def translate(at: _Translation, x: _Value, dim: int, keepdim: bool = False) -> _Value:
        return _Value(at.graph.reduce(kind, x.name, dim % x.rank, keep=keepdim), x.rank - (not keepdim))

    return translate


_LAYERS: dict[type, Callable[..., Any]] = {
    **dict.fromkeys(RECURRENT, _recurrent),
    torch.nn.Linear: _linear,
    Linear: _linear,
    torch.nn.Embedding: _embedding,
    torch.nn.LayerNorm: _layer_norm,
    Pooling: _pooling,
    torch.nn.Dropout: _same,
    torch.nn.Identity: _same,
    torch.nn.ReLU: _activation("Relu"),
    torch.nn.Tanh: _activation("Tanh"),
    torch.nn.Sigmoid: _activation("Sigmoid"),
    torch.nn.Softmax: lambda at, layer, x: _softmax(at, x, layer.dim),
}

_CALLS: dict[str, Callable[..., Any]] = {
    operator.getitem.__name__: _item,
    "add": _two("Add"),
    "sub": _two("Sub"),
    "mul": _two("Mul"),
    "truediv": _two("Div"),
    "relu": _one("Relu"),
    "tanh": _one("Tanh"),
    "sigmoid": _one("Sigmoid"),
    "softmax": _softmax,
    "cat": _cat,
    "transpose": _transpose,
    "squeeze": lambda at, x, dim: _Value(at.graph.squeeze(x.name, dim), x.rank - 1),
    "unsqueeze": lambda at, x, dim: _Value(at.graph.unsqueeze(x.name, dim), x.rank + 1),
    "mean": _reduced("ReduceMean"),
    "sum": _reduced("ReduceSum"),
    "contiguous": lambda at, x: x,
}
