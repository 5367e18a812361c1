"""The experiments on data: what is shuffled, what is set aside, and what each row says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra import lab
from recurra.data.encoders.running_text import RunningTextEncoder, pieces
from recurra.data.encoders.text import TextEncoder
from recurra.errors import DataError, UsageError
from recurra.lab.capacity import _size
from recurra.lab.network import parameter_count
from recurra.lab.order import shuffle
from recurra.lab.result import as_text
from recurra.lab.samples import own, sawteeth, set_aside
from recurra.tasks import LanguageModel


@pytest.mark.parametrize("tokens", ["word", "char"])
def test_shuffling_a_text_moves_its_tokens_and_changes_none(tokens):
    text = "It's fine, isn't it? 정말 좋아요!"
    encoder = TextEncoder(tokens, 100).fit([[text, text]])
    moved = shuffle(text, tokens, np.random.default_rng(0))
    ids, others = (encoder.encode([t])[0].tolist() for t in (text, moved))
    assert sorted(ids) == sorted(others)
    assert ids != others


def test_shuffling_a_series_moves_its_steps():
    series = np.arange(20.0).reshape(10, 2)
    moved = shuffle(series, "word", np.random.default_rng(0))
    assert sorted(map(tuple, moved)) == sorted(map(tuple, series))
    assert not np.array_equal(moved, series)


def test_sawteeth_differ_in_their_order_only():
    data = sawteeth(300)
    slopes = {label: [] for label in set(data.y)}
    for x, label in zip(data.x, data.y, strict=True):
        slopes[label].append(np.mean(np.diff(x[:, 0]) > 0))
    assert np.mean(slopes["rises slowly"]) > 0.5 > np.mean(slopes["falls slowly"])
    means = [np.mean([x.mean() for x, y in zip(data.x, data.y, strict=True) if y == label]) for label in slopes]
    assert means[0] == pytest.approx(means[1], abs=0.02)


def test_a_fifth_is_set_aside():
    kept, aside = set_aside(50, 0)
    assert len(aside) == 10
    assert sorted([*kept, *aside]) == list(range(50))
    with pytest.raises(DataError, match="at least 5"):
        own(["a", "b"], [0, 1], None, 0)


def test_order_tells_in_series_that_differ_in_nothing_else():
    random = np.random.default_rng(0)
    ramps = np.linspace(-1, 1, 8) + random.normal(scale=0.1, size=(120, 8))
    X, y = [*ramps[:60], *ramps[60:, ::-1]], ["up"] * 60 + ["down"] * 60
    result = lab.order(X, y, hidden_size=8, epochs=12)
    found = {(row["cell"], row["trained"], row["tested"]): row["accuracy"] for row in result.rows}
    assert len(found) == 4
    assert found["LSTM", "in order", "in order"] > 0.9
    assert found["no memory", "in order", "in order"] < 0.8
    assert found["LSTM", "shuffled", "shuffled"] < 0.8
    assert all(row["n"] == 24 for row in result.rows)


def test_budgets_are_met():
    text = "the cat sat on the mat. " * 30
    for cell in ("rnn", "lstm", "gru"):
        size = _size(cell, 4000, RunningTextEncoder("char").fit([pieces(text)]).input_size)
        model = LanguageModel(cell=cell, hidden_size=size, embedding_size=32, epochs=1, verbose=0).fit(text)
        assert abs(parameter_count(model.network_) / 4000 - 1) < 0.05


def test_both_directions_on_texts_that_need_both(tmp_path):
    result = lab.bidirectional(["a b c", "d b e", "a f e", "d f c"] * 10, epochs=1, hidden_size=4)
    rows = {row["sees"]: row for row in result.rows}
    assert list(rows) == ["both sides", "before", "before, as big", "after", "nothing (by frequency)"]
    assert rows["before, as big"]["units"] > 4
    assert rows["before, as big"]["parameters"] == pytest.approx(rows["both sides"]["parameters"], rel=0.05)
    result.plot(tmp_path / "a.svg")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: lab.order(["a"]), UsageError, "go together"),
        (lambda: lab.order(["a"] * 9, ["x", "y", "z"] * 3, tokens="bpe"), UsageError, "word or char"),
        (lambda: lab.order(["a"] * 9, ["x", "y", "z"] * 3, cell="none"), UsageError, "with memory"),
        (lambda: lab.order(["a.wav"] * 9, ["x", "y", "z"] * 3), DataError, "recordings"),
        (lambda: lab.capacity("abc", cells=("none",)), UsageError, "lstm, gru, rnn, rnn_relu"),
        (lambda: lab.capacity("abc", budgets=()), UsageError, "at least one"),
        (lambda: lab.capacity(""), DataError, "empty"),
        (lambda: lab.bidirectional(["a"]), DataError, "at least 5"),
    ],
)
def test_what_cannot_be_run(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_ctrl_c_ends_the_experiment(monkeypatch):
    def stopped(self, *data):
        self.interrupted_ = True

    monkeypatch.setattr(LanguageModel, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        lab.capacity("abc" * 100)


@pytest.mark.slow
def test_capacity_and_its_figure(tmp_path):
    result = lab.capacity(budgets=(4000, 8000), epochs=1, learning_rates=(1e-2,))
    assert len(result.rows) == 6
    for row in result.rows:
        assert 2 < row["loss"] < 4.2  # 65 characters: ln 65 = 4.17
        assert row["tokens_per_second"] > 1000
        assert 1 < row["microseconds"] < 10_000
    result.plot(tmp_path / "a.png")
    assert torch.get_num_threads() == result.settings["threads"]


def test_figures_as_text():
    assert [as_text(v) for v in (0.5, 427.3, 1e-5, 0.0, 12, 123456.0, float("nan"), True, "x")] == [
        "0.500", "427", "1e-05", "0", "12", "123,456", "nan", "True", "x",
    ]  # fmt: skip
