"""Taggers of sentences: what `SequenceTagger` does with words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recurra.data.batching.batches import Batches
from recurra.data.batching.store import SequenceStore
from recurra.data.batching.words import WordBatches
from recurra.data.columns.sentences import as_sentences, as_tags
from recurra.data.encoders.tag_schemes import Scheme
from recurra.data.encoders.words import WordEncoder
from recurra.errors import UsageError
from recurra.tasks.baselines import Baseline
from recurra.tasks.counts import fit_tags
from recurra.tasks.starting.language import Start

from .baselines import fit_linear_tags
from .network import TaggerNetwork
from .reader import Reader
from .service import TagService

Tags = list[list[str | None]]


class Words:
    """Rows are sentences, lists of words.

    Args:
        estimator: the `SequenceTagger`, whose fitted attributes are read and set.
    """

    sequences, steps = "sentences", "words"
    patience = None
    """See `Estimator._patience`; None for the default."""
    service_class = TagService
    marks_spans = True
    """Whether tags such as `B-PER` are read as marks of spans."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def pair(self, X: Any, y: Any = None, name: str = "y") -> tuple[list[list[str]], Tags | None]:
        """Converts `X` to rows, and `y` to tags; None for no tags."""
        rows = as_sentences(X)
        return rows, None if y is None else as_tags(y, rows, name)

    def fit(self, rows: list[list[str]], start: Start | None) -> tuple[WordEncoder, Reader | None]:
        """Returns encoder and reader for the training rows, or those of the model that training starts from."""
        estimator = self.estimator
        if start is not None and start.same and start.model.encoder_.kind != WordEncoder.kind:
            raise UsageError("start_from is a model of numbers, and these sequences are words")
        encoder = estimator._learnt("encoder_", lambda: self._encoder(rows))
        if start is None:
            return encoder, None
        return encoder, start.model.reader_ if start.same else Reader.of(start.model.language())

    def _encoder(self, rows: list[list[str]]) -> WordEncoder:
        """Returns a new encoder that knows the words of sentences, and those of the file of vectors."""
        estimator = self.estimator
        encoder, file = WordEncoder(estimator.characters, estimator.vocab_size).fit(rows), estimator._vector_file()
        if file is not None:
            estimator._read_vectors(file, encoder.seen(), encoder.add_words)
        return encoder

    def batches(self, rows: list[list[str]], path: Path | None, **options: Any) -> WordBatches:
        """Returns batches of rows; see `Batches` for the options."""
        places: dict[str, int] = {}
        numbers = [np.array([places.setdefault(w, len(places)) for w in row], np.int64) for row in rows]
        batches = Batches(SequenceStore.build([numbers], path), **options)
        lexicon = self.estimator.encoder_.lexicon(places or [""])
        if self.estimator.reader_ is not None:
            lexicon = lexicon._replace(pieces=self.estimator.reader_.pieces(list(places or [""])))
        return WordBatches(batches, lexicon)

    def summary(self, rows: list[list[str]]) -> dict[str, int]:
        """Returns facts about the training rows."""
        return {"different words": len({word for words in rows for word in words})}

    def build(self) -> TaggerNetwork:
        """Returns the untrained network."""
        estimator, encoder, allowed = self.estimator, self.estimator.encoder_, None
        if estimator.parts_ and estimator.scheme_:
            pairs, start, end = (torch.from_numpy(part) for part in Scheme(estimator.scheme_).table(estimator.parts_))
            allowed = (pairs, start, end)
        return TaggerNetwork(
            encoder.words,
            encoder.signs if estimator.characters != "none" else 0,
            len(estimator.classes_),
            embedding_size=estimator.embedding_size,
            char_embedding_size=estimator.char_embedding_size,
            char_hidden_size=estimator.char_hidden_size,
            recurrent=estimator._recurrent(bidirectional=estimator.bidirectional),
            token_dropout=estimator.token_dropout,
            crf=estimator.crf_,
            allowed=allowed,
            reader=None if estimator.reader_ is None else estimator.reader_.build(),
            vectors=None if encoder.vectors is None else (encoder.known, encoder.vectors),
        )

    def fit_baselines(self, batches: WordBatches) -> list[Baseline]:
        """Returns the baselines, the constant one first."""
        encoder, tags = self.estimator.encoder_, len(self.estimator.classes_)
        return fit_tags(batches, encoder.words, tags) + fit_linear_tags(batches, encoder.kinds(), tags)

    def sizes(self) -> dict[str, int]:
        """Returns the sizes of the axes of the baselines' arrays, without the tags."""
        return {"words": self.estimator.encoder_.words, "signs": self.estimator.encoder_.signs}

    def described(self, rows: list[list[str]], tags: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Returns the fields of a `Subject` that name the steps and the answers."""
        different = dict.fromkeys(word for words in rows for word in words)  # in the order of the batch
        answers = [
            " ".join(f"{word}/{tag}" for word, tag in zip(*pair, strict=True)) for pair in zip(rows, tags, strict=True)
        ]
        spelling = {"spelling": self.estimator.encoder_.shown(different)}
        return {"steps": rows, "layer_steps": spelling, "answers": answers}

    def names(self, rows: list[list[str]]) -> list[list[str]] | None:
        """Returns the words of the steps."""
        return rows

    def state(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Returns keys of config.json, and files."""
        encoder, reader = self.estimator.encoder_, self.estimator.reader_
        config, files = {"encoder": encoder.to_config()}, encoder.to_files()
        if reader is not None:
            config["reader"] = reader.to_config()
            files |= reader.encoder.to_files()
        return config, files

    def load(self, config: Mapping[str, Any], files: dict[str, str]) -> tuple[WordEncoder, Reader | None]:
        """Returns encoder and reader of what `state` returned."""
        reader = config.get("reader")
        encoder = WordEncoder.from_files(config["encoder"], files)
        return encoder, None if reader is None else Reader.from_files(reader, files)

    def card(self) -> tuple[str, str]:
        """See `Estimator._card_info`."""
        return "text", '[["A", "sentence"]]'
