"""Encoder of the networks of all tasks: converts tokens or features to one vector per step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling
from torch.nn.modules.module import _has_any_global_hook

from recurra.cells import CellLike
from recurra.cells.registry import NO_MEMORY, find, names, torch_class
from recurra.ops import dropout, reproducible_algebra
from recurra.ops.reproducible import is_batch_invariant

from . import recurrent
from .memoryless import Memoryless
from .pooling import last_hidden
from .tokens.vector_embedding import Embedding, VectorEmbedding, embed_with_unknown

CELLS = names()
"""Values of the parameter `cell`: the built-in cells and `"none"`."""

Layer = recurrent.RNN | recurrent.GRU | recurrent.LSTM | recurrent.Recurrent | Memoryless


class SequenceEncoder(torch.nn.Module):
    """Embeds tokens, or takes features, and runs a recurrent stack over them.

    Args:
        input_size: number of different tokens, or features of a step.
        embedding_size: size of a token's vector; 0 when the input is features.
        cell: one of `CELLS`, where `"none"` is a baseline without memory; or your own `Cell`.
        hidden_size: units per layer and direction.
        num_layers: layers on top of each other.
        bidirectional: whether every layer also runs from the end to the beginning.
        dropout: probability of dropping a feature before each layer, in training.
        token_dropout: probability of replacing a token by the unknown token, in training.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"`, or `"recompute"` to train in O(√time) memory.
        weight_dropout: probability of dropping a recurrent weight, in training.
        recurrent_dropout: as in `nn.Recurrent`.
        recurrent_dropout_per: as in `nn.Recurrent`.
        zoneout: as in `nn.Recurrent`.
        vectors: number of tokens with a trained vector, and size of the given vectors that all tokens have beside it
            (see `VectorEmbedding`); None for trained vectors only.

    Raises:
        ValueError: the cell is unknown.

    Example:
        >>> import torch
        >>> encoder = SequenceEncoder(100, 16, hidden_size=8, bidirectional=True)
        >>> output, last = encoder(torch.tensor([[5, 6, 0], [7, 8, 9]]), torch.tensor([2, 3]))
        >>> tuple(output.shape), tuple(last.shape)
        ((2, 3, 16), (2, 16))
    """

    def __init__(
        self,
        input_size: int,
        embedding_size: int = 0,
        *,
        cell: CellLike = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        token_dropout: float = 0.0,
        engine: str = "auto",
        memory: str = "full",
        weight_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        recurrent_dropout_per: str = "sequence",
        zoneout: float | tuple[float, float] = 0.0,
        vectors: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.dropout, self.token_dropout = dropout, token_dropout
        self.embedding: Embedding | None = None
        if embedding_size and vectors:
            self.embedding = VectorEmbedding(input_size, vectors[0], size=embedding_size, given=vectors[1])
            torch.nn.init.normal_(self.embedding.trained.weight, std=embedding_size**-0.5)
        elif embedding_size:
            self.embedding = torch.nn.Embedding(input_size, embedding_size)
            torch.nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        noise: dict[str, Any] = {
            "weight_dropout": weight_dropout,
            "recurrent_dropout": recurrent_dropout,
            "recurrent_dropout_per": recurrent_dropout_per,
            "zoneout": zoneout,
        }
        spec = RecurrentSpec(cell, hidden_size, num_layers, bidirectional, dropout, engine, memory, **noise)
        self.recurrent = spec.build(self.embedding.embedding_dim if self.embedding else input_size)
        self.directions = spec.directions
        self.output_size = self.directions * hidden_size

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a batch.

        Args:
            values: token numbers `(batch, time)` or features `(batch, time, features)`.
            lengths: `(batch,)`.

        Returns:
            The outputs of all steps `(batch, time, size)`, 0 beyond each length, and the hidden state of the
            top layer after the last step in each direction `(batch, size)`.
        """
        if self.embedding is None:
            output, state = self.recurrent(values, lengths=lengths)
        elif self.training:
            values = dropout(embed_with_unknown(self.embedding, values, self.token_dropout), self.dropout)
            output, state = self.recurrent(values, lengths=lengths)
        else:
            output, state = run_embedded(self.embedding, self.recurrent, values, lengths)
        h_n = state[0] if isinstance(state, tuple) else state
        return output, last_hidden(h_n, self.directions)


def run_embedded(embedding: Embedding, layer: Any, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Any]:
    """Runs a layer over the vectors of tokens: `layer(embedding(tokens), lengths=lengths)`.

    In batch-invariant calls without gradients, the native engine looks up the tokens itself. It multiplies each token
    of the vocabulary by the input weights once, not at every occurrence, and gives the same bits.

    Args:
        embedding: the vectors of the tokens.
        layer: batch-first recurrent layer.
        tokens: `(batch, time)`.
        lengths: `(batch,)`.

    Returns:
        Output and states of the layer.

    Example:
        >>> from recurra import nn
        >>> embedding, layer = torch.nn.Embedding(10, 4), nn.GRU(4, 3, batch_first=True)
        >>> output, state = run_embedded(embedding, layer, torch.tensor([[5, 6, 0], [7, 8, 9]]), torch.tensor([2, 3]))
        >>> tuple(output.shape), tuple(state.shape)
        ((2, 3, 3), (1, 2, 3))
    """
    if not is_dynamo_compiling() and is_batch_invariant() and _is_plain(embedding) and _is_plain(layer):
        embedded = getattr(layer._fast_layers[layer.engine], "embedded", None)
        if embedded is not None:
            table = embedding.weight
            found = embedded(layer._parameters, table, tokens.long(), None, lengths, layer.batch_first)
            if found is not None:
                return found  # type: ignore[no-any-return]
    return layer(embedding(tokens), lengths=lengths)  # type: ignore[no-any-return]


