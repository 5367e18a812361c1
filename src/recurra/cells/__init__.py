"""Recurrent cells: the equations, the gate names and their order, each written down once."""

from .base import Alter, Cell, State, Step, as_is, linear
from .gru import GRU
from .lstm import LSTM
from .registry import CellLike, register
from .rnn import RNN

__all__ = ["GRU", "LSTM", "RNN", "Alter", "Cell", "CellLike", "State", "Step", "as_is", "linear", "register"]
