"""The exported page in Chromium, opened from its file: numbers equal Python's, and every kind of input."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import until
from page_inputs import COLUMNS, LABELS, series, texts
from playwright.sync_api import Page, expect
from serving.models import model

import recurra
from recurra.inspect.report.gate_inputs import gate_inputs

pytestmark = pytest.mark.slow
TOLERANCE = {"rtol": 0, "atol": 1e-5}
ENTER = """(text) => {
  const plain = ({ data, shape }) => ({ data: [...data], shape });
  const gates = () => Object.fromEntries(Object.entries(R.parts[0].values).map(([name, one]) => [name, plain(one)]));
  const field = document.querySelector("#entry");
  field.value = text;
  field.dispatchEvent(new Event("input"));
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done({
    probabilities: [...recurra.last.probabilities ?? []], values: recurra.last.values,
    parts: gates(), shown: document.querySelector(".answer-body").innerText,
  }))));
}"""


def as_text(rows: np.ndarray) -> str:
    return "\n".join(", ".join("" if np.isnan(value) else repr(float(value)) for value in row) for row in rows)


def enter(page: Page, text: str) -> None:
    """Fills the field and waits until the page has drawn the answer."""
    page.fill("#entry", text)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def check_gates(shown: dict[str, Any], trace: Any) -> None:
    """Compares every gate and state that the page shows with those of Python."""
    assert {name for name in shown if " of " not in name} == set(trace)
    for name in trace:
        found = np.array(shown[name]["data"], np.float32).reshape(shown[name]["shape"])
        np.testing.assert_allclose(found, np.moveaxis(trace[name].values[:, :, 0], -1, -2), **TOLERANCE)


@pytest.mark.parametrize("name", ["reviews", "both"])
def test_100_texts_have_the_answers_and_gates_of_python(tab, name, request):
    model = request.getfixturevalue(name)
    page = tab(name).page
    for text in [*texts(97, seed=1), "[UNK] 龍", "👨‍👩‍👧‍👦 é\u0301", "영화" * 100]:
        found = page.evaluate(ENTER, text)
        np.testing.assert_allclose(found["probabilities"], model.predict_proba([text])[0], **TOLERANCE)
        check_gates(found["parts"], recurra.trace(model, [text]))
        best = model.predict_proba([text])[0].max()
        assert float(re.findall(r"([\d.]+) %", found["shown"])[0]) == pytest.approx(100 * best, abs=0.06)


def test_100_series_have_the_answers_and_gates_of_python(tab, sensor):
    page = tab("sensor").page
    for row in series(100, seed=1):
        found = page.evaluate(ENTER, as_text(row))
        assert found["values"] == pytest.approx(sensor.predict([row]), rel=1e-6, abs=1e-5 * sensor.target_scale_[0])
        check_gates(found["parts"], recurra.trace(sensor, [row]))


@pytest.mark.parametrize("name", ["reviews", "both", "sensor"])
def test_contributions_to_the_gates(tab, name, request):
    model = request.getfixturevalue(name)
    (numbers,), (row,) = series(1, seed=4), texts(1, seed=4)
    row, text = (numbers, as_text(numbers)) if name == "sensor" else (row, row)
    shown = tab(name).page.evaluate(ENTER, text)["parts"]
    ((_, gates),) = gate_inputs(model.subject([row])).items()
    for gate, sides in gates.items():
        assert "bias" in sides
        for side, values in sides.items():
            found = np.array(shown[f"{side} of {gate}"]["data"]).reshape(shown[f"{side} of {gate}"]["shape"])
            np.testing.assert_allclose(found, np.moveaxis(values.numpy(), -1, -2), rtol=0, atol=2e-5)


def chosen(page: Page, name: str) -> list[float]:
    return page.evaluate(f"[...R.part().plane('{name}', 0, 0)]")


FORMS: dict[str, tuple[Any, str, str]] = {
    "one feature": ([0.5, None, 1.5], '0.5\n""\n1.5', ".bars"),
    "numbers": ([[0.5, 1], [None, 2]], "0.5, 1\n, 2", ".grid"),
    "tags": ("Anna and Zoë sing !", "Anna and Zoë sing !", ".tagged"),
    "running text": ("a cat s", "a cat s", ".bars"),
    "labelled texts": ("so", "so", ".bars"),
    "blanks": ("the [ ] drinks ___", "the [ ] drinks ___", ".bars"),
    "translations": ("good day", "good day", ".written"),
    "numbers in time": ([1, None, 3, 2.5], "1\nNA\n3\n2.5", "svg.wide"),
    "several numbers in time": ([[1, 2], [3, 4]], "1, 2\n3, 4", "svg.wide"),
    "table": (
        {"date": ["2024-01-01", "2024-01-02"], "load": [3, 4], "rain": [1, None]},
        "rain,load,date\n,4,2024-01-02\n1,3,2024-01-01",
        "svg.wide",
    ),
    "shops": (
        {
            "day": ["2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04", "2024-03-05"],
            "shop": ["south"] * 5,
            "sold": [20, 30, None, None, None],
            "holiday": [0, 0, 1, 0, 0],
        },
        "day;shop;sold;holiday;note\n"
        + "".join(f"2024-03-0{i};south;{[20, 30, '', '', ''][i - 1]};{int(i == 3)};x\n" for i in range(1, 6)),
        "svg.wide",
    ),
}
"""For each kind of model the input as JSON, the same as text, and what the answer contains."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Callable[[str], Path]:
    """Exports a small model of a kind."""
    folder = tmp_path_factory.mktemp("kinds")
    return lambda kind: recurra.export(model(kind), folder / f"{kind.replace(' ', '-')}.html")


