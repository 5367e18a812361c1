"""Excel workbooks as data of the commands."""

from __future__ import annotations

import datetime
import json

import numpy as np
import openpyxl

DAY = datetime.datetime(2024, 1, 31)


def test_sheets_are_tables(recurra, tmp_path):
    random = np.random.default_rng(0)
    rows = [["when", "load"], *[[DAY + datetime.timedelta(hours=n), float(x)] for n, x in enumerate(random.random(90))]]
    texts = [["text", "label"], *[["good film", "pos"], ["bad film", "neg"]] * 10]
    workbook, book = openpyxl.Workbook(), tmp_path / "data.xlsx"
    for sheet, lines in ((workbook.active, rows), (workbook.create_sheet("texts"), texts)):
        for line in lines:
            sheet.append(line)
    workbook.save(book)
    small = ("--hidden-size", 4, "--epochs", 1)
    fit = ("--time", "when", "--target", "load", "--horizon", 3, *small)
    code, _, err = recurra("fit", "forecast", book, *fit, "--out", tmp_path / "f")
    assert code == 0, err
    answers = [json.loads(line) for line in recurra("predict", tmp_path / "f", book)[1].splitlines()]
    assert [row["when"] for row in answers] == [f"2024-02-03 {n}:00:00" for n in (18, 19, 20)]
    sheet = f"{book}#texts"
    fit = ("--input", "text", "--target", "label", "--tokens", "word", *small)
    assert recurra("fit", "classify", sheet, *fit, "--out", tmp_path / "c")[0] == 0
    code, out, err = recurra("predict", tmp_path / "c", sheet)
    assert (code, len(out.splitlines())) == (0, 20), err
    assert recurra("evaluate", tmp_path / "c", sheet, "--json")[0] == 0
