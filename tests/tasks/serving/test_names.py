"""Names of columns and outputs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recurra import SequenceClassifier, SequenceRegressor
from recurra.io import Provenance
from recurra.tasks.serving.names import column_names, output_names

OPTIONS = {"hidden_size": 3, "epochs": 1, "verbose": 0}
X = [np.full((3, 2), float(n % 2)) for n in range(12)]


def test_columns_are_those_of_the_data_or_of_the_file():
    y = ["b", "a"] * 6
    model = SequenceClassifier(**OPTIONS).fit(X, y)
    assert column_names(model) is None
    model.provenance_ = Provenance(feature_columns=["heat", "noise"])
    assert column_names(model) == ["heat", "noise"]
    model = SequenceClassifier(**OPTIONS).fit([pd.DataFrame(rows, columns=["u", "v"]) for rows in X], y)
    assert column_names(model) == ["u", "v"]
    model.provenance_ = Provenance(feature_columns=["heat", "noise"])
    assert column_names(model) == ["u", "v"]


def test_outputs_are_classes_or_targets():
    assert output_names(SequenceClassifier(**OPTIONS).fit(X, [True, False] * 6)) == ["False", "True"]
    y = np.arange(12.0)
    model = SequenceRegressor(**OPTIONS).fit(X, y)
    assert output_names(model) == ["value"]
    model.provenance_ = Provenance(target_column="litres")
    assert output_names(model) == ["litres"]
    assert output_names(SequenceRegressor(**OPTIONS).fit(X, np.stack([y, -y], 1))) == ["value[0]", "value[1]"]