@pytest.mark.parametrize("kind", FORMS)
def test_every_task_has_the_answers_and_gates_of_python(tab, kind, exported):
    value, text, shown = FORMS[kind]
    estimator = model(kind)
    service = estimator.service()
    options = service.Options(**{"proba": True} | ({"top": 8} if estimator.task == "generate" else {}))
    item = service.item(value, ("inputs", 0))
    (wanted,) = service.answers([item], options)
    page = tab(kind, path=exported(kind)).page
    enter(page, text)
    expect(page.locator(f".answer-body {shown}").first).to_be_visible()
    expect(page.locator(".map").first).to_be_visible()
    assert page.locator(".error:visible").count() == 0
    found = page.evaluate("recurra.answer")
    assert found == approximately({name: value for name, value in wanted.items() if name in found})
    # the main layer; others, such as that of the characters of words, are compared in the tests of recurra-web
    name, values = page.evaluate(
        "[R.parts[0].name, Object.entries(R.parts[0].values).map(([k, v]) => [k, [...v.data]])]"
    )
    parts = recurra.trace(service.subject(item)).parts
    data = next(one for key, one in parts.items() if key.endswith(name.split(" (")[0]))
    own = {gate: found for gate, found in values if " of " not in gate}
    assert own.keys() == set(data)
    for gate, found in own.items():
        wanted = data[gate].values[:, :, 0, : int(data["length"][0])]
        np.testing.assert_allclose(found, np.moveaxis(wanted, -1, -2).ravel(), **TOLERANCE)


