"""Vectors of tokens, and the softmax over many tokens."""
