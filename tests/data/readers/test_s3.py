"""Data sets in S3, served by moto on the loopback address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.data.readers.tables import read_table, stream_table
from recurra.errors import DataError

pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries of S3


@pytest.fixture(scope="module")
def s3() -> Iterator[object]:
    """A bucket `reviews` in a server that fsspec uses for URLs of S3."""
    import fsspec

    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("FSSPEC_S3", json.dumps({"client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}))
        patch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://{host}:{port}"})
        system = fsspec.filesystem("s3")
        system.mkdir("reviews")
        yield system
    running.stop()


def test_parquet_and_text_in_s3(s3, tmp_path: Path) -> None:
    for i in range(2):
        pq.write_table(pa.table({"text": [f"text {i}", "x"], "label": [0, 1]}), tmp_path / "part.parquet")
        s3.put_file(str(tmp_path / "part.parquet"), f"reviews/columns/part-{i}.parquet")
        s3.pipe_file(f"reviews/lines/part-{i}.csv", f"text,label\ntext {i},0\nx,1\n".encode())
    s3.pipe_file("reviews/lines/_SUCCESS", b"")
    for folder, place in (("columns", "part-1.parquet, row 2"), ("lines", "part-1.csv, line 3")):
        file = read_table(f"s3://reviews/{folder}", ["text"])
        assert file.table["text"].to_pylist() == ["text 0", "x", "text 1", "x"]
        assert file.where(3) == place
    parts = list(stream_table("s3://reviews/columns/part-*.parquet", ["label"]))
    assert [part.table["label"].to_pylist() for part in parts] == [[0, 1], [0, 1]]
    with pytest.raises(DataError, match="there is no file s3://reviews/gone"):
        read_table("s3://reviews/gone.csv")
