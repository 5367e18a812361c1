"""Traces as files for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.io.atomic import written

if TYPE_CHECKING:
    import pyarrow as pa
    import xarray

ROWS = 1 << 16
"""Rows of a table that are made at a time, about."""


def to_netcdf(parts: Mapping[str, xarray.Dataset], path: Path) -> None:
    """One group for each part, or no group where there is one part only."""
    with written(path) as partial:
        for i, (name, data) in enumerate(parts.items()):
            group = None if len(parts) == 1 else name.replace("/", " ")
            data.to_netcdf(partial, mode="a" if i else "w", group=group, engine="h5netcdf")


def to_parquet(parts: Mapping[str, xarray.Dataset], path: Path) -> None:
    """A row for each layer, direction, sequence, step and unit; what lies beyond the end of a sequence is left out."""
    from pyarrow import parquet

    with written(path) as partial:
        writer = None
        for name, data in parts.items():
            for table in _tables(name, data, len(parts) > 1):
                writer = writer or parquet.ParquetWriter(partial, table.schema)
                writer.write_table(table)
        if writer is not None:
            writer.close()


def _tables(name: str, data: xarray.Dataset, several: bool) -> Iterator[pa.Table]:
    """A table for some steps of a sequence at a time."""
    import pyarrow as pa

    names = [str(n) for n, array in data.data_vars.items() if array.dims[-1] == "unit"]
    window = max(1, ROWS // max(1, data.sizes["layer"] * data.sizes["direction"] * data.sizes["unit"]))
    for b in range(data.sizes["batch"]):
        row = data.isel(batch=b)
        steps = int((row["time"] < row["length"]).sum())
        for begin in range(0, steps, window):
            piece = row.isel(time=slice(begin, min(begin + window, steps)))
            grid = np.meshgrid(*[piece[axis].values for axis in ("layer", "direction", "time", "unit")], indexing="ij")
            columns: dict[str, Any] = {"part": [name] * grid[0].size} if several else {}
            columns |= {
                "layer": grid[0].ravel(),
                "direction": grid[1].ravel(),
                "batch": np.full(grid[0].size, row.batch),
            }
            columns["time"] = grid[2].ravel()
            if "token" in piece.coords:
                columns["token"] = np.broadcast_to(piece["token"].values[:, None], grid[0].shape).ravel()
            columns |= {"unit": grid[3].ravel()} | {n: piece[n].values.ravel() for n in names}
            yield pa.table(columns)
