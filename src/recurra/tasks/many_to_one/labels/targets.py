"""Targets with several labels for each sequence: their forms, their encoding, and answers in the same form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra._util.messages import listed
from recurra.data.columns.inputs import is_missing_value
from recurra.errors import DataError
from recurra.tasks.starting.weights import joined_classes

LISTS = (list, tuple, set, frozenset, np.ndarray)
"""Types of the labels of a sequence."""


def as_label_lists(y: Any) -> Any:
    """Returns lists of labels as an array of objects, so that they may differ in length; other targets unchanged.

    A list of rows of equal length that holds only 0 and 1 is a matrix.

    Example:
        >>> as_label_lists([["a"], ["a", "b"], None]).shape, as_label_lists([[0, 1], [1, 1]])
        ((3,), [[0, 1], [1, 1]])
    """
    if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "OUS":
        y = y.tolist()
    if not isinstance(y, list | tuple) or not any(isinstance(row, LISTS) for row in y):
        return y
    if not all(isinstance(row, LISTS) or is_missing_value(row) for row in y):
        return y
    rows = [row for row in y if isinstance(row, list | tuple | np.ndarray)]
    if len(rows) == len(y) and len({len(row) for row in rows}) == 1:
        same, numbers = np.asarray(rows), len(rows[0]) == 1
        if numbers or (same.ndim == 2 and same.dtype.kind in "biuf" and np.isin(same, (0, 1)).all()):
            return y
    found = np.empty(len(y), object)
    found[:] = [row if isinstance(row, LISTS) else None for row in y]
    return found


def holds_labels(y: np.ndarray) -> bool:
    """Returns whether a column holds several labels for each sequence: lists, or a matrix with a column per label."""
    return y.ndim == 2 or (y.dtype.kind == "O" and any(isinstance(value, LISTS) for value in y))


@dataclass(frozen=True)
class LabelSets:
    """The labels of the training data.

    Attributes:
        classes: the labels, in the order of the outputs.
        matrix: whether answers are matrices of 0 and 1 with a column for each label, as the targets were; else lists.
    """

    classes: np.ndarray
    matrix: bool

    @classmethod
    def of(cls, y: np.ndarray, names: Sequence[str] | None = None) -> LabelSets:
        """Learns the labels of training targets.

        Args:
            y: lists of labels `(batch,)`, or a matrix `(batch, labels)`.
            names: of the columns of a matrix; None for their numbers.

        Raises:
            DataError: the targets are no labels.
        """
        if y.ndim == 2:
            _check_matrix(y)
            classes = np.arange(y.shape[1]) if names is None or len(names) != y.shape[1] else np.array(names, str)
            return cls(classes, True)
        found = [label for row in y for label in _labels_of(row)]
        column = np.empty(len(found), object)
        column[:] = found
        return cls(np.unique(one_kind(column)), False)

    def joined(self, known: np.ndarray | None, said: bool) -> LabelSets:
        """Returns the labels together with known ones, with a message on the new ones if `said`."""
        if known is None or not len(self.classes):
            return self if known is None else LabelSets(known, self.matrix)
        return LabelSets(joined_classes(known, self.classes, said), self.matrix)

    def check(self, y: np.ndarray) -> None:
        """Raises `DataError` if the training targets `y` do not suffice to learn from."""
        if len(self.classes) == 1:
            raise DataError(f"the sequences have only one label, {self.classes[0]!s}; give a class for each sequence")
        if not len(self.classes) or (self.matrix and not (y == 1).any()):
            raise DataError("no sequence has a label: there is nothing to learn")

    def encode(self, y: np.ndarray) -> Tensor:
        """Returns targets as `(batch, labels)`, 1 for each label that a sequence has.

        Raises:
            DataError: a label was not in the training data, or a matrix has another number of columns.
        """
        count = len(self.classes)
        if y.ndim == 2:
            _check_matrix(y)
            if y.shape[1] != count:
                raise DataError(f"y has {y.shape[1]} columns of labels, but the model was trained on {count}")
            return torch.from_numpy(y.astype(np.float32))
        places: dict[Any, int] = {label: i for i, label in enumerate(self.classes.tolist())}
        places = {**{str(label): i for label, i in places.items()}, **places}  # labels from a file are texts
        found = np.zeros((len(y), count), np.float32)
        for row, labels in enumerate(y):
            for label in _labels_of(labels):
                place = places.get(label, places.get(str(label)))
                if place is None:
                    known = listed(list(map(str, self.classes)), 10)
                    raise DataError(
                        f"the label {str(label)!r:.60} was not in the training data; known are {known}", row
                    )
                found[row, place] = 1
        return torch.from_numpy(found)

    def decode(self, chosen: np.ndarray) -> Any:
        """Returns the labels of each sequence as lists, or the matrix `(batch, labels)` of 0 and 1.

        Args:
            chosen: which labels each sequence has, `(batch, labels)`.
        """
        return chosen.astype(int) if self.matrix else [self.classes[row].tolist() for row in chosen]


def chosen(outputs: np.ndarray) -> np.ndarray:
    """Returns which labels have a probability above 0.5, `(batch, labels)`."""
    return outputs > 0


def one_kind(y: np.ndarray) -> np.ndarray:
    """Returns an array of objects as strings, or as the numbers that they are."""
    values = y.tolist()
    if all(isinstance(v, str) for v in values):
        return np.array(values, dtype=str)
    if all(isinstance(v, int | float | bool | np.generic) for v in values):
        return np.array(values)
    return np.array([str(v) for v in values], dtype=str)


def _labels_of(row: Any) -> list[Any]:
    if not isinstance(row, LISTS):
        return [row]
    labels = row.tolist() if isinstance(row, np.ndarray) else list(row)
    if any(isinstance(label, LISTS) or is_missing_value(label) for label in labels):
        raise DataError(f"the labels {labels!r:.60} hold a missing value or a list; give one list for each sequence")
    return labels


def _check_matrix(y: np.ndarray) -> None:
    """Raises `DataError` if a matrix holds anything but 0 and 1."""
    if y.dtype.kind not in "biuf" or y.ndim != 2 or not np.isin(y, (0, 1)).all():
        raise DataError(
            f"y has the shape {y.shape}, but holds values other than 0 and 1; give one class per sequence, a list of "
            "labels per sequence, or a matrix with a column of 0 and 1 for each label"
        )


def label_answer(names: Sequence[str], chances: Sequence[float], proba: bool) -> dict[str, Any]:
    """Returns the answer for a sequence with several labels.

    Args:
        names: of all labels.
        chances: their probabilities.
        proba: whether the answer has the probabilities of all labels.
    """
    answer: dict[str, Any] = {"labels": [name for name, p in zip(names, chances, strict=True) if p > 0.5]}
    return answer | ({"probabilities": dict(zip(names, chances, strict=True))} if proba else {})
