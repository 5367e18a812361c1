"""Tagging, many-to-many aligned: a tag for each word of a sentence, or for each step of a numeric sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from recurra._util.schema import Flag, Record, check_labels
from recurra.data.batching.batches import IGNORE
from recurra.data.batching.split import hold_out
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.inputs import CHUNK_ROWS, is_empty
from recurra.data.columns.steps import Tags, as_steps, holds_steps
from recurra.data.encoders.series import SeriesConfig, SeriesEncoder
from recurra.data.encoders.tag_schemes import find_scheme, parts_of
from recurra.data.encoders.words import CHARACTERS, WordConfig
from recurra.errors import DataError, UsageError
from recurra.ops import Stack
from recurra.tasks.base import PREDICT_BATCH
from recurra.tasks.baselines import Baseline
from recurra.tasks.config import FolderConfig
from recurra.tasks.counts import FrequentTag, TagOfWord
from recurra.tasks.finite import finite
from recurra.tasks.fitting import CheckpointConfig, Prepared, Validation
from recurra.tasks.params import param
from recurra.tasks.serving.names import copy_columns, set_columns
from recurra.tasks.serving.service import Service
from recurra.tasks.starting.embedding import Embedding, vectors_of
from recurra.tasks.starting.language import Start
from recurra.tasks.starting.vectors import WithVectors
from recurra.tasks.starting.weights import joined_classes
from recurra.tasks.subject import Subject
from recurra.tasks.subsample import take
from recurra.tasks.tuning.ranges import Range
from recurra.tasks.tuning.space import Space
from recurra.training.extensions import KNOWN
from recurra.training.own import OwnMetrics

from .baselines import LinearTags
from .network import UNSEEN_TAG, StackNetwork, StepNetwork, TaggerNetwork, Tagging
from .reader import ReaderConfig
from .running import Observations
from .step_baselines import LinearSteps
from .steps import Steps
from .words import Words

T = TypeVar("T")

MAX_CRF_TAGS = 400
MAX_DEFAULT_CRF_TAGS = 50
"""Most tags of spans whose transitions are learnt by default: the time grows with the square of their number."""
OF_WORDS = ("embedding_size", "vocab_size", "characters", "char_embedding_size", "char_hidden_size", "token_dropout")
"""Parameters that matter for sentences only."""

MAX_SCHEME_TAGS = 2000
"""Most tags of a scheme: each pair of them is looked at."""


class TagTargets(Record):
    """The tags that a tagger knows."""

    tags: list[str]
    scheme: Literal["BIO", "IOB1", "IOE1", "IOE2", "IOBES"] | None = None
    crf: Flag | None = None
    """Whether transitions are learnt; None in folders of versions in which the parameter decided it."""

    def check(self) -> None:
        """See `Record.check`."""
        check_labels(self.tags, least=2)
        if self.scheme and (len(self.tags) > MAX_SCHEME_TAGS or not parts_of(self.tags)):
            raise ValueError(f"the tags are not at most {MAX_SCHEME_TAGS:,} of the scheme {self.scheme}")


class TagConfig(FolderConfig):
    """config.json of a tagger."""

    targets: TagTargets
    encoder: WordConfig | SeriesConfig
    reader: ReaderConfig | None = None
    feature_names: list[str] | None = None

    def check(self) -> None:
        """See `Record.check`."""
        names, features = self.feature_names, getattr(self.encoder, "features", 0)
        if names is not None and (len(names) != features or len(set(names)) < len(names)):
            raise ValueError(f"feature_names are not {features} different names")


@dataclass(eq=False, repr=False)
class SequenceTagger(Embedding, WithVectors):
    """Recurrent network that gives each word of a sentence, or each step of a numeric sequence, a tag.

    Sentences have tags such as parts of speech, names or chunks. Steps of sensors have tags such as an activity or the
    state of a machine; a step is read as in `SequenceClassifier`, and the parameters of words have no effect.

    The input of a word is its vector and the output of a recurrent layer over its characters. So the model also uses
    the form of words that were not in the training data. Tags that mark spans (BIO, IOBES, BILOU and similar) are
    recognised. Decoded tags are then always valid in the scheme of the training data.

    Args:
        cell: see `SequenceClassifier`; with `"none"` each word is judged by itself (by its characters, still in order).
        hidden_size: units per layer and direction, over the words or steps.
        num_layers: recurrent layers over the words or steps.
        bidirectional: whether sequences are read from both ends.
        embedding_size: size of a word's vector.
        vocab_size: greatest number of words with a vector; words that occur once have none.
        characters: `"jamo"` (characters and the letters they are made of: those of a syllable of Hangul, a letter and
            its accents), `"char"` (characters only) or `"none"`.
        char_embedding_size: size of a character's vector.
        char_hidden_size: units per direction, over the characters of a word.
        token_dropout: probability of replacing a word's vector by that of the unknown word, in training.
        crf: whether transitions between tags are learnt (a conditional random field); at most 400 different tags. None
            for yes if the tags mark spans, there are at most 50, and no `loss` is given.
        dropout: probability of dropping a feature, in training.
        batch_size: sequences per step.

    Attributes:
        classes_: the tags, in the order of the columns of `predict_proba`.
        crf_: whether transitions between tags are learnt.
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

        Numeric sequences are arrays `(time, features)`:

        >>> import numpy as np
        >>> flow = [np.random.default_rng(i).normal(size=(30, 1)) for i in range(40)]
        >>> labels = [["high" if value > 0 else "low" for value in row[:, 0]] for row in flow]
        >>> tagger = SequenceTagger(hidden_size=8, epochs=10, learning_rate=0.02).fit(flow, labels)
        >>> tagger.predict([[-2.0, 2.0, 2.0]])
        [['low', 'high', 'high']]
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
    crf: bool | None = param(None, search=(False, True), shapes=True, none="for spans")
    loss: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "",
        "function of scores `(tags, classes)` and numbers of classes `(tags,)` over all known tags of a batch, as "
        "tensors, that returns one value per tag, in place of the cross entropy. Not with `crf`.",
    )
    metrics: Any = param(None)  # noqa: RUF009  (it is a field)

    starts_from_language: ClassVar = True
    embedding_path: ClassVar = "embedding"

    task = "tag"
    class_axes: ClassVar = {
        **dict.fromkeys(("head.weight", "head.bias", "chain.start", "chain.end"), (0,)),
        "chain.pairs": (0, 1),
    }
    folder_config = TagConfig
    aligned = True
    simple_models: ClassVar = (FrequentTag, TagOfWord, LinearTags, LinearSteps)
    functions: ClassVar = MappingProxyType({**KNOWN, "loss": (), "metrics": ()})

    @property
    def accepts_text(self) -> bool:
        """See `Estimator.accepts_text`."""
        return self.encoder_.kind != SeriesEncoder.kind

    def rows_of(self, X: Any, y: Any) -> tuple[Any, Any]:
        """See `Estimator.rows_of`."""
        return self._inputs.pair(X, y) if self.encoder_.kind == SeriesEncoder.kind else (X, y)

    def subsample(self, X: Any, y: Any, rows: int) -> tuple[Any, Any, list[int]]:
        """See `Estimator.subsample`."""
        return super().subsample(*self.rows_of(X, y), rows)

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
        """Trains on sequences `X` and their tags `y`.

        Args:
            X: a list of words for each sentence, or a text, which is split at white space. Or numeric sequences as in
                `SequenceClassifier.fit`; also a pandas data frame with one row per step, whose index is the column of
                ids: `table.set_index("id")[features]`.
            y: a list of tags for each sequence, as many as it has words or steps; None where one is not known. Of a
                data frame, also one tag for each row.
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
        inputs: Any = (Steps if holds_steps(X) else Words)(self)
        vars(self).pop("encoder_", None)
        copy_columns(self, self._start.model) if self._start is not None else set_columns(self, None, None)
        rows, tags = inputs.pair(X, _given(y))
        apart = hold_out(np.ones(len(rows), bool), self.validation_fraction if validation_data is None else 0, seed)
        training, held_out = np.flatnonzero(~apart).tolist(), np.flatnonzero(apart).tolist()
        trained, known = take(rows, training), take(tags, training)
        self._fit_tags(known, inputs.marks_spans)
        self.encoder_: Any
        self.encoder_, self.reader_ = inputs.fit(trained, self._start)
        batches = self._batches(trained, known, seed, checkpoint.file("training.arrow"))
        valid = None
        if validation_data is not None:
            held_x, held_y = inputs.pair(validation_data[0], _given(validation_data[1]), "the validation y")
            if not _any_known(held_y):
                raise DataError("every validation tag is missing")
            valid = self._batches(held_x, held_y, None, checkpoint.file("validation.arrow"))
        elif held_out:
            valid = self._batches(take(rows, held_out), take(tags, held_out), None, None)
        summary = {
            inputs.sequences: len(training),
            inputs.steps: sum(map(len, known)),
            **inputs.summary(trained),
            f"{inputs.steps} without a tag": sum(row.count(None) for row in known),
            f"validation {inputs.sequences}": 0 if valid is None else valid.count,
        }
        return Prepared(batches, valid, summary)

    @property
    def _inputs(self) -> Any:
        """What the tagger does with its kind of sequences: `Words` or `Steps`."""
        return (Steps if self.encoder_.kind == SeriesEncoder.kind else Words)(self)

    def _numbered_words(self) -> Sequence[str]:
        return self.encoder_.numbered()

    def _fit_tags(self, tags: Tags, spans: bool) -> None:
        """Learns which tags there are, and with `spans` what may follow what."""
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
        self.parts_, self.scheme_ = parts_of(known) if spans else None, None
        if self.parts_:
            part = dict(zip(known, self.parts_, strict=True))
            whole = ([part[tag] for tag in row if tag is not None] for row in tags if None not in row)
            found = find_scheme(whole, {p.role for p in self.parts_})
            self.scheme_ = found and found.name
        by_default = bool(self.parts_) and len(known) <= MAX_DEFAULT_CRF_TAGS and self.loss is None
        self.crf_: bool = self._learnt("crf_", lambda: by_default if self.crf is None else self.crf)
        if self.crf_ and self.loss is not None:
            raise UsageError("crf=True has its own loss, that of the whole sequence of tags; give either crf or loss")

    def _batches(self, rows: Any, tags: Tags | None, seed: int | None, path: Path | None) -> Any:
        """Batches of rows; shuffled for training where a seed is given."""
        targets = None
        if tags is not None:
            number: dict[str | None, int] = {tag: i for i, tag in enumerate(self.classes_.tolist())} | {None: IGNORE}
            targets = SequenceStore.build(
                [[np.array([number.get(tag, UNSEEN_TAG) for tag in row], np.int64) for row in tags]]
            )
        size = PREDICT_BATCH if seed is None else self.batch_size
        options = {"targets": targets, "batch_size": size, "shuffle": seed is not None, "seed": seed or 0}
        return self._inputs.batches(rows, path, **options)

    def _build(self) -> TaggerNetwork | StepNetwork:
        return self._inputs.build()  # type: ignore[no-any-return]

    def params_from(self, model: Any) -> dict[str, Any]:
        """See `Estimator.params_from`; of a language model no parameter is taken: it reads beside the own layers."""
        return super().params_from(model) if model.task == self.task else {}

    def _start_weights(self, start: Start) -> dict[str, torch.Tensor]:
        if start.same:
            return super()._start_weights(start)
        language = start.model.language()
        recurrent = {f"reader.recurrent.{name}": weight for name, weight in language.recurrent().items()}
        return {"reader.embedding.weight": language.embedding, **recurrent}

    def _fit_baselines(self, batches: Any, folds: int) -> tuple[list[Baseline], dict[str, dict[str, float]]]:
        return self._inputs.fit_baselines(batches), {}

    def _baseline_sizes(self) -> dict[str, int]:
        return {"tags": len(self.classes_), **self._inputs.sizes()}

    def _objective(self) -> Tagging:
        chain = cast(StackNetwork, self.network_).chain.without_learnt()
        return Tagging(self.parts_, chain, loss=self.loss, own=OwnMetrics(self.metrics), classes=self.classes_)

    def _patience(self) -> float:
        return self._inputs.patience or super()._patience()

    # predicting

    def predict(self, X: Any) -> list[list[str]]:
        """The tags of each sequence.

        Args:
            X: sequences as in `fit`. The sequences of a data frame are answered in the order in which they begin.
        """
        return [tags for tags, _ in self._tagged(X, confident=False)]

    def predict_proba(self, X: Any) -> list[np.ndarray]:
        """Probabilities of the tags of each step, `(steps, tags)` for each sequence, columns as in `classes_`.

        With `crf` or where the tags mark spans, they are marginals over all valid sequences of tags; `predict` gives
        the one best sequence, which need not hold the most probable tag of each step.
        """
        return [chances for _, chances in self._tagged(X)]

    def predict_with_confidence(self, X: Any) -> tuple[list[list[str]], list[list[float]]]:
        """The tags of each sequence, and the probability of each of them."""
        place = {tag: i for i, tag in enumerate(self.classes_.tolist())}
        found, sure = [], []
        for tags, chances in self._tagged(X):
            found.append(tags)
            sure.append([float(row[place[tag]]) for row, tag in zip(chances, tags, strict=True)])
        return found, sure

    def score(self, X: Any, y: Any) -> float:
        """Accuracy over all steps whose tag is known."""
        check_is_fitted(self, "network_")
        return self._metrics(self._labelled(X, y, None))["accuracy"]

    def _tagged(self, X: Any, *, confident: bool = True) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yields tags and probabilities of each sequence, in order; with `confident=False` the latter are empty."""
        check_is_fitted(self, "network_")
        rows = [] if is_empty(X) else self._inputs.pair(X)[0]

        def answer(network: Any, batch: Any) -> Iterator[tuple[list[str], np.ndarray]]:
            scores = finite(network(batch))
            tags = network.chain.decode(scores, batch.lengths).cpu().numpy()
            chances = network.chain.probabilities(scores, batch.lengths).cpu().numpy() if confident else tags
            for best, chance, steps in zip(tags, chances, batch.lengths.tolist(), strict=True):
                yield self.classes_[best[:steps]].tolist(), chance[:steps]

        yield from self._each(rows, answer)

    def _each(self, rows: Any, answer: Callable[[Any, Any], Iterable[T]]) -> Iterator[T]:
        """Yields the answer for each row, in order; see `Estimator._run`."""
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            found = self._run(self._batches(chunk, None, None, None), answer)
            yield from (found[row] for row in range(len(chunk)))

    def _embedded(self, X: Any, steps: bool) -> Iterator[np.ndarray]:
        def answer(network: Any, batch: Any) -> Iterator[np.ndarray]:
            states = finite(network.states(batch).float().cpu()).numpy()
            return vectors_of(states, batch.lengths.tolist(), steps)

        return self._each(self._inputs.pair(X)[0], answer)

    def _vector_size(self) -> int:
        network: Any = self.network_
        return int(network.head.in_features)

    def step_names(self, X: Any) -> list[list[str]] | None:
        """See `Embedding.step_names`."""
        return self._inputs.names(self._inputs.pair(X)[0])

    def _search_space(self, *data: Any) -> Space:
        others = OF_WORDS if holds_steps(data[0]) else ()
        return {name: search for name, search in super()._search_space(*data).items() if name not in others}

    def _search_cut(self, data: tuple[Any, ...], seed: int) -> tuple[Any, Any]:
        paired = as_steps(*data[:2]) if holds_steps(data[0]) else data
        return super()._search_cut(paired, seed)

    def subject(self, X: Any, y: Any = None) -> Subject:
        """See `Estimator.subject`."""
        check_is_fitted(self, "network_")
        rows = self._inputs.pair(X)[0]
        batches = self._batches(rows, None, None, None) if y is None else self._labelled(X, y, None)
        batch, objective = self._whole(batches), self._objective()
        network: Any = self.network_.to(batch.values.device).eval()
        with torch.no_grad():
            best = network.chain.decode(network(batch), batch.lengths)
        found = zip(best.cpu().numpy(), batch.lengths.tolist(), strict=True)
        return Subject(
            network,
            batch,
            network,
            lambda scores: network.chain.log_probability(scores, best, batch.lengths),
            "log-probability of the tags (nats)",
            None if y is None else lambda batch: objective.loss(network, batch),
            title=self.title,
            **self._inputs.described(rows, [self.classes_[row[:steps]].tolist() for row, steps in found]),
        )

    def service(self) -> Service:
        """See `Estimator.service`."""
        check_is_fitted(self, "network_")
        return self._inputs.service_class(self)

    def running_evaluation(self) -> Observations:
        """Returns an object that evaluates the model on parts of a data set, as `evaluate` does on all of it."""
        check_is_fitted(self, "network_")
        return Observations(self)

    def _labelled(self, X: Any, y: Any, sample_weight: Any) -> Any:
        if sample_weight is not None:
            raise UsageError("a tagger takes no sample_weight")
        rows, tags = self._inputs.pair(X, _given(y))
        if not _any_known(tags):
            raise DataError("every tag is missing: there is nothing to compare with")
        return self._batches(rows, tags, None, None)

    # saving

    def _stack(self) -> Stack | None:
        """Cell and sizes of the stack over the words, None with `cell="none"`."""
        return getattr(self.network_.recurrent, "stack", None)

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        config, files = self._inputs.state()
        return {"targets": {"tags": self.classes_.tolist(), "scheme": self.scheme_, "crf": self.crf_}, **config}, files

    def _load_state(self, config: dict[str, Any], files: dict[str, str]) -> None:
        tags, scheme = config["targets"]["tags"], config["targets"]["scheme"]
        inputs = (Steps if config["encoder"]["kind"] == SeriesEncoder.kind else Words)(self)
        self.encoder_, self.reader_ = inputs.load(config, files)
        self.classes_ = np.array(tags)
        self.parts_, self.scheme_ = parts_of(tags) if inputs.marks_spans else None, scheme
        known = config["targets"].get("crf")
        self.crf_ = bool(self.crf) if known is None else known

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"crf": self.crf_}

    def _card_info(self) -> tuple[str, str]:
        return self._inputs.card()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags


def _given(y: Any) -> Any:
    """Returns tags as lists of none, where they are None: they are reported as missing."""
    return () if y is None else y


def _any_known(tags: Tags | None) -> bool:
    return any(tag is not None for row in tags or () for tag in row)


def unseen_tags(estimator: SequenceTagger, tags: Sequence[Sequence[str | None]]) -> dict[str, int]:
    """Counts tags that the model never saw and therefore always gets wrong."""
    known = {None, *estimator.classes_.tolist()}
    found: dict[str, int] = {}
    for row in tags:
        for tag in row:
            if tag not in known:
                found[str(tag)] = found.get(str(tag), 0) + 1
    return found
