"""The sample of synthetic series is what its README says."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from recurra.data.readers.long_table import LongColumns, read_long
from recurra.data.readers.ts import read_ts

SAMPLE = Path(str(files("recurra.data") / "samples" / "series"))


def test_the_program_in_the_readme_writes_the_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"^```python\n(.*?)^```$", (SAMPLE / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    exec(program, {})  # noqa: S102  (our own)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (SAMPLE / path.name).read_bytes(), path.name
    assert len(list(tmp_path.iterdir())) == 4


def test_what_is_in_it():
    train, test = (read_ts(SAMPLE / f"gestures_{part}.ts") for part in ("TRAIN", "TEST"))
    assert (len(train.sequences), len(test.sequences)) == (90, 60)
    assert train.sequences.missing > 0
    columns = LongColumns("kettle", ("temperature", "watts"), "second", "litres")
    ids = [set(read_long(SAMPLE / f"kettles_{part}.csv", columns).ids or ()) for part in ("train", "test")]
    assert [len(part) for part in ids] == [80, 40]
    assert not ids[0] & ids[1]
