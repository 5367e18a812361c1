"""A damaged file of any format is read, or refused with a data error, in bounded time."""

from __future__ import annotations

import bz2
import contextlib
import lzma
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.mutate import damage
from fuzz.seeds import REVIEWS, SEEDS, inside
from recurra.data.columns.inputs import as_sequences
from recurra.data.columns.numbers import parse_numbers
from recurra.data.files.audio import Recordings, samples_of
from recurra.data.readers.conll import read_conll
from recurra.data.readers.long_table import LongColumns, read_long
from recurra.data.readers.npz import read_npz
from recurra.data.readers.parallel_text import read_parallel
from recurra.data.readers.sequence_file import labelled
from recurra.data.readers.tables import read_table
from recurra.data.readers.text_lines import read_lines, read_text
from recurra.data.readers.ts import read_ts
from recurra.errors import DataError


def _table(path: Path) -> None:
    file = read_table(path)
    for i, name in enumerate(file.table.column_names):
        column = file.table.column(i)
        for read in (lambda column, name: parse_numbers(column, name=name, where=file.where), _sequences):
            with contextlib.suppress(DataError):
                read(column, name)


def _sequences(column: Any, name: str) -> None:
    as_sequences(column)


def _long(path: Path) -> None:
    file = read_long(path, LongColumns("id", ("speed", "brake"), "t", "driver"))
    assert len(labelled(file, numbers=False)) == len(file.sequences)
    file.where(0)


def _measured(read: Any) -> Any:
    def run(path: Path) -> None:
        file = read(path)
        labelled(file, numbers=False)
        with contextlib.suppress(DataError):  # labels are not numbers
            labelled(file, numbers=True)

    return run


def _sound(path: Path) -> None:
    assert Recordings([path]).headers[0].samples == len(samples_of(path)[0])


READERS = {
    "reviews.csv": _table,
    "reviews_cp949.csv": _table,
    "reviews_utf16.tsv": _table,
    "reviews.csv.gz": _table,
    "reviews.csv.bz2": _table,
    "reviews.csv.xz": _table,
    "reviews.jsonl": _table,
    "reviews.parquet": _table,
    "lists.parquet": _table,
    "sales.csv": _table,
    "pairs.tsv": _table,
    "long.csv": _long,
    "series.ts": _measured(read_ts),
    "series.npz": _measured(read_npz),
    "tagged.conll": read_conll,
    "tagged.conllu": read_conll,
    "lines.txt": lambda path: (read_lines(path), read_text(path), read_parallel(path, path)),
    "wav": _sound,
    "flac": _sound,
    "ogg": _sound,
}


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, bytes]]:
    """A valid file of each format: its name and content."""
    own = {"reviews.csv.bz2": bz2.compress(REVIEWS.encode()), "reviews.csv.xz": lzma.compress(REVIEWS.encode())}
    found = {}
    for name in READERS:
        folder = tmp_path_factory.mktemp("seed")
        if name in own:
            (folder / name).write_bytes(own[name])
        elif name == "lists.parquet":
            values = [[1.0, None], [], None, [2.5]] * 8
            nested = pa.array([[[1.0, 2.0]], None, [], [[3.0, None]]] * 8)
            pq.write_table(pa.table({"x": values, "nested": nested, "n": range(32)}), folder / name)
        else:
            SEEDS[name].write(folder / name)
        file = (SEEDS[name].damaged if name in SEEDS else "") or name
        found[name] = file, (folder / file).read_bytes()
    return found


@pytest.mark.parametrize("name", READERS)
def test_a_valid_file_is_read(contents: dict[str, tuple[str, bytes]], tmp_path: Path, name: str) -> None:
    file, content = contents[name]
    (tmp_path / file).write_bytes(content)
    READERS[name](tmp_path / file)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=25, deadline=5000, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 2**32))
def test_a_damaged_file_is_read_or_refused(
    contents: dict[str, tuple[str, bytes]], tmp_path: Path, name: str, number: int
) -> None:
    file, content = contents[name]
    rng = random.Random(number)
    unpacked, pack = inside(file, content)
    (tmp_path / file).write_bytes(pack(damage(unpacked, rng)) if rng.random() < 0.7 else damage(content, rng))
    try:
        READERS[name](tmp_path / file)
    except DataError as error:
        message = str(error)
    else:
        return
    assert file.partition(".")[0] in message
