"""Layers that take the place of torch.nn's recurrent ones, and the pieces that go with them."""

from recurra.ops.mask import step_mask

from .acceleration import AccelerateReport, accelerate, accelerate_report, restore
from .crf import Chain
from .encoder import CELLS, SequenceEncoder, begin_remembering, build_recurrent
from .memoryless import Memoryless
from .pooling import POOLINGS, Pooling, last_hidden
from .recurrent import GRU, LSTM, RNN, Recurrent
from .sampled_softmax import SampledSoftmax
from .spec_augment import SpectrumMask, stack_frames, stacked_length
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
    "Chain",
    "ContextNetwork",
    "Memoryless",
    "Pooling",
    "Recurrent",
    "SampledSoftmax",
    "SequenceEncoder",
    "SpectrumMask",
    "accelerate",
    "accelerate_report",
    "begin_remembering",
    "build_recurrent",
    "last_hidden",
    "restore",
    "stack_frames",
    "stacked_length",
    "step_mask",
]
