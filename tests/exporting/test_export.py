"""`recurra.export`: formats, options and errors."""

from __future__ import annotations

import pytest

import recurra
from recurra import nn
from recurra.errors import DataError, UsageError
from recurra.exporting.formats import FORMATS


def test_the_ending_or_the_argument_names_the_format(tmp_path):
    layer = nn.GRU(3, 4)
    one, other = recurra.export(layer, tmp_path / "net.c"), recurra.export(layer, tmp_path / "net", format="c")
    assert one.read_bytes() == other.read_bytes() != b""


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("net.xyz", {}, "names no format; give `format`"),
        ("net.c", {"format": "xyz"}, "there is no format 'xyz'; the formats are "),
        ("net.c", {"opset": 17}, "`opset` is an option of .*, not of the format c"),
    ],
)
def test_wrong_formats_and_options(name, options, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        recurra.export(nn.GRU(3, 4), tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_model_leaves_an_existing_file(tmp_path):
    path = tmp_path / "net.c"
    path.write_text("mine")
    with pytest.raises(UsageError):
        recurra.export(nn.GRU(3, 4, bidirectional=True), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.c"]
    assert path.read_text() == "mine"


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        recurra.export(nn.GRU(3, 4), tmp_path / "none" / "net.c")


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_every_format_has_a_builder(format):
    assert callable(format.load())
    assert all(suffix.startswith(".") for suffix in format.suffixes)
