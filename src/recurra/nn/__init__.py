"""Recurrent layers with the interface of torch.nn, and the other layers of the networks of all tasks."""

from recurra._util.lazy_names import earlier_names
from recurra.ops.mask import step_mask

from .acceleration import AccelerateReport, accelerate, accelerate_report, restore
from .conversion.from_keras import from_keras
from .conversion.from_onnx import from_onnx
from .conversion.from_torch import from_torch, to_torch
from .conversion.reversed import Reversed
from .crf import LinearChainCRF
from .encoder import CELLS, RecurrentSpec, SequenceEncoder, build_recurrent, init_recurrent_
from .memoryless import Memoryless
from .pooling import POOLINGS, Pooling, last_hidden
from .recurrent import GRU, LSTM, RNN, Recurrent
from .spec_augment import SpectrumMask, stack_frames, stacked_length
from .step_cells import GRUCell, LSTMCell, RNNCell
from .tokens.sampled_softmax import SampledSoftmax
from .two_sided import DIRECTIONS, ContextNetwork

RECURRENT = (RNN, GRU, LSTM, Recurrent)
"""The classes of layers with memory."""

__all__ = [
    "CELLS",
    "DIRECTIONS",
    "GRU",
    "LSTM",
    "POOLINGS",
    "RECURRENT",
    "RNN",
    "AccelerateReport",
    "ContextNetwork",
    "GRUCell",
    "LSTMCell",
    "LinearChainCRF",
    "Memoryless",
    "Pooling",
    "RNNCell",
    "Recurrent",
    "RecurrentSpec",
    "Reversed",
    "SampledSoftmax",
    "SequenceEncoder",
    "SpectrumMask",
    "accelerate",
    "accelerate_report",
    "build_recurrent",
    "from_keras",
    "from_onnx",
    "from_torch",
    "init_recurrent_",
    "last_hidden",
    "restore",
    "stack_frames",
    "stacked_length",
    "step_mask",
    "to_torch",
]

__getattr__ = earlier_names(__name__, {"Chain": ":LinearChainCRF", "begin_remembering": ":init_recurrent_"})
