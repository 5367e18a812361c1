"""Word vectors that were trained elsewhere: files of word2vec, GloVe and fastText."""

from .open import open_vectors
from .vector_file import Vectors, VectorFile

__all__ = ["VectorFile", "Vectors", "open_vectors"]
