"""Vectors of sequences, for other models: what the network of a classifier or regressor gives its head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from recurra.data.batching.batches import batches_of
from recurra.data.columns.inputs import is_empty
from recurra.tasks.base import PREDICT_BATCH
from recurra.tasks.finite import finite

from .series.ensemble import one_network


class Embedding(TransformerMixin):
    """The methods of the many-to-one estimators that return vectors."""

    def transform(self, X: Any) -> np.ndarray:
        """Returns a vector for each sequence: the pooled states of the layers, which the last layer reads.

        Args:
            X: sequences as in `fit`.

        Returns:
            `(batch, size)`. The size is `hidden_size`, times 2 for a bidirectional network, times the number of
            networks.

        Example:
            >>> from recurra import SequenceClassifier
            >>> clf = SequenceClassifier(hidden_size=4, epochs=1, verbose=0).fit(["ab", "cd"] * 10, ["x", "y"] * 10)
            >>> clf.transform(["ab", "dc", ""]).shape
            (3, 4)
        """
        check_is_fitted(self, "network_")
        found = [] if is_empty(X) else list(self._embedded(X, _whole))
        return np.stack(found) if found else np.zeros((0, self._width()), np.float32)

    def transform_steps(self, X: Any) -> list[np.ndarray]:
        """Returns the states of the top layer after each step, for each sequence.

        A step is a token of a text, a step of a numeric series, or 30 ms of a recording.

        Args:
            X: sequences as in `fit`.

        Returns:
            Arrays `(time, size)`.

        Raises:
            UsageError: the model has several networks, or reads frames of several steps.

        Example:
            >>> from recurra import SequenceClassifier
            >>> clf = SequenceClassifier(hidden_size=4, tokens="char", epochs=1, verbose=0)
            >>> [found.shape for found in clf.fit(["ab", "cd"] * 10, ["x", "y"] * 10).transform_steps(["abc", ""])]
            [(3, 4), (0, 4)]
        """
        check_is_fitted(self, "network_")
        one_network(self, "a vector for each step")
        return [] if is_empty(X) else list(self._embedded(X, _steps))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Returns names of the columns of `transform`: the class in lower case, and a number."""
        check_is_fitted(self, "network_")
        return np.array([f"{type(self).__name__.lower()}{i}" for i in range(self._width())], dtype=object)

    def _width(self) -> int:
        estimator: Any = self
        members = getattr(estimator.network_, "members", [estimator.network_])
        return sum(member.encoder.output_size for member in members)

    def _embedded(self, X: Any, answer: Callable[[Any, Any], list[np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields the answers for all sequences in order."""
        estimator: Any = self
        for chunk in estimator._accept(X).chunks():
            batches = batches_of(estimator.encoder_.encode(chunk), batch_size=PREDICT_BATCH)
            found = estimator._run(batches, answer)
            yield from (found[row] for row in range(len(chunk)))

    def __sklearn_tags__(self) -> Any:
        tags: Any = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _whole(network: Any, batch: Any) -> list[np.ndarray]:
    return list(finite(network.embed(batch.values, batch.lengths).float().cpu()).numpy())


def _steps(network: Any, batch: Any) -> list[np.ndarray]:
    output, _, lengths = network.states(batch.values, batch.lengths)
    values = finite(output.float().cpu()).numpy()
    return [row[:length] for row, length in zip(values, lengths.tolist(), strict=True)]
