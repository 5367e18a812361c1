"""Training data larger than memory: a table in pieces, encoded pieces on the disk, and batches of shuffled pieces."""

from .table import LargeTable, PieceColumn

__all__ = ["LargeTable", "PieceColumn"]
