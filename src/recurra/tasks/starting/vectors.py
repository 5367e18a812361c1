"""Word vectors that were trained elsewhere, as input of the tasks that read words: the parameter `vectors`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from recurra._util.terminal import say
from recurra.data.vectors import VectorFile, Vectors, open_vectors
from recurra.errors import UsageError
from recurra.nn.tokens.vector_embedding import VectorEmbedding
from recurra.tasks.base import Estimator
from recurra.tasks.fitting import CheckpointConfig, Prepared
from recurra.tasks.params import param
from recurra.training.settings import Settings

MOST_WORDS = 50_000


@dataclass(eq=False, repr=False)
class WithVectors(Estimator):
    """Base of the estimators that take word vectors.

    The network reads the given vector of a word beside the trained one. Given vectors are not trained. The model keeps
    those of the training words and of the most frequent words of the file, so that it does not need the file.
    """

    vectors: Any = None
    vector_words: int = param(
        MOST_WORDS,
        "",
        "number of words at the begin of `vectors` that the model keeps beside those of the training data. These files "
        "have the most frequent words first.",
        at_least=0,
    )

    embedding_path: ClassVar[str]
    """Name of the embedding in the network."""
    _vectors: ClassVar[Vectors | None] = None
    """During `fit`, the vectors of the words."""

    def _check_params(self) -> None:
        super()._check_params()
        if not isinstance(self.vectors, str | os.PathLike | None):
            raise UsageError(f"vectors is the path of a file, not {self.vectors!r:.60}")
        if self.vectors is not None and self.start_from is not None:
            raise UsageError("give either vectors or start_from: a model that training starts from has its own words")

    def _settings_of_run(self, prepared: Prepared, seed: int, checkpoint: CheckpointConfig) -> Settings:
        settings = super()._settings_of_run(prepared, seed, checkpoint)
        if self.vectors is not None:
            self.data_["word vectors"] = Path(self.vectors).name
        return settings

    def _named_params(self) -> dict[str, Any]:
        return {**super()._named_params(), "vectors": None if self.vectors is None else Path(self.vectors).name}

    def _vector_file(self) -> VectorFile | None:
        """Opens the file of word vectors; None if none is given."""
        return None if self.vectors is None else open_vectors(self.vectors)

    def _read_vectors(self, file: VectorFile, words: Collection[str], add: Callable[[Any, int], None]) -> None:
        """Reads the vectors of the training words and of frequent words.

        Args:
            file: the file.
            words: words of the training data.
            add: gives numbers to further words; it is called with the words and the size of a vector.
        """
        vars(self)["_vectors"] = found = file.take(words, self.vector_words)
        add(found.rows, file.size)
        if self.verbose:
            known = sum(found.row_of(word) is not None for word in words)
            share = f" ({known / len(words):.0%})" if words else ""
            say(
                f"{file.path.name}: vectors with {file.size:,} numbers for {known:,} of {len(words):,} different words "
                f"of the training data{share}, and {len(found.rows):,} words in total"
            )

    def _numbered_words(self) -> Sequence[str]:
        """Returns the word of each number of the encoder."""
        raise NotImplementedError

    def _initial_weights(self) -> dict[str, torch.Tensor]:
        weights, given = super()._initial_weights(), vars(self).pop("_vectors", None)
        if self.vectors is None or self._start is not None:
            return weights
        words = self._numbered_words()
        if given is None:  # the encoder is that of a run that continues
            given = open_vectors(self.vectors).take(words, 0)
        layer = self.network_.get_submodule(self.embedding_path)
        if isinstance(layer, VectorEmbedding):
            scale = float(layer.trained.weight.detach().std())
            weights[f"{self.embedding_path}.given"] = torch.from_numpy(_table(words, given, scale))
        return weights


def _table(words: Sequence[str], given: Vectors, scale: float) -> np.ndarray:
    """Returns the given vectors of numbered words, `(words, size)`; zeros for a word without one.

    Args:
        words: word of each number.
        given: vectors of words.
        scale: root mean square of the result.
    """
    mean = np.linalg.norm(given.table.ravel()) / np.sqrt(given.table.size) or 1.0
    found = np.zeros((len(words), given.table.shape[1]), np.float16)
    for place, word in enumerate(words):  # one by one: the tables are large
        row = given.row_of(word)
        if row is not None:
            found[place] = np.clip(given.table[row] * np.float32(scale / mean), -6e4, 6e4)
    return found
