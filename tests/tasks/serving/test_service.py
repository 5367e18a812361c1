"""What holds for the services of all tasks."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving.inputs import INPUTS
from serving.models import KINDS, model
from serving.schema import accepts

from recurra import SequenceClassifier, trace
from recurra.errors import UsageError
from recurra.tasks import registry
from recurra.tasks.serving.service import InputError, Service

every_kind = pytest.mark.parametrize("kind", KINDS)

LONG = dict.fromkeys(("texts", "running text", "labelled texts", "translations", "blanks"), "a long text with a [ ]")
LONG["tags"] = "a b c"


def service_of(kind: str) -> Service:
    return model(kind).service()


@every_kind
def test_the_example_is_a_valid_input(kind):
    service = service_of(kind)
    example = json.loads(json.dumps(service.example()))
    assert accepts(service.input_schema(), example)
    (item,) = service.parse([example])
    assert 0 < service.steps(item) <= service.max_steps
    (answer,) = service.answers([item], service.Options())
    json.dumps(answer, allow_nan=False)
    json.dumps(service.about(), allow_nan=False)
    json.dumps(service.input_schema(), allow_nan=False)


@every_kind
def test_the_schema_accepts_the_inputs(kind):
    schema = service_of(kind).input_schema()
    assert all(accepts(schema, value) for value in INPUTS[kind])
    assert not any(accepts(schema, value) for value in (None, True, 3, {"a": 1}, [["a"]], [[True]]))


@every_kind
def test_inputs_together_have_the_answers_that_they_have_alone(kind):
    service = service_of(kind)
    items, options = service.parse(INPUTS[kind] * 3), service.Options(proba=True)
    alone = [service.answers([item], options)[0] for item in items]
    assert json.dumps(service.answers(items, options)) == json.dumps(alone)
    assert service.answers([], options) == []
    assert service.parse([]) == []


@every_kind
@pytest.mark.parametrize("value", [None, True, 3, float("nan"), {"a": 1}, [None, "a"], [[[[[]]]]], {"text": 5}, [{}]])
def test_a_value_of_another_type_is_refused(kind, value):
    service = service_of(kind)
    good = service.example()
    with pytest.raises(InputError) as caught:
        service.parse([good, value])
    assert caught.value.path[:2] == ("inputs", 1)
    assert str(caught.value)


@every_kind
@pytest.mark.parametrize("inputs", ["a text", None, {"0": 1}, 7, True])
def test_inputs_that_are_not_a_list_are_refused(kind, inputs):
    with pytest.raises(InputError, match=r"^inputs is .*; send a list") as caught:
        service_of(kind).parse(inputs)
    assert caught.value.path == ("inputs",)


@every_kind
def test_long_inputs_are_refused(kind):
    service = service_of(kind)
    service.max_steps = 2
    with pytest.raises(InputError, match=r"at most|or more") as caught:
        service.parse([LONG.get(kind, service.example())])
    assert caught.value.path[:2] == ("inputs", 0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "condition", "sound", "date", "load", "rain", "y0", "x"]) | st.text(max_size=3),
            inner,
        )
    ),
    max_leaves=12,
)


@every_kind
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(values=st.lists(json_values, max_size=3))
def test_any_json_value_is_answered_or_refused(kind, values):
    service = service_of(kind)
    try:
        items = service.parse(values)
    except InputError:
        return
    answers = service.answers(items, service.Options())
    json.dumps(answers, allow_nan=False)
    assert len(answers) == len(values)


@every_kind
def test_options_are_checked(kind):
    service = service_of(kind)
    assert msgspec.convert({}, service.Options) == service.Options()
    assert msgspec.convert({"proba": True}, service.Options).proba
    with pytest.raises(msgspec.ValidationError, match=r"\$\.proba"):
        msgspec.convert({"proba": 1}, service.Options)
    with pytest.raises(msgspec.ValidationError, match="unknown field `beams`"):
        msgspec.convert({"beams": 1}, service.Options)


@every_kind
def test_threads_share_a_model(kind):
    service = service_of(kind)
    items = service.parse(INPUTS[kind])
    options = [service.Options(), service.Options(proba=True)] * 4
    expected = [service.answers(items, some) for some in options]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda some: service.answers(items, some), options)) == expected


def test_a_model_that_is_not_fitted_has_no_service():
    with pytest.raises(ValueError, match="not fitted"):
        SequenceClassifier().service()


def test_a_model_without_steps_gives_the_reason():
    with pytest.raises(UsageError, match="does not run step by step"):
        Service(model("texts")).stepper()


@pytest.fixture(scope="module")
def outside():
    """A model of the toy task, which is registered for these tests only."""
    X = [[float(i)] * (1 + i % 5) for i in range(20)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_TASKS", dict(registry._TASKS))
        patch.delitem(sys.modules, "toy_task", raising=False)
        kind = import_module("toy_task").LengthRegressor
        yield kind(hidden_size=4, epochs=1, batch_size=8, verbose=0).fit(X, [len(x) for x in X])


def test_the_service_of_a_task_outside_the_package(outside):
    service = outside.service()
    inputs = [[1, 2, 3], [[4], [5]], service.example()]
    assert all(accepts(service.input_schema(), value) for value in inputs)
    found = service.answers(service.parse(inputs), service.Options())
    assert found == [{"prediction": number} for number in outside.predict([[1.0, 2.0, 3.0], [4.0, 5.0], [0.5, 1, 1.5]])]
    assert service.answers([], service.Options()) == []


@pytest.mark.parametrize(
    ("value", "path"),
    [(None, ()), ([1, True], (1,)), ([[1], [1, 2]], (1,)), ([[1], ["a"]], (1, 0)), ("/etc/a.wav", ()), ({}, ())],
)
def test_inputs_of_a_task_outside_the_package_are_checked(outside, value, path):
    with pytest.raises(InputError) as caught:
        outside.service().parse([value])
    assert caught.value.path == ("inputs", 0, *path)


@every_kind
def test_an_input_can_be_inspected(kind):
    service = service_of(kind)
    (item,) = service.parse([service.example()])
    found = trace(service.subject(item))
    assert int(next(iter(found.parts.values()))["length"][0]) > 0
    assert service.subject(item).scores().shape == (1,)
