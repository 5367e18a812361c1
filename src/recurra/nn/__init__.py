"""Layers that take the place of torch.nn's recurrent ones, and the pieces that go with them."""

from .encoder import CELLS, SequenceEncoder
from .pooling import POOLINGS, Pooling, last_hidden, step_mask
from .recurrent import GRU, LSTM, RNN, Recurrent
from .swap import accelerate

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "POOLINGS",
    "RNN",
    "Pooling",
    "Recurrent",
    "SequenceEncoder",
    "accelerate",
    "last_hidden",
    "step_mask",
]
