"""`torch.onnx.export` writes the operators RNN, GRU and LSTM for our layers, or names `recurra.export`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from recurra import cells, nn

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporters of torch warn about their own future


class Net(torch.nn.Module):
    """A recurrent layer and a layer on top of it."""

    def __init__(self, layer: Any):
        super().__init__()
        self.layer, self.head = layer, torch.nn.Linear(layer.stack.output_size, 2)

    def forward(self, x, lengths=None, state=None):
        output, last = self.layer(x, state, lengths=lengths)
        return self.head(output), last


class Gate(cells.GRU):
    """A cell of the user."""

    name = "gate"


LAYERS = {
    "gru": lambda: nn.GRU(3, 4, 2, batch_first=True, bidirectional=True),
    "rnn": lambda: nn.RNN(3, 4, batch_first=True, nonlinearity="relu", bias=False),
    "lstm": lambda: nn.LSTM(3, 4, 3, batch_first=True),
    "recurrent": lambda: nn.Recurrent(cells.LSTM(), 3, 4, batch_first=True, bidirectional=True),
}
KINDS = ["gru", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("rnn", "lstm", "recurrent"))]
FREE = {"x": {0: "batch", 1: "time"}, "lengths": {0: "batch"}}


def run(path: Any, *feed: torch.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, {name: value.numpy() for name, value in zip(names, feed, strict=True)})


def flat(value: Any) -> list[torch.Tensor]:
    return [part for each in value for part in flat(each)] if isinstance(value, tuple) else [value]


def export(net: Any, args: tuple, path: Any, **options: Any) -> None:
    torch.onnx.export(net, args, path, external_data=False, **options)


def near(net: Any, path: Any, *feed: torch.Tensor) -> None:
    with torch.no_grad():
        expected = flat(net(*feed))
    for found, part in zip(run(path, *feed), expected, strict=True):
        assert np.abs(found - part.numpy()).max() <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ragged", [pytest.param(False, marks=pytest.mark.slow), True])
def test_layers_become_operators(kind, ragged, tmp_path):
    torch.manual_seed(0)
    net, path = Net(LAYERS[kind]()).eval(), tmp_path / "net.onnx"
    feed = (torch.randn(2, 5, 3), torch.tensor([5, 2]))[: 1 + ragged]
    free = dict(list(FREE.items())[: 1 + ragged])
    export(net, feed, path, dynamo=True, dynamic_shapes=free, verbose=False)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    kinds = [name for name in operators if name in ("RNN", "GRU", "LSTM", "Scan", "Loop")]
    assert kinds == [{"recurrent": "LSTM"}.get(kind, kind.upper())] * net.layer.stack.num_layers
    assert "Split" not in operators  # gates are reordered at the export
    near(net, path, *feed)
    near(net, path, *(torch.randn(3, 7, 3), torch.tensor([0, 7, 3]))[: 1 + ragged])


def test_initial_states(tmp_path):
    torch.manual_seed(0)
    net, path = Net(nn.LSTM(3, 4, 2)).eval(), tmp_path / "net.onnx"
    state = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    feed = torch.randn(6, 3, 3), torch.tensor([6, 0, 2])
    export(net, (*feed, state), path, dynamo=True, verbose=False)
    with torch.no_grad():
        expected = flat(net(*feed, state))
    for found, part in zip(run(path, *feed, *state), expected, strict=True):
        assert np.abs(found - part.numpy()).max() <= 1e-5


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: nn.LSTM(3, 4, proj_size=2), "a projection"),
        (lambda: nn.Recurrent(Gate(), 3, 4), "the cell 'gate'"),
    ],
)
def test_others_name_the_own_export(layer, reason, dynamo, tmp_path):
    message = rf"no operator for {reason}; write the file with recurra.export\(module, 'model.onnx'\)"
    with pytest.raises(Exception, match=message):
        export(Net(layer()).eval(), (torch.randn(5, 2, 3),), tmp_path / "net.onnx", dynamo=dynamo, verbose=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_the_older_exporter_and_other_recorders(kind, tmp_path):
    torch.manual_seed(0)
    net, x = Net(LAYERS[kind]()).eval(), torch.randn(2, 5, 3)
    path = tmp_path / "net.onnx"
    export(net, (x,), path, dynamo=False)
    near(net, path, x)
    with torch.no_grad():
        for recorded in (torch.export.export(net, (x,)).module(), torch.jit.trace(net, x)):
            for found, expected in zip(flat(recorded(x)), flat(net(x)), strict=True):
                assert (found - expected).abs().max() <= 1e-6
