"""Taggers of numeric sequences: what `SequenceTagger` does with steps of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from recurra._util.messages import counted
from recurra.data.batching.batches import Batches
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.inputs import Arrays
from recurra.data.columns.steps import Tags, as_steps
from recurra.data.encoders.series import SeriesEncoder
from recurra.errors import DataError, UsageError
from recurra.tasks.baselines import Baseline
from recurra.tasks.serving.names import column_names, set_columns
from recurra.tasks.starting.language import Start

from .network import StepNetwork
from .service import StepService
from .step_baselines import fit_steps

LONGEST = 12
"""Runs of equal tags in an answer in words."""


class Steps:
    """Rows are numeric sequences, `Arrays`.

    Args:
        estimator: the `SequenceTagger`, whose fitted attributes are read and set.
    """

    sequences, steps = "sequences", "steps"
    patience = 0.5  # as of classifiers of series: long ones look the same for many passes before anything is learnt
    service_class = StepService
    marks_spans = False

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def pair(self, X: Any, y: Any = None, name: str = "y") -> tuple[Arrays, Tags | None]:
        """Converts `X` to rows, and `y` to tags; None for no tags."""
        rows, tags = as_steps(X, y, name)
        empty = not any(map(len, rows.rows))
        if empty and y is not None:
            raise DataError("every sequence is empty: there is nothing to learn from or to compare with")
        if empty and hasattr(self.estimator, "encoder_"):
            features = self.estimator.encoder_.features  # nothing in X says how many
            return Arrays([np.zeros((0, features))] * len(rows), features), tags
        return rows.in_order_of(getattr(self.estimator, "feature_names_in_", None)), tags

    def fit(self, rows: Arrays, start: Start | None) -> tuple[SeriesEncoder, None]:
        """Returns the encoder for the training rows, or that of the model that training starts from; no reader."""
        estimator = self.estimator
        if start is not None and not (start.same and start.model.encoder_.kind == SeriesEncoder.kind):
            raise UsageError("start_from is a model of words, and these sequences are numbers")
        if estimator.vectors is not None:
            raise UsageError("vectors are vectors of words, and these sequences are numbers")
        if start is None:
            set_columns(estimator, rows.features, rows.names)
        return estimator._learnt("encoder_", lambda: SeriesEncoder(rows.features).fit(rows.chunks())), None

    def batches(self, rows: Arrays, path: Path | None, **options: Any) -> Batches:
        """Returns batches of rows; see `Batches` for the options."""
        encode = self.estimator.encoder_.encode
        return Batches(SequenceStore.build((encode(chunk) for chunk in rows.chunks()), path), **options)

    def summary(self, rows: Arrays) -> dict[str, int]:
        """Returns facts about the training rows."""
        return {"missing values": rows.missing}

    def build(self) -> StepNetwork:
        """Returns the untrained network."""
        estimator = self.estimator
        recurrent = estimator._recurrent(bidirectional=estimator.bidirectional)
        features, tags = estimator.encoder_.input_size, len(estimator.classes_)
        return StepNetwork(features, tags, recurrent=recurrent, crf=estimator.crf_)

    def fit_baselines(self, batches: Batches) -> list[Baseline]:
        """Returns the baselines, the constant one first."""
        return fit_steps(batches, len(self.estimator.classes_))

    def sizes(self) -> dict[str, int]:
        """Returns the sizes of the axes of the baselines' arrays, without the tags."""
        return {"features": self.estimator.encoder_.input_size}

    def described(self, rows: Arrays, tags: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Returns the fields of a `Subject` that name the features and the answers."""
        names = column_names(self.estimator)
        if names is not None:
            names += [f"{names[i]} missing" for i in self.estimator.encoder_.masked.tolist()]
        return {"features": names, "answers": [_in_runs(row) for row in tags]}

    def names(self, rows: Arrays) -> list[list[str]] | None:
        """Returns None: steps of numbers have no names."""
        return None

    def state(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Returns keys of config.json, and files."""
        names = getattr(self.estimator, "feature_names_in_", None)
        named = {} if names is None else {"feature_names": names.tolist()}
        return {"encoder": self.estimator.encoder_.to_config(), **named}, {}

    def load(self, config: Mapping[str, Any], files: dict[str, str]) -> tuple[SeriesEncoder, None]:
        """Returns the encoder of what `state` returned; no reader."""
        encoder = SeriesEncoder.from_files(config["encoder"], files)
        set_columns(self.estimator, encoder.features, config.get("feature_names"))
        return encoder, None

    def card(self) -> tuple[str, str]:
        """See `Estimator._card_info`."""
        return "time-series", f"[[[0.0] * {self.estimator.encoder_.features}]]"


def _in_runs(tags: Sequence[str]) -> str:
    """Returns tags in words.

    Example:
        >>> _in_runs(["on", "on", "off"])
        'on (2 steps), off (1 step)'
    """
    runs = [f"{tag} ({counted(len(list(steps)), 'step')})" for tag, steps in groupby(tags)]
    return ", ".join(runs[:LONGEST]) + (", …" if len(runs) > LONGEST else "")
