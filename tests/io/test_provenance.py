"""Names of the training data: their own key in config.json, the old keys of earlier versions, and the model card."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest
from schema1.inputs import FOLDERS

import recurra
from recurra.io import Provenance, with_provenance

OLD = {
    "training file": "a.csv",
    "id column": "trip",
    "time column": "second",
    "feature columns": ["speed", "brake"],
    "target column": "driver",
    "time format": "%d.%m.%Y",
}
NEW = {key.replace(" ", "_"): value for key, value in OLD.items()}


def test_the_keys_of_earlier_versions_are_read():
    found = with_provenance({"data": {"sequences": 3, **OLD}, "task": "classify"})
    assert found == {"data": {"sequences": 3}, "task": "classify", "provenance": NEW}
    assert with_provenance(found) == found
    assert with_provenance({"data": None}) == {"data": None}


@pytest.mark.parametrize("name", ["classify-series", "generate"])
def test_a_folder_of_an_earlier_version(tmp_path, name):
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(FOLDERS / name, old)
    config = json.loads((old / "config.json").read_text(encoding="utf-8"))
    config["data"] |= OLD
    (old / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = recurra.load(old)
    assert msgspec.to_builtins(model.provenance_) == NEW
    model.save(new)
    written = json.loads((new / "config.json").read_text(encoding="utf-8"))
    assert written["provenance"] == NEW
    assert not OLD.keys() & written["data"].keys()
    assert recurra.load(new).provenance_ == model.provenance_
    card = (new / "README.md").read_text(encoding="utf-8")
    assert "| feature columns | ['speed', 'brake'] |" in card
    assert "| training file | a.csv |" in card


def test_a_model_from_python_has_no_names(tmp_path):
    recurra.load(FOLDERS / "classify").save(tmp_path / "m")
    assert "provenance" not in json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))
    assert Provenance().for_card() == {}
