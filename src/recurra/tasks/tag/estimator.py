"""Tagging, many-to-many aligned: a tag for each word of a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from recurra._util.schema import Record, check_labels
from recurra.data.batching.batches import IGNORE, Batches
from recurra.data.batching.split import hold_out
from recurra.data.batching.store import SequenceStore
from recurra.data.batching.words import WordBatches
from recurra.data.columns.inputs import CHUNK_ROWS
from recurra.data.columns.sentences import as_sentences, as_tags
from recurra.data.encoders.tag_schemes import Scheme, find_scheme, parts_of
from recurra.data.encoders.words import CHARACTERS, WordConfig, WordEncoder
from recurra.errors import DataError, UsageError
from recurra.ops import Stack
from recurra.tasks.base import PREDICT_BATCH
from recurra.tasks.baselines import Baseline
from recurra.tasks.config import FolderConfig
from recurra.tasks.counts import FrequentTag, TagOfWord, fit_tags
from recurra.tasks.finite import finite
from recurra.tasks.fitting import CheckpointConfig, Prepared, Validation
from recurra.tasks.params import param
from recurra.tasks.starting.embedding import Embedding
from recurra.tasks.starting.language import Start
from recurra.tasks.starting.vectors import WithVectors
from recurra.tasks.starting.weights import joined_classes
from recurra.tasks.subject import Subject
from recurra.tasks.tuning.ranges import Range

from .baselines import LinearTags, fit_linear_tags
from .network import UNSEEN_TAG, TaggerNetwork, Tagging
from .reader import Reader, ReaderConfig
from .running import Observations
from .service import TagService

T = TypeVar("T")

MAX_CRF_TAGS = 400


MAX_SCHEME_TAGS = 2000
"""Most tags of a scheme: each pair of them is looked at."""


class TagTargets(Record):
    """The tags that a tagger knows."""

    tags: list[str]
    scheme: Literal["BIO", "IOB1", "IOE1", "IOE2", "IOBES"] | None = None

    def check(self) -> None:
        """See `Record.check`."""
        check_labels(self.tags, least=2)
        if self.scheme and (len(self.tags) > MAX_SCHEME_TAGS or not parts_of(self.tags)):
            raise ValueError(f"the tags are not at most {MAX_SCHEME_TAGS:,} of the scheme {self.scheme}")


class TagConfig(FolderConfig):
    """config.json of a tagger."""

    targets: TagTargets
    encoder: WordConfig
    reader: ReaderConfig | None = None


@dataclass(eq=False, repr=False)
class SequenceTagger(Embedding, WithVectors):
    """Recurrent network that gives each word of a sentence a tag: parts of speech, names, chunks.

    The input of a word is its vector and the output of a recurrent layer over its characters. So the model also uses
    the form of words that were not in the training data. Tags that mark spans (BIO, IOBES, BILOU and similar) are
    recognised. Decoded tags are then always valid in the scheme of the training data.

    Args:
        cell: see `SequenceClassifier`; with `"none"` each word is judged by itself (by its characters, still in order).
        hidden_size: units per layer and direction, over the words.
        num_layers: recurrent layers over the words.
        bidirectional: whether sentences are read from both ends.
        embedding_size: size of a word's vector.
        vocab_size: greatest number of words with a vector; words that occur once have none.
        characters: `"jamo"` (characters and the letters they are made of: those of a syllable of Hangul, a letter and
            its accents), `"char"` (characters only) or `"none"`.
        char_embedding_size: size of a character's vector.
        char_hidden_size: units per direction, over the characters of a word.
        token_dropout: probability of replacing a word's vector by that of the unknown word, in training.
        crf: whether transitions between tags are learnt (a conditional random field); at most 400 different tags.
        dropout: probability of dropping a feature, in training.
        batch_size: sentences per step.

    Attributes:
        classes_: the tags, in the order of the columns of `predict_proba`.
        scheme_: scheme of the tags, such as `"BIO"` or `"IOBES"`; None where they mark no spans, or in no known way.
        history_: a dictionary of metrics for each epoch.
        best_epoch_: the epoch, counted from 1, whose weights were kept.
        network_: the trained `torch.nn.Module`.

    Example:
        >>> from recurra import SequenceTagger
        >>> words = [["Anna", "sleeps"], ["Ben", "and", "Anna", "sing"]] * 20
        >>> tags = [["NOUN", "VERB"], ["NOUN", "CCONJ", "NOUN", "VERB"]] * 20
        >>> tagger = SequenceTagger(hidden_size=16, epochs=15, batch_size=8, learning_rate=0.01).fit(words, tags)
        >>> tagger.predict([["Ben", "sleeps"]])
        [['NOUN', 'VERB']]
    """

    batch_size: int = 32
    learning_rate: float = 4e-3
    dropout: float = 0.25
    bidirectional: bool = True
    embedding_size: int = 100
    vocab_size: int = param(50_000, at_least=1, search=())
    characters: str = param("jamo", choices=CHARACTERS, search=("jamo", "char"), shapes=True)
    char_embedding_size: int = param(64, at_least=1, shapes=True)
    char_hidden_size: int = param(64, at_least=1, search=Range(32, 128, log=True), shapes=True)
    token_dropout: float = 0.3
    crf: bool = param(False, search=(False, True), shapes=True)

    starts_from_language: ClassVar = True
    embedding_path: ClassVar = "embedding"

    task = "tag"
    class_axes: ClassVar = {
        **dict.fromkeys(("head.weight", "head.bias", "chain.start", "chain.end"), (0,)),
        "chain.pairs": (0, 1),
    }
    folder_config = TagConfig
    service_class = TagService
    aligned = True
    simple_models: ClassVar = (FrequentTag, TagOfWord, LinearTags)

    @property
    def accepts_text(self) -> bool:
        """See `Estimator.accepts_text`."""
        return True

    # fitting

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_minutes: float = 10.0,
        resume: bool = False,
        workers: Any = None,
    ) -> Self:
        """Trains on sentences `X` and their tags `y`.

        Args:
            X: a list of words for each sentence, or a text, which is split at white space.
            y: a list of tags for each sentence, as many as it has words; None where one is not known.
            validation_data: `(X, y)` that choose the best epoch, instead of a part of the training data.
            checkpoint: folder for the prepared data and the state of the run, from which it can be resumed.
            checkpoint_minutes: greatest time between two checkpoints; there is one after each epoch too.
            resume: whether to continue from the state in `checkpoint`, if there is one. Without, a folder that
                contains the state of an earlier run is refused.
            workers: number of processes that train together, or a range `(least, most)`; needs the extra `cluster`.
                See `recurra.training.workers.options.Workers` for other machines.

        Returns:
            The estimator itself. After Ctrl-C it holds the best epoch's weights and `interrupted_` is True.

        Raises:
            DataError: the data cannot be used; the message says where and why.
            UsageError: an argument is out of its range (it is a ValueError).
        """
        return self._fit(
            X,
            y,
            validation_data=validation_data,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            resume=resume,
            workers=workers,
        )

    def _prepare(
        self, X: Any, y: Any, *, validation_data: Validation, seed: int, checkpoint: CheckpointConfig
    ) -> Prepared:
        sentences = as_sentences(X)
        tags = as_tags(y, sentences, "y")
        whole = np.ones(len(sentences), bool)
        apart = hold_out(whole, self.validation_fraction if validation_data is None else 0, seed)
        training, held_out = np.flatnonzero(~apart), np.flatnonzero(apart)
        words_of = [sentences[i] for i in training]
        self._fit_tags([tags[i] for i in training])
        self.encoder_ = self._learnt("encoder_", lambda: self._fitted_encoder(words_of))
        self.reader_: Reader | None = None
        if self._start is not None:
            model = self._start.model
            self.reader_ = model.reader_ if self._start.same else Reader.of(model.language())
        batches = self._batches(words_of, [tags[i] for i in training], seed, checkpoint.file("training.arrow"))
        valid = None
        if validation_data is not None:
            held_x = as_sentences(validation_data[0])
            held_y = as_tags(validation_data[1], held_x, "the validation y")
            if not any(tag is not None for row in held_y for tag in row):
                raise DataError("every validation tag is missing")
            valid = self._batches(held_x, held_y, None, checkpoint.file("validation.arrow"))
        elif len(held_out):
            valid = self._batches([sentences[i] for i in held_out], [tags[i] for i in held_out], None, None)
        summary = {
            "sentences": len(training),
            "words": sum(map(len, words_of)),
            "different words": len({word for words in words_of for word in words}),
            "words without a tag": sum(tags[i].count(None) for i in training),
            "validation sentences": 0 if valid is None else len(valid.batches.rows),
        }
        return Prepared(batches, valid, summary)

    def _fitted_encoder(self, sentences: list[list[str]]) -> WordEncoder:
        """Returns a new encoder that knows the words of sentences, and those of the file of vectors."""
        encoder, file = WordEncoder(self.characters, self.vocab_size).fit(sentences), self._vector_file()
        if file is not None:
            self._read_vectors(file, encoder.seen(), encoder.add_words)
        return encoder

    def _numbered_words(self) -> Sequence[str]:
        return self.encoder_.numbered()

    def _fit_tags(self, tags: list[list[str | None]]) -> None:
        """Learns which tags there are and what may follow what."""
        known = sorted({tag for row in tags for tag in row if tag is not None})
        if not known:
            raise DataError("every tag is missing: there is nothing to learn")
        if self._start is not None and self._start.same:
            known = joined_classes(self._start.model.classes_, np.array(known), bool(self.verbose)).tolist()
        if len(known) < 2:
            raise DataError(f"there is only one tag, {known[0]}; there is nothing to tell apart")
        if self.crf and len(known) > MAX_CRF_TAGS:
            raise UsageError(f"crf is for at most {MAX_CRF_TAGS} different tags, and there are {len(known):,}")
        self.classes_ = np.array(known)
        self.parts_, self.scheme_ = parts_of(known), None
        if self.parts_:
            part = dict(zip(known, self.parts_, strict=True))
            whole = ([part[tag] for tag in row if tag is not None] for row in tags if None not in row)
            found = find_scheme(whole, {p.role for p in self.parts_})
            self.scheme_ = found and found.name

    def _batches(
        self, sentences: list[list[str]], tags: list[list[str | None]] | None, seed: int | None, path: Path | None
    ) -> WordBatches:
        """Batches of sentences; shuffled for training where a seed is given."""
        places: dict[str, int] = {}
        rows = [np.array([places.setdefault(w, len(places)) for w in row], np.int64) for row in sentences]
        targets = None
        if tags is not None:
            number: dict[str | None, int] = {tag: i for i, tag in enumerate(self.classes_.tolist())} | {None: IGNORE}
            targets = SequenceStore.build(
                [[np.array([number.get(tag, UNSEEN_TAG) for tag in row], np.int64) for row in tags]]
            )
        batches = Batches(
            SequenceStore.build([rows], path),
            targets=targets,
            batch_size=PREDICT_BATCH if seed is None else self.batch_size,
            shuffle=seed is not None,
            seed=seed or 0,
        )
        lexicon = self.encoder_.lexicon(places or [""])
        if self.reader_ is not None:
            lexicon = lexicon._replace(pieces=self.reader_.pieces(list(places or [""])))
        return WordBatches(batches, lexicon)

    def _build(self) -> TaggerNetwork:
        allowed = None
        if self.parts_ and self.scheme_:
            pairs, start, end = (torch.from_numpy(part) for part in Scheme(self.scheme_).table(self.parts_))
            allowed = (pairs, start, end)
        return TaggerNetwork(
            self.encoder_.words,
            self.encoder_.signs if self.characters != "none" else 0,
            len(self.classes_),
            embedding_size=self.embedding_size,
            char_embedding_size=self.char_embedding_size,
            char_hidden_size=self.char_hidden_size,
            recurrent=self._recurrent(bidirectional=self.bidirectional),
            token_dropout=self.token_dropout,
            crf=self.crf,
            allowed=allowed,
            reader=None if self.reader_ is None else self.reader_.build(),
            vectors=None if self.encoder_.vectors is None else (self.encoder_.known, self.encoder_.vectors),
        )

    def params_from(self, model: Any) -> dict[str, Any]:
        """See `Estimator.params_from`; of a language model no parameter is taken: it reads beside the own layers."""
        return super().params_from(model) if model.task == self.task else {}

    def _start_weights(self, start: Start) -> dict[str, torch.Tensor]:
        if start.same:
            return super()._start_weights(start)
        language = start.model.language()
        recurrent = {f"reader.recurrent.{name}": weight for name, weight in language.recurrent().items()}
        return {"reader.embedding.weight": language.embedding, **recurrent}

    def _fit_baselines(self, batches: WordBatches, folds: int) -> tuple[list[Baseline], dict[str, dict[str, float]]]:
        tags = len(self.classes_)
        counts = fit_tags(batches, self.encoder_.words, tags)
        return counts + fit_linear_tags(batches, self.encoder_.kinds(), tags), {}

    def _baseline_sizes(self) -> dict[str, int]:
        return {"tags": len(self.classes_), "words": self.encoder_.words, "signs": self.encoder_.signs}

    def _objective(self) -> Tagging:
        return Tagging(self.parts_, cast(TaggerNetwork, self.network_).chain.without_learnt())

    # predicting

    def predict(self, X: Any) -> list[list[str]]:
        """The tags of each sentence.

        Args:
            X: a list of words for each sentence, or a text, which is split at white space.
        """
        return [tags for tags, _ in self._tagged(X, confident=False)]

    def predict_proba(self, X: Any) -> list[np.ndarray]:
        """Probabilities of the tags of each word, `(words, tags)` for each sentence, columns as in `classes_`.

        With `crf` or where the tags mark spans, they are marginals over all valid sequences of tags; `predict` gives
        the one best sequence, which need not hold the most probable tag of each word.
        """
        return [chances for _, chances in self._tagged(X)]

    def predict_with_confidence(self, X: Any) -> tuple[list[list[str]], list[list[float]]]:
        """The tags of each sentence, and the probability of each of them."""
        place = {tag: i for i, tag in enumerate(self.classes_.tolist())}
        found, sure = [], []
        for tags, chances in self._tagged(X):
            found.append(tags)
            sure.append([float(row[place[tag]]) for row, tag in zip(chances, tags, strict=True)])
        return found, sure

    def score(self, X: Any, y: Any) -> float:
        """Accuracy over all words whose tag is known."""
        check_is_fitted(self, "network_")
        return self._metrics(self._labelled(X, y, None))["accuracy"]

    def _tagged(self, X: Any, *, confident: bool = True) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yields tags and probabilities of each sentence, in order; with `confident=False` the latter are empty."""
        check_is_fitted(self, "network_")
        sentences = as_sentences(X) if len(X) else []

        def answer(network: Any, batch: Any) -> Iterator[tuple[list[str], np.ndarray]]:
            scores = finite(network(batch))
            tags = network.chain.decode(scores, batch.lengths).cpu().numpy()
            chances = network.chain.probabilities(scores, batch.lengths).cpu().numpy() if confident else tags
            for best, chance, steps in zip(tags, chances, batch.lengths.tolist(), strict=True):
                yield self.classes_[best[:steps]].tolist(), chance[:steps]

        yield from self._each(sentences, answer)

    def _each(self, sentences: list[list[str]], answer: Callable[[Any, Any], Iterable[T]]) -> Iterator[T]:
        """Yields the answer for each sentence, in order; see `Estimator._run`."""
        for start in range(0, len(sentences), CHUNK_ROWS):
            chunk = sentences[start : start + CHUNK_ROWS]
            found = self._run(self._batches(chunk, None, None, None), answer)
            yield from (found[row] for row in range(len(chunk)))

    def _embedded(self, X: Any, steps: bool) -> Iterator[np.ndarray]:
        def answer(network: Any, batch: Any) -> Iterator[np.ndarray]:
            states = finite(network.states(batch).float().cpu()).numpy()
            for row, words in zip(states, batch.lengths.tolist(), strict=True):
                yield row[:words] if steps else row[:words].sum(0) / max(words, 1)

        return self._each(as_sentences(X), answer)

    def _vector_size(self) -> int:
        network: Any = self.network_
        return int(network.head.in_features)

    def step_names(self, X: Any) -> list[list[str]]:
        """See `Embedding.step_names`."""
        return as_sentences(X)

    def subject(self, X: Any, y: Any = None) -> Subject:
        """See `Estimator.subject`."""
        check_is_fitted(self, "network_")
        sentences = as_sentences(X)
        batches = self._batches(sentences, None, None, None) if y is None else self._labelled(X, y, None)
        batch, objective = self._whole(batches), self._objective()
        network: Any = self.network_.to(batch.values.device).eval()
        with torch.no_grad():
            best = network.chain.decode(network(batch), batch.lengths)
        tags = [self.classes_[row[: len(words)]] for row, words in zip(best.cpu().numpy(), sentences, strict=True)]
        answers = [
            " ".join(f"{word}/{tag}" for word, tag in zip(*pair, strict=True))
            for pair in zip(sentences, tags, strict=True)
        ]
        different = dict.fromkeys(word for words in sentences for word in words)  # in the order of the batch
        return Subject(
            network,
            batch,
            network,
            lambda scores: network.chain.log_probability(scores, best, batch.lengths),
            "log-probability of the tags (nats)",
            None if y is None else lambda batch: objective.loss(network, batch),
            sentences,
            {"spelling": self.encoder_.shown(different)},
            answers=answers,
            title=self.title,
        )

    def running_evaluation(self) -> Observations:
        """Returns an object that evaluates the model on parts of a data set, as `evaluate` does on all of it."""
        check_is_fitted(self, "network_")
        return Observations(self)

    def _labelled(self, X: Any, y: Any, sample_weight: Any) -> WordBatches:
        if sample_weight is not None:
            raise UsageError("a tagger takes no sample_weight")
        sentences = as_sentences(X)
        tags = as_tags(y, sentences, "y")
        if not any(tag is not None for row in tags for tag in row):
            raise DataError("every tag is missing: there is nothing to compare with")
        return self._batches(sentences, tags, None, None)

    # saving

    def _stack(self) -> Stack | None:
        """Cell and sizes of the stack over the words, None with `cell="none"`."""
        return getattr(self.network_.recurrent, "stack", None)

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        targets = {"tags": self.classes_.tolist(), "scheme": self.scheme_}
        config, files = {"targets": targets, "encoder": self.encoder_.to_config()}, self.encoder_.to_files()
        if self.reader_ is not None:
            config["reader"] = self.reader_.to_config()
            files |= self.reader_.encoder.to_files()
        return config, files

    def _load_state(self, config: dict[str, Any], files: dict[str, str]) -> None:
        self.encoder_ = WordEncoder.from_files(config["encoder"], files)
        reader = config.get("reader")
        self.reader_ = None if reader is None else Reader.from_files(reader, files)
        self.classes_ = np.array(config["targets"]["tags"])
        self.parts_, self.scheme_ = parts_of(config["targets"]["tags"]), config["targets"]["scheme"]

    def _card_info(self) -> tuple[str, str]:
        return "text", '[["A", "sentence"]]'

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags


def unseen_tags(estimator: SequenceTagger, tags: Sequence[Sequence[str | None]]) -> dict[str, int]:
    """Counts tags that the model never saw and therefore always gets wrong."""
    known = {None, *estimator.classes_.tolist()}
    found: dict[str, int] = {}
    for row in tags:
        for tag in row:
            if tag not in known:
                found[str(tag)] = found.get(str(tag), 0) + 1
    return found
