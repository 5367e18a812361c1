"""Traces as netCDF and Parquet, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray
from pyarrow import parquet

import recurra
from recurra import SequenceClassifier, nn
from recurra.inspect.core import export


class Several(torch.nn.Module):
    """Two recurrent layers of different cells and sizes; one of them called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.LSTM(3, 4, bidirectional=True, batch_first=True)
        self.two = nn.GRU(8, 2, batch_first=True)

    def forward(self, x):
        output, _ = self.one(x)
        _, state = self.two(output)
        return self.two(output[:, :2], state)[0]


@pytest.fixture(scope="module")
def korean():
    texts, labels = ["정말 재미있다", "최고의 영화", "정말 지루하다", "최악의 영화"] * 10, [1, 1, 0, 0] * 10
    model = SequenceClassifier(hidden_size=5, embedding_size=4, tokens="word", epochs=1, verbose=0, num_layers=2)
    return recurra.trace(model.fit(texts, labels), ["정말 최고의 영화😀", "", "최악의\t영화"])


@pytest.fixture(scope="module")
def several():
    return recurra.trace(Several(), torch.randn(3, 6, 3))


def test_netcdf_and_back(korean, tmp_path):
    korean.to_netcdf(tmp_path / "trace.nc")
    with xarray.open_dataset(tmp_path / "trace.nc", engine="h5netcdf") as found:
        xarray.testing.assert_identical(found.load(), korean.to_xarray())
        assert found["token"].values[0].tolist() == ["정말", "최고의", "영화", "😀"]
        assert found["length"].values.tolist() == [4, 0, 2]


def test_netcdf_of_several_layers(several, tmp_path):
    several.to_netcdf(tmp_path / "trace.nc")
    assert list(several.parts) == ["one", "two", "two (call 2)"]
    for name, part in several.parts.items():
        with xarray.open_dataset(tmp_path / "trace.nc", group=name, engine="h5netcdf") as found:
            xarray.testing.assert_identical(found.load(), part)


def look_up(data: xarray.Dataset, rows) -> None:
    """Every row of a table is the value that stands at its place."""
    for row in rows:
        place = {axis: row[axis] for axis in ("layer", "direction", "batch", "time", "unit")}
        for name, array in data.data_vars.items():
            assert row[name] == array.sel(place).item()


def test_parquet_and_back(korean, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ROWS", 25)  # several tables for each sequence
    korean.to_parquet(tmp_path / "trace.parquet")
    table = parquet.read_table(tmp_path / "trace.parquet")
    data = korean.to_xarray()
    assert table.column_names == ["layer", "direction", "batch", "time", "token", "unit", *data.data_vars]
    rows = table.to_pylist()
    assert len(rows) == 2 * (4 + 0 + 2) * 5  # layers, steps, units: nothing beyond the end of a sequence
    assert len({(r["layer"], r["batch"], r["time"], r["unit"]) for r in rows}) == len(rows)
    look_up(data, rows)
    assert {r["token"] for r in rows if r["batch"] == 2} == {"최악의", "영화"}
    assert str(table.schema.field("forget").type) == "float"


def test_parquet_of_several_layers(several, tmp_path):
    several.to_parquet(tmp_path / "trace.parquet")
    table = parquet.read_table(tmp_path / "trace.parquet")
    gates = ["input", "forget", "candidate", "output", "hidden", "cell", "reset", "update"]
    assert table.column_names == ["part", "layer", "direction", "batch", "time", "unit", *gates]
    rows = table.to_pylist()
    assert len(rows) == 3 * (2 * 6 * 4 + 6 * 2 + 2 * 2)
    for name, part in several.parts.items():
        own = [row for row in rows if row["part"] == name]
        look_up(part, own)
        absent = set(gates) - set(part.data_vars)
        assert all(row[gate] is None for row in own for gate in absent)


def test_parquet_of_some_steps_and_units(tmp_path):
    trace = recurra.trace(nn.GRU(3, 5), torch.randn(9, 2, 3), lengths=[9, 4], units=[1, 4], time=slice(2, None, 3))
    trace.to_parquet(tmp_path / "trace.parquet")
    rows = parquet.read_table(tmp_path / "trace.parquet").to_pylist()
    assert [(r["batch"], r["time"], r["unit"]) for r in rows] == [
        (batch, time, unit) for batch, times in ((0, (2, 5, 8)), (1, (2,))) for time in times for unit in (1, 4)
    ]
    look_up(trace.to_xarray(), rows)


def test_a_projected_state_has_fewer_units(tmp_path):
    trace = recurra.trace(nn.LSTM(3, 5, proj_size=2).double(), torch.randn(4, 1, 3).double())
    assert trace["hidden"].dims == ("layer", "direction", "batch", "time", "projection")
    trace.to_netcdf(tmp_path / "trace.nc")
    with xarray.open_dataset(tmp_path / "trace.nc", engine="h5netcdf") as found:
        xarray.testing.assert_identical(found.load(), trace.to_xarray())
    trace.to_parquet(tmp_path / "trace.parquet")
    table = parquet.read_table(tmp_path / "trace.parquet")
    assert str(table.schema.field("hidden").type) == "double"
    hidden = np.array([r["hidden"] for r in table.to_pylist()], dtype=float).reshape(4, 5)  # None is NaN
    np.testing.assert_array_equal(hidden[:, :2], trace["hidden"].values[0, 0, 0])
    assert np.isnan(hidden[:, 2:]).all()
    assert table.column("hidden").null_count == 4 * 3


def test_nothing_but_empty_sequences(tmp_path):
    trace = recurra.trace(nn.GRU(3, 5), torch.randn(4, 2, 3), lengths=[0, 0])
    trace.to_parquet(tmp_path / "trace.parquet")
    assert parquet.read_table(tmp_path / "trace.parquet").num_rows == 0


@pytest.mark.parametrize("way", ["to_netcdf", "to_parquet"])
def test_files_are_complete_or_not_there(several, way, tmp_path, monkeypatch):
    target = tmp_path / "trace"
    target.write_text("old")
    monkeypatch.setattr(xarray.Dataset, "isel", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(xarray.Dataset, "dump_to_store", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        getattr(several, way)(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
