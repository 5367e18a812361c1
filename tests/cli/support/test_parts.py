"""A folder of numbered files: complete files only, kept or replaced as the options say."""

from __future__ import annotations

import pytest

from recurra.cli.support.parts import PartFolder, check_place
from recurra.errors import RecurraError, UsageError


def write(folder, identity="one", count=3, fail=None):
    """Writes the missing files; returns their numbers."""
    with folder.opened():
        folder.prepared.mkdir(exist_ok=True)
        missing = folder.begin(identity, count)
        for number in missing:
            if number == fail:
                raise RecurraError("full")
            folder.file(number).write_text(str(number))
        folder.finish()
    return missing


def test_files_are_written_kept_and_replaced(tmp_path, capfd):
    out = tmp_path / "out"
    with pytest.raises(RecurraError, match="full"):
        write(PartFolder(out, ".csv"), fail=0)
    assert not out.exists()
    with pytest.raises(RecurraError, match="full"):
        write(PartFolder(out, ".csv"), fail=2)
    assert "--resume continues" in capfd.readouterr().err
    with pytest.raises(UsageError, match="unfinished run"):
        write(PartFolder(out, ".csv"))
    assert write(PartFolder(out, ".csv", resume=True)) == [2]
    assert sorted(path.name for path in out.iterdir()) == [
        "_run.json",
        *(f"part-00000{i}.csv" for i in range(3)),
    ]
    with pytest.raises(UsageError, match="finished predictions"):
        write(PartFolder(out, ".csv"))
    assert write(PartFolder(out, ".csv", resume=True)) == []
    with pytest.raises(UsageError, match="another model, other data or other options"):
        write(PartFolder(out, ".csv", resume=True), "other")
    assert write(PartFolder(out, ".csv", overwrite=True), "other", 2) == [0, 1]
    assert not (out / "part-000002.csv").exists()


def test_folders_that_are_not_ours(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(UsageError, match="has other files"):
            write(PartFolder(tmp_path / "other", ".csv", **options))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        write(PartFolder(tmp_path / "file", ".csv"))
    with pytest.raises(RecurraError, match="cannot be created: Not a directory"):
        write(PartFolder(tmp_path / "file" / "out", ".csv"))
    with pytest.raises(UsageError, match="inside the folder of the data"):
        check_place(tmp_path / "other" / "out", str(tmp_path / "other"))
    check_place(tmp_path / "out", str(tmp_path / "other"))