def approximately(value: Any) -> Any:
    """Returns a value that equals others whose numbers differ by less than 1e-5."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-5, abs=1e-5)
    if isinstance(value, dict):
        return {key: approximately(one) for key, one in value.items()}
    return [approximately(one) for one in value] if isinstance(value, list) else value


def test_a_language_model_continues_the_text(tab, exported):
    page = tab("running text", path=exported("running text")).page
    page.fill("#entry", "a cat")
    expect(page.locator(".outputs .legend-list")).to_contain_text("Probability of this token")
    page.fill("#length", "40")
    page.fill("#seed", "3")
    page.click("#write")
    expect(page.locator(".writer [role=status]")).to_have_text("Generated 40 tokens.")
    wanted = model("running text").generate("a cat", length=40, temperature=0.8, seed=3)
    assert page.locator(".written").evaluate("e => e.textContent") == wanted


def test_a_label_conditions_the_text(tab, exported):
    page = tab("labelled texts", path=exported("labelled texts")).page
    found = []
    for label in ("pos", "neg"):
        page.select_option("#condition", label)
        found.append(page.evaluate("recurra.answer.probability"))
        best = model("labelled texts").top([""], [label], k=1)[0][0]
        assert found[-1] == pytest.approx(best[1], abs=1e-5)
    assert found[0] != found[1]


def test_one_series_of_a_table_is_chosen(tab, exported):
    rows = "".join(f"2024-01-0{i},{shop},{i * size},0\n" for i in range(1, 4) for shop, size in (("b", 9), ("a", 1)))
    later = "".join(f"2024-01-0{i},{shop},,0\n" for i in range(4, 7) for shop in "ba")
    page = tab("shops", path=exported("shops")).page
    enter(page, f"day,shop,sold,holiday\n{rows}{later}")
    expect(page.locator("#series")).to_be_visible()
    first = page.evaluate("recurra.answer.forecast[0].forecast")
    page.select_option("#series", "a")
    assert page.evaluate("recurra.answer.forecast[0].forecast") < first / 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,load\n2024-01-01,1\n", "The table lacks the column rain; it has date, load."),
        ("date,load,rain\n01/02/2024,1,2\n", "Line 2: “01/02/2024” is not a time such as"),
        ("date,load,rain\n2024-01-01,1,2\n2024-01-03,1,2\n", "Line 3: the time is not 1 day after the line before."),
        ("date,load,rain\n2024-01-01,one,2\n", "Line 2, column load: “one” is not a number."),
        ("date,load,rain\n2024-01-01,,2\n", "The table has no value of load."),
        ("1\n2\n", "The table lacks the column date; it has 1."),
    ],
)
def test_a_history_that_the_model_cannot_read(tab, exported, text, message):
    page = tab("table", path=exported("table")).page
    page.fill("#entry", text)
    expect(page.locator(".error:visible")).to_contain_text(message)


def test_typed_text_changes_answer_gates_and_outputs(tab, reviews):
    page = tab("reviews").page
    assert page.input_value("#entry") == "good film"  # the first example
    page.fill("#entry", "")
    expect(page.locator(".answer-body")).to_contain_text("Enter an input")
    expect(page.locator(".map").first).to_be_hidden()
    pictures = []
    for text in ("good film", "good film a bad story"):
        page.locator("#entry").press_sequentially(text[len(page.input_value("#entry")) :], delay=5)
        until(page, f"R.part().tokens.length === {len(reviews.encoder_.shown([text])[0])}")
        pictures.append(page.evaluate("document.querySelector('#map-forget .plot canvas').toDataURL()"))
    assert pictures[0] != pictures[1]
    # the output after each step: the legend has those of the step under the cursor
    page.locator(".outputs .body").focus()
    page.keyboard.press("Home")
    token = page.evaluate("R.part().tokens[0]")
    expect(page.locator(".outputs .legend-list")).to_contain_text(f"step 0 “{token}”")
    state = page.evaluate(
        "[...recurra.model.step(recurra.model.tokenizer.encode('good film a bad story').ids[0]).probabilities]"
    )
    for label, probability in zip(LABELS, state, strict=True):
        expect(page.locator(".outputs .legend-list")).to_contain_text(f"{label} {100 * probability:.1f} %")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".outputs .legend-list")).to_contain_text("step 1")
    assert page.evaluate("R.state.step") == 1


def test_labels_with_html_are_shown_as_text(tab):
    page = tab("reviews").page
    assert set(page.locator(".bars tbody th").all_inner_texts()) == set(LABELS)
    assert page.locator(".answer-body b b").count() == 0


def test_a_bidirectional_model_says_that_it_has_no_steps(tab):
    page = tab("both").page
    page.fill("#entry", "good film")
    expect(page.locator(".outputs .hint")).to_contain_text("both directions")
    expect(page.locator(".outputs .legend-list")).to_have_text(re.compile("Attention [0-9.]+ %$"))
    assert page.locator(".outputs .legend-list li").count() == 2
    page.select_option("#inside-bar select[data-key=layer]", "1")
    page.select_option("#inside-bar select[data-key=direction]", "1")
    assert page.evaluate("[R.state.layer, R.state.direction]") == [1, 1]
    assert page.locator(".map").count() == 4


def drop(page: Page, text: str) -> None:
    page.evaluate(
        """(text) => {
      const data = new DataTransfer();
      data.items.add(new File([text], "dropped.csv"));
      const drop = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
      document.querySelector(".ask").dispatchEvent(drop);
    }""",
        text,
    )


def header(*names: str) -> str:
    return ",".join('"' + name.replace('"', '""') + '"' for name in names)


def test_a_dropped_table_is_read_by_the_names_of_its_columns(tab, sensor):
    page = tab("sensor").page
    drop(page, f"{header(COLUMNS[1], 'day', COLUMNS[0])}\n5.5,monday,101\n,tuesday,99.5\nNaN,friday,98\n")
    until(page, "R.data && R.part().steps === 3")
    rows = np.array([[101, 5.5], [99.5, np.nan], [98, np.nan]])
    assert page.evaluate("recurra.last.values") == pytest.approx(sensor.predict([rows]), rel=1e-5)
    assert page.evaluate("document.querySelector('.pad').getAttribute('aria-label')").startswith(COLUMNS[0])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (f"{header(*COLUMNS)}\n1,2\n3,x\n", f"Line 3, column {COLUMNS[1]}: “x” is not a number."),
        (f"{header(*COLUMNS)}\n\n1,2\n3,inf\n", f"Line 4, column {COLUMNS[1]}: “inf” is not a number."),
        (f"{header(*COLUMNS)}\n1,2\n3\n", "Line 3 has 1 values; the model takes 2."),
        (
            f"{header(COLUMNS[0], 'other')}\n1,2\n",
            f"The table lacks the column {COLUMNS[1]}; it has {COLUMNS[0]}, other.",
        ),
        ("1,2\n1,2,3\n", "Line 2 has 3 values; the model takes 2."),
        ("1,2\n1,2 km\n", "Line 2, value 2: “2 km” is not a number."),
    ],
)
def test_a_table_that_the_model_cannot_read(tab, table, message):
    page = tab("sensor").page
    drop(page, table)
    expect(page.locator("#input-error")).to_have_text(message)
    assert page.get_attribute("#entry", "aria-invalid") == "true"
    expect(page.locator(".map").first).to_be_hidden()
    page.fill("#entry", "100, 100")
    expect(page.locator(".error:visible")).to_have_count(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "not valid JSON"),
        ('{"a": 1}', "not a list of steps"),
        ('[[1, 2], [1, "x"]]', "see step 1"),
        ("[[1, 2], 3]", "see step 1"),
        ("1, 1e300", "too far outside"),
    ],
)
def test_numbers_that_the_model_cannot_read(tab, text, message):
    page = tab("sensor").page
    page.fill("#entry", text)
    expect(page.locator(".error:visible")).to_contain_text(message)
    expect(page.locator(".map").first).to_be_hidden()


def test_a_signal_is_drawn_with_the_mouse(tab, sensor):
    page = tab("sensor").page
    page.fill("#entry", "")
    page.fill("#pad-steps", "40")
    page.click("#flat")
    box = page.locator(".pad").bounding_box()
    page.mouse.move(box["x"] + 70, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + 40, steps=12)
    page.mouse.up()
    until(page, "R.data && R.part().steps === 40")
    rows = np.array([[float(cell) for cell in line.split(",")] for line in page.input_value("#entry").splitlines()])
    assert rows.shape == (40, 2)
    assert rows[35, 0] > rows[5, 0]
    assert np.all(np.diff(rows[2:37, 0]) >= 0)  # no step is left out, however quick the mouse
    assert page.evaluate("recurra.last.values") == pytest.approx(sensor.predict([rows]), rel=1e-5)
    page.select_option("#pad-feature", "1")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 60)
    page.wait_for_timeout(100)
    after = np.array([[float(cell) for cell in line.split(",")] for line in page.input_value("#entry").splitlines()])
    assert (after[:, 0] == rows[:, 0]).all()
    assert np.count_nonzero(after[:, 1] != rows[:, 1]) == 1


def test_a_signal_is_drawn_with_the_keys(tab):
    page = tab("sensor").page
    page.click("#flat")
    page.locator(".pad").focus()
    page.keyboard.press("Home")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "PageDown", "End", "ArrowUp"):
        page.keyboard.press(key)
    until(page, "R.data && R.part().steps === 64")
    values = [float(line.split(",")[0]) for line in page.input_value("#entry").splitlines()]
    assert values[2] < values[0] < values[63]
    assert len(set(values[3:63])) == 1
    assert page.locator(".pad").get_attribute("aria-label").startswith(f"{COLUMNS[0]}, step 63: ")


def test_a_signal_is_drawn_with_a_finger(tab):
    page = tab("sensor", width=375, has_touch=True, is_mobile=True).page
    box = page.locator(".pad").bounding_box()
    before = page.input_value("#entry").splitlines()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 20)
    until(page, "R.state.step > 10")
    after = page.input_value("#entry").splitlines()
    assert [i for i in range(64) if before[i] != after[i]] == [page.evaluate("R.state.step")]
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


@pytest.mark.parametrize("text", ["🎬👨‍👩‍👧‍👦", "\x00\ufffe", "가" * 3000, "a " * 2400])
def test_unusual_texts(tab, reviews, text):
    page = tab("reviews").page
    begin = time.monotonic()
    found = page.evaluate(ENTER, text)
    assert time.monotonic() - begin < 20
    np.testing.assert_allclose(found["probabilities"], reviews.predict_proba([text])[0], **TOLERANCE)
    assert page.evaluate("R.part().steps") == len(reviews.encoder_.shown([text])[0])


def test_100000_characters_are_refused_at_once(tab):
    page = tab("reviews").page
    begin = time.monotonic()
    page.evaluate(ENTER, "ㅋ" * 100_000)
    assert time.monotonic() - begin < 5
    expect(page.locator("#input-error")).to_have_text(
        "The text has 100,000 characters; this page reads at most 10,000."
    )
    page.evaluate(ENTER, "good")
    expect(page.locator(".error:visible")).to_have_count(0)


def test_only_white_space_is_no_input(tab):
    page = tab("reviews").page
    page.fill("#entry", " \n ")
    expect(page.locator(".answer-body")).to_contain_text("Enter an input")


def test_korean(tab):
    page = tab("reviews", locale="ko-KR").page
    assert page.evaluate("document.documentElement.lang") == "ko"
    assert page.locator("h2").all_inner_texts()[1:4] == ["입력", "결과", "모델 내부"]
    english = [word for word in re.findall(r"[A-Za-z]{4,}", page.inner_text("main")) if word not in ("good", "film")]
    assert set(english) <= {"reviews", "Python", "tanh", "script"}
    page.click("#language")
    assert page.locator("h2").all_inner_texts()[1:4] == ["Input", "Answer", "Inside the model"]
    assert page.input_value("#entry") == "good film"
    assert page.evaluate("document.activeElement.id") == "language"
    assert re.findall(r"[가-힣]+", page.inner_text("main")) == []


def test_dark_and_light(tab):
    page = tab("reviews", color_scheme="dark").page
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    light = page.evaluate(ground)
    assert [sum(map(int, re.findall(r"\d+", colour))) < 380 for colour in (dark, light)] == [True, False]


@pytest.mark.parametrize("name", ["reviews", "both", "sensor"])
def test_a_phone_needs_no_horizontal_scrolling(tab, name):
    page = tab(name, width=375).page
    page.fill("#entry", "101, 99\n" * 30 if name == "sensor" else "good film " * 8)
    page.wait_for_selector(".map")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_the_keyboard_reaches_everything_and_focus_is_visible(tab):
    page = tab("sensor").page
    page.fill("#entry", "101, 99\n" * 30)
    page.wait_for_selector(".map")
    page.locator(".skip").focus()
    seen: list[str] = []
    for _ in range(120):
        page.keyboard.press("Tab")
        name, visible = page.evaluate("""() => {
          const e = document.activeElement, style = getComputedStyle(e.id === "file" ? e.nextElementSibling : e);
          const visible = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
          return [e === document.body ? "(none)" : e.id || e.className || e.tagName, visible];
        }""")
        if name == "(none)" or (seen and name == "skip"):
            break
        assert visible, name
        seen.append(name)
    else:
        raise AssertionError(f"the focus never leaves the page: {seen}")
    wanted = {"language", "theme", "pad", "pad-feature", "pad-steps", "entry", "file", "order", "next-step", "plot"}
    assert wanted <= set(seen), seen


@pytest.mark.parametrize(
    ("name", "scheme", "locale"), [("reviews", "light", "en"), ("sensor", "dark", "ko-KR"), ("both", "dark", "en")]
)
def test_axe_finds_nothing(tab, name, scheme, locale):
    page = tab(name, color_scheme=scheme, locale=locale, reduced_motion="reduce").page
    page.fill("#entry", "101, 99\n" * 30 if name == "sensor" else "good film bad 영화")
    page.wait_for_selector(".map")
    page.click("details:last-of-type summary")
    found = Axe().run(page)
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]][:5]) for v in found.response["violations"]] == []


def test_figures_are_saved_as_pictures(tab):
    page = tab("reviews").page
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG: Forget gate").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
