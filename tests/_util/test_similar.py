"""Suggestions: similar names are found, others are not."""

from __future__ import annotations

import pytest

from recurra._util.similar import similar_names


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("lable", ["text", "label", "id"], ["label"]),
        ("LABEL", ["text", "label"], ["label"]),
        ("upso", ["xpos", "upos", "form"], ["upos"]),
        ("price", ["prices", "place"], ["prices"]),
        ("리뷰", ["라벨", "리뷰글"], ["리뷰글"]),
        ("reveiws.csv", ["labels.csv", "reviews.csv"], ["reviews.csv"]),
        ("reviews.csv", ["reviews.tsv"], ["reviews.tsv"]),
        ("--hiden-size", ["--hidden-size", "--vocab-size"], ["--hidden-size"]),
        # nothing similar: the ending of a file and the dashes of an option do not count
        ("a.csv", ["b.csv", "c.csv"], []),
        ("x.parquet", ["y.parquet"], []),
        ("text", ["target", "time"], []),
        ("sales", ["dates", "ads"], []),
        ("--lr", ["--cell", "--help", "--layers"], []),
        ("--size", ["--seed", "--time", "--vocab-size"], []),
        ("y", ["x", "day"], []),
        ("", ["a"], []),
    ],
)
def test_only_similar_names_are_suggested(name, known, found):
    assert similar_names(name, known) == found


def test_the_most_similar_come_first_and_are_three_at_most():
    assert similar_names("value", ["values12", "values1", "valu", "values"]) == ["values", "valu", "values1"]
