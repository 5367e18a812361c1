"""The page at `/`: headers, content types, and nothing else of the disk."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
from serve_helpers import serving

from page_texts import both_languages
from recurra.inspect.pages import page_parts
from recurra.inspect.report.write import figures_script
from recurra.serve.routes.page import POLICY, assets

ASSETS = sorted(name for name in assets() if name != "index.html")


def test_the_page_is_sent_with_a_strict_policy(client):
    answer = client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"


def test_the_page_has_no_inline_script_or_style(client):
    html = client.get("/").text
    assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
    assert "<style" not in html
    assert "style=" not in html
    assert not re.search(r"\son\w+=", html)


@pytest.mark.parametrize("name", ASSETS)
def test_assets_have_their_type_and_name_no_other_host(client, name):
    answer = client.get(f"/assets/{name}")
    kind = {"js": "text/javascript", "css": "text/css"}[name.rpartition(".")[2]]
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert answer.headers["content-security-policy"] == POLICY
    # the namespace of SVG is a name, not an address that is loaded
    urls = [url for url in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", answer.text) if "www.w3.org" not in url]
    assert urls == []


def test_every_file_that_the_page_names_is_there(client):
    names = re.findall(r'(?:src|href)="assets/([^"]+)"', client.get("/").text)
    for name in ASSETS:
        folder = name.rpartition("/")[0]
        names += [
            f"{folder}{found}"
            for found in re.findall(r'(?:from|import) "\./([^"]+)"', client.get(f"/assets/{name}").text)
        ]
    assert {"main.js", "page.css", "report/figures.js", "report/report.css", "words.js"} <= set(names) <= set(ASSETS)
    assert {name for name in ASSETS if name.endswith(".js")} <= set(names)


def test_the_browser_keeps_a_file_until_it_changes(client):
    first = client.get("/assets/main.js")
    again = client.get("/assets/main.js", headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert first.headers["cache-control"] == "no-cache"
    assert client.get("/assets/main.js", headers={"if-none-match": '"other"'}).status_code == 200
    assert client.head("/").headers["etag"] == client.get("/").headers["etag"]


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "report%2f..%2fmain.js",
        "/etc/passwd",
        "..\\app.py",
        "index.html",
        "",
        "report",
    ],
)
def test_no_other_file_is_sent(client, path):
    answer = client.get(f"/assets/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == 404


def test_the_figures_are_those_of_the_report(client):
    assert client.get("/assets/report/figures.js").text == figures_script()


def test_every_file_of_the_folders_is_sent_once():
    own = {file.name for file in (files("recurra.serve") / "page").iterdir()}
    assert own | page_parts().keys() == {name for name in assets() if "/" not in name}
    assert own & page_parts().keys() == set()


def test_the_page_needs_no_key_but_the_models_do(sensor, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-16-characters\n")
    keys.chmod(0o600)
    with serving({"sensor": sensor}, keys=keys) as client:
        assert [client.get(path).status_code for path in ("/", "/assets/main.js")] == [200, 200]
        refused = client.post("/v1/models/sensor/inspect", json={"inputs": [[[0.0, 0.0]]]})
        assert [client.get("/v1/models").status_code, refused.status_code] == [401, 401]
    with serving({"sensor": sensor}, keys=keys, open_page=False) as client:
        assert [client.get(path).status_code for path in ("/", "/assets/main.js")] == [401, 401]


@pytest.mark.parametrize("name", ["words.js", "texts.js"])
def test_all_texts_are_in_both_languages(name):
    english, korean = both_languages(assets()[name].content.decode())
    assert english.keys() == korean.keys()
    assert len(english) > 40
    for key, text in english.items():
        places = [set(re.findall(r"\{(\w+)\}", json.loads(one))) for one in (text, korean[key])]
        assert places[0] == places[1], key


def test_every_text_that_the_page_uses_exists():
    texts = {name: asset.content.decode() for name, asset in assets().items() if "/" not in name}
    known = {key for name in ("words.js", "texts.js") for key in both_languages(texts[name])[0]}
    used = {key for text in texts.values() for key in re.findall(r'\bt\("([\w ]+)"', text)}
    assert len(used) > 60
    assert used - known == set()