def _is_plain(module: Any) -> bool:
    """Returns whether a call of the module does no more than its class says, and no dropout."""
    if type(module) is torch.nn.Embedding:
        changes = module.max_norm is not None
    else:
        changes = type(module) not in (recurrent.RNN, recurrent.GRU, recurrent.LSTM) or module.training
    if changes or "forward" in vars(module) or module._compiled_call_impl is not None:
        return False
    return not (module._forward_hooks or module._forward_pre_hooks or _has_any_global_hook())


@dataclass(frozen=True)
class RecurrentSpec:
    """Options of the recurrent layers of a network, without the size of their input.

    Attributes:
        cell: one of `CELLS`, or a `Cell` of your own.
        hidden_size: units per layer and direction.
        num_layers: layers on top of each other.
        bidirectional: whether every layer also runs from the end to the beginning.
        dropout: probability of dropping a feature before each layer, in training.
        engine: `"auto"`, or the name of one engine of `recurra.ops`.
        memory: `"full"`, or `"recompute"` to train in O(√time) memory.
        weight_dropout: probability of dropping a recurrent weight, in training.
        recurrent_dropout: as in `nn.Recurrent`.
        recurrent_dropout_per: as in `nn.Recurrent`.
        zoneout: as in `nn.Recurrent`.

    Example:
        >>> spec = RecurrentSpec("gru", hidden_size=4, num_layers=2, bidirectional=True, dropout=0.1)
        >>> spec.build(3)
        recurra.nn.GRU(3, 4, num_layers=2, batch_first=True, dropout=0.1, bidirectional=True)
        >>> spec.directions
        2
    """

    cell: CellLike = "lstm"
    hidden_size: int = 128
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    engine: str = "auto"
    memory: str = "full"
    weight_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    recurrent_dropout_per: str = "sequence"
    zoneout: float | tuple[float, float] = 0.0

    @property
    def directions(self) -> int:
        """2 for a bidirectional layer, else 1; a cell without memory has one direction."""
        return 2 if self.bidirectional and self.cell != NO_MEMORY else 1

    def build(self, input_size: int) -> Layer:
        """Returns a new batch-first layer; see `build_recurrent`. Dropout is between layers only."""
        options: dict[str, Any] = {**vars(self), "dropout": self.dropout if self.num_layers > 1 else 0.0}
        return build_recurrent(input_size=input_size, **options)


def build_recurrent(
    cell: CellLike,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    *,
    bidirectional: bool = False,
    dropout: float = 0.0,
    engine: str = "auto",
    memory: str = "full",
    weight_dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    recurrent_dropout_per: str = "sequence",
    zoneout: float | tuple[float, float] = 0.0,
) -> Layer:
    """Builds a batch-first layer for a cell; the cell `"none"` has one direction only.

    Raises:
        ValueError: the cell is unknown.

    Example:
        >>> build_recurrent("gru", 3, 4, 1)
        recurra.nn.GRU(3, 4, batch_first=True)
        >>> [type(build_recurrent(cell, 3, 4, 1)).__name__ for cell in (*CELLS[3:5], CELLS[-1])]
        ['RNN', 'Recurrent', 'Memoryless']
    """
    if cell == NO_MEMORY:
        return Memoryless(input_size, hidden_size, num_layers, dropout=dropout)
    found = find(cell, memoryless=True)
    options: dict[str, Any] = {
        "batch_first": True,
        "bidirectional": bidirectional,
        "dropout": dropout,
        "engine": engine,
        "memory": memory,
        "weight_dropout": weight_dropout,
        "recurrent_dropout": recurrent_dropout,
        "recurrent_dropout_per": recurrent_dropout_per,
        "zoneout": zoneout,
    }
    kind = torch_class(found)
    if kind:
        return getattr(recurrent, kind)(input_size, hidden_size, num_layers, **options, **vars(found))  # type: ignore[no-any-return]
    return recurrent.Recurrent(found, input_size, hidden_size, num_layers, **options)


def init_recurrent_(layer: Layer, *, orthogonal: bool = True) -> None:
    """Initializes recurrent weights for a long memory: open forget gates in an LSTM and orthogonal matrices.

    Saxe and others, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2014;
    Jozefowicz and others, "An empirical exploration of recurrent network architectures", 2015.

    Weights for which the cell has initial values, see `Cell.initial`, are left.

    Args:
        layer: the layer, changed in place.
        orthogonal: whether each gate gets an orthogonal matrix.

    Example:
        >>> layer = build_recurrent("lstm", 3, 4, 1)
        >>> init_recurrent_(layer)
        >>> layer.bias_hh_l0[4:8].tolist()
        [1.0, 1.0, 1.0, 1.0]

        All recurrent layers of a model:

        >>> from recurra.nn import RECURRENT
        >>> for module in layer.modules():
        ...     if isinstance(module, RECURRENT):
        ...         init_recurrent_(module, orthogonal=False)
    """
    if isinstance(layer, Memoryless):
        return
    stack = layer.stack
    size, gates, known = stack.hidden_size, stack.cell.gates, dict(stack.named_shapes())
    for name, weight in layer.named_parameters():
        if name not in known or stack.initial(name) is not None:
            continue
        if name.startswith("weight_hh") and orthogonal:
            with reproducible_algebra():
                for rows in weight.detach().split(size if stack.proj_size else weight.shape[1]):
                    torch.nn.init.orthogonal_(rows)
        elif name.startswith("bias_hh") and "forget" in gates:
            rows = gates.index("forget") * size
            torch.nn.init.ones_(weight.detach()[rows : rows + size])
