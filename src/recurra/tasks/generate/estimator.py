"""Generation, one-to-many: a language model that continues a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from recurra._util.schema import check_labels
from recurra.data.batching.batches import IGNORE, Batch, Batches, BatchSource, batches_of, pad, to_device
from recurra.data.batching.split import hold_out
from recurra.data.batching.store import SequenceStore
from recurra.data.batching.streams import Streams, Window
from recurra.data.columns.inputs import Texts, as_column, as_sequences, is_missing
from recurra.data.encoders.running_text import (
    BEGIN,
    BEGIN_ID,
    END_ID,
    TOKENS,
    RunningTextConfig,
    RunningTextEncoder,
    documents,
    pieces,
)
from recurra.data.encoders.text import UNKNOWN_ID
from recurra.errors import DataError, UsageError
from recurra.ops import batch_invariant, reproducible_algebra
from recurra.tasks.base import PREDICT_BATCH, Estimator
from recurra.tasks.baselines import FEWEST, Baseline
from recurra.tasks.config import FolderConfig
from recurra.tasks.counts import PairFrequency, TokenFrequency, TripleFrequency, fit_frequencies
from recurra.tasks.finite import NOT_FINITE, answers_of, finite
from recurra.tasks.fitting import CheckpointConfig, Prepared
from recurra.tasks.params import param
from recurra.tasks.starting.embedding import Embedding
from recurra.tasks.starting.language import Language, Start
from recurra.tasks.starting.weights import joined_classes, with_classes
from recurra.tasks.subject import Subject, unknown_notes
from recurra.tasks.tuning.parts import SHARE, Data, cut_text
from recurra.training.settings import choose_device, ready

from .dynamic import observe_dynamically
from .network import LanguageNetwork, NextToken, check_sampling, draw, most_probable, token_losses
from .service import GenerateService

PIECE = 256  # characters of a piece of a running text in `subsample`
STREAM_WINDOWS = 4  # at least so many windows in a training stream: short texts come in fewer streams
VALID_STREAMS, VALID_STREAM = 64, 2048  # validation reads fast, in many streams of at least so many tokens
EXACT_STREAM, EXACT_WINDOW = 250_000, 1024  # evaluation reads a text of up to so many tokens as one stream


class GenerateConfig(FolderConfig):
    """config.json of a language model."""

    documents: bool
    classes: list[str]
    encoder: RunningTextConfig

    def check(self) -> None:
        """See `Record.check`."""
        check_labels(self.classes, least=0)


@dataclass(eq=False, repr=False)
class LanguageModel(Embedding, Estimator):
    r"""Recurrent network that predicts the next token of a text, and so writes texts.

    It learns from one running text, whose windows pass the state on, or from many separate texts with a begin and an
    end. A text may have a label that conditions the generated text.

    Args:
        cell: one of `recurra.nn.CELLS`, or a `Cell` of your own; `"none"` knows the last token only.
        hidden_size: units per layer.
        num_layers: recurrent layers on top of each other.
        tokens: `"char"`, `"word"` (words separated by spaces, and line ends), or `"bpe"` (frequent strings of bytes,
            with their spaces and newlines).
        vocab_size: greatest number of different tokens.
        embedding_size: size of a token's vector.
        variational_dropout: whether `dropout` drops the same features at all steps of a window (Gal and Ghahramani,
            2016).
        bptt: steps of truncated backpropagation through a running text; the state is passed on beyond them.
        dropout: probability of dropping a feature, in training.
        epochs: passes over the data; None for 6, or more on small data: at least 1,500 steps, at most 300 passes.
        batch_size: streams side by side into which a running text is cut, or texts per step.
        learning_rate: of AdamW at its peak; it rises for a short while and then falls as a cosine.
        weight_decay: of AdamW.
        gradient_clip: greatest norm of the gradient.
        validation_fraction: share of the training data that chooses the best epoch, when `fit` gets none: the end
            of a running text, or texts drawn at random.
        n_iter_no_change: epochs without a better validation loss after which training stops; None for never. With
            `epochs=None` it is at least a fifth of the epochs.
        random_state: seed of initialisation, split, shuffling and dropout; no global generator is changed.
        device: `"auto"`, `"cpu"`, `"cuda"`, …
        engine: engine of the recurrence, see `recurra.ops`.
        memory: `"full"`, or `"recompute"` for texts too long to store.
        max_minutes: training ends after so many minutes at the latest, with the learning rate at its end; the
            result then depends on the speed of the machine.
        verbose: 1 for a progress line in a terminal or a notebook, 0 for silence.

    Attributes:
        encoder_: the tokens.
        documents_: whether the model was trained on many texts rather than on a running one.
        classes_: the labels that may condition a text, as strings; empty without any.
        history_: a dictionary of metrics for each epoch.
        best_epoch_: the epoch, counted from 1, whose weights were kept.
        network_: the trained `torch.nn.Module`.

    Example:
        >>> from recurra import LanguageModel
        >>> model = LanguageModel(hidden_size=32, bptt=16, epochs=40, dropout=0.0, learning_rate=0.01, verbose=0)
        >>> model.fit("a cat sat on the mat\n" * 60).generate("a c", length=14, temperature=0)
        'a cat sat on the '
    """

    hidden_size: int = 256
    dropout: float = 0.2
    batch_size: int = 32
    learning_rate: float = 5e-3
    tokens: str = param("char", choices=TOKENS, search=("char", "bpe"))
    vocab_size: int = 4000
    embedding_size: int = 128
    variational_dropout: bool = False
    bptt: int = param(128, at_least=1, search=(64, 128, 256))

    task = "generate"
    folder_config = GenerateConfig
    service_class = GenerateService
    simple_models: ClassVar = (TokenFrequency, PairFrequency, TripleFrequency)
    aligned: ClassVar = True
    _search_by: ClassVar = "bits_per_character"  # comparable for different tokens

    @property
    def accepts_text(self) -> bool:
        """See `Estimator.accepts_text`."""
        return True

    def subsample(self, X: Any, y: Any, rows: int) -> tuple[Any, Any, list[int]]:
        """Cuts a running text into pieces and selects some, see `Estimator.subsample`."""
        if isinstance(X, str):
            X, rows = [X[begin : begin + PIECE] for begin in range(0, len(X), PIECE)], max(1, rows // 4)
        return super().subsample(X, y, rows)

    # fitting

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation_data: tuple[Any, ...] | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_minutes: float = 10.0,
        resume: bool = False,
        workers: Any = None,
    ) -> Self:
        """Trains on a running text, or on many texts.

        Args:
            X: one text (a `str`); or a list, array, pandas or Arrow column of texts that have nothing to do with
                each other.
            y: for many texts, the label of each, on which what is written shall depend; a missing one is no label.
            validation_data: `(X,)` or `(X, y)` that choose the best epoch, instead of a part of the training data.
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

    def _prepare(self, X: Any, y: Any, *, validation_data: Any, seed: int, checkpoint: CheckpointConfig) -> Prepared:
        self.encoder_ = self._learnt("encoder_", lambda: RunningTextEncoder(self.tokens, self.vocab_size))
        self.documents_ = not isinstance(X, str)
        prepare = self._prepare_documents if self.documents_ else self._prepare_stream
        batches, valid, summary = prepare(X, y, validation_data is None, seed, checkpoint)[:3]
        if validation_data is not None:
            valid = self._batches(*validation_data, exact=False)
        return Prepared(batches, valid, summary | {"validation tokens": _tokens(valid)})

    def _prepare_stream(self, text: str, y: Any, apart: bool, seed: int, checkpoint: CheckpointConfig) -> Prepared:
        if y is not None:
            raise UsageError("a running text has no labels: y goes with a list of texts")
        cut = pieces(text)
        kept = len(cut)
        if apart:  # whole pieces, so that both parts begin with a line where there are lines
            ends = np.cumsum([len(piece) for piece in cut])
            kept = int(np.searchsorted(ends, len(text) * (1 - self.validation_fraction)))
            kept = min(max(kept, 1), len(cut))
        training, held_out = "".join(cut[:kept]), "".join(cut[kept:])
        self.classes_ = self._learnt("classes_", lambda: np.array([], dtype=str))
        if self._start is None:
            self.encoder_.fit([pieces(training)])
        parts = self.encoder_.stream(training)
        tokens = sum(map(len, parts))
        streams = min(self.batch_size, max(tokens // (STREAM_WINDOWS * self.bptt), 1))
        batches = Streams(parts, BEGIN_ID, streams=streams, window=self.bptt)
        valid = self._batches(held_out, exact=False) if held_out else None
        return Prepared(batches, valid, {"characters": len(training), "tokens": tokens})

    def _prepare_documents(self, X: Any, y: Any, apart: bool, seed: int, checkpoint: CheckpointConfig) -> Prepared:
        texts = _texts(X)
        labels = None if y is None else as_column(y, len(texts), "y")
        held_out = hold_out(np.ones(len(texts), bool), self.validation_fraction if apart else 0, seed)
        training = ~held_out
        self.classes_ = self._learnt("classes_", lambda: np.array([], dtype=str))
        if labels is not None:
            known = labels[~is_missing(labels)]
            if not len(known):
                raise DataError("every label is missing: leave y out")
            found = np.unique(known.astype(str))
            start = self._start
            self.classes_ = found if start is None else joined_classes(self.classes_, found, bool(self.verbose))
        if self._start is None:
            self.encoder_.fit(texts.chunks(training))
        batches = self._document_batches(texts, labels, training, seed, checkpoint.file("training.arrow"))
        valid = None
        if held_out.any():
            valid = self._document_batches(texts, labels, held_out, None, checkpoint.file("held-out.arrow"))
        return Prepared(batches, valid, {"texts": int(training.sum()), "tokens": _tokens(batches)})

    def _document_batches(
        self, texts: Texts, labels: np.ndarray | None, keep: np.ndarray | None, seed: int | None, path: Path | None
    ) -> Batches:
        """Texts as what is read and what comes next; shuffled for training where a seed is given."""
        numbers = iter(self._label_numbers(labels, len(texts), keep))
        whole = [documents(self.encoder_, chunk) for chunk in texts.chunks(keep)]
        read = ([self._with_label(ids[:-1], next(numbers)) for ids in chunk] for chunk in whole)
        beside = None if path is None else path.with_name(f"{path.stem}-targets.arrow")
        return Batches(
            SequenceStore.build(read, path),
            targets=SequenceStore.build(([self._next(ids) for ids in chunk] for chunk in whole), beside),
            batch_size=PREDICT_BATCH if seed is None else self.batch_size,
            shuffle=seed is not None,
            seed=seed or 0,
        )

    def _with_label(self, ids: np.ndarray, label: int) -> np.ndarray:
        """Returns the input of the network: tokens `(time,)`, with labels `(time, 2)`."""
        return np.stack([ids, np.full_like(ids, label)], 1) if len(self.classes_) else ids

    def _next(self, ids: np.ndarray) -> np.ndarray:
        """Returns the token after each step; the end of a text counts only if the model was trained on ends."""
        following = ids[1:].copy()
        if not self.documents_:
            following[-1] = IGNORE
        return following

    def _label_numbers(self, labels: np.ndarray | None, rows: int, keep: np.ndarray | None) -> np.ndarray:
        """Position of each label in `classes_` counted from 1, 0 where there is none."""
        if labels is not None and not len(self.classes_):
            raise UsageError("the model was trained without labels: leave them out")
        found = np.zeros(rows, np.int32)
        if labels is not None:
            known = {label: i for i, label in enumerate(self.classes_.tolist(), 1)}
            for row in np.flatnonzero(~is_missing(labels)):
                label = str(labels[row])
                if label not in known:
                    raise DataError(
                        f"the label {label!r} was not in the training data; known are {self._known()}", int(row)
                    )
                found[row] = known[label]
        return found if keep is None else found[keep]

    def _known(self) -> str:
        return ", ".join(self.classes_[:10].tolist()) + (", …" if len(self.classes_) > 10 else "")

    def _build(self) -> LanguageNetwork:
        return LanguageNetwork(
            self.encoder_.input_size,
            self.embedding_size,
            len(self.classes_),
            tied=self.tokens != "char",
            recurrent=self._recurrent(),
            variational=self.variational_dropout,
        )

    def language(self) -> Language:
        """See `Estimator.language`; a text without a label is read."""
        network: Any = self.network_
        embedding = network.embedding.weight.detach()
        if network.label_embedding is not None:
            embedding = embedding + network.label_embedding.weight.detach()[0]
        names = ("cell", "hidden_size", "num_layers", "tokens", "vocab_size", "embedding_size")
        return Language(
            self.encoder_,
            {name: getattr(self, name) for name in names} | {"bidirectional": False},
            network.scale * embedding,
            dict(network.recurrent.state_dict()),
        )

    def _start_weights(self, start: Start) -> dict[str, Tensor]:
        weights, name = super()._start_weights(start), "label_embedding.weight"
        if name in weights:
            rows = np.concatenate([[0], 1 + np.searchsorted(self.classes_, start.model.classes_)])
            weights[name] = with_classes(self.network_.state_dict()[name], weights[name], rows, [0])
        return weights

    def _fit_baselines(self, batches: BatchSource, folds: int) -> tuple[list[Baseline], dict[str, dict[str, float]]]:
        return fit_frequencies(batches, self.encoder_.input_size), {}

    def _baseline_sizes(self) -> dict[str, int]:
        return {"tokens": self.encoder_.input_size}

    def _objective(self) -> NextToken:
        return NextToken(self.encoder_.characters)

    def _search_cut(self, data: tuple[Any, ...], seed: int) -> tuple[Data, Data]:
        """Divides data; of a running text the end is cut off."""
        if not isinstance(data[0], str):
            return super()._search_cut((_texts(data[0]), *data[1:]), seed)
        one, other = cut_text(data[0], SHARE)
        if not one or not other:
            raise DataError("the text is too short to be divided into training, validation and test data")
        return (one, *data[1:]), (other, *data[1:])

    def _search_measure(self, *data: Any) -> tuple[str, bool, dict[str, float], Any]:
        objective = self._objective()
        observed = self._observed(self._batches(*data), objective)
        items = np.array(observed)[:, ::2] / (math.log(2), 1.0)  # bits and characters of each batch
        return "bits_per_character", False, objective.metrics(observed), items if len(items) >= FEWEST else None

    # reading

    def _batches(self, X: Any, y: Any = None, *, exact: bool = True) -> BatchSource:
        """Data to measure the model on: a running text in one stream or few, or separate texts."""
        if isinstance(X, str) and not self.documents_:
            if y is not None:
                raise UsageError("a running text has no labels: y goes with a list of texts")
            parts = self.encoder_.stream(X)
            tokens = sum(map(len, parts))
            if not tokens:
                raise DataError("the text is empty: there is nothing to measure")
            if exact:
                return Streams(parts, BEGIN_ID, streams=-(-tokens // EXACT_STREAM), window=EXACT_WINDOW)
            streams = min(VALID_STREAMS, max(tokens // VALID_STREAM, 1))
            return Streams(parts, BEGIN_ID, streams=streams, window=EXACT_WINDOW // 4)
        texts = _texts([X] if isinstance(X, str) else X)
        labels = None if y is None else as_column(y, len(texts), "y")
        return self._document_batches(texts, labels, None, None, None)

    def _labelled(self, X: Any, y: Any, sample_weight: Any) -> BatchSource:
        if sample_weight is not None:
            raise UsageError("a language model knows no weights of texts")
        return self._batches(X, y)

    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None, *, dynamic: bool = False) -> dict[str, float]:
        r"""Returns metrics of the model on texts; see `Estimator.evaluate`.

        Args:
            X: texts as in `fit`.
            y: their labels, if the model was trained with labels.
            sample_weight: not supported.
            dynamic: whether to measure as well how well the model predicts if it learns from the texts while it reads
                them; see `recurra.tasks.generate.dynamic`. The model itself does not change.

        Returns:
            The metrics. With `dynamic`, the key `dynamic` has the metrics of dynamic evaluation.

        Example:
            >>> from recurra import LanguageModel
            >>> model = LanguageModel(hidden_size=16, epochs=2, verbose=0).fit("a cat sat on the mat\n" * 60)
            >>> found = model.evaluate("the dog ran in the park\n" * 20, dynamic=True)
            >>> found["dynamic"]["loss"] < found["loss"]
            True
        """
        found: dict[str, Any] = super().evaluate(X, y, sample_weight)
        if dynamic:
            found["dynamic"] = self._evaluate_dynamically(X, y)
        return found

    def _evaluate_dynamically(self, X: Any, y: Any) -> dict[str, float]:
        """Returns the metrics of dynamic evaluation. All texts are read in their order."""
        if isinstance(X, str) and not self.documents_:
            windows: Iterable[Window] = Streams(self.encoder_.stream(X), BEGIN_ID, streams=1, window=EXACT_WINDOW)
        else:
            batches = cast(Batches, self._batches(X, y))
            rows, following = range(len(batches.store)), cast(SequenceStore, batches.targets)
            windows = (
                Window(pad([read]), torch.tensor([len(read)]), pad([targets], IGNORE), first=True)
                for read, targets in zip(batches.store.take(rows), following.take(rows), strict=True)
            )
        objective, device = self._objective(), choose_device(self.device)
        network = cast(LanguageNetwork, ready(self.network_, device))
        moved = (to_device(window, device) for window in windows)
        return objective.metrics(observe_dynamically(network, objective, moved))

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-probability of a token in nats: greater is better. Data as in `fit`."""
        check_is_fitted(self, "network_")
        return -self._metrics(self._batches(X, y))["loss"]

    def perplexity(self, X: Any, y: Any = None) -> float:
        """Among how many equally probable tokens the model would be as much at a loss. Data as in `fit`."""
        check_is_fitted(self, "network_")
        return self._metrics(self._batches(X, y))["perplexity"]

    def log_probability(self, X: Any, y: Any = None) -> np.ndarray:
        """Log-probability in nats of each text from its begin (to its end, after training on many texts), `(batch,)`.

        Args:
            X: a list, array or column of texts.
            y: their labels, where the model was trained with labels.
        """

        def judge(batch: Any, features: Tensor) -> Tensor:
            return self._following(features, batch.targets).double().cpu().sum(1)

        return self._each(X, y, judge, self._batches)

    def _following(self, features: Tensor, targets: Tensor) -> Tensor:
        """Log-probability of what came after each step `(batch, time)`, 0 where that does not count."""
        found = features.new_zeros(targets.shape)
        found[targets != IGNORE] = -token_losses(self.network_, features, targets)
        return found

    def subject(self, X: Any, y: Any = None) -> Subject:
        """See `Estimator.subject`; `X` is a list or column of texts, `y` their labels."""
        check_is_fitted(self, "network_")
        texts = [text for chunk in _texts(X).chunks() for text in chunk]
        batch = self._whole(self._batches(X, y))
        if not bool((batch.lengths > 1).any()):
            raise DataError("there is no step to look at: every text is empty")
        network, objective = self.network_.to(batch.values.device).eval(), self._objective()
        steps = [[BEGIN, *pieces] for pieces in self.encoder_.shown(texts)]
        tokens = batch.values[..., 0] if len(self.classes_) else batch.values
        return Subject(
            network,
            batch,
            lambda batch: self._following(network(batch.values, batch.lengths)[0], batch.targets),
            lambda found: found.sum(1),
            "log-probability of the text (nats)",
            lambda batch: objective.loss(network, batch),
            steps,
            answers=answers_of(lambda: self._describe(X, y), [NOT_FINITE] * len(texts)),
            notes=unknown_notes(tokens, batch.lengths, steps),
            title=self.title,
            words=[[0, *numbers] for numbers in self.encoder_.word_numbers(texts)],  # it begins with the first one
        )

    def _describe(self, X: Any, y: Any) -> list[str]:
        """Describes how the model continues each text."""
        return [
            f"continues with {token!r} ({p:.1%})" if token else f"ends here ({p:.1%})"
            for ((token, p),) in self.top(X, y, k=1)
        ]

    def predict(self, X: Any, y: Any = None) -> np.ndarray:
        """The most probable token after each text, `(batch,)`; `""` is the end of the text."""
        return np.array([best[0][0] for best in self.top(X, y, k=1)], dtype=str)

    def top(self, X: Any, y: Any = None, *, k: int = 5) -> list[list[tuple[str, float]]]:
        """The most probable tokens after each text, with their probabilities.

        Args:
            X: a list, array or column of texts.
            y: their labels, where the model was trained with labels.
            k: greatest number of tokens for each text.

        Returns:
            For each text pairs of token and probability, best first; the end of the text is the token `""`.
        """
        check_is_fitted(self, "network_")
        network = cast(LanguageNetwork, self.network_)

        def judge(batch: Any, features: Tensor) -> Tensor:
            last = features[torch.arange(len(features)), batch.lengths - 1]
            return self._chances(finite(network.score(last).float().cpu()))

        words = self.encoder_.words
        return [most_probable(words, chances, k) for chances in self._each(X, y, judge)]

    def _chances(self, logits: Tensor) -> Tensor:
        """Returns the probability of each token, `(…, tokens)`; 0 for tokens that are never written."""
        return torch.softmax(logits.masked_fill(torch.from_numpy(self._forbidden()), -math.inf), -1)

    def _read(self, X: Any, y: Any) -> Iterable[Batch]:
        """Returns batches of texts without the tokens that come next."""
        texts = _texts(X)
        numbers = self._label_numbers(None if y is None else as_column(y, len(texts), "y"), len(texts), None)
        whole = (ids for chunk in texts.chunks() for ids in documents(self.encoder_, chunk))
        read = [self._with_label(ids[:-1], label) for ids, label in zip(whole, numbers, strict=True)]
        return batches_of(read, batch_size=PREDICT_BATCH)

    def _embedded(self, X: Any, steps: bool) -> Iterator[np.ndarray]:
        def answer(network: Any, batch: Any) -> Iterator[np.ndarray]:
            features = finite(network(batch.values, batch.lengths)[0].float().cpu()).numpy()
            for row, length in zip(features, batch.lengths.tolist(), strict=True):
                yield row[1:length] if steps else row[length - 1]  # the first step is the begin of the text

        if isinstance(X, str):
            raise DataError("X is one text; hand over a list of texts, such as [text]")
        found = self._run(self._read(X, None), answer)
        return (found[row] for row in range(len(found)))

    def _vector_size(self) -> int:
        network = cast(LanguageNetwork, self.network_)
        return network.embedding.embedding_dim if network.bottleneck is not None else self.hidden_size

    def step_names(self, X: Any) -> list[list[str]]:
        """See `Embedding.step_names`."""
        return self.encoder_.shown([text for chunk in _texts(X).chunks() for text in chunk])

    def _each(
        self,
        X: Any,
        y: Any,
        judge: Callable[[Any, Tensor], Tensor],
        batches: Callable[[Any, Any], Iterable[Any]] | None = None,
    ) -> np.ndarray:
        """Returns the result of `judge` for each batch and its features, in the order of the texts.

        Batches from `_batches` have targets; those of the default, `_read`, have none.
        """
        check_is_fitted(self, "network_")
        if isinstance(X, str):
            raise DataError("X is one text; hand over a list of texts, such as [text]")
        if len(X) == 0:
            return np.zeros(0)

        def answer(network: Any, batch: Any) -> np.ndarray:
            return judge(batch, finite(network(batch.values, batch.lengths)[0])).numpy()

        found = self._run((batches or self._read)(X, y), answer)
        return np.stack([found[row] for row in range(len(found))])

    # writing

    def generate(self, prompt: str = "", length: int = 500, **sampling: Any) -> str:
        """Continues a text.

        Args:
            prompt: how the text begins. Characters that the model does not know stand for the unknown token; those are
                `encoder_.unknown(prompt)`.
            length: greatest number of tokens to write; a model of many texts may end sooner.
            **sampling: as in `stream`.

        Returns:
            The prompt and what follows it.
        """
        return prompt + "".join(self.stream(prompt, length, **sampling))

    def stream(
        self,
        prompt: str = "",
        length: int = 500,
        *,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        condition: Any = None,
    ) -> Iterator[str]:
        """Writes what follows a prompt, token by token.

        Args:
            prompt: how the text begins.
            length: greatest number of tokens to write.
            temperature: below 1 more of the probable, above 1 more of the improbable; 0 takes the most probable
                token each time.
            top_k: draw among so many of the most probable tokens.
            top_p: draw among the most probable tokens that together have this probability.
            seed: same seed, same text; None for another one each time.
            condition: label of the text, where the model was trained with labels; None for any.

        Returns:
            An iterator of texts, without the prompt.

        Raises:
            UsageError: an argument is out of its range, or the label is not known.
        """
        check_is_fitted(self, "network_")
        check_sampling(length, temperature, top_k, top_p)
        label = self._label_numbers(None if condition is None else np.array([str(condition)]), 1, None)[0]
        start = self._with_label(documents(self.encoder_, [prompt])[0][:-1], label)
        random = np.random.default_rng(seed)
        pieces = self._write(start, length, lambda logits: draw(logits, random, temperature, top_k, top_p))
        return _joined(pieces, prompt) if self.encoder_.tokens == "word" else pieces

    def _write(self, start: np.ndarray, length: int, choose: Callable[[np.ndarray], int]) -> Iterator[str]:
        network = cast(LanguageNetwork, self.network_.cpu().eval())
        write, forbidden = self.encoder_.writer(), self._forbidden()

        @torch.inference_mode()
        @reproducible_algebra()
        @batch_invariant()
        def advance(values: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
            if state is None:
                features, state = network(torch.from_numpy(values).unsqueeze(0), None)
                features = features[:, -1]
            else:
                features, state = network.step(torch.from_numpy(values), state)
            logits = finite(network.score(features))[0].numpy()
            logits[forbidden | ~write.possible()] = -np.inf
            if write.within:
                logits[END_ID] = -np.inf
            return logits, state

        values, state = start, None
        for _ in range(length):
            logits, state = advance(values, state)
            token = choose(logits)
            if token == END_ID:
                break
            if text := write(token):
                yield text
            values = start[:1].copy()  # keeps the label
            values.flat[0] = token

    def _forbidden(self) -> np.ndarray:
        """Returns the mask of tokens that are never written, `(tokens,)`."""
        forbidden = np.zeros(self.encoder_.input_size, bool)
        forbidden[[UNKNOWN_ID, BEGIN_ID]] = True
        forbidden[END_ID] = not self.documents_
        return forbidden

    # saving

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        learnt = {"documents": self.documents_, "classes": self.classes_.tolist(), "encoder": self.encoder_.to_config()}
        return learnt, self.encoder_.to_files()

    def _load_state(self, config: dict[str, Any], files: dict[str, str]) -> None:
        self.documents_ = bool(config["documents"])
        self.classes_ = np.array(config["classes"], dtype=str)
        self.encoder_ = RunningTextEncoder.from_files(config["encoder"], files)

    def _card_info(self) -> tuple[str, str]:
        return "text-generation", '["a text"]'

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.target_tags.required = False
        return tags


def _joined(pieces: Iterable[str], prompt: str) -> Iterator[str]:
    """Yields words without the space before them at the beginning of a line and after a space."""
    before = prompt or "\n"
    for piece in pieces:
        yield piece.removeprefix(" ") if before[-1].isspace() else piece
        before = piece


def _texts(X: Any) -> Texts:
    sequences = as_sequences(X)
    if not isinstance(sequences, Texts):
        raise DataError("a language model learns from texts; X holds numeric sequences")
    return sequences


def _tokens(batches: Any) -> int:
    """Number of tokens to be predicted."""
    if batches is None:
        return 0
    return batches.count if isinstance(batches, Streams) else int(batches.store.lengths.sum())
