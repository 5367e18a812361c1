"""One line of progress: updated in place in a terminal and in a notebook, nothing where nobody watches."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import types

import numpy as np
import pytest
from rich.console import Console

from recurra import SequenceClassifier
from recurra.training import loop, progress

X = [np.random.default_rng(i).normal(size=(5, 2)) for i in range(60)]
Y = [int(x.prod(1).sum() > 0) for x in X]


def fit(**changes):
    options = {"hidden_size": 8, "epochs": 12, "batch_size": 8, "learning_rate": 0.02, "validation_fraction": 0.2}
    return SequenceClassifier(**{**options, **changes}).fit(X, Y)


def screen(written: str) -> list[str]:
    """What a terminal shows in the end: carriage returns, moves up and erased lines are carried out."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            lines[row] = lines[row] + "\r"
        elif part == "\x1b[2K":
            lines[row] = ""
        elif match := re.fullmatch(r"\x1b\[(\d+)A", part):
            row = max(0, row - int(match[1]))
        elif not part.startswith("\x1b"):
            lines[row] = part if lines[row].endswith("\r") else lines[row] + part
    return [text for line in lines if (text := line.strip("\r ").strip())]


@pytest.fixture
def terminal(monkeypatch):
    """A pseudo-terminal that training writes to; returns a function that reads what it shows in the end."""
    leader, follower = os.openpty()
    file = os.fdopen(follower, "w", encoding="utf-8")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(loop, "Console", lambda **_: Console(file=file, width=100))
    written: list[bytes] = []

    def read():
        with contextlib.suppress(OSError):  # which is how Linux says that the other end is closed
            while piece := os.read(leader, 1 << 16):
                written.append(piece)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def shown():
        file.close()
        reader.join(10)
        text = b"".join(written).decode()
        return screen(text.replace("\r\n", "\n")), text

    yield shown
    os.close(leader)


def test_a_terminal_shows_one_line_and_then_a_summary(terminal):
    model = fit()
    lines, written = terminal()
    assert len(lines) == 1
    assert re.fullmatch(rf"best epoch {model.best_epoch_} of {model.n_iter_} in [\d.]+ s: accuracy .*", lines[0])
    assert re.search(rf"epoch {model.n_iter_}/12  loss [\d.]+  valid_accuracy", written)


def test_remarks_stand_above_the_line(terminal, monkeypatch):
    from recurra.training.health import monitor

    monkeypatch.setattr(monitor.HealthMonitor, "_allows", lambda self, seconds: True)
    fit(epochs=3, learning_rate=10.0, health_checks=True)
    lines, _ = terminal()
    assert any(re.match(r"epoch \d: (RED|YELLOW) ", line) for line in lines[:-1])
    assert lines[-1].startswith("best epoch ")


def test_a_notebook_has_one_output_that_changes(monkeypatch):
    outputs: list[list[str]] = []

    def display(content, *, raw, display_id):
        assert (raw, display_id) == (True, True)
        outputs.append([content["text/plain"]])
        shown = outputs[-1]
        return types.SimpleNamespace(update=lambda content, raw: shown.append(content["text/plain"]))

    module = types.ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(loop, "Console", lambda **_: Console(force_jupyter=True))
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    model = fit()
    assert len(outputs) == 1
    assert len(outputs[0]) > 12
    assert outputs[0][-1].startswith(f"best epoch {model.best_epoch_} of {model.n_iter_} in ")
    assert "epoch 1/12" in outputs[0][0]
    fit()
    assert len(outputs) == 2  # the next run has its own


def test_verbose_0_shows_nothing_in_a_terminal(terminal):
    fit(verbose=0)
    assert terminal()[0] == []


def test_an_error_leaves_the_terminal_as_it_was(terminal):
    from recurra.errors import DataError

    with pytest.raises(DataError):
        SequenceClassifier(cell="rnn_relu", hidden_size=8, epochs=5, gradient_clip=0, learning_rate=1e30).fit(
            [1e30 * x for x in X], Y
        )
    lines, written = terminal()
    assert lines == []
    assert "\x1b[?25h" in written  # the cursor is there again
