"""Content of the exported page: policy, size, texts in two languages, and models that are refused."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

import pytest
from serving.models import model as small

import recurra
from page_texts import both_languages
from recurra import nn
from recurra.errors import UsageError
from recurra.exporting.html import build
from recurra.exporting.web import FOLDER
from recurra.inspect.pages import page_parts

PAGE = files("recurra.exporting") / "html" / "page"


@pytest.fixture(scope="module")
def page(pages) -> str:
    return pages["reviews"].read_text(encoding="utf-8")


def test_the_policy_allows_what_the_file_contains_and_no_connection(page):
    (found,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    policy = dict(part.split(" ", 1) for part in found.split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "connect-src" not in policy
    assert "unsafe-inline" not in found
    for tag, source in (("script", policy["script-src"]), ("style", policy["style-src"])):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in source
    assert page.index("Content-Security-Policy") < page.index("<title>")


def test_the_page_names_no_other_host(page):
    names = [url for url in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", page) if "www.w3.org" not in url]
    assert names == []
    assert re.findall(r"\b(?:src|href)=\"(?!data:,|#main)[^\"]*\"", page.split('id="data"')[0]) == []


def test_texts_of_the_model_are_data_and_not_html(page):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert "<" not in data
    about = json.loads(data)["about"]
    assert about["classes"] == ['</script><b>"bad"', "good & 'new' <!--"]
    assert page.count("</script>") == 2


def test_a_title_is_escaped(both):
    page = build(both, name="x", title='"><script>alert(1)</script>').decode()
    assert page.count("<script") == 2
    assert "<title>&quot;&gt;&lt;script&gt;" in page


def test_the_engine_is_small_and_complete(page):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    engine = json.loads(data)["engine"]
    assert len(engine) < 250_000
    assert gzip.decompress(base64.b64decode(engine)) == (FOLDER / "engine.wasm").read_bytes()


def test_the_same_model_gives_the_same_file(reviews, pages):
    assert build(reviews, name="reviews", examples=["good film", "bad 영화"]) == pages["reviews"].read_bytes()


@pytest.mark.parametrize(
    ("model", "options", "part"),
    [
        (nn.LSTM(2, 3), {}, "not a layer or module (LSTM); use the format onnx"),
        (recurra.Transcriber(), {}, "not a transcriber; use the format onnx"),
        ("sounds", {}, "not a sequence classifier of recordings; use"),
        ("reviews", {"examples": [["a", "list"]]}, "example 1: "),
        ("sensor", {"examples": [[[1, 2]], [[1, 2, 3]]]}, "example 2: "),
    ],
)
def test_what_the_page_cannot_show_is_refused(model, options, part, tmp_path, request):
    given: Any = small(model) if model == "sounds" else model
    if isinstance(given, str):
        given = request.getfixturevalue(model)
    with pytest.raises(UsageError, match=re.escape(part)) as raised:
        recurra.export(given, tmp_path / "page.html", **options)
    assert len(str(raised.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_all_texts_are_in_both_languages_and_used():
    own = {file.name: file.read_text(encoding="utf-8") for file in PAGE.iterdir()}
    english, korean = both_languages(own["texts.js"])
    assert english.keys() == korean.keys()
    for key, text in english.items():
        places = [set(re.findall(r"\{(\w+)\}", json.loads(one))) for one in (text, korean[key])]
        assert places[0] == places[1], key
    shared = page_parts()
    known = english.keys() | both_languages(shared["words.js"])[0].keys()
    used = {key for text in own.values() for key in re.findall(r'\bt\("([\w ]+)"', text)}
    assert used <= known
    quoted = {key for name, text in own.items() if name != "texts.js" for key in re.findall(r'"([\w ]+)"', text)}
    assert english.keys() <= quoted
