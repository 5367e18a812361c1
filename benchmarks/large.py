"""Predictions for data larger than memory: generates Parquet files, and measures the memory of every process.

    python benchmarks/large.py generate reviews.tsv data --gigabytes 20
    python benchmarks/large.py measure --files predictions --kill-at 40 -- \
        recurra predict model data --out predictions --workers 2

`measure` prints the largest resident memory (`VmHWM`) of each process of the command, and its time. With `--kill-at N`
the command and its workers are killed when the folder `--files` has N files; run it again with `--resume`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

GROUP_ROWS, FILE_GROUPS = 25_000, 20
UNUSED = 1_900
"""Bytes of each row in a column that no command reads."""


def generate(source: Path, folder: Path, gigabytes: float) -> None:
    """Writes files of random rows: a text and a label of a table, and a column of random bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from recurra.data.readers.tables import read_table

    table, random = read_table(source, ["document", "label"]).table, np.random.default_rng(0)
    folder.mkdir(parents=True)
    total, number, rows, text = 0, 0, 0, 0
    while total < gigabytes * 1e9:
        path, writer = folder / f"{number:04d}.parquet", None
        for _ in range(FILE_GROUPS):
            group = table.take(random.integers(0, table.num_rows, GROUP_ROWS))
            raw = pa.py_buffer(random.bytes(UNUSED * GROUP_ROWS))
            unused = pa.Array.from_buffers(pa.binary(UNUSED), GROUP_ROWS, [None, raw])
            group = group.append_column("page", unused)
            writer = writer or pq.ParquetWriter(path, group.schema, compression="none", use_dictionary=False)
            writer.write_table(group)
            rows, text = rows + GROUP_ROWS, text + group.column("document").nbytes
        if writer is not None:
            writer.close()
        total, number = total + path.stat().st_size, number + 1
    print(json.dumps({"files": number, "rows": rows, "bytes": total, "bytes of texts": text}))


def measure(command: list[str], files: Path | None, kill_at: int | None) -> None:
    """Runs a command and prints the largest resident memory of each of its processes in megabytes."""
    begin, run = time.monotonic(), subprocess.Popen(command)
    peaks: dict[int, tuple[str, int]] = {}
    killed = 0
    while run.poll() is None:
        for pid in tree(run.pid):
            name, peak = memory(pid)
            if peak:
                peaks[pid] = name, max(peak, peaks.get(pid, ("", 0))[1])
        done = 0 if files is None else len(list(files.glob("part-*")))
        if kill_at is not None and done >= kill_at:
            killed = done
            for pid in reversed(tree(run.pid)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        time.sleep(0.5)
    peak_of: dict[str, list[int]] = {}
    for name, peak in peaks.values():
        peak_of.setdefault(name, []).append(round(peak / 1024))
    found = {"seconds": round(time.monotonic() - begin), "code": run.returncode, "megabytes": peak_of}
    print(json.dumps(found | ({"killed at": killed} if killed else {})))


def tree(root: int) -> list[int]:
    """Returns a process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def memory(pid: int) -> tuple[str, int]:
    """Returns the name of a process and its largest resident memory in KB; 0 if it has ended."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "", 0
    peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
    words = title.split()
    if not words:  # it is ending
        return "", 0
    name = words[0] if title.startswith("ray::") else Path(words[0]).name
    return "recurra" if "-m recurra" in title or name == "recurra" else name, peak


def main() -> None:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("generate")
    make.add_argument("source", type=Path)
    make.add_argument("folder", type=Path)
    make.add_argument("--gigabytes", type=float, default=20.0)
    look = commands.add_parser("measure")
    look.add_argument("--files", type=Path)
    look.add_argument("--kill-at", type=int)
    look.add_argument("run", nargs="+")
    given = parser.parse_args()
    if given.command == "generate":
        generate(given.source, given.folder, given.gigabytes)
    else:
        measure(given.run, given.files, given.kill_at)


if __name__ == "__main__":
    sys.exit(main())
