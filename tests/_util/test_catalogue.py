from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra._util.catalogue import Catalogue

CATALOGUE = Catalogue(
    {
        "cell is one of {}, not {}": "cell은 {} 중 하나여야 하는데 {}입니다",
        "there is no file {}{}": "파일이 없습니다: {}{}",
        ', did you mean "{}"?': ', "{}"을(를) 뜻하셨나요?',
        "{}, line {}: {}": "{}, {}번째 줄: {}",
        "{} is not a finite number": "{}은(는) 유한한 수가 아닙니다",
        "{:,} rows": "{}행",
        "{} of {}": "{1} 중 {0}",
        "columns {}": "컬럼 {}",
        "{} regression on {}": "{1}의 {0} 회귀",
        "table\4metric": "지표",
        "a [{{}}]": "한 [{{}}]",
        "warning: ": "경고: ",
    }
)


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("cell is one of lstm, gru, not 'x'", "cell은 lstm, gru 중 하나여야 하는데 'x'입니다"),
        ("there is no file a.csv", "파일이 없습니다: a.csv"),
        ('there is no file a.csv, did you mean "b.csv"?', '파일이 없습니다: a.csv, "b.csv"을(를) 뜻하셨나요?'),
        ("a.csv, line 3: nan is not a finite number", "a.csv, 3번째 줄: nan은(는) 유한한 수가 아닙니다"),
        ("a.csv: 1,234 rows, columns text, label", "a.csv: 1,234행, 컬럼 text, label"),
        ("logistic regression on TF-IDF: accuracy 0.5", "TF-IDF의 logistic 회귀: accuracy 0.5"),
        ("3 of 10", "10 중 3"),
        ("a [{}]", "한 [{}]"),
        ("warning: 3 rows", "경고: 3행"),
    ],
)
def test_translations(text, translation):
    assert CATALOGUE.translate(text) == translation


@pytest.mark.parametrize(
    "text",
    [
        "metric",  # a word that is translated in tables only
        '"3 of 10"',  # what the user wrote is in quotes
        "many rows",  # no number
        "a tale of two cities",  # too few letters of the template to be sure
        "no such text",
        "",
    ],
)
def test_other_texts_stay(text):
    assert CATALOGUE.translate(text, "cell") == text


def test_a_word_is_translated_in_its_context():
    assert CATALOGUE.translate("metric", "table") == "지표"


@given(st.lists(st.sampled_from([*"ab:;, '{}01", "\n", "of", " rows", "line ", "regression on"]), max_size=40))
def test_any_text_is_accepted(parts):
    assert isinstance(CATALOGUE.translate("".join(parts)), str)
