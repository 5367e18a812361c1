"""A cell from outside the package: in this one file it is defined, trained, saved, loaded and inspected."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from typer.testing import CliRunner

import recurra
from recurra import cells, nn
from recurra.cells import Cell, Step, linear, registry
from recurra.errors import ModelFolderError, UsageError

SHORT = {"hidden_size": 8, "epochs": 1, "verbose": 0}
TEXTS, LABELS = ["good day", "bad day", "good film", "bad film"] * 8, ["good", "bad"] * 16


# --8<-- [start:cell]
class OneGate(Cell):
    """A GRU with one gate for both purposes."""

    name, gates, states, keeps = "one_gate", ("forget", "candidate"), ("hidden",), "forget"

    def step(self, x, state, weights, alter=cells.as_is):
        (h,) = state
        f_x, n_x = linear(x, weights, "ih").chunk(2, -1)
        f_h, n_h = linear(h, weights, "hh").chunk(2, -1)
        f = alter("forget", torch.sigmoid(f_x + f_h))
        n = alter("candidate", torch.tanh(n_x + f * n_h))
        return Step(((1 - f) * n + f * h,), (f, n))


# --8<-- [end:cell]


class TwoStates(OneGate):
    """The same with a second state, and with a setting."""

    name, states = "two_states", ("hidden", "memory")

    def __init__(self, share=0.5):
        self.share = share

    def step(self, x, state, weights, alter=cells.as_is):
        (h,), gates = super().step(x, state[:1], weights, alter)
        memory = self.share * state[1] + (1 - self.share) * h
        return Step((h + memory, memory), gates)


@pytest.fixture
def registered():
    registry.register(OneGate)
    yield
    del registry._registered["one_gate"]


@pytest.fixture(scope="module")
def model():
    return recurra.SequenceClassifier(cell=OneGate(), **SHORT).fit(TEXTS, LABELS)


PREDICTED = {
    recurra.SequenceClassifier: (TEXTS, LABELS),
    recurra.SequenceRegressor: (TEXTS, np.arange(32.0)),
    recurra.SequenceTagger: ([["a", "b", "c"]] * 12, [["X", "Y", "X"]] * 12),
    recurra.Forecaster: (np.sin(np.arange(300) / 5),),
    recurra.LanguageModel: (TEXTS,),
    recurra.Translator: (TEXTS, TEXTS),
    recurra.BlankFiller: (TEXTS,),
}


def answer(model):
    if isinstance(model, recurra.Forecaster):
        return model.predict(np.sin(np.arange(100) / 5)).tolist()
    if isinstance(model, recurra.LanguageModel):
        return model.generate("good", 9, seed=0)
    if isinstance(model, recurra.SequenceTagger):
        return model.predict([["a", "b"]])
    return list(model.predict(["good ___" if isinstance(model, recurra.BlankFiller) else "good day"]))


@pytest.mark.parametrize("cell", [OneGate, TwoStates(0.25)], ids=["class", "instance"])
@pytest.mark.parametrize("kind", PREDICTED)
def test_every_estimator_trains_saves_and_loads_a_cell_from_outside(kind, cell, tmp_path):
    options = {"horizon": 4} if kind is recurra.Forecaster else {}
    fitted = kind(cell=cell, **SHORT, **options).fit(*PREDICTED[kind])
    fitted.save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["params"]["cell"], config["gates"]) == (cell.name, list(cell.gates))
    loaded = recurra.load(tmp_path / "m", cells=[cell])
    assert loaded.cell is cell
    assert answer(loaded) == answer(fitted)


def test_load_says_which_cell_it_needs_and_does_not_import_it(model, tmp_path):
    model.save(tmp_path / "m")
    with pytest.raises(ModelFolderError, match=r"needs the cell 'one_gate'.* recurra\.load\(path, cells=\[MyCell\]\)"):
        recurra.load(tmp_path / "m")
    with pytest.raises(ModelFolderError, match="needs the cell 'one_gate'"):
        recurra.load(tmp_path / "m", cells=[TwoStates])


def test_a_registered_cell_is_known_by_its_name(model, registered, tmp_path):
    assert registry.names()[-2:] == ("one_gate", "none")
    model.save(tmp_path / "m")
    assert recurra.load(tmp_path / "m").cell == "one_gate"
    by_name = recurra.SequenceClassifier(cell="one_gate", **SHORT).fit(TEXTS, LABELS)
    assert all(
        torch.equal(a, b) for a, b in zip(by_name.network_.parameters(), model.network_.parameters(), strict=True)
    )


def test_the_command_line_accepts_a_registered_cell(registered, tmp_path):
    from recurra.cli.app import app

    table = tmp_path / "t.csv"
    table.write_text("text,label\n" + "\n".join(f"{t},{y}" for t, y in zip(TEXTS, LABELS, strict=True)))
    where = ["--input", "text", "--target", "label", "--out", str(tmp_path / "m")]
    fitted = CliRunner().invoke(app, ["fit", "classify", str(table), *where, "--cell", "one_gate", "--epochs", "1"])
    assert fitted.exit_code == 0, fitted.output
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "m"), "good day", "--out", str(tmp_path / "page.html")])
    assert shown.exit_code == 0, shown.output


def test_the_inspection_tools_show_the_gates_and_states(model, tmp_path):
    trace = recurra.trace(model, ["good day"])
    assert {"forget", "candidate", "hidden"} <= set(trace.to_xarray().data_vars)
    recurra.inspect.write_report(model, ["good day"], tmp_path / "page.html")
    assert '"cell":"one_gate"' in (tmp_path / "page.html").read_text().replace(" ", "")
    assert str(recurra.inspect.health(model, TEXTS, LABELS))
    assert model.order_test(TEXTS, LABELS).keys() == {"in order", "shuffled", "sentence"}


@pytest.mark.parametrize("cell", [OneGate, OneGate(), TwoStates(0.25)])
def test_clone_and_params_keep_the_cell(cell):
    copied = clone(recurra.SequenceTagger(cell=cell))
    assert repr(copied.get_params()["cell"]) == repr(cell)


def test_built_in_cells_may_be_given_as_classes():
    by_name, by_class = (recurra.SequenceClassifier(cell=c, **SHORT).fit(TEXTS, LABELS) for c in ("gru", cells.GRU))
    assert by_name.predict_proba(TEXTS).tolist() == by_class.predict_proba(TEXTS).tolist()
    assert type(nn.build_recurrent(cells.RNN("relu"), 2, 3, 1)) is nn.RNN
    assert registry.name_of(cells.RNN("relu")) == "rnn_relu"


def test_a_subclass_of_a_built_in_cell_runs_its_own_step():
    class Half(cells.GRU):
        name = "half"

        def step(self, x, state, weights, alter=cells.as_is):
            return super().step(x / 2, state, weights, alter)

    layer = nn.build_recurrent(Half(), 2, 3, 1)
    assert isinstance(layer, nn.Recurrent)
    x = torch.randn(2, 4, 2)
    twin = nn.build_recurrent("gru", 2, 3, 1)
    twin.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x)[0], twin(x / 2)[0])


def test_steps_of_a_cell_from_outside_give_what_the_whole_gives():
    layer, x = nn.Recurrent(TwoStates(), 2, 3, batch_first=True), torch.randn(4, 5, 2)
    outputs, state = [], None
    for t in range(5):
        y, state = layer.step(x[:, t], state)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, 1), layer(x)[0])
    with pytest.raises(UsageError, match="bidirectional"):
        nn.Recurrent(TwoStates(), 2, 3, bidirectional=True).step(x[:, 0])


def taking(name):
    return type("Mine", (OneGate,), {"name": name})


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (taking("lstm"), "the name 'lstm' of a built-in cell"),
        (taking("none"), "the name 'none' of a built-in cell"),
        (taking(""), "the cell Mine needs a name"),
        (type("Asks", (OneGate,), {"__init__": lambda self, share: None}), "Asks cannot be made without arguments"),
        (int, "cell must be a text or a Cell or its class, got <class 'int'>"),
        (3, "cell must be a text or a Cell or its class, got 3"),
        ("one_gate", "cell is one of lstm, gru, rnn, rnn_relu, .*, none, not 'one_gate'"),
    ],
)
def test_unusable_cells_are_refused(cell, message):
    with pytest.raises(UsageError, match=message):
        recurra.SequenceClassifier(cell=cell, **SHORT).fit(TEXTS, LABELS)


def test_register_refuses_the_name_of_a_built_in_cell():
    with pytest.raises(UsageError, match="built-in"):
        cells.register(taking("gru"))


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


def test_the_name_of_no_memory_is_compared_by_value():
    assert registry.label(other("none")) == "no memory"

    class Nameless(cells.GRU):
        name = other("none")

    with pytest.raises(UsageError, match="of a built-in cell"):
        registry.find(Nameless())


def test_to_register_a_built_in_cell_changes_nothing():
    before = registry.known()
    assert cells.register(cells.GRU) is cells.GRU
    assert registry.known() == before


def test_names_may_have_settings():
    cell = registry.find("slstm(heads=4)")
    assert (cell.heads, registry.name_of(cell)) == (4, "slstm(heads=4)")
    assert registry.name_of("mogrifier_lstm(rounds=2)") == "mogrifier_lstm(rounds=2)"
    assert registry.name_of(registry.find("rnn(nonlinearity='relu')")) == "rnn_relu"
    assert registry.label("slstm(heads=4)") == "slstm(heads=4)"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("slstm(heads=0)", r"heads must be at least 1.*write slstm\(heads=1\)"),
        ("slstm(4)", "settings have the form name=value"),
        ("slstm(heads=", "is not understood"),
        ("gru(heads=2)", "the cell gru has no settings"),
        ("slstm(heads=open('x'))", "is not understood"),
        ("sltm(heads=2)", "cell is one of"),
    ],
)
def test_wrong_settings_are_named(name, message):
    with pytest.raises(UsageError, match=message):
        registry.find(name)
