"""The baseline of translation: the known translation of the most similar known source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from recurra._util.schema import FileError
from recurra.data.columns.pairs import Pairs

FILE = "pairs.jsonl"
ROWS = 256  # compared with all pairs at once


class Neighbours:
    """Pairs to look up by the cosine of TF-IDF weights of the sources' character n-grams, one to four within words.

    Args:
        sources: texts.
        targets: their translations.

    Example:
        >>> Neighbours(["I run.", "He sleeps."], ["나는 달린다.", "그는 잔다."]).translate(["He runs.", "I sleep"])
        ['나는 달린다.', '그는 잔다.']
    """

    def __init__(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        self.sources, self.targets = list(sources), list(targets)
        self._index: tuple[Any, Any] | None = None

    @classmethod
    def of(cls, pairs: Pairs, most: int, seed: int) -> Neighbours | None:
        """A random choice of pairs where there are more than `most`; None where that is 0."""
        if most == 0:
            return None
        rows = np.arange(len(pairs))
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])
        return cls([pairs.sources[i] for i in rows], [pairs.targets[i] for i in rows])

    def translate(self, texts: Sequence[str]) -> list[str]:
        """The translation of the most similar source of each text; of equally similar ones, the first."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        if self._index is None:
            vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
            self._index = vectorizer, vectorizer.fit_transform(self.sources).T.tocsr()
        vectorizer, known = self._index
        found: list[str] = []
        for start in range(0, len(texts), ROWS):
            nearest = (vectorizer.transform(texts[start : start + ROWS]) @ known).toarray().argmax(axis=1)
            found += [self.targets[i] for i in nearest]
        return found

    def to_files(self) -> dict[str, str]:
        """For the model folder: a JSON list for each pair."""
        rows = zip(self.sources, self.targets, strict=True)
        return {FILE: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)}

    @classmethod
    def from_files(cls, files: dict[str, str]) -> Neighbours | None:
        """The reverse of `to_files`; None where the model kept no pairs.

        Raises:
            FileError: the file is damaged.
        """
        if FILE not in files:
            return None
        pairs = []
        for number, line in enumerate(files[FILE].split("\n"), 1):
            if line:
                try:
                    pairs.append(msgspec.json.decode(line, type=tuple[str, str]))
                except (msgspec.MsgspecError, RecursionError):
                    raise FileError(FILE, f"is damaged: line {number} is not a list of two texts") from None
        return cls([source for source, _ in pairs], [target for _, target in pairs])
