"""How torch.compile is opened to our layers, on a stand-in for its module."""

from __future__ import annotations

import sys
import types
from contextlib import contextmanager

import pytest

from recurra.nn.torch_tools import dynamo


class Ours:
    pass


class Heir(Ours):
    pass


class Theirs:
    pass


class Builder:
    """Stands for the module of torch's compiler."""

    def __init__(self):
        self.allowed, self.wrapped = False, []
        builder = self

        class VariableBuilder:
            def wrap_module(self, value):
                builder.wrapped.append((type(value), builder.allowed))
                return "wrapped"

        self.VariableBuilder, self.config = VariableBuilder, types.SimpleNamespace(patch=self.patch)

    @contextmanager
    def patch(self, *, allow_rnn):
        self.allowed = allow_rnn
        yield
        self.allowed = False


def test_the_compiler_looks_into_our_layers_only():
    builder = Builder()
    dynamo._patch(builder, (Ours,))
    wrapper = builder.VariableBuilder()
    assert [wrapper.wrap_module(value) for value in (Ours(), Theirs(), Heir())] == ["wrapped"] * 3
    assert builder.wrapped == [(Ours, True), (Theirs, False), (Heir, True)]
    assert not builder.allowed


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that was not imported yet; there is another one beside it."""
    for name in ("recurra_test_late", "recurra_test_other"):
        (tmp_path / f"{name}.py").write_text("value = 7\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    yield "recurra_test_late"
    sys.meta_path[:] = before
    for name in ("recurra_test_late", "recurra_test_other"):
        sys.modules.pop(name, None)


def test_a_module_is_met_right_after_its_import(module):
    met, finders = [], len(sys.meta_path)
    dynamo.when_imported(module, lambda found: met.append((found.__name__, found.value)))
    assert len(sys.meta_path) == finders + 1
    __import__("recurra_test_other")
    assert met == []
    assert __import__(module).value == 7
    assert met == [(module, 7)]
    assert len(sys.meta_path) == finders
    dynamo.when_imported(module, met.append)  # it is there
    assert met[1] is sys.modules[module]
    assert len(sys.meta_path) == finders


def test_a_module_that_does_not_exist_is_still_missing(module):
    dynamo.when_imported("recurra_test_missing", lambda found: None)
    with pytest.raises(ModuleNotFoundError):
        __import__("recurra_test_missing")
