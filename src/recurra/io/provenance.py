"""Record of the files and columns of the training data, so that the command line reads later files the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from recurra._util.schema import Record

KEY = "provenance"
"""Key of config.json."""


class Provenance(Record, kw_only=True, omit_defaults=True):
    """Names of the training data. A name that does not apply is None.

    Attributes:
        training_file: the file of training data.
        input_column: column of sequences.
        source_column: column of texts to translate.
        target_column: column of targets.
        target_columns: columns of several targets.
        labels_separator: text between the labels in a cell of the column of targets.
        condition_column: column of labels that texts depend on.
        id_column: column with the id of the sequence of each row.
        time_column: column of times.
        feature_columns: columns of numbers, for files with one row per time step; also columns of categories, for
            files with one row per item, which have no ids.
        categories: values of each column of categories.
        elapsed: whether the time since the step before is a feature.
        time_format: format of the times.
        file_of_translations: second file; its lines are translations of the lines of the training file.
        held_out: file of rows that were held out for a test.
        started_from: the model that training started from, with its task and the hash of its weights.
    """

    training_file: str | None = None
    id_column: str | None = None
    time_column: str | None = None
    feature_columns: list[str] | None = None
    categories: dict[str, list[str]] | None = None
    input_column: str | None = None
    source_column: str | None = None
    target_column: str | None = None
    target_columns: list[str] | None = None
    labels_separator: str | None = None
    condition_column: str | None = None
    elapsed: bool | None = None
    time_format: str | None = None
    file_of_translations: str | None = None
    held_out: str | None = None
    started_from: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the known names, for config.json."""
        return msgspec.to_builtins(self)

    def for_card(self) -> dict[str, Any]:
        """Returns the known names by their descriptions, for the model card."""
        return {_OLD_KEYS[field]: value for field, value in self.to_dict().items()}


_OLD_KEYS = {field: field.replace("_", " ") for field in Provenance.__struct_fields__}
"""Keys of the fields in the section `data` of config.json, where earlier versions stored them."""


def with_provenance(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration with the key `provenance`; earlier versions stored its content in `data`."""
    data = config.get("data")
    if KEY in config or not isinstance(data, Mapping):
        return dict(config)
    found = {field: data[key] for field, key in _OLD_KEYS.items() if key in data}
    return {**config, "data": {k: v for k, v in data.items() if k not in _OLD_KEYS.values()}, KEY: found}
