"""The page in Chromium, with a real server: every test also fails on an error in the console or a request elsewhere."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import TIMEOUT, Tab, open_browser, served, until
from playwright.sync_api import Browser, Page, expect
from serving.models import model

import recurra
from recurra.serve.routes import predict

pytestmark = pytest.mark.slow
Open = Callable[..., Tab]


@pytest.fixture(scope="module")
def site(sensor, reviews, both, writer) -> Iterator[str]:
    """Address of a server with four models."""
    with served({"reviews": reviews, "sensor": sensor, "both": both, "writer": writer}) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def tab(browser, site) -> Iterator[Open]:
    """Opens the page for a model, and checks at the end that nothing was wrong and nothing came from outside."""
    tabs: list[Tab] = []

    def open_tab(model: str = "reviews", url: str = site, **options: Any) -> Tab:
        tabs.append(Tab(browser, url, model, **options))
        return tabs[-1]

    yield open_tab
    for one in tabs:
        one.close()
    for one in tabs:
        assert one.problems == []
        assert [url for url in one.requests if not url.startswith((one.url, "data:", "blob:"))] == []


def gate_of(page: Page, name: str) -> np.ndarray:
    """Returns what the page shows of a gate of the first layer, `(unit, time)`."""
    plane, units = page.evaluate(f"[[...R.part().plane('{name}', 0, 0)], R.part().unitsOf('{name}')]")
    return np.array(plane, np.float32).reshape(units, -1)


def test_typed_text_changes_the_gates_and_the_answer(tab, reviews):
    page = tab("reviews").page
    pictures = []
    for text in ("good film", "good film a bad story"):
        page.locator("#entry").press_sequentially(text[len(page.input_value("#entry")) :], delay=5)
        until(page, f"R.data && R.data.title === '{text}'")
        trace = recurra.trace(reviews, [text])
        for name in trace:
            np.testing.assert_array_equal(gate_of(page, name), trace[name].values[0, 0, 0].T)
        best = reviews.predict([text])[0]
        expect(page.locator(".result-line b")).to_have_text(best)
        shown = page.locator(".bars .best .number").inner_text()
        assert float(shown.split()[0]) == pytest.approx(100 * reviews.predict_proba([text]).max(), abs=0.06)
        pictures.append(page.evaluate("document.querySelector('#map-forget canvas:not([width=\"128\"])').toDataURL()"))
        assert page.locator(".chip").all_inner_texts() == text.split()
    assert pictures[0] != pictures[1]


def test_only_the_newest_input_is_shown(tab):
    page = tab("reviews").page
    held = []

    def hold(route):
        if not held:
            held.append(route)  # the first answer comes last
        else:
            route.continue_()

    page.route("**/inspect", hold)
    page.fill("#entry", "good")
    while not held:
        page.wait_for_timeout(20)
    page.fill("#entry", "bad story")
    until(page, "R.data && R.data.title === 'bad story'")
    held[0].continue_()
    page.wait_for_timeout(100)
    assert page.locator(".chip").all_inner_texts() == ["bad", "story"]
    page.unroute_all(behavior="ignoreErrors")


def test_the_stream_draws_steps_and_the_gates_of_the_session(tab, sensor):
    page = tab("sensor").page
    page.fill("#rate", "50")
    page.click("#stream-start")
    until(page, "Number(document.querySelector('.stream').dataset.steps) >= 20")
    drawn = [int(page.locator("canvas.live-plot").nth(i).get_attribute("data-drawn") or 0) for i in (0, 1)]
    steps = int(page.locator(".stream").get_attribute("data-steps"))
    until(page, f"document.querySelectorAll('canvas.live-plot')[1].dataset.drawn > {drawn[1] + 10}")
    assert min(drawn) > 0
    assert int(page.locator(".stream").get_attribute("data-steps")) > steps
    until(page, "R.data && R.part().of >= 30")
    page.click("#stream-start")
    expect(page.locator("#stream-status")).to_contain_text("Paused")
    # the gates are those of the steps that were sent
    rows = page.evaluate(
        "(() => { const d = R.decode(R.data.inputs.values); return [[...d], R.data.inputs.values.shape]; })()"
    )
    scaled = np.array(rows[0]).reshape(rows[1]).T
    count = len(scaled)
    assert gate_of(page, "cell").shape == (5, count)
    encoder = sensor.encoder_
    trace = recurra.trace(sensor, [scaled * encoder.scale + encoder.mean])
    np.testing.assert_allclose(gate_of(page, "cell"), trace["cell"].values[0, 0, 0].T, atol=1e-4)
    page.click("details:has-text('Last steps as a table') summary")
    expect(page.locator(".stream .grid tbody tr")).to_have_count(10)


def test_a_session_goes_on_after_a_lost_connection(tab):
    opened = tab("sensor", go=False)
    page, sockets, steps = opened.page, [], []

    def relay(socket):
        server = socket.connect_to_server()
        sockets.append(socket)
        server.on_message(lambda message: (steps.append(message), socket.send(message)))
        socket.on_message(server.send)

    page.route_web_socket(re.compile("/stream"), relay)
    opened.go()
    page.fill("#rate", "50")
    page.click("#stream-start")
    until(page, "Number(document.querySelector('.stream').dataset.steps) >= 5")
    sockets[0].close()
    before = int(page.locator(".stream").get_attribute("data-steps"))
    until(page, f"Number(document.querySelector('.stream').dataset.steps) >= {before + 10}")
    sessions = {found for message in steps for found in re.findall(r'"session":"([^"]+)"', str(message))}
    assert len(sockets) == 2
    assert len(sessions) == 1
    counts = [
        int(found)
        for message in steps
        for found in re.findall(r'"steps":(\d+)', str(message))
        if "output" in str(message)
    ]
    assert sorted(set(counts)) == list(range(1, max(counts) + 1))


def test_a_model_without_sessions_has_the_reason(tab):
    page = tab("both").page
    text = page.locator("section.stream .lead").inner_text()
    assert "no sessions" in text
    assert "bidirectional" in text
    assert page.locator("#stream-start").count() == 0


def test_generated_text_appears_piece_by_piece(tab, monkeypatch):
    pieces = predict._next
    monkeypatch.setattr(predict, "_next", lambda *given: (time.sleep(0.02), pieces(*given))[1])  # a large model is slow
    page = tab("writer").page
    page.fill("#entry", "a cat")
    page.fill("#length", "60")
    page.fill("#seed", "1")
    page.evaluate(
        "window.sizes = [];"
        "new MutationObserver(() => window.sizes.push(document.querySelector('.written').textContent.length))"
        ".observe(document.querySelector('.writer'), {subtree: true, characterData: true, childList: true})"
    )
    page.click("#write")
    expect(page.locator(".writer [role=status]")).to_have_text("Generated 60 tokens.")
    sizes = page.evaluate("window.sizes")
    assert len(set(sizes)) > 5
    assert sizes == sorted(sizes)
    assert page.locator(".written").inner_text().startswith("a cat")


SHAPES = {
    "tags": ".tagged",
    "tagged steps": ".tagged",
    "translations": ".written",
    "blanks": ".bars",
    "speech": ".answer-body .hint",
    "numbers": ".grid",
    "numbers in time": "svg.wide",
    "shops": "svg.wide",
    "sounds": ".bars",
    "labelled texts": ".bars",
}


@pytest.fixture(scope="module")
def every_task() -> Iterator[str]:
    """Address of a server with a model of every task."""
    with served({kind.replace(" ", "-"): model(kind) for kind in SHAPES}) as url:
        yield url


@pytest.mark.parametrize("kind", SHAPES)
def test_every_task_has_its_form_of_answer(tab, every_task, kind):
    page = tab(kind.replace(" ", "-"), url=every_task).page
    page.click("#example")
    expect(page.locator(f".answer-panel {SHAPES[kind]}").first).to_be_visible(timeout=TIMEOUT)
    expect(page.locator(".map").first).to_be_visible(timeout=TIMEOUT)
    page.locator("details:visible > summary").first.click()
    assert page.locator(".error:visible").count() == 0


def test_typed_letters_are_steps_of_a_session(tab, writer):
    page = tab("writer").page
    page.locator("#entry").press_sequentially("a cat", delay=5)
    expect(page.locator("section.stream")).to_have_attribute("data-steps", "5", timeout=TIMEOUT)
    best, probability = writer.top(["a cat"], k=1)[0][0]
    shown = {" ": "␣", "\n": "⏎"}.get(best, best)
    expect(page.locator("#stream-output")).to_have_text(re.compile(rf"{shown} {100 * probability:.1f} %"))
    page.keyboard.press("Backspace")  # a letter that is gone begins a new session
    expect(page.locator("section.stream")).to_have_attribute("data-steps", "4", timeout=TIMEOUT)


def test_errors_are_shown_with_their_place(tab):
    opened = tab("sensor")
    page = opened.page
    page.fill("#entry", "0.1, 0.2\n0.3, x")
    expect(page.locator("#input-error")).to_have_text("Line 2, value 2: “x” is not a number.")
    assert page.get_attribute("#entry", "aria-invalid") == "true"
    page.fill("#entry", "0.1, 0.2\n0.3")
    expect(page.locator("#input-error")).to_have_text("Line 2 has 1 values; the model takes 2.")
    page.fill("#entry", '[[0.1, 0.2], [0.3, "x"]]')
    expect(page.locator("#answer-error")).to_contain_text("Place: step 2, value 2.")
    page.fill("#entry", "0.1, 0.2")
    expect(page.locator(".result-line")).to_be_visible()
    expect(page.locator(".error:visible")).to_have_count(0)
    opened.problems[:] = [text for text in opened.problems if "422" not in text]  # Chromium's note of each answer


def test_files_are_read(tab, tmp_path):
    page = tab("sensor").page
    file = tmp_path / "log.csv"
    file.write_text("speed,brake\n0.5,0.25\n1,\n")
    page.set_input_files("#file", file)
    until(page, "R.data && R.part().of === 2")
    assert page.input_value("#entry") == file.read_text()
    page.evaluate("""() => {
      const data = new DataTransfer();
      data.items.add(new File(["0.5, 1\\n0.25, 1\\n0, 0"], "dropped.csv"));
      const drop = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
      document.querySelector(".ask").dispatchEvent(drop);
    }""")
    until(page, "R.data && R.part().of === 3")


def test_figures_are_saved_as_pictures(tab):
    page = tab("reviews").page
    page.fill("#entry", "good film")
    page.wait_for_selector(".map")
    for kind, begin in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"{kind}: Forget gate").click()
        assert Path(download.value.path()).read_bytes().startswith(begin)
        assert download.value.suggested_filename == f"map-forget.{kind.lower()}"


def test_a_key_is_asked_for_and_used_everywhere(tab, sensor, tmp_path):
    file: Path = tmp_path / "keys"
    file.write_text("page:the-key-of-this-test\n")
    file.chmod(0o600)
    with served({"sensor": sensor}, keys=file) as url:
        opened = tab("sensor", url=url, ready="#key-dialog[open]")
        page = opened.page
        for key in ("wrong-key-of-this-test", "the-key-of-this-test"):
            page.fill("#key", key)
            page.keyboard.press("Enter")
            if key.startswith("wrong"):
                expect(page.locator("#key-says")).to_have_text("The server does not know this key.")
        page.wait_for_selector("#stream-start")
        page.click("#stream-start")
        until(page, "Number(document.querySelector('.stream').dataset.steps) >= 2")
        assert page.evaluate("[Object.keys(sessionStorage), Object.values(localStorage).join()]") == [
            ["recurra.key"],
            "",
        ]
        page.get_by_role("link", name="Description of the interface").click()
        page.wait_for_url("blob:**")
        assert "/v1/models/sensor/predict" in json.loads(page.inner_text("body"))["paths"]
        page.go_back()
        page.wait_for_selector("#stream-start")
        opened.problems[:] = [text for text in opened.problems if "401" not in text]  # Chromium's note of each 401


def test_without_keys_the_description_has_its_address(tab, site):
    page = tab("reviews").page
    page.route("**/openapi.json", lambda route: route.fulfill(status=204))  # the browser stays at the page
    with page.expect_request(f"{site}openapi.json") as asked:
        page.get_by_role("link", name="Description of the interface").click()
    assert asked.value.is_navigation_request()


def test_a_lost_server_is_noticed(tab):
    opened = tab("reviews")
    page = opened.page
    page.context.set_offline(True)
    page.fill("#entry", "good")
    expect(page.locator("#offline")).to_contain_text("No connection to the server")
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden()
    expect(page.locator(".result-line")).to_be_visible()
    opened.problems[:] = [text for text in opened.problems if "ERR_INTERNET_DISCONNECTED" not in text]


def test_korean(tab):
    page = tab("reviews", locale="ko-KR").page
    assert page.evaluate("document.documentElement.lang") == "ko"
    page.fill("#entry", "good film")
    page.wait_for_selector(".map")
    titles = page.locator("h2").all_inner_texts()
    assert titles[:4] == ["모델", "입력", "결과", "실시간 스트림"]
    assert "모든 게이트와 상태" in titles
    page.click("#language")
    assert page.locator("h2").all_inner_texts()[:3] == ["Models", "Input", "Answer"]
    assert page.input_value("#entry") == "good film"
    assert page.evaluate("document.activeElement.id") == "language"
    page.reload()
    page.wait_for_selector(".card")
    assert page.evaluate("document.documentElement.lang") == "en"


def test_dark_and_light(tab):
    page = tab("reviews", color_scheme="dark").page
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.fill("#entry", "good film")
    page.wait_for_selector(".map")
    page.click("#theme")
    light = page.evaluate(ground)
    assert [sum(map(int, re.findall(r"\d+", colour))) < 380 for colour in (dark, light)] == [True, False]
    page.reload()
    page.wait_for_selector(".card")
    assert page.evaluate(ground) == light


@pytest.mark.parametrize("model", ["reviews", "sensor", "writer"])
def test_a_phone_needs_no_horizontal_scrolling(tab, model):
    page = tab(model, width=360).page
    page.fill("#entry", {"reviews": "good film " * 6, "sensor": "0.1, 0.2\n" * 30, "writer": "a cat sat on"}[model])
    page.wait_for_selector(".map")
    page.wait_for_selector(".bars")
    if model == "sensor":
        page.click("#stream-start")
        until(page, "Number(document.querySelector('.stream').dataset.steps) >= 3")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_keyboard_reaches_everything_and_focus_is_visible(tab):
    page = tab("reviews").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # the models
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.querySelector(':checked').value") == "reviews"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "entry"
    page.keyboard.type("good film")
    until(page, "R.data && R.data.title === 'good film'")
    seen: list[str] = []
    for _ in range(120):
        page.keyboard.press("Tab")
        name, visible = page.evaluate("""() => {
          const e = document.activeElement, card = e.closest(".card") ?? (e.id === "file" ? e.nextElementSibling : e);
          const style = getComputedStyle(card);
          const visible = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
          return [e === document.body ? "(none)" : e.id || e.className || e.tagName, visible];
        }""")
        if name == "(none)" or (seen and name == "skip"):
            break
        assert visible, name
        seen.append(name)
    else:
        raise AssertionError(f"the focus never leaves the page: {seen}")
    assert {"file", "example", "more", "order", "next-step", "plot"} <= set(seen), ",".join(seen)
    page.locator("#map-forget .plot").focus()
    unit = page.evaluate("R.state.unit")
    page.keyboard.press("ArrowDown" if unit < 5 else "ArrowUp")
    assert page.evaluate("R.state.unit") != unit


@pytest.mark.parametrize(("model", "scheme"), [("reviews", "light"), ("sensor", "dark"), ("writer", "light")])
def test_axe_finds_nothing(tab, model, scheme):
    page = tab(model, color_scheme=scheme, reduced_motion="reduce").page
    if model == "sensor":
        page.click("#stream-start")
        until(page, "Number(document.querySelector('.stream').dataset.steps) >= 5")
        page.click("#stream-start")
        page.click("details:has-text('Last steps as a table') summary")
    page.fill("#entry", {"reviews": "good film", "sensor": "0.1, 0.2\n" * 30, "writer": "a cat sat on"}[model])
    page.wait_for_selector(".bars")
    page.wait_for_selector(".map")
    until(page, "document.getElementById('inside-figures').getAttribute('aria-busy') === 'false'")
    page.click("details:has-text('Values as a table') summary")
    found = Axe().run(page)
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]][:5]) for v in found.response["violations"]] == []


def test_the_stream_is_calm_if_the_reader_wants_less_motion(tab):
    page = tab("sensor", reduced_motion="reduce").page
    page.fill("#rate", "50")
    page.evaluate(
        "window.draws = 0; new MutationObserver(() => { window.draws += 1; })"
        ".observe(document.querySelectorAll('canvas.live-plot')[1], {attributeFilter: ['data-drawn']})"
    )
    page.click("#stream-start")
    until(page, "Number(document.querySelector('.stream').dataset.steps) >= 30")
    assert 0 < page.evaluate("window.draws") < 15
