"""Recurrent cells: the equations, the gate names and their order, each written down once."""

from .base import Alter, Cell, Mask, State, Step, as_is, block_linear, layer_norm, linear, softplus
from .elementwise.indrnn import IndRNN
from .elementwise.mingru import MinGRU
from .elementwise.minlstm import MinLSTM
from .elementwise.rglru import RGLRU
from .elementwise.sru import SRU
from .gru import GRU
from .lstm import LSTM
from .registry import CellLike, register
from .regularized import Regularized
from .rnn import RNN
from .variants.coupled_lstm import CoupledLSTM
from .variants.layer_norm_gru import LayerNormGRU
from .variants.layer_norm_lstm import LayerNormLSTM
from .variants.mgu import MGU
from .variants.mogrifier_lstm import MogrifierLSTM
from .variants.peephole_lstm import PeepholeLSTM
from .variants.reset_before_gru import ResetBeforeGRU
from .variants.slstm import SLSTM

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "RGLRU",
    "RNN",
    "SLSTM",
    "SRU",
    "Alter",
    "Cell",
    "CellLike",
    "CoupledLSTM",
    "IndRNN",
    "LayerNormGRU",
    "LayerNormLSTM",
    "Mask",
    "MinGRU",
    "MinLSTM",
    "MogrifierLSTM",
    "PeepholeLSTM",
    "Regularized",
    "ResetBeforeGRU",
    "State",
    "Step",
    "as_is",
    "block_linear",
    "layer_norm",
    "linear",
    "register",
    "softplus",
]
