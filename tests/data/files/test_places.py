"""The files that a path names, and texts that look like patterns or URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from recurra.data.files.places import find_files, is_pattern
from recurra.data.files.remote import url_of
from recurra.errors import DataError


def test_files_are_sorted_and_hidden_ones_ignored(tmp_path: Path) -> None:
    for name in ("b.csv", "a/2.csv", "a/1.csv", ".hidden.csv", "_SUCCESS", "_temporary/x.csv", ".git/y.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    def found(path: str | Path) -> list[str]:
        return [file.relative_to(tmp_path).as_posix() for file in find_files(path)]  # type: ignore[union-attr]

    assert found(tmp_path) == ["a/1.csv", "a/2.csv", "b.csv"]
    assert found(f"{tmp_path}/**/*.csv") == ["a/1.csv", "a/2.csv", "b.csv"]
    assert found(tmp_path / "?.csv") == ["b.csv"]
    assert found(tmp_path / "gone.csv") == ["gone.csv"]
    (tmp_path / "_temporary" / "none").mkdir()
    with pytest.raises(DataError, match=r"the folder .*_temporary/none contains no files of data"):
        find_files(tmp_path / "_temporary" / "none")


def test_patterns_match_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m").write_text("x")
    assert is_pattern("*")
    assert not is_pattern("?")
    assert not is_pattern("[m]")
    assert not is_pattern("** great ** film")
    assert not is_pattern("a\0*")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("s3://bucket/a.csv", "s3://bucket/a.csv"),
        (Path("s3://bucket/a.csv"), "s3://bucket/a.csv"),
        (Path("file:///tmp/a.csv"), "file:///tmp/a.csv"),
        ("S3://bucket/a.csv", "s3://bucket/a.csv"),
        (Path("C:/data/a.csv"), None),
        ("a.csv", None),
        ("note: / or not", None),
    ],
)
def test_urls(given: str | Path, url: str | None) -> None:
    assert url_of(given) == url
