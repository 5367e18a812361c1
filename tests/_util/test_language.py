from __future__ import annotations

import subprocess
import sys

import pytest

from recurra._util.language import language_of_environment, translated, use_language


@pytest.fixture(autouse=True)
def _english_afterwards():
    yield
    use_language("en")


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ko"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": ""}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LANGUAGE": "en"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "fr:ko"}, "ko"),
        ({"LANG": "C", "LANGUAGE": "ko"}, "en"),
    ],
)
def test_the_environment_names_the_language(monkeypatch, variables, language):
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language_of_environment() == language


def test_a_text_is_translated_if_a_language_was_chosen():
    text = "there is no folder x"
    assert translated(text) == text
    use_language("ko")
    assert translated(text) == "폴더 x이(가) 없습니다"
    assert translated("metric") == "metric"
    assert translated("metric", "table") == "지표"
    use_language("en")
    assert translated(text) == text


def test_english_loads_no_catalogue():
    program = (
        "import sys\nfrom recurra import cli\nsys.argv = ['recurra', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "assert not {'recurra._util.catalogue', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
