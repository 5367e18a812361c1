"""An embedding of tokens with given vectors beside trained ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding

from recurra.ops import uniform


class VectorEmbedding(torch.nn.Module):
    """A trained vector of each token, followed by a given one that is not trained.

    Tokens from number `known` on have only a given vector. Their trained vector is that of token 0, the unknown token.

    Args:
        tokens: number of different tokens.
        known: number of tokens that have a separate trained vector.
        size: size of the trained vectors.
        given: size of the given vectors.

    Attributes:
        given: the given vectors, `(tokens, given)`, as 16-bit numbers.

    Example:
        >>> layer = VectorEmbedding(5, 3, size=4, given=2)
        >>> layer(torch.tensor([[1, 4]])).shape, layer.weight.shape
        (torch.Size([1, 2, 6]), torch.Size([5, 6]))
    """

    given: Tensor

    def __init__(self, tokens: int, known: int, *, size: int, given: int) -> None:
        super().__init__()
        self.trained = torch.nn.Embedding(known, size)
        self.register_buffer("given", torch.zeros(tokens, given, dtype=torch.float16))

    @property
    def num_embeddings(self) -> int:
        """Number of different tokens."""
        return self.given.shape[0]

    @property
    def embedding_dim(self) -> int:
        """Size of the vector of a token."""
        return self.trained.embedding_dim + self.given.shape[1]

    @property
    def weight(self) -> Tensor:
        """The vectors of all tokens, `(tokens, size + given)`, as one table."""
        return self(torch.arange(self.num_embeddings, device=self.given.device))

    def forward(self, tokens: Tensor, keep: Tensor | None = None) -> Tensor:
        """Returns the vectors of tokens, `(…, size + given)`.

        Args:
            tokens: numbers of the tokens, `(…)`.
            keep: False for tokens whose trained vector is replaced by that of the unknown token, `(…)`.
        """
        own = tokens * (tokens < self.trained.num_embeddings)
        own = own if keep is None else own * keep
        return torch.cat([self.trained(own), embedding(tokens, self.given).to(self.trained.weight.dtype)], -1)

    def extra_repr(self) -> str:
        """Describes the given vectors."""
        return f"given={tuple(self.given.shape)}"


Embedding = torch.nn.Embedding | VectorEmbedding


def embed_with_unknown(layer: Embedding, tokens: Tensor, share: float) -> Tensor:
    """Returns the vectors of tokens; a random share of the trained ones is replaced by that of the unknown token.

    Args:
        layer: the embedding.
        tokens: numbers of the tokens, `(…)`.
        share: probability of a replacement.
    """
    if share <= 0:
        return layer(tokens)
    keep = uniform(tokens.shape, tokens.device) >= share
    return layer(tokens, keep) if isinstance(layer, VectorEmbedding) else layer(tokens * keep)
