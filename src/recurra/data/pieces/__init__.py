r"""Training data larger than memory: a table in pieces, encoded pieces on the disk, and batches of shuffled pieces.

Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "reviews.csv").write_text("text,label\ngood,1\nbad,0\n", encoding="utf-8")
    ...     table = LargeTable(Path(folder, "reviews.csv"), ["text", "label"], Path(folder, "run"))
    ...     [piece.rows for piece in table.pieces], table["label"].read(0).table["label"].to_pylist()
    ([2], ['1', '0'])
"""

from .table import LargeTable, PieceColumn

__all__ = ["LargeTable", "PieceColumn"]
