"""Filling blanks: words missing from a text, predicted from both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from recurra._util.schema import FileError, Natural, Share
from recurra.data.batching.batches import Batch, Batches
from recurra.data.batching.split import hold_out
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.inputs import Texts, as_sequences
from recurra.data.encoders.text import UNKNOWN_ID, TextConfig, TextEncoder
from recurra.errors import DataError, UsageError
from recurra.io import CONFIG
from recurra.nn import DIRECTIONS, ContextNetwork, SampledSoftmax, step_mask
from recurra.tasks.base import Estimator, beside
from recurra.tasks.baselines import Measured
from recurra.tasks.config import FolderConfig
from recurra.tasks.finite import finite
from recurra.tasks.fitting import CheckpointConfig, Prepared
from recurra.tasks.params import param
from recurra.tasks.starting.embedding import Embedding, vectors_of
from recurra.tasks.starting.language import Language
from recurra.tasks.subject import Subject
from recurra.training.settings import choose_device

from .blanks import BLANK, FIRST, WORD_START, Blanked, BlankEncoder, parse, word_masks
from .inspection import subject_of_blanks
from .search import POSITIONS, Choice, Filler, Filling
from .service import FillService

MAX_PIECES = 4  # of one blank, where tokens are pieces of words
MAX_CELLS = 1024  # padded steps of a batch in training: texts are of very unequal length
EVALUATE_CELLS = 16 * 1024
TOGETHER = 64  # texts whose blanks are filled at the same time


class Prediction:
    """Loss and metrics of predicting every token of a text from the others.

    Args:
        counts: how often each token occurs in the training data, `(tokens,)`; 0 for those never to be predicted.
    """

    monitor = "loss"
    monitor_mode = "min"
    perfect: float | None = None

    def __init__(self, counts: Tensor) -> None:
        self.softmax = SampledSoftmax(counts)

    def loss(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sum of the losses of all known tokens, and their number."""
        context, target = self._known(network, batch)
        softmax = self.softmax.to(context.device)
        total = softmax(context, network.embedding.weight, network.bias, target)
        return total, self.weight(batch)

    def weight(self, batch: Batch) -> Tensor:
        """Number of the tokens in the vocabulary."""
        return self._in_vocabulary(batch).sum().float()

    def exact(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same with the softmax over all tokens."""
        context, target = self._known(network, batch)
        scores = network.logits(context).float() + self.softmax.to(context.device).absent
        total = torch.nn.functional.cross_entropy(scores, target, reduction="sum")
        return total, torch.tensor(float(len(target)))

    def observe(self, network: Any, batch: Batch) -> np.ndarray:
        """Sums over the known tokens of the batch, see `tally`, and the number of all tokens."""
        context, target = self._known(network, batch)
        absent = self.softmax.to(context.device).absent
        found = np.zeros(5)
        for part, true in zip(context.split(POSITIONS), target.split(POSITIONS), strict=True):
            found += tally((network.logits(part).float() + absent).cpu(), true.cpu())
        return np.array([*found, int(batch.lengths.sum())])

    def metrics(self, observed: list[np.ndarray]) -> dict[str, float]:
        """Accuracy, mean reciprocal rank and perplexity over the known tokens, and the share of the unknown ones."""
        *sums, tokens = np.sum(observed, axis=0)
        return summarized(np.array(sums)) | {"unknown": float(1 - sums[0] / max(tokens, 1))}

    def _in_vocabulary(self, batch: Batch) -> Tensor:
        lengths = batch.lengths.to(batch.values.device)
        return step_mask(lengths, batch.values.shape[1]) & (batch.values != UNKNOWN_ID)

    def _known(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Contexts and numbers of the tokens that are in the vocabulary."""
        known = self._in_vocabulary(batch)
        return network(batch.values, batch.lengths)[known], batch.values[known].long()


def tally(scores: Tensor, target: Tensor) -> np.ndarray:
    """Number of tokens, and sums of their losses, ranks 1, ranks up to 5, and reciprocal ranks."""
    loss = torch.nn.functional.cross_entropy(scores, target, reduction="sum")
    rank = 1 + (scores > scores.gather(1, target.unsqueeze(1))).sum(1)
    return np.array([len(rank), float(loss), int((rank == 1).sum()), int((rank <= 5).sum()), float((1 / rank).sum())])


def summarized(sums: np.ndarray) -> dict[str, float]:
    """Returns metrics from the result of `tally`."""
    if not sums[0]:
        raise DataError("no token of these texts is in the model's vocabulary: there is nothing to compare with")
    loss, top1, top5, reciprocal = (float(s) for s in sums[1:] / sums[0])
    return {"top1": top1, "top5": top5, "mrr": reciprocal, "loss": loss, "perplexity": float(np.exp(loss))}


class FillConfig(FolderConfig):
    """config.json of a blank filler."""

    encoder: TextConfig
    counts: list[Natural]
    spans: list[Share]

    def check(self) -> None:
        """See `Record.check`."""
        if self.encoder.specials:
            raise ValueError("encoder.specials is not empty")
        if not 1 <= len(self.spans) <= MAX_PIECES:
            raise ValueError(f"spans does not have 1 to {MAX_PIECES} shares")
        if not any(self.spans):
            raise ValueError("spans has no positive share")


FREQUENCY = "frequency of the tokens"
"""The baseline: always the most frequent tokens, without a look at the text."""


@dataclass(eq=False, repr=False)
class BlankFiller(Embedding, Estimator):
    """Recurrent network that fills the blanks of texts, from both sides.

    It learns from plain texts without labels: each token is predicted from the state of a network that has read
    all before it and that of one that has read all after it, never from itself.

    Args:
        tokens: `"word"` (words and punctuation marks; a blank is one of them), `"bpe"` (pieces of words; a blank
            is a word of up to 4 pieces, also one never seen) or `"char"` (a blank is one character).
        vocab_size: greatest number of different tokens; rarer words are unknown and never predicted.
        embedding_size: size of a token's vector.
        direction: `"both"`; or `"forward"` or `"backward"` to predict from one side only, for comparison.
        token_dropout: probability of hiding a token from the others, in training.
        batch_size: texts per step, fewer where they are long.

    `hidden_size` and `num_layers` count in each direction.

    Attributes:
        counts_: how often each token occurs in the training texts, `(tokens,)`.
        history_: a dictionary of metrics for each epoch.
        best_epoch_: the epoch, counted from 1, whose weights were kept.
        network_: the trained `torch.nn.Module`.

    Example:
        >>> from recurra import BlankFiller
        >>> texts = ["the cat drinks milk", "the dog eats meat", "a cat drinks water", "a dog eats bread"] * 30
        >>> filler = BlankFiller(hidden_size=16, embedding_size=16, epochs=15, learning_rate=0.02, verbose=0)
        >>> filler.fit(texts).predict(["the [ ] drinks milk"])[0].text
        'the cat drinks milk'
        >>> filler.choose("a dog [ ] bread", ["drinks", "eats"])[0].choice
        'eats'
    """

    learning_rate: float = 3e-3
    tokens: str = param("word", search=())  # the loss is per token, and known tokens only
    vocab_size: int = param(10_000, search=())
    embedding_size: int = 128
    direction: str = param("both", choices=DIRECTIONS, shapes=True)
    token_dropout: float = 0.1

    task = "fill"
    folder_config = FillConfig
    service_class = FillService

    @property
    def accepts_text(self) -> bool:
        """See `Estimator.accepts_text`."""
        return True

    def subsample(self, X: Any, y: Any, rows: int) -> tuple[Any, Any, list[int]]:
        """Adds a blank at the end of texts without one, see `Estimator.subsample`."""
        X, y, at = super().subsample(X, y, rows)
        if isinstance(X, list):
            X = [text if BLANK.search(text or "") else f"{text or ''} [ ]" for text in X]
        return X, y, at

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
        """Trains on texts.

        Args:
            X: list, array, pandas or Arrow column of texts.
            y: not used; it is there for scikit-learn.
            validation_data: `(X,)`, texts that choose the best epoch, instead of a part of the training data.
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
            validation_data=validation_data,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            resume=resume,
            workers=workers,
        )

    def _prepare(self, X: Any, *, validation_data: Any, seed: int, checkpoint: CheckpointConfig) -> Prepared:
        texts = _as_texts(X)
        whole = np.ones(len(texts), bool)
        held_out = hold_out(whole, self.validation_fraction if validation_data is None else 0, seed)
        self.encoder_ = self._learnt(
            "encoder_", lambda: BlankEncoder(self.tokens, self.vocab_size).fit(texts.chunks(~held_out))
        )
        store = self._store(texts, checkpoint.file("training.arrow"))
        batches = self._batches(store, ~held_out, seed)
        valid = None
        if validation_data is not None:
            valid = self._batches(self._store(_as_texts(validation_data[0]), checkpoint.file("validation.arrow")))
        elif (store.lengths[held_out] > 0).any():
            valid = self._batches(store, held_out)
        self.counts_, self.spans_ = self._count(store, batches.rows)
        if not self.counts_[1:].any():
            raise DataError("no word occurs twice in the training texts: there is nothing to learn")
        summary = {
            "texts": batches.count,
            "tokens": int(self.counts_.sum()),
            "empty texts": int((store.lengths[~held_out] == 0).sum()),
            "unknown tokens": int(self.counts_[UNKNOWN_ID]),
            "validation texts": 0 if valid is None else valid.count,
        }
        return Prepared(batches, valid, summary)

    def _store(self, texts: Texts, path: Path | None = None) -> SequenceStore:
        return SequenceStore.build((self.encoder_.encode(chunk) for chunk in texts.chunks()), path)

    def _batches(self, store: SequenceStore, mask: np.ndarray | None = None, seed: int | None = None) -> Batches:
        """Batches over the texts of some rows that are not empty; shuffled for training where a seed is given."""
        kept = store.lengths > 0
        if mask is not None:
            kept &= mask
        if not kept.any():
            raise DataError("every text is empty: there is nothing to learn from or to compare with")
        return Batches(
            store,
            np.flatnonzero(kept),
            batch_size=self.batch_size,
            shuffle=seed is not None,
            seed=seed or 0,
            max_padded_tokens=EVALUATE_CELLS if seed is None else MAX_CELLS,
        )

    def _count(self, store: SequenceStore, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the count of each token, and the share of words of 1, 2, … pieces."""
        counts, spans = np.zeros(self.encoder_.input_size, np.int64), np.zeros(MAX_PIECES)
        starts = np.array([piece.startswith(WORD_START) for piece in self.encoder_.inventory()])
        for start in range(0, len(rows), 4096):
            tokens = np.concatenate(store.take(rows[start : start + 4096]))
            counts += np.bincount(tokens, minlength=len(counts))
            pieces = np.diff(np.flatnonzero(np.append(starts[tokens], True)))
            spans += np.bincount(pieces[pieces <= MAX_PIECES] - 1, minlength=MAX_PIECES)
        if self.tokens != "bpe":
            spans = np.ones(1)
        if not spans.any():  # every word has more pieces than a blank can have
            spans = np.ones(MAX_PIECES)
        return counts, spans / max(spans.sum(), 1)

    def _build(self) -> ContextNetwork:
        options: dict[str, Any] = vars(self._recurrent()).copy()
        del options["bidirectional"]  # both sides are networks in one direction
        options |= {"direction": self.direction, "token_dropout": self.token_dropout}
        network = ContextNetwork(self.encoder_.input_size, self.embedding_size, **options)
        with torch.no_grad():  # begins with what is known without looking
            network.bias.copy_(torch.from_numpy(np.log(np.maximum(self._frequencies(), 0.5))))
        return network

    def _objective(self) -> Prediction:
        return Prediction(torch.from_numpy(self._frequencies()))

    def _frequencies(self) -> np.ndarray:
        """Occurrences of each token, at least ½; 0 for the unknown one."""
        counts = np.maximum(self.counts_, 0.5).astype(np.float32)
        counts[UNKNOWN_ID] = 0
        return counts

    def language(self) -> Language | None:
        """See `Estimator.language`; None if the model does not read forwards."""
        network: Any = self.network_
        if network.forwards is None:
            return None
        names = ("cell", "hidden_size", "num_layers", "tokens", "vocab_size", "embedding_size")
        return Language(
            TextEncoder.from_files(self.encoder_.to_config(), self.encoder_.to_files()),
            {name: getattr(self, name) for name in names} | {"bidirectional": network.backwards is not None},
            network.embedding.weight.detach(),
            dict(network.forwards.state_dict()),
            None if network.backwards is None else dict(network.backwards.state_dict()),
        )

    # predicting

    def predict(self, X: Any, top: int = 5, *, marks: bool = False) -> list[Filling]:
        """Fills the blanks of texts.

        The blanks of a text are filled together: the surest first and the others in its light, with several
        answers kept beside each other (a beam), so that the words fit each other.

        Args:
            X: texts with `[ ]` or `___` where a word is missing, at most 20 times.
            top: how many words to give for each blank.
            marks: whether a blank may be a punctuation mark.

        Returns:
            A `Filling` for each text.

        Raises:
            DataError: a text has no blank, too many, or nothing else; `row` says which.

        Example:
            >>> from recurra import BlankFiller
            >>> filler = BlankFiller(hidden_size=8, epochs=1, verbose=0).fit(["a b c", "a b d"] * 10)
            >>> len(filler.predict(["a [ ] c ___"], top=3)[0].blanks)
            2
        """
        check_is_fitted(self, "network_")
        if top < 1:
            raise UsageError(f"top must be at least 1, got {top}")
        blanked, filler = self._parse(X), self._filler(marks)
        parts = (blanked[start : start + TOGETHER] for start in range(0, len(blanked), TOGETHER))
        return [answer for part in parts for answer in filler.fill(part, top)]

    def choose(self, X: Any, choices: Sequence[str]) -> list[Choice] | list[list[Choice]]:
        """Ranks candidates for the blank of a text.

        Each is put into the text, and the text that the model finds most likely wins: by the mean over its tokens of
        the log-probability of each given all the others, on both sides. So phrases compare with words.

        Args:
            X: a text with one blank, `[ ]` or `___`, or texts as in `predict`.
            choices: words, or phrases, in the model's vocabulary.

        Returns:
            A `Choice` for each candidate, the most probable first; for several texts a list of these.

        Raises:
            DataError: a text has no blank or more than one; `row` says which.
            UsageError: there is no candidate, or one has a word that the model does not know.
        """
        check_is_fitted(self, "network_")
        if isinstance(choices, str) or not len(choices):
            raise UsageError("choices is a list of candidates, such as ['more', 'less']")
        filler = self._filler(marks=True)
        texts = self._parse([X] if isinstance(X, str) else X)
        for row, text in enumerate(texts):
            if len(text.glued) > 1:
                raise DataError(f"candidates are ranked for one blank; the text has {len(text.glued)}", row)
        ranked = [filler.rank(text, choices) for text in texts]
        return ranked[0] if isinstance(X, str) else ranked

    def subject(self, X: Any, y: Any = None) -> Subject:
        """See `Estimator.subject`; the loss is that of every token of the filled texts, and `y` is not used."""
        check_is_fitted(self, "network_")
        return subject_of_blanks(self, X)

    def _embedded(self, X: Any, steps: bool) -> Iterator[np.ndarray]:
        def answer(network: Any, batch: Any) -> Iterator[np.ndarray]:
            context = finite(network(batch.values, batch.lengths).float().cpu()).numpy()
            return vectors_of(context, batch.lengths.tolist(), steps)

        return self._in_chunks(_as_texts(X).chunks(), self.encoder_.encode, answer)

    def _vector_size(self) -> int:
        return self.embedding_size

    def step_names(self, X: Any) -> list[list[str]]:
        """See `Embedding.step_names`."""
        return self.encoder_.shown([text for chunk in _as_texts(X).chunks() for text in chunk])

    def _parse(self, X: Any) -> list[Blanked]:
        texts = [text for chunk in _as_texts(X).chunks() for text in chunk] if len(X) else []
        return [parse(text, self.encoder_, row) for row, text in enumerate(texts)]

    def _filler(self, marks: bool) -> Filler:
        device = choose_device(self.device)
        absent = torch.full((self.encoder_.input_size,), 0.0, device=device)
        absent[UNKNOWN_ID] = -torch.inf

        def scores(tokens: Tensor, lengths: Tensor, rows: Tensor, steps: Tensor) -> Tensor:
            with self._inference() as (network, _):
                context = network(tokens.to(device), lengths)[rows.to(device), steps.to(device)]
                return finite(network.logits(context).float()) + absent

        masks = word_masks(self.encoder_, marks)
        if bool(masks.isinf().all()):
            raise DataError("the model knows nothing but punctuation marks; allow them with marks=True (--marks)")
        if bool(masks[FIRST].isinf().all()):
            raise DataError("no token of the model begins a word; train with a larger vocab_size (--vocab-size)")
        return Filler(self.encoder_, scores, masks.to(device), self.spans_)

    # metrics

    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None) -> dict[str, float]:
        """Returns metrics over every token of texts, each predicted from the others.

        Tokens outside the vocabulary are left out of the accuracy; `unknown` is their share. The same metrics of a
        prediction by frequency alone, without looking at the text, are shown beside them as `unigram_…`.

        Args:
            X: texts.
            y: not used.
            sample_weight: not used.

        Returns:
            `top1` and `top5`: share of tokens that are the most probable, or among the five most probable; `mrr`:
            mean of 1 / rank; `loss` in nats; `perplexity`; `unknown`; `n`: number of texts; the metrics by frequency,
            also as `baselines`, and the `comparison` with them.
        """
        check_is_fitted(self, "network_")
        batches = self._labelled(X, y, sample_weight)
        metrics, baselines, comparison = self._compared(batches, self._evaluation_objective())
        frequency = {f"unigram_{name}": value for name, value in baselines[FREQUENCY].items() if name != "loss"}
        return {**metrics, **frequency, "n": batches.count, **beside(baselines, comparison)}

    def _rivals(self, batches: Batches, objective: Any) -> dict[str, Measured]:
        return {FREQUENCY: Measured(self._unigram(batches), constant=True)}

    def _unigram(self, batches: Batches) -> dict[str, float]:
        """Returns the metrics of predictions by the frequency in the training texts."""
        counts = self._frequencies()
        scores = torch.from_numpy(np.log(counts, where=counts > 0, out=np.full_like(counts, -np.inf)))
        seen = np.zeros(len(counts), np.int64)
        for start in range(0, len(batches.rows), 4096):
            tokens = np.concatenate(batches.store.take(batches.rows[start : start + 4096]))
            seen += np.bincount(tokens, minlength=len(seen))
        tokens = torch.from_numpy(np.flatnonzero(seen * (counts > 0)))
        # of two equally frequent tokens the one with the smaller number goes first
        rank = torch.empty(len(counts))
        rank[torch.sort(scores, descending=True, stable=True).indices] = torch.arange(1.0, len(counts) + 1)
        rank, times = rank[tokens], torch.from_numpy(seen)[tokens].double()
        loss = -torch.log_softmax(scores, 0)[tokens]
        columns = torch.stack([torch.ones(len(tokens)), loss, (rank == 1).float(), (rank <= 5).float(), 1 / rank])
        return summarized((columns.double() @ times).numpy())

    def _labelled(self, X: Any, y: Any, sample_weight: Any) -> Batches:
        return self._batches(self._store(_as_texts(X)))

    # saving

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        config = {"encoder": self.encoder_.to_config(), "counts": self.counts_.tolist(), "spans": self.spans_.tolist()}
        return config, self.encoder_.to_files()

    def _load_state(self, config: dict[str, Any], files: dict[str, str]) -> None:
        self.encoder_ = BlankEncoder.from_files(config["encoder"], files)
        self.counts_, self.spans_ = np.array(config["counts"], np.int64), np.array(config["spans"])
        if len(self.counts_) != self.encoder_.input_size:
            raise FileError(CONFIG, f"does not fit: counts does not have {self.encoder_.input_size} values")

    def _card_info(self) -> tuple[str, str]:
        return "text", '["a text with a [ ] in it"]'

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


def _as_texts(X: Any) -> Texts:
    sequences = as_sequences(X)
    if not isinstance(sequences, Texts):
        raise DataError("X holds numbers; blanks are filled in texts")
    return sequences
