"""The embedding with given vectors beside trained ones."""

from __future__ import annotations

import torch

from recurra.nn.tokens.vector_embedding import VectorEmbedding, embed_with_unknown


def layer() -> VectorEmbedding:
    found = VectorEmbedding(6, 3, size=2, given=4)
    found.given.copy_(torch.arange(24.0).reshape(6, 4))
    return found


def test_tokens_without_a_trained_vector_have_that_of_the_unknown_token():
    embedding = layer()
    rows = embedding(torch.tensor([0, 2, 3, 5]))
    assert rows[:, :2].equal(embedding.trained.weight[[0, 2, 0, 0]])
    assert rows[:, 2:].equal(torch.arange(24.0).reshape(6, 4)[[0, 2, 3, 5]])
    assert embedding.weight[[0, 2, 3, 5]].equal(rows)
    assert (embedding.num_embeddings, embedding.embedding_dim) == (6, 6)


def test_hidden_tokens_keep_their_given_vector():
    embedding, tokens = layer(), torch.arange(6).repeat(50)
    rows = embed_with_unknown(embedding, tokens, 0.5)
    hidden = (rows[:, :2] == embedding.trained.weight[0]).all(1)
    assert 0.3 < hidden[(tokens == 1) | (tokens == 2)].float().mean() < 0.7
    assert rows[:, 2:].equal(embedding.given.float()[tokens])


def test_the_gradient_of_the_given_vectors_is_none():
    embedding = layer()
    embedding(torch.tensor([1, 4])).sum().backward()
    assert embedding.trained.weight.grad is not None
    assert embedding.trained.weight.grad.tolist() == [[1, 1], [1, 1], [0, 0]]
    assert not embedding.given.requires_grad
