"""Encoded sequences in one memory-mapped Arrow file, so that training data can be larger than memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recurra._util.atomic import written
from recurra.errors import ModelFolderError

BLOCK_ROWS = 4096  # rows of every block except the last; a division finds the block of a row


class SequenceStore:
    """Concatenated sequences, read by row.

    Args:
        source: an Arrow IPC file written by `build`, or a buffer with the same content.

    Example:
        >>> import numpy as np
        >>> store = SequenceStore.build([[np.array([7, 8], np.int32), np.array([], np.int32)]])
        >>> store.lengths.tolist(), store.take([1, 0])[1].tolist()
        ([2, 0], [7, 8])
    """

    def __init__(self, source: Path | pa.Buffer) -> None:
        self._source = source
        self._file = pa.memory_map(str(source)) if isinstance(source, Path) else pa.BufferReader(source)
        reader = pa.ipc.open_file(self._file)
        self.features = int((reader.schema.metadata or {}).get(b"features", b"1"))
        self.flat = (reader.schema.metadata or {}).get(b"flat") == b"1"
        blocks = [reader.get_batch(i).column(0) for i in range(reader.num_record_batches)]
        self._blocks = [(b.offsets.to_numpy(), b.values.to_numpy(zero_copy_only=True)) for b in blocks]
        lengths = [np.diff(offsets) // self.features for offsets, _ in self._blocks]
        self.lengths: np.ndarray = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)

    @classmethod
    def build(cls, chunks: Iterable[Sequence[np.ndarray]], path: Path | None = None) -> SequenceStore:
        """Writes the sequences of all chunks to `path`, atomically, or to memory.

        Args:
            chunks: lists of arrays, all `(time,)` or all `(time, features)`, of one type.
            path: file to write and map; None for memory.

        Raises:
            ModelFolderError: the file cannot be written.
        """
        if path is None:
            with pa.BufferOutputStream() as sink:
                _write(_blocks_of(chunks), sink)
                return cls(sink.getvalue())
        with written(path, ModelFolderError) as partial, pa.OSFile(str(partial), "wb") as sink:
            _write(_blocks_of(chunks), sink)
        return cls(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return SequenceStore, (self._source,)  # another process maps the file again

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: Iterable[int]) -> list[np.ndarray]:
        """Returns the sequences of some rows as views into the file, `(time,)` or `(time, features)`."""
        found = []
        for row in rows:
            offsets, values = self._blocks[row // BLOCK_ROWS]
            at = row % BLOCK_ROWS
            part = values[offsets[at] : offsets[at + 1]]
            found.append(part if self.flat else part.reshape(-1, self.features))
        return found

    def fingerprint(self) -> str:
        """Hash of the content. Stores with equal hashes train equal models."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{self.features} {self.flat}".encode())
        for offsets, values in self._blocks:
            digest.update(offsets.tobytes())
            digest.update(values.tobytes())
        return digest.hexdigest()


class SequenceList:
    """Sequences in memory, read by row like those of a `SequenceStore`.

    Args:
        sequences: arrays, all `(time,)` or all `(time, features)`, of one type.
    """

    def __init__(self, sequences: Sequence[np.ndarray]) -> None:
        self.sequences = sequences
        self.lengths = np.array([len(sequence) for sequence in sequences], np.int64)

    def __len__(self) -> int:
        return len(self.sequences)

    def take(self, rows: Iterable[int]) -> list[np.ndarray]:
        """Returns the sequences of some rows."""
        return [self.sequences[row] for row in rows]

    def fingerprint(self) -> str:
        """Not available: training data are in a `SequenceStore`."""
        raise NotImplementedError


def _blocks_of(chunks: Iterable[Sequence[np.ndarray]]) -> Iterable[list[np.ndarray]]:
    waiting: list[np.ndarray] = []
    for chunk in chunks:
        waiting.extend(chunk)
        while len(waiting) >= BLOCK_ROWS:
            yield waiting[:BLOCK_ROWS]
            del waiting[:BLOCK_ROWS]
    if waiting:
        yield waiting


def _write(blocks: Iterable[list[np.ndarray]], sink: pa.NativeFile) -> None:
    writer = schema = None
    for block in blocks:
        flat = block[0].ndim == 1
        offsets = np.cumsum([0, *(row.size for row in block)], dtype=np.int64)
        values = pa.array(np.concatenate([row.reshape(-1) for row in block]))
        column = pa.LargeListArray.from_arrays(offsets, values)
        if writer is None:
            features = 1 if flat else block[0].shape[1]
            metadata = {"features": str(features), "flat": str(int(flat))}
            schema = pa.schema([pa.field("values", column.type)], metadata=metadata)
            writer = pa.ipc.new_file(sink, schema)
        writer.write_batch(pa.record_batch([column], schema=schema))
    if writer is None:
        writer = pa.ipc.new_file(sink, pa.schema([pa.field("values", pa.large_list(pa.int32()))]))
    writer.close()
