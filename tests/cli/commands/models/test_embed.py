"""`recurra embed`."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from recurra import BlankFiller, LanguageModel, SequenceClassifier

TEXTS, LABELS = ["good film", "bad film", "so good", "so bad"] * 6, ["pos", "neg"] * 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("embed")
    model = SequenceClassifier(hidden_size=3, epochs=1, tokens="word", verbose=0).fit(TEXTS, LABELS)
    model.save(path / "model")
    LanguageModel(hidden_size=3, epochs=1, verbose=0).fit(TEXTS).save(path / "language")
    BlankFiller(hidden_size=3, epochs=1, verbose=0).fit(TEXTS).save(path / "filler")
    (path / "new.csv").write_text("name,text\na,so good film\nb,\n")
    return path, model


def test_vectors_of_a_table(recurra, folder, tmp_path):
    path, model = folder
    given = (path / "model", path / "new.csv", "--input", "text")
    code, out, _ = recurra("embed", *given)
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [row["row"] for row in rows]) == (0, [1, 2])
    expected = model.transform(["so good film", ""])
    np.testing.assert_array_equal(np.array([row["vector"] for row in rows], np.float32), expected)
    code, _, err = recurra("embed", *given, "--out", tmp_path / "v.parquet")
    assert (code, "2 vectors written to" in err) == (0, True)
    stored = pq.read_table(tmp_path / "v.parquet")
    np.testing.assert_array_equal(np.array(stored["vector"].to_pylist(), np.float32), expected)
    assert recurra("embed", *given, "--out", tmp_path / "v.csv")[0] == 0
    with (tmp_path / "v.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["row", "v0", "v1", "v2"]
    np.testing.assert_array_equal(np.array([row[1:] for row in table[1:]], np.float32), expected)


def test_vectors_of_steps(recurra, folder):
    path, model = folder
    code, out, _ = recurra("embed", path / "model", "so good film", "--steps")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [(row["row"], row["step"], row["token"]) for row in rows]) == (
        0,
        [(1, 1, "so"), (1, 2, "good"), (1, 3, "film")],
    )
    expected = model.transform_steps(["so good film"])[0]
    np.testing.assert_array_equal(np.array([row["vector"] for row in rows], np.float32), expected)


def test_vectors_of_a_language_model(recurra, folder):
    path, _ = folder
    code, out, _ = recurra("embed", path / "language", "good", "--steps")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, "".join(row["token"] for row in rows)) == (0, "good")


def test_vectors_of_a_filler(recurra, folder):
    path, _ = folder
    code, out, _ = recurra("embed", path / "filler", "so good film", "--steps")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [row["token"] for row in rows]) == (0, ["so", "good", "film"])


def test_vectors_of_series(recurra, tmp_path):
    rows = [f"{shop},{day},{(day * 7 + len(shop)) % 5}" for shop in ("a", "bb") for day in range(40)]
    (tmp_path / "sold.csv").write_text("\n".join(["shop,day,sold", *rows]))
    fit = ("--time", "day", "--target", "sold", "--id", "shop", "--horizon", 3, "--hidden-size", 4, "--epochs", 1)
    assert recurra("fit", "forecast", tmp_path / "sold.csv", *fit, "--out", tmp_path / "m")[0] == 0
    code, out, _ = recurra("embed", tmp_path / "m", tmp_path / "sold.csv")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [(row["row"], row["id"], len(row["vector"])) for row in rows]) == (0, [(1, "a", 4), (2, "bb", 4)])


def test_what_is_refused(recurra, folder):
    path, _ = folder
    code, _, err = recurra("embed", path / "filler", "a text", "--marks")
    assert code == 2
    assert "no such option" in err.lower()
    code, _, err = recurra("embed", path / "model", path / "new.csv", "--input", "text", "--out", path / "new.csv")
    assert (code, "would replace the input" in err) == (2, True)
