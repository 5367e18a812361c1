"""Which engine serves a call, and why another does not: said beforehand, and true."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from recurra import nn
from recurra.cells import GRU, LSTM, RNN, Cell
from recurra.errors import EngineError
from recurra.ops import ENGINES, Explanation, Stack, explain, recurrence

STACK = Stack(GRU(), 3, 4)
NO_STEPS = "torch's kernels refuse input without steps or without sequences"


class Nothing(Cell):
    name, gates, states = "nothing", ("candidate",), ("hidden",)

    def step(self, x, state, weights):
        raise NotImplementedError


def call(stack=STACK, steps=5, batch=2, **options):
    """Arguments of `recurrence`."""
    weights = [torch.zeros(shape, **options) for _, shape in stack.named_shapes()]
    return stack, torch.zeros(steps, batch, stack.input_size, **options), weights


# arguments, the engine that serves them, the engines that do not and why
REFUSED = {
    "no steps": (call(steps=0), "native", {"builtin": NO_STEPS}),
    "no sequences": (call(batch=0), "native", {"builtin": NO_STEPS}),
    "bfloat16 with gradients": (
        call(dtype=torch.bfloat16, requires_grad=True),
        "builtin",
        {"native": "the native engine trains in float32 and float64, not torch.bfloat16"},
    ),
    "float16 with gradients": (
        call(dtype=torch.float16, requires_grad=True),
        "builtin",
        {"native": "the native engine trains in float32 and float64, not torch.float16"},
    ),
    "another device": (
        call(device="meta"),
        "builtin",
        {"native": "the native engine runs on the CPU, the values lie on meta"},
    ),
    "complex numbers": (
        call(Stack(RNN(), 3, 4), dtype=torch.complex64),
        "reference",
        {
            "native": "the native engine computes in float32 and float64, not torch.complex64",
            "builtin": "torch has no kernel for torch.complex64",
            "compiled": "compiled cells compute in float32 and float64, not torch.complex64",
        },
    ),
    "another cell": (
        call(Stack(Nothing(), 3, 4)),
        "reference",
        {
            "native": "the native engine has no kernel for the cell 'nothing'",
            "builtin": "torch has no kernel for the cell 'nothing'",
            "compiled": "the cell 'nothing' cannot be compiled: NotImplementedError:  (test_explain.py, line 22)",
        },
    ),
}
every_refused = pytest.mark.parametrize(("arguments", "serving", "refusals"), REFUSED.values(), ids=REFUSED.keys())


@every_refused
def test_auto_takes_the_first_that_serves_and_keeps_the_reasons_before_it(arguments, serving, refusals):
    names = [engine.name for engine in ENGINES]
    before = {name: reason for name, reason in refusals.items() if names.index(name) < names.index(serving)}
    choice = explain(*arguments)
    assert choice == Explanation(serving, before)
    assert str(choice) == "\n".join([f"served by {serving}", *(f"  not {n}: {r}" for n, r in before.items())])


@every_refused
def test_the_one_engine_asked_for_refuses_with_its_reason(arguments, serving, refusals):
    for engine, reason in refusals.items():
        choice = explain(*arguments, engine=engine)
        assert choice == Explanation(None, {engine: reason})
        assert str(choice) == f"no engine serves this call\n  not {engine}: {reason}"
        with pytest.raises(EngineError) as error:
            recurrence(*arguments, engine=engine)
        assert str(error.value) == str(choice)


# what other engines of the kind leave to torch
SERVED = {
    "a projection": call(Stack(LSTM(), 3, 4, proj_size=2)),
    "a projection, trained": call(Stack(LSTM(), 3, 4, proj_size=2), requires_grad=True),
    "bfloat16": call(dtype=torch.bfloat16),
    "float16": call(dtype=torch.float16),
    "training": call(requires_grad=True),
}


@pytest.mark.parametrize("arguments", SERVED.values(), ids=SERVED.keys())
def test_native_serves(arguments):
    assert explain(*arguments) == explain(*arguments, memory="recompute") == Explanation("native", {})
    output, _ = recurrence(*arguments, engine="native")
    assert output.dtype == arguments[1].dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_native_serves_under_autocast_what_it_would_not_otherwise(dtype):
    arguments = call(dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert explain(*arguments) == Explanation("native", {})
        output, _ = recurrence(*arguments, engine="native")
    assert output.dtype == torch.float32
    assert explain(*arguments).engine == ("native" if dtype == torch.float32 else "builtin")


@pytest.mark.gpu
def test_native_is_not_asked_to_compute_on_cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    reason = "the native engine runs on the CPU, the values lie on cuda:0"
    assert explain(*call(device="cuda:0")) == Explanation("builtin", {"native": reason})


def test_without_a_refusal_there_is_one_line():
    assert str(explain(*call())) == "served by native"
    assert str(explain(*call(), engine="builtin")) == "served by builtin"
    assert str(explain(*call(), engine="reference")) == "served by reference"


@pytest.mark.parametrize("function", [explain, recurrence])
def test_an_unknown_engine_is_answered_with_the_known_ones(function):
    names = ", ".join(repr(engine.name) for engine in ENGINES)
    with pytest.raises(EngineError, match=f"no engine 'cudnn'; choose 'auto' or one of {names}"):
        function(*call(), engine="cudnn")


@pytest.mark.parametrize("arguments", [call(), call(steps=0)], ids=["usual", "without steps"])
@pytest.mark.parametrize("engine", ["auto", "native", "reference"])
def test_the_engine_named_is_the_one_that_runs(arguments, engine, monkeypatch):
    ran = []
    for candidate in ENGINES:

        def run(*args, candidate=candidate, original=candidate.run):
            ran.append(candidate.name)
            return original(*args)

        monkeypatch.setattr(candidate, "run", run)
    recurrence(*arguments, engine=engine)
    assert ran == [explain(*arguments, engine=engine).engine]


@pytest.mark.parametrize("engine", ["auto", "native", "builtin", "reference"])
@pytest.mark.parametrize("steps", [5, 0])
def test_a_layer_explains_as_its_stack(engine, steps):
    stack, values, _ = call(steps=steps)
    expected = explain(stack, values, call()[2], [0, 0], (torch.zeros(1, 2, 4),), engine=engine)
    for layer in (nn.GRU(3, 4, engine=engine), nn.Recurrent(GRU(), 3, 4, engine=engine)):
        hx = torch.zeros(1, 2, 4)
        states = hx if isinstance(layer, nn.GRU) else (hx,)
        assert explain(layer, values, states, [0, 0]) == layer.explain(values, states, lengths=[0, 0]) == expected


def test_a_layer_explains_every_kind_of_input_that_it_takes():
    layer = nn.LSTM(3, 4, batch_first=True)
    packed = pack_sequence([torch.zeros(2, 3), torch.zeros(5, 3)], enforce_sorted=False)
    for x in (torch.zeros(2, 5, 3), torch.zeros(5, 3), packed):
        assert explain(layer, x) == Explanation("native", {})


def test_what_a_call_would_refuse_cannot_be_explained():
    with pytest.raises(ValueError, match="between 0 and the 5 steps"):
        explain(*call(), [6, 1])
