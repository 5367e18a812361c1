"""Recurrent cells: the equations, the gate names and their order, each written down once."""

from .base import Cell, State, Step, linear
from .gru import GRU
from .lstm import LSTM
from .rnn import RNN

__all__ = ["GRU", "LSTM", "RNN", "Cell", "State", "Step", "linear"]
