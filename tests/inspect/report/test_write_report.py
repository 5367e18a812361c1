"""The page as a file: what it holds, how large it is, and what it does not let through."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from known import MGU
from report_subjects import read_page

import recurra
from recurra import nn
from recurra.errors import DataError, UsageError
from recurra.inspect import write_report
from recurra.inspect.core.quantize import pack, packed_size, unpack
from recurra.inspect.core.subject import Plain
from recurra.inspect.report import write as report
from recurra.inspect.report.payload import Code, page_payload
from recurra.tasks.subject import Subject


@pytest.mark.parametrize("exact", [True, False])
def test_packed_numbers_come_back(exact):
    values = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    packed = pack(values, exact)
    assert packed["shape"] == [2, 3, 5]
    assert len(packed["data"]) == packed_size(30, exact)
    found = unpack(packed)
    if exact:
        assert (found == values).all()
    else:
        assert np.abs(found - values).max() <= packed["step"] / 2 + 1e-12
        assert packed["step"] == pytest.approx(np.ptp(values) / 65535)


def test_packed_numbers_that_are_all_the_same():
    assert (unpack(pack(np.full((4,), 3.25), exact=False)) == 3.25).all()
    assert unpack(pack(np.zeros((0, 3)), exact=False)).shape == (0, 3)
    assert np.isnan(unpack(pack(np.array([np.nan]))))


@pytest.mark.parametrize(
    ("kind", "options"), [("LSTM", {"num_layers": 2, "bidirectional": True}), ("GRU", {}), ("RNN", {})]
)
def test_a_page_holds_the_trace(tmp_path, kind, options):
    torch.manual_seed(0)
    layer, x = getattr(nn, kind)(3, 6, batch_first=True, **options), torch.randn(2, 9, 3)
    found = write_report(layer, x, tmp_path / "page.html", row=1)
    data = read_page(tmp_path / "page.html")
    (part,) = data["parts"]
    assert (part["cell"], part["steps"], part["of"], part["units"]) == (kind.lower(), 9, 9, list(range(6)))
    for name in found:
        expected = found[name].values[:, :, 1].swapaxes(-1, -2)
        assert (unpack(part["arrays"][name]) == expected).all()
    assert (unpack(data["inputs"]["values"]) == x[1].T.numpy()).all()
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bias", [True, False])
def test_what_drives_a_gate_makes_the_gate(tmp_path, kind, bias):
    torch.manual_seed(1)
    layer = getattr(nn, kind)(3, 5, num_layers=2, bidirectional=True, batch_first=True, bias=bias)
    lengths = torch.tensor([4, 7])
    model = _Takes(layer, lengths)
    write_report(model, torch.randn(2, 7, 3), tmp_path / "page.html", row=0)
    (part,) = read_page(tmp_path / "page.html")["parts"]
    assert part["steps"] == 4
    arrays = {name: unpack(packed) for name, packed in part["arrays"].items()}
    for gate in layer.stack.cell.gates:
        apart = (kind, gate) == ("GRU", "candidate")
        assert (f"bias of {gate}" in arrays, f"past bias of {gate}" in arrays) == (bias, bias and apart)
        past = arrays[f"past of {gate}"] + arrays.get(f"past bias of {gate}", 0)
        share = arrays["reset"] if apart else 1.0
        drive = arrays[f"input of {gate}"] + arrays.get(f"bias of {gate}", 0) + share * past
        expected = np.tanh(drive) if gate == "candidate" else 1 / (1 + np.exp(-drive))
        np.testing.assert_allclose(arrays[gate], expected, atol=1e-6)
        if bias:  # the second layer, read backwards
            rows = slice(5 * layer.stack.cell.gates.index(gate), 5 * layer.stack.cell.gates.index(gate) + 5)
            inner, outer = (getattr(layer, f"bias_{side}_l1_reverse")[rows].detach().numpy() for side in ("ih", "hh"))
            np.testing.assert_array_equal(arrays[f"bias of {gate}"][1, 1, :, 0], inner if apart else inner + outer)


class _Takes(torch.nn.Module):
    """A model that gives its layer lengths and initial states of its own."""

    def __init__(self, layer, lengths) -> None:
        super().__init__()
        self.layer, self.lengths = layer, lengths
        size = (layer.num_layers * (1 + layer.bidirectional), len(lengths), layer.hidden_size)
        states = [torch.full(size, 0.5) for _ in layer.stack.cell.states]
        self.states = tuple(states) if len(states) > 1 else states[0]

    def forward(self, x):
        return self.layer(x, self.states, lengths=self.lengths)[0]


def test_only_what_was_asked_for(tmp_path):
    layer, x = nn.LSTM(3, 8, batch_first=True), torch.randn(1, 30, 3)
    write_report(layer, x, tmp_path / "page.html", names=["forget", "hidden"], units=[5, 2], time=slice(10, 20, 2))
    data = read_page(tmp_path / "page.html")
    (part,) = data["parts"]
    assert {name for name in part["arrays"] if " of " not in name} == {"forget", "hidden"}
    assert (part["units"], part["first"], part["stride"], part["steps"], part["of"]) == ([5, 2], 10, 2, 5, 30)
    assert len(data["measured"]["attribution"]["values"]) == 5
    assert unpack(data["inputs"]["values"]).shape == (3, 5)


def test_what_does_not_fit_is_left_out_and_said():
    layer, x = nn.LSTM(3, 64, batch_first=True), torch.randn(1, 50, 3)
    found = recurra.trace(layer, x)

    def made(budget: int) -> tuple[dict, list[str], int]:
        data = page_payload(found, 0, budget, Code())
        return data["parts"][0], [note["say"] for note in data["notes"]], len(json.dumps(data))

    whole, notes, size = made(10_000_000)
    numbers = sum(np.prod(packed["shape"]) for packed in whole["arrays"].values())
    assert notes == []
    aside = size - packed_size(int(numbers), exact=True) + 6_000
    part, notes, size = made(aside + packed_size(int(numbers), exact=False))
    assert (notes, size <= aside + packed_size(int(numbers), exact=False)) == (["precision"], True)
    assert part["arrays"].keys() == whole["arrays"].keys()
    own = 64 * 50 * 6
    part, notes, _ = made(aside + packed_size(own, exact=False))
    assert notes == ["precision"]
    assert part["arrays"].keys() == {"input", "forget", "candidate", "output", "hidden", "cell"}
    part, notes, _ = made(aside + packed_size(own // 3, exact=False))
    assert notes == ["precision", "units"]
    kept = part["units"]
    assert 0 < len(kept) < 64
    assert kept == sorted(np.argsort(-found["cell"].values[0, 0, 0].std(0))[: len(kept)].tolist())


def test_text_cannot_break_out_of_the_page(tmp_path):
    evil = "</script><script>alert(1)</script><!-- <b>&amp; {{data}} \u2028 \ud800"
    found = recurra.trace(nn.GRU(3, 4, batch_first=True), torch.randn(1, 5, 3))
    report.write_page(found, tmp_path / "page.html", title=evil)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text
    assert text.count("<script") == 2
    assert read_page(tmp_path / "page.html")["title"] == evil.replace("\ud800", "?")


def test_the_same_page_twice(tmp_path):
    layer, x = nn.GRU(3, 4, batch_first=True), torch.randn(1, 5, 3)
    write_report(layer, x, tmp_path / "a.html")
    recurra.trace(layer, x).to_html(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_page_asks_for_nothing_from_anywhere(tmp_path):
    write_report(nn.RNN(3, 4, batch_first=True), torch.randn(1, 5, 3), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    found = set(re.findall(r"https?://[^\"'\s)]+", page))
    assert found == {"http://www.w3.org/2000/svg"}  # the name of a format, not a place


def test_a_cell_of_ones_own(tmp_path):
    write_report(nn.Recurrent(MGU(), 3, 4, batch_first=True), torch.randn(1, 5, 3), tmp_path / "page.html")
    (part,) = read_page(tmp_path / "page.html")["parts"]
    assert set(part["arrays"]) == {"forget", "candidate", "hidden"}


def test_several_layers_and_a_projection(tmp_path):
    model = torch.nn.Sequential(_First(nn.LSTM(3, 6, proj_size=2, batch_first=True)), nn.GRU(2, 4, batch_first=True))
    write_report(model, torch.randn(1, 5, 3), tmp_path / "page.html")
    one, two = read_page(tmp_path / "page.html")["parts"]
    assert (one["name"], one["cell"], two["name"], two["cell"]) == ("0.layer", "lstm", "1", "gru")
    assert one["arrays"]["hidden"]["shape"] == [1, 1, 2, 5]
    assert one["arrays"]["cell"]["shape"] == [1, 1, 6, 5]


class _First(torch.nn.Module):
    def __init__(self, layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def test_numbers_that_are_not_finite(tmp_path):
    layer, x = nn.GRU(3, 4, batch_first=True), torch.randn(1, 5, 3)
    x[0, 3] = torch.nan
    write_report(layer, x, tmp_path / "page.html")
    (part,) = read_page(tmp_path / "page.html")["parts"]
    assert np.isnan(unpack(part["arrays"]["hidden"])[..., 3:]).all()


def test_long_sequences_are_shown_but_not_measured(tmp_path):
    layer = nn.GRU(2, 4, batch_first=True)
    write_report(layer, torch.randn(1, 3000, 2), tmp_path / "page.html", time=slice(0, 100))
    data = read_page(tmp_path / "page.html")
    assert data["measured"]["reach"] == {"why": "long", "most": 2000}
    assert data["parts"][0]["of"] == 3000


def test_wrong_arguments(tmp_path):
    layer, x = nn.GRU(3, 4, batch_first=True), torch.randn(2, 5, 3)
    with pytest.raises(UsageError, match="language is one of en, ko, not 'xx'"):
        write_report(layer, x, tmp_path / "page.html", language="xx")
    with pytest.raises(UsageError, match="there is no row 2: the trace has 2 sequences"):
        write_report(layer, x, tmp_path / "page.html", row=2)
    with pytest.raises(DataError, match="cannot be written"):
        write_report(layer, x, tmp_path / "nowhere" / "page.html")
    with pytest.raises(UsageError, match="no recurrent layer"):
        write_report(torch.nn.Linear(3, 4), x, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_thousand_steps_of_256_units_fit(tmp_path):
    torch.manual_seed(0)
    layer, x = nn.LSTM(32, 256, batch_first=True), torch.randn(1, 1000, 32)
    found = write_report(layer, x, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 5_000_000
    (part,) = read_page(tmp_path / "page.html")["parts"]
    assert part["arrays"]["forget"]["shape"] == [1, 1, 256, 1000]
    for name in found:
        gap = np.abs(unpack(part["arrays"][name]) - found[name].values[:, :, 0].swapaxes(-1, -2)).max()
        assert gap <= np.ptp(found[name].values) / 65535


def test_what_cannot_fit_at_all_becomes_one_number():
    found = recurra.trace(nn.LSTM(3, 40, batch_first=True), torch.randn(1, 50, 3))
    (part,) = page_payload(found, 0, 0, Code())["parts"]
    assert part["arrays"]["cell"]["shape"] == [1, 1, 1, 1]


def long_texts(steps: list[str], note: str = "") -> Subject:
    """A subject that reads `steps`."""
    torch.manual_seed(0)
    network = nn.GRU(2, 4, batch_first=True)
    batch = Plain(torch.randn(1, len(steps), 2), torch.tensor([len(steps)]))
    return Subject(
        network,
        batch,
        lambda b: network(b.values, lengths=b.lengths),
        lambda found: found[1].sum((0, 2)),
        steps=[steps],
        features=[steps[0], "b"],
        answers=[steps[0]],
        notes=[note],
        title="Layer",
    )


@pytest.mark.parametrize(
    "steps",
    [
        ["a" * 10_000_000],
        ["<" * 10_000_000, "so", "good"],
        ["가" * 4_000_000] + ["<&>" * 100] * 500,
        ["<&>" * 30] * 6000,
        list("<" * 9000),
    ],
    ids=["one word", "signs", "Korean", "many long tokens", "many short tokens"],
)
def test_a_page_about_long_texts_is_below_5_mb(tmp_path, steps):
    text = " ".join(steps)
    found = write_report(
        long_texts(steps, text), path=tmp_path / "page.html", title=text, code=Code(repr(text), repr([text]))
    )
    assert (tmp_path / "page.html").stat().st_size < 5_000_000
    data = read_page(tmp_path / "page.html")
    (part,) = data["parts"]
    assert part["steps"] == len(part["tokens"]) > 0
    assert all(len(token) <= 80 for token in part["tokens"])
    assert part["tokens"][0] == (steps[0] if len(steps[0]) <= 80 else steps[0][:79] + "…")
    assert (len(data["title"]), data["code"]["model"]) == (400, "...")
    assert list(found["hidden"]["token"].values[0]) == steps


def test_the_title_of_a_long_text_is_its_beginning(tmp_path):
    write_report(long_texts(list("abc" * 1000)), path=tmp_path / "page.html")
    assert read_page(tmp_path / "page.html")["title"] == ("abc" * 134)[:399] + "…"
