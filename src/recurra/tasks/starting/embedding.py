"""Vectors of sequences, for other models: what a network computes before its last layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from recurra.data.batching.batches import batches_of
from recurra.data.columns.inputs import is_empty

TOGETHER = 256  # sequences of a batch


def vectors_of(states: np.ndarray, lengths: list[int], steps: bool) -> Iterator[np.ndarray]:
    """Yields the mean of the vectors of the steps of each sequence, or all of them; the mean of no steps is 0.

    Args:
        states: `(batch, time, size)`.
        lengths: steps of each sequence.
        steps: whether to yield the vectors of the steps `(time, size)`.
    """
    for row, length in zip(states, lengths, strict=True):
        yield row[:length] if steps else row[:length].sum(0) / max(length, 1)


class Embedding(TransformerMixin):
    """The methods of estimators that return vectors."""

    # what a task defines

    def _embedded(self, X: Any, steps: bool) -> Iterator[np.ndarray]:
        """Yields the vector of each sequence `(size,)`, or those of its steps `(time, size)`."""
        raise NotImplementedError

    def _vector_size(self) -> int:
        """Returns the size of a vector."""
        raise NotImplementedError

    def step_names(self, X: Any) -> list[list[str]] | None:
        """Returns the tokens or words of the steps; None if the steps have no names."""
        raise NotImplementedError

    def _in_chunks(
        self,
        chunks: Iterable[list[Any]],
        encode: Callable[[list[Any]], list[np.ndarray]],
        answer: Callable[[Any, Any], Iterable[np.ndarray]],
    ) -> Iterator[np.ndarray]:
        """Yields the answers to the sequences of chunks, in their order.

        Args:
            chunks: the sequences.
            encode: returns arrays for the sequences of a chunk.
            answer: see `Estimator._run`.
        """
        run: Any = self._run  # type: ignore[attr-defined]
        for chunk in chunks:
            found = run(batches_of(encode(chunk), batch_size=TOGETHER), answer)
            yield from (found[row] for row in range(len(chunk)))

    def transform(self, X: Any) -> np.ndarray:
        """Returns a vector for each sequence.

        It is what the last layer reads: of classifiers and regressors the pooled states, of language models the state
        after the text, of forecasters the state after the series, and of translators that of the encoder after the
        text. Of taggers, blank fillers and transcribers it is the mean of the vectors of the steps.

        Args:
            X: sequences as in `fit`. A language model with labels reads them without a label.

        Returns:
            `(batch, size)`.

        Example:
            >>> from recurra import SequenceClassifier
            >>> clf = SequenceClassifier(hidden_size=4, epochs=1, verbose=0).fit(["ab", "cd"] * 10, ["x", "y"] * 10)
            >>> clf.transform(["ab", "dc", ""]).shape
            (3, 4)
        """
        check_is_fitted(self, "network_")
        found = [] if is_empty(X) else list(self._embedded(X, steps=False))
        return np.stack(found) if found else np.zeros((0, self._vector_size()), np.float32)

    def transform_steps(self, X: Any) -> list[np.ndarray]:
        """Returns a vector for each step of each sequence: the states of the top layer after it.

        A step is a token of a text, a word of a sentence, a step of a numeric series, or 30 ms of a recording. Of
        blank fillers the vector of a token comes from the other tokens. Of forecasters a step is a segment of the
        context.

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
        return [] if is_empty(X) else list(self._embedded(X, steps=True))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Returns names of the columns of `transform`: the class in lower case, and a number."""
        check_is_fitted(self, "network_")
        return np.array([f"{type(self).__name__.lower()}{i}" for i in range(self._vector_size())], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags: Any = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
