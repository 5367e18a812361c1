"""Names of earlier versions work with a warning."""

from __future__ import annotations

import pytest

import recurra.inspect
from recurra.inspect import plots
from recurra.inspect.units.label_association import LabelAssociation

NAMES = {
    "Importance": "UnitAblation",
    "Telling": "LabelAssociation",
    "browse": "max_activating",
    "figures": "plots",
    "importance": "unit_ablation",
    "telling_units": "label_association",
}


@pytest.mark.parametrize("old", NAMES)
def test_an_old_name_is_the_new_one(old):
    with pytest.warns(DeprecationWarning, match=f"inspect.{old} is now recurra.inspect.{NAMES[old]}$"):
        found = getattr(recurra.inspect, old)
    assert found is (plots if old == "figures" else getattr(recurra.inspect, NAMES[old]))


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        recurra.inspect.nothing  # noqa: B018


def test_telling_units_of_a_result():
    found = LabelAssociation([], "hidden", "mean", 3)
    with pytest.warns(DeprecationWarning, match="`telling` is now `significant`"):
        assert found.telling == found.significant == []
