"""Word vectors that were trained elsewhere: files of word2vec, GloVe and fastText."""

from .open import open_vectors
from .vector_file import VectorFile, Vectors

__all__ = ["VectorFile", "Vectors", "open_vectors"]
