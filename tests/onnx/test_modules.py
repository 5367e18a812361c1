"""Modules with recurrent layers as ONNX graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx_session import Session

from recurra import nn
from recurra.errors import UsageError
from recurra.exporting.onnx import build


class Tokens(torch.nn.Module):
    """Words to classes, with torch's layers."""

    def __init__(self, kind=torch.nn.LSTM):
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(9, 5), torch.nn.Linear(12, 3)
        self.recurrent = kind(5, 6, 2, batch_first=True, bidirectional=True)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        output, _ = self.recurrent(self.embedding(x))
        return self.head(self.dropout(torch.relu(output[:, -1]))).softmax(-1)


class Ragged(Tokens):
    """Words to classes, with lengths."""

    def forward(self, x, lengths):
        output, (h, _) = self.recurrent(self.embedding(x), lengths=lengths)
        return self.head(output), torch.cat([h[-2], h[-1]], dim=-1)


class TwoStacks(torch.nn.Module):
    """A layer that begins with the last state of another; time comes first."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.norm = torch.nn.GRU(4, 5), nn.GRU(5, 5), torch.nn.LayerNorm(5)

    def forward(self, x):
        y, h = self.first(x)
        z, _ = self.second(self.norm(y), h)
        return 1 - z.mean(0) * 2


class Fourier(Tokens):
    def forward(self, x):
        return torch.fft.fft(self.recurrent(self.embedding(x))[0])


class Branch(Tokens):
    def forward(self, x):
        return self.head(x) if x.sum() > 0 else x


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, nn.LSTM])
def test_tokens(kind):
    torch.manual_seed(0)
    module = Tokens(kind).eval()
    tokens = torch.randint(0, 9, (3, 7))
    found = Session(build(module))(tokens=tokens.numpy())["scores"]
    assert np.abs(found - module(tokens).detach().numpy()).max() <= 1e-5


def test_lengths_and_several_outputs():
    torch.manual_seed(0)
    module = Ragged(nn.LSTM).eval()
    tokens, lengths = torch.randint(0, 9, (3, 7)), torch.tensor([7, 0, 3])
    found = Session(build(module))(tokens=tokens.numpy(), lengths=lengths.numpy())
    for value, expected in zip(found.values(), module(tokens, lengths), strict=True):
        assert np.abs(value - expected.detach().numpy()).max() <= 1e-5
    assert list(found) == ["scores", "output.1"]


def test_states_and_time_first():
    torch.manual_seed(0)
    for module in (TwoStacks(), torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.GRU(3, 2))):
        x = torch.randn(6, 2, 4)
        expected = module(x)
        expected = expected[0] if isinstance(expected, tuple) else expected
        found = Session(build(module))(x=x.numpy())["scores"]
        assert np.abs(found - expected.detach().numpy()).max() <= 1e-5


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Fourier(), "the module Fourier cannot be exported: fft_fft has no translation; export its recurrent layers"),
        (Branch(), "the module Branch cannot be exported: its forward depends on the values"),
        (torch.nn.Sequential(torch.nn.ReLU(), torch.nn.GRU(3, 2)), "no Embedding, Linear or recurrent layer takes its"),
        (torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Conv1d(2, 2, 1)), "Conv1d has no translation"),
    ],
)
def test_others_are_refused(module, message):
    with pytest.raises(UsageError, match=message):
        build(module)
