"""Reading NumPy archives."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from recurra.data.readers.npz import read_npz
from recurra.data.readers.sequence_file import labelled
from recurra.errors import DataError


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return tmp_path / "a.npz"

    return save


def test_equal_lengths(save):
    X = np.arange(12.0).reshape(2, 3, 2)
    file = read_npz(save(X=X, y=[1, 0]))
    np.testing.assert_array_equal(file.sequences.rows, X)
    assert labelled(file, numbers=False).tolist() == ["1", "0"]
    assert labelled(file, numbers=True).tolist() == [1.0, 0.0]
    assert file.where(1) == "a.npz, sequence 2"
    assert read_npz(save(X=X[:, :, 0])).sequences.rows[1].tolist() == [[6.0], [8.0], [10.0]]


def test_ragged_and_missing(save):
    values = np.array([[1, 2], [3, np.nan], [5, 6]], np.float32)
    file = read_npz(save(values=values, lengths=[1, 0, 2, 0], y=["a", "b", "", "c"]))
    assert [len(row) for row in file.sequences.rows] == [1, 0, 2, 0]
    np.testing.assert_array_equal(np.concatenate(file.sequences.rows), values)
    assert labelled(file, numbers=False).tolist() == ["a", "b", None, "c"]
    assert file.sequences.missing == 1


def test_targets_that_are_numbers(save):
    file = read_npz(save(X=np.ones((3, 2)), y=[1.0, np.nan, 3.0]))
    assert labelled(file, numbers=False).tolist() == ["1", None, "3"]
    np.testing.assert_array_equal(labelled(file, numbers=True), [1, np.nan, 3])
    with pytest.raises(DataError, match=r"a.npz, sequence 2: the target 0.5 is a number, not a class"):
        labelled(read_npz(save(X=np.ones((2, 2)), y=[1.0, 0.5])), numbers=False)
    with pytest.raises(DataError, match=r"a.npz, sequence 1: the target 'up' is not a number"):
        labelled(read_npz(save(X=np.ones((2, 2)), y=["up", "down"])), numbers=True)
    with pytest.raises(DataError, match=r"a\.npz has no targets"):
        labelled(read_npz(save(X=np.ones((2, 2)))), numbers=True)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": np.ones(3)}, "a.npz has the arrays data\nIt should hold X"),
        ({"values": np.ones(3)}, "a.npz has the arrays values"),
        ({"X": np.ones(3)}, "X holds float64 of shape (3,)"),
        ({"X": np.array(["a"])}, "X holds <U1"),
        ({"X": np.zeros((0, 3, 2))}, "is empty"),
        ({"X": np.full((1, 2, 1), np.inf)}, "X[0], step 0, feature 0 is inf"),
        ({"X": np.ones((2, 2)), "y": [1]}, "y has shape (1,) where (2,)"),
        ({"X": np.ones((2, 3)), "lengths": [1]}, "lengths should hold 2 numbers"),
        ({"X": np.ones((2, 3, 1)), "lengths": [1, 4]}, "none above the 3 steps of X"),
        ({"X": np.ones((2, 3, 1)), "lengths": [1, -1]}, "lengths should hold whole numbers"),
        ({"X": np.ones((2, 3, 1)), "lengths": [1.0, np.nan]}, "lengths should hold whole numbers"),
        ({"values": np.ones(3), "lengths": [1, 1]}, "lengths add up to 2, but values has 3 steps"),
        ({"values": np.ones(3), "lengths": [4, -1]}, "lengths should hold whole numbers"),
        ({"values": np.ones((3, 1, 1)), "lengths": [3]}, "values holds float64 of shape (3, 1, 1)"),
        ({"X": np.array([[1], [1, 2]], dtype=object)}, "pickled objects, which can run code"),
    ],
)
def test_what_is_refused(save, arrays, message):
    with pytest.raises(DataError) as error:
        read_npz(save(**arrays))
    assert message in str(error.value)


def test_files_that_are_none(write, tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_npz(tmp_path / "no.npz")
    np.save(tmp_path / "one.npy", np.ones(3))
    for content in (b"text", b"PK\x03\x04 cut short", (tmp_path / "one.npy").read_bytes()):
        with pytest.raises(DataError, match=r"a\.npz is (not a NumPy archive|a damaged zip archive|a NumPy array)"):
            read_npz(write(content, "a.npz"))
    np.savez(tmp_path / "cut.npz", X=np.arange(3000.0).reshape(10, 300))
    content = bytearray((tmp_path / "cut.npz").read_bytes())
    content[5000] ^= 1
    with pytest.raises(DataError, match=r"a\.npz, member X\.npy cannot be read as an array"):
        read_npz(write(bytes(content), "a.npz"))


def test_headers_are_checked_before_memory_is_taken(tmp_path):
    import io
    import zipfile

    def member(shape, dtype="<f8", content=b"\0" * 72):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
        return header.getvalue() + content

    path = tmp_path / "a.npz"
    for shape in ((2**64,), (10**12, 3), (3, 4), (-1, 9), (10**12, 0)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("X.npy", member(shape))
        with pytest.raises(DataError, match=r"a\.npz, member X\.npy (is damaged: shape|cannot be read)"):
            read_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X", b"12345")
    with pytest.raises(DataError, match=r"a\.npz has no array: its members \(X\)"):
        read_npz(path)


def test_targets_that_are_infinite_or_no_texts(save):
    with pytest.raises(DataError, match=r"a\.npz, sequence 2: the target inf is not a finite number"):
        labelled(read_npz(save(X=np.ones((2, 2)), y=[1.0, np.inf])), numbers=False)
    with pytest.raises(DataError, match="y holds complex128"):
        read_npz(save(X=np.ones((2, 2)), y=[1j, 2]))
    with pytest.raises(DataError, match="y holds bytes that are not ASCII"):
        read_npz(save(X=np.ones((2, 2)), y=np.array(["가".encode(), b"a"])))


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1)])
def test_padding_is_not_read(save, shape):
    file = read_npz(save(X=np.arange(12.0).reshape(shape), lengths=[2, 0, 4], y=[0, 1, 0]))
    assert [row.ravel().tolist() for row in file.sequences.rows] == [[0, 1], [], [8, 9, 10, 11]]


def test_lengths_that_overflow(save):
    with pytest.raises(DataError, match="lengths add up to"):
        read_npz(save(values=np.ones(4), lengths=np.array([2**63, 2**63, 4], np.uint64)))
    assert [len(row) for row in read_npz(save(values=np.ones(0), lengths=[0, 0])).sequences.rows] == [0, 0]


def members(path, **contents):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name.replace("_npy", ".npy"), content)
    return path


def npy(array):
    content = io.BytesIO()
    np.lib.format.write_array(content, array)
    return content.getvalue()


def header(shape, dtype="<f8"):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": dtype, "fortran_order": False, "shape": shape})
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((9,)) + bytes(71), r"is damaged: shape \(9,\) of float64 needs 72 bytes, but 71 follow"),
        (header((9,)) + bytes(73), r"is damaged: shape \(9,\) of float64 needs 72 bytes, but 73 follow"),
        (header((0, 1 << 25)), r"is damaged: shape \(0, 33554432\)"),
        (header((-1, 0)), r"is damaged: shape \(-1, 0\)"),
        (b"no array", "cannot be read as an array: "),
    ],
)
def test_members_that_are_damaged(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"^a\.npz, member X\.npy {message}"):
        read_npz(members(tmp_path / "a.npz", X_npy=content))


def test_members_of_every_version_are_read(tmp_path):
    X = np.arange(6.0).reshape(2, 3)
    for version in ((1, 0), (2, 0)):
        content = io.BytesIO()
        np.lib.format.write_array(content, X, version)
        found = read_npz(members(tmp_path / "a.npz", X_npy=content.getvalue()))
        assert [row.ravel().tolist() for row in found.sequences.rows] == X.tolist()
    free = read_npz(members(tmp_path / "a.npz", X_npy=header((2, 1 << 23, 0))))
    assert len(free.sequences) == 2


def test_other_members_are_not_read(tmp_path):
    path = members(tmp_path / "a.npz", X_npy=npy(np.ones((2, 3))), other_npy=b"damaged", readme=b"text")
    assert len(read_npz(path).sequences) == 2
    with pytest.raises(DataError, match=r"^a\.npz has no array: its members \(none\) do not end in \.npy"):
        read_npz(members(tmp_path / "a.npz"))
    with pytest.raises(DataError, match=r"^a\.npz has the arrays other\n"):
        read_npz(members(tmp_path / "a.npz", other_npy=npy(np.ones(3))))


@pytest.mark.parametrize("kind", ["?", "i1", "u2", "f2", "f4"])
def test_numbers_of_every_kind(save, kind):
    file = read_npz(save(X=np.ones((1, 2), kind), y=np.ones(1, kind)))
    assert file.sequences.rows[0].tolist() == [[1.0], [1.0]]
    assert labelled(file, numbers=False).tolist() == ["True" if kind == "?" else "1"]
    values = read_npz(save(values=np.ones(3, kind), lengths=np.array([1, 2], "u1")))
    assert [len(row) for row in values.sequences.rows] == [1, 2]


def test_targets_of_every_kind(save):
    X = np.ones((2, 2))
    targets = [read_npz(save(X=X, y=y)).targets for y in (
        np.array([True, False]), np.array([1, 2], "u1"), np.array(["a", ""]), np.array([b"a", b"b"]),
        np.array(["2024-01-01", "2024-01-02"], "datetime64[D]"), np.float32([1.5, np.nan]),
    )]  # fmt: skip
    assert [found.tolist() for found in targets[:5]] == [
        ["True", "False"], ["1", "2"], ["a", None], ["a", "b"], ["2024-01-01", "2024-01-02"],
    ]  # fmt: skip
    assert targets[5].dtype == np.float64
    for y in (np.ones((2, 1)), np.ones(3), np.float64(1.0)):
        with pytest.raises(DataError, match=r"y has shape .* where \(2,\) is expected"):
            read_npz(save(X=X, y=y))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones((1, 1, 1, 1))}, r"X holds float64 of shape \(1, 1, 1, 1\)"),
        ({"X": np.ones((2, 3)), "lengths": [[1, 2]]}, "lengths should hold whole numbers"),
        ({"X": np.ones((2, 3)), "lengths": [1, 2, 3]}, "lengths should hold 2 numbers"),
        ({"X": np.ones((2, 3)), "lengths": [4, 1]}, "none above the 3 steps"),
        ({"values": np.array(["a"]), "lengths": [1]}, "values holds <U1"),
        ({"values": np.float64(1.0), "lengths": [1]}, "values holds float64"),
        ({"values": np.ones(0), "lengths": np.zeros(0, int)}, "is empty: there is no sequence"),
        ({"values": np.ones(3), "lengths": [1, 3]}, "lengths add up to 4, but values has 3 steps"),
        ({"lengths": [1]}, "has the arrays lengths"),
        ({"X": np.array([[1.0, np.inf]])}, r"^a\.npz: X\[0\], step 1, feature 0 is inf"),
    ],
)
def test_arrays_that_do_not_fit(save, arrays, message):
    with pytest.raises(DataError, match=message):
        read_npz(save(**arrays))


def test_lengths_may_be_those_of_the_whole_array(save):
    assert [len(row) for row in read_npz(save(X=np.ones((2, 3)), lengths=[3, 0])).sequences.rows] == [3, 0]
    columns = read_npz(save(values=np.arange(6.0).reshape(3, 2), lengths=[2, 1])).sequences
    assert (columns.features, [row.tolist() for row in columns.rows]) == (2, [[[0, 1], [2, 3]], [[4, 5]]])
