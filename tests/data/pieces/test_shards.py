"""Encoded pieces: made once, in the background, and made again if they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurra.data.pieces.shards import Shard, ShardStore, token_type
from recurra.errors import DataError


class Encoder:
    """Encodes piece `n` as sequences of the lengths 0 to n, and remembers the pieces."""

    def __init__(self) -> None:
        self.encoded: list[int] = []

    def __call__(self, piece: int) -> Shard:
        if piece == 7:
            raise DataError("a.csv, line 3: broken")
        self.encoded.append(piece)
        lengths = np.arange(piece + 1, dtype=np.int32)
        values = np.full(lengths.sum(), piece, np.uint16)
        return Shard(values, lengths, np.full(len(lengths), piece), lengths)


def test_pieces_are_encoded_once(tmp_path: Path) -> None:
    encode = Encoder()
    store = ShardStore(tmp_path / "shards", encode)
    store.prefetch([3, 1])
    assert store.load(1).values.tolist() == [1]
    assert store.lengths(3).tolist() == [0, 1, 2, 3]
    assert store.load(3).values.dtype == np.uint16
    store.prefetch([1, 3])
    store.close()
    again = ShardStore(tmp_path / "shards", encode)
    assert again.load(3).targets.tolist() == [3] * 4
    again.close()
    assert encode.encoded == [3, 1]
    assert sorted(file.name for file in (tmp_path / "shards").iterdir()) == ["000001.npz", "000003.npz"]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damaged_files_are_made_again(tmp_path: Path, damage: str) -> None:
    encode = Encoder()
    store = ShardStore(tmp_path, encode)
    store.load(5)
    file = tmp_path / "000005.npz"
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        at = content.index(np.full(4, 5, np.uint16).tobytes())
        content[at] ^= 255
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    assert store.load(5).values.tolist() == [5] * 15
    assert encode.encoded == [5, 5]
    store.close()


def test_errors_arrive_where_the_piece_is_needed(tmp_path: Path) -> None:
    store = ShardStore(tmp_path, Encoder())
    store.prefetch([7, 2])
    assert store.load(2).values.tolist() == [2] * 3
    with pytest.raises(DataError, match=r"a\.csv, line 3: broken"):
        store.load(7)
    store.close()


def test_token_type() -> None:
    assert token_type(1 << 16)(65_535) == 65_535
    assert token_type((1 << 16) + 1) is np.int32
