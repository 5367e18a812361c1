"""Names that are imported at first use, and names of earlier versions."""

from __future__ import annotations

import collections
import collections.abc

import pytest

from recurra._util.lazy_names import at_first_use, earlier_names

PLACES = {"abc": ".abc", "Sized": ".abc:Sized", "Deque": ":deque", "most": ":Counter.most_common"}


def test_names_at_first_use():
    find = at_first_use("collections", PLACES)
    assert find("abc") is collections.abc
    assert find("Sized") is collections.abc.Sized
    assert find("Deque") is collections.deque
    with pytest.raises(AttributeError, match=r"^module 'collections' has no attribute 'Queue'$"):
        find("Queue")


def test_a_module_that_cannot_be_imported_is_no_missing_name():
    with pytest.raises(ModuleNotFoundError, match=r"collections\.nothing"):
        at_first_use("collections", {"nothing": ".nothing:nothing"})("nothing")


@pytest.mark.parametrize(("name", "new"), [("Sized", "abc.Sized"), ("Deque", "deque"), ("most", "Counter.most_common")])
def test_names_of_earlier_versions(name, new):
    with pytest.warns(DeprecationWarning, match=rf"^collections\.{name} is now collections\.{new}$") as found:
        assert earlier_names("collections", PLACES)(name) is at_first_use("collections", PLACES)(name)
    assert found[0].filename == __file__


def test_an_adapter_of_an_earlier_function():
    with pytest.warns(DeprecationWarning, match="is now collections.deque"):
        assert earlier_names("collections", PLACES, {"Deque": list})("Deque") is list


def test_other_names_give_no_warning():
    with pytest.raises(AttributeError, match="no attribute 'Queue'"):
        earlier_names("collections", PLACES)("Queue")
