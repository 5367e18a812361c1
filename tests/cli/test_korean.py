"""Commands in Korean: no English sentence is left, and what programs read stays as it is."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from small_reviews import QUICK, write_reviews

ENGLISH = re.compile(r"(?<![\w-])[a-z]{2,} (?:[a-z]+ )+[a-z]{2,}(?![\w.])")
"""Three English words in a row."""
EXAMPLES = re.compile(r"^ +(recurra|echo) .*(\n.*--.*)?$|recurra( [a-z]+)*", re.M)
CUT = re.compile(r"[가-힣,.] ?… ")
"""The end of a line of Hangul whose last letter was cut off."""


@pytest.fixture(autouse=True)
def _korean(monkeypatch):
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def english(text: str) -> list[str]:
    return [found.group() for found in ENGLISH.finditer(EXAMPLES.sub("", text))]


@pytest.mark.slow
def test_fit_evaluate_and_other_commands(recurra, tmp_path):
    reviews, out_folder = write_reviews(tmp_path / "reviews.csv"), tmp_path / "m"
    options = ("--input", "text", "--target", "label", "--out", out_folder, *QUICK)
    code, out, said = recurra("fit", "classify", reviews, *options)
    assert (code, out, english(said)) == (0, "", [])
    assert f"모델을 {out_folder}에 저장했습니다" in said
    for words in (
        ("evaluate", out_folder, reviews, "--order-test"),
        ("predict", out_folder, reviews, "--out", "p.csv"),
        ("health", out_folder, reviews),
        ("info", out_folder),
        ("list", tmp_path),
        ("compare", out_folder, out_folder, reviews),
        ("inspect", out_folder, "정말 좋다"),
        ("embed", out_folder, reviews, "--out", "e.csv"),
        ("doctor",),
        ("sample",),
    ):
        code, out, said = recurra(*words)
        assert code in (0, 1), said
        assert english(out + said) == []
        assert re.search("[가-힣]{2}", (out + said).replace("정말 좋다", ""))


def test_results_for_programs_are_those_of_english(recurra, model, tmp_path, monkeypatch):
    reviews = write_reviews(tmp_path / "reviews.csv")
    commands = [("evaluate", model, reviews, "--json"), ("predict", model, reviews), ("info", model, "--json")]
    korean = [recurra(*words)[:2] for words in commands]
    monkeypatch.setenv("LANG", "C")
    assert [recurra(*words)[:2] for words in commands] == korean


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["evaluate", "nothing", "x.csv"], 4, "오류: 모델 폴더 nothing이(가) 없습니다"),
        (["fit", "classify", "nothing.csv", "--target", "y"], 3, "파일 nothing.csv이(가) 없습니다"),
        (["fit", "clasify", "x"], 2, "'classify'을(를) 뜻하셨나요?"),
        (["fit", "classify"], 2, "인자 'TRAIN'이(가) 없습니다"),
        (["fit", "classify", "x", "--layers", "0"], 2, "1 이상이어야 합니다"),
        (["fit", "classify", "x", "--layers"], 2, "값이 필요합니다"),
        (["fit", "classify", "x", "--nothing", "3"], 2, "--nothing 옵션은 없습니다"),
        (["fit", "classify", "x", "--learning-rate", "nan"], 2, "유한한 수가 아닙니다"),
        (["health", "x", "--fail-on", "blue"], 2, "중 하나여야"),
        (["sample", "nothing"], 2, "샘플 'nothing'이(가) 없습니다"),
        (["nothing"], 2, "'nothing' 명령은 없습니다"),
    ],
)
def test_errors(recurra, words, code, part):
    found, out, said = recurra(*words)
    assert (found, out) == (code, "")
    assert part in said
    assert english(said) == []


@pytest.mark.parametrize("width", [44, 80])
@pytest.mark.parametrize(
    "words", [[], ["fit", "classify"], ["fit", "forecast"], ["evaluate"], ["tune", "tag"], ["serve"]]
)
def test_help(recurra, monkeypatch, words, width):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = recurra(*words, "--help-all" if words[1:] or "evaluate" in words else "--help")
    assert code == 0
    assert max(map(cell_len, out.splitlines())) <= width
    if width == 80:
        assert english(out) == []
        assert CUT.findall(re.sub("(cuda|xpos|form|mecab|FLAC|OGG), …", "", out)) == []


def test_tables_fit_the_terminal(recurra, monkeypatch, model, tmp_path):
    reviews = write_reviews(tmp_path / "reviews.csv")
    for width in (44, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        for words in (("evaluate", model, reviews), ("list", model.parent), ("info", model)):
            out = recurra(*words)[1]
            assert max(map(cell_len, out.splitlines())) <= width
            for table in re.split("(?m)^(?=┏)", out)[1:]:
                lines = [line for line in table.splitlines() if line[:1] in "┏┃┡│└"]
                assert len(set(map(cell_len, lines))) == 1  # the right edge is straight
            assert "┃" in out


def test_the_option_has_priority(recurra):
    assert "Usage:" in recurra("--language", "en", "--help")[1]
    assert "사용법:" in recurra("--language", "ko", "--help")[1]
    assert recurra("--language", "fr", "doctor")[0] == 2
