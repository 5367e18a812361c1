"""Faults of a cell of one's own: each message names the line in the file of the cell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from recurra import nn
from recurra.cells import Cell, Step, register
from recurra.errors import UsageError

SOURCE = Path(__file__).read_text(encoding="utf-8").splitlines()


class Good(Cell):
    name, gates, states = "good", ("keep", "candidate"), ("hidden", "memory")

    def step(self, x, state, weights):
        return Step(state, (state[0], state[1]))


class Nothing(Good):
    def step(self, x, state, weights):
        state[0] + 1  # NOTHING


class OnlyState(Good):
    def step(self, x, state, weights):
        return state  # ONLY STATE


class FewGates(Good):
    def step(self, x, state, weights):
        return Step(state, (state[0],))  # FEW GATES


class FewStates(Good):
    def step(self, x, state, weights):
        return Step(state[:1], state)  # FEW STATES


class NoTuple(Good):
    def step(self, x, state, weights):
        return Step(state, state[0])  # NO TUPLE


class NoTensor(Good):
    def step(self, x, state, weights):
        return Step((state[0], 0.5), state)  # NO TENSOR


class Narrow(Good):
    def step(self, x, state, weights):
        memory = state[1].sum(-1, keepdim=True)
        return Step((state[0], memory), state)  # NARROW


class Wide(Good):
    def step(self, x, state, weights):  # WIDE
        if self.gates:
            return Step(state, (torch.cat(state, -1), state[0]))
        return Step(state, ())


@pytest.mark.parametrize(
    ("cell", "comment", "message"),
    [
        (Nothing, None, "the step of Nothing returns nothing; it must return Step(state, gates)"),
        (OnlyState, "ONLY STATE", "the step of OnlyState returns a tuple; it must return Step(state, gates)"),
        (FewGates, "FEW GATES", "the step of FewGates returns 1 gate, but the cell has 2: keep, candidate"),
        (FewStates, "FEW STATES", "the step of FewStates returns 1 state, but the cell has 2: hidden, memory"),
        (NoTuple, "NO TUPLE", "the step of NoTuple returns a Tensor as gates; it must return a tuple, such as (gate,)"),
        (NoTensor, "NO TENSOR", "the step of NoTensor returns a float as the state 'memory'; it must be a tensor"),
        (Narrow, "NARROW", "returns the state 'memory' with the shape (3, 1); it must be (3, 4)"),
        (Wide, "WIDE", "returns the gate 'keep' with the shape (3, 8); it must be (3, 4)"),
    ],
)
def test_a_faulty_step_is_named_with_its_line(cell, comment, message):
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        nn.Recurrent(cell(), 2, 4, batch_first=True)(torch.randn(3, 5, 2), lengths=[5, 0, 2])
    file, line = re.match("(.*), line ([0-9]+): ", str(error.value)).groups()
    assert Path(file).name == Path(__file__).name
    assert comment is None or f"# {comment}" in SOURCE[int(line) - 1]


class Untold(Good):
    name, gates = "untold", None


class OneText(Good):
    name, gates = "one_text", ("keep")


class Twice(Good):
    name, states = "twice", ("hidden", "hidden")


class Stateless(Good):
    name, states = "stateless", ()


class KeepsOther(Good):
    name, keeps = "keeps_other", "forget"


class Taken(Good):
    name = "sru"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (Untold, "Untold needs `gates`, a tuple of names, not None"),
        (OneText, "OneText.gates is a text; write ('keep',) for one name"),
        (Twice, "Twice.states has a name twice: hidden, hidden"),
        (Stateless, "Stateless needs at least one state; the first is the output"),
        (KeepsOther, "KeepsOther.keeps is 'forget', which is none of its gates"),
        (Taken, "the cell Taken has the name 'sru' of a built-in cell; use another name"),
    ],
)
def test_a_faulty_declaration_is_named_with_its_line(cell, message):
    with pytest.raises(UsageError, match=re.escape(message)) as error:
        register(cell)
    line = int(re.match(".*test_checks.py, line ([0-9]+): ", str(error.value))[1])
    assert f"class {cell.__name__}" in SOURCE[line - 1]
    if cell is not Taken:  # a layer may have a cell with any name
        with pytest.raises(UsageError, match=re.escape(message)):
            nn.Recurrent(cell(), 2, 4)


def test_a_layer_takes_a_name_and_a_class():
    assert repr(nn.Recurrent("mgu", 2, 3).stack.cell) == "MGU()"
    assert isinstance(nn.Recurrent(Good, 2, 3).stack.cell, Good)
    with pytest.raises(UsageError, match=r"cell is one of lstm, .*, not 'mgru'"):
        nn.Recurrent("mgru", 2, 3)
