"""Transcription, many-to-many unaligned: what is said in a recording, by CTC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import msgspec
import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from recurra.data import AudioEncoder, TextEncoder
from recurra.data.batching.batches import batches_of, pad
from recurra.data.batching.split import hold_out
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.inputs import as_column, as_sequences, is_missing
from recurra.data.encoders.logmel import HOP, AudioConfig
from recurra.data.encoders.text import TextConfig
from recurra.data.files.audio import Recordings
from recurra.errors import DataError
from recurra.nn import stacked_length
from recurra.tasks.base import PREDICT_BATCH, Estimator
from recurra.tasks.baselines import Baseline
from recurra.tasks.config import FolderConfig
from recurra.tasks.counts import FrequentText
from recurra.tasks.finite import finite
from recurra.tasks.fitting import CheckpointConfig, Prepared, Validation
from recurra.tasks.params import param
from recurra.tasks.starting.embedding import Embedding, vectors_of
from recurra.tasks.subject import Subject
from recurra.training.extensions import KNOWN
from recurra.training.own import OwnMetrics

from .decode import align, needed_steps
from .network import BLANK, BLANK_ID, CTCObjective, SpokenBatches, TranscribingNetwork, ctc_losses
from .service import TranscribeService


class Token(NamedTuple):
    """A token of a transcription and when it is said.

    Attributes:
        token: its text.
        start: in seconds from the beginning of the recording.
        end: in seconds.
    """

    token: str
    start: float
    end: float


class Transcript(NamedTuple):
    """Transcription of a recording.

    Attributes:
        text: the transcription.
        confidence: geometric mean of the probability that the model gives a token of it, in [0, 1].
        tokens: the tokens with their times.
    """

    text: str
    confidence: float
    tokens: list[Token]


class TranscribeConfig(FolderConfig):
    """config.json of a transcriber."""

    encoder: AudioConfig
    text_encoder: TextConfig = msgspec.field(name="text encoder")

    def check(self) -> None:
        """See `Record.check`."""
        if self.text_encoder.specials != [BLANK]:
            raise ValueError(f"text encoder.specials is not {BLANK}")


@dataclass(eq=False, repr=False)
class Transcriber(Embedding, Estimator):
    """Recurrent network that writes down what is said in a recording.

    It learns from recordings and their texts. The start of a word need not be marked (CTC).

    Args:
        bidirectional: whether every layer also reads from the end to the beginning.
        tokens: what the network writes: `"char"`, `"word"` or `"bpe"` (pieces of words).
        vocab_size: greatest number of different tokens.
        frames: spectra, one every 10 ms, that make one step of the network; a text longer than its recording has
            steps cannot be learned and is left out.
        beam_size: 1 reads off the most probable token of each step; more keeps so many beginnings (slower).
        length_bonus: with a beam, added to the logarithm of a transcription for each token.

    Attributes:
        history_: a dictionary of metrics for each epoch.
        best_epoch_: the epoch, counted from 1, whose weights were kept: that of the lowest character error rate.
        network_: the trained `torch.nn.Module`.

    Example:
        >>> import numpy as np
        >>> from recurra import Transcriber
        >>> time = np.arange(1000) / 8000
        >>> sounds = {letter: np.sin(2 * np.pi * hertz * time) for letter, hertz in (("a", 300), ("b", 1200))}
        >>> texts = ["ab", "ba", "a", "b"] * 20
        >>> X = [(np.concatenate([sounds[letter] for letter in text]), 8000) for text in texts]
        >>> model = Transcriber(hidden_size=16, num_layers=1, dropout=0.0, learning_rate=0.02, epochs=30, verbose=0)
        >>> model.fit(X, texts).predict(X[:2])
        ['ab', 'ba']
    """

    bidirectional: bool = True
    num_layers: int = 2
    dropout: float = 0.3
    batch_size: int = 16
    tokens: str = "char"
    vocab_size: int = param(4000, search=())
    frames: int = param(3, at_least=1, at_most=1000, search=(2, 3, 4), shapes=True)
    beam_size: int = param(1, at_least=1, at_most=1000)
    length_bonus: float = 0.0
    metrics: Any = param(None)  # noqa: RUF009  (it is a field)

    task = "transcribe"
    folder_config = TranscribeConfig
    service_class = TranscribeService
    simple_models: ClassVar = (FrequentText,)
    functions: ClassVar = MappingProxyType({**KNOWN, "metrics": ()})

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
        """Trains on recordings `X` and what is said in them, `y`.

        Args:
            X: paths of sound files, or pairs `(samples, rate)`.
            y: one text for each recording; recordings without a text are left out.
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
            EngineError: the packages of the extra `audio` are not installed.
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
        recordings, texts, known = _spoken(X, y)
        held_out = hold_out(known, self.validation_fraction if validation_data is None else 0, seed)
        training = known & ~held_out
        path = checkpoint.file("training.arrow")
        store: SequenceStore
        if self._start is not None:
            self.text_encoder_, self.encoder_ = self._start.model.text_encoder_, self._start.model.encoder_
            store = SequenceStore.build((self.encoder_.encode(chunk) for chunk in recordings.chunks()), path)
        else:
            self.text_encoder_ = TextEncoder(self.tokens, self.vocab_size, specials=[BLANK])
            self.text_encoder_.fit([[text for text, used in zip(texts, training, strict=True) if used]])
            self.encoder_ = AudioEncoder()
            store = self.encoder_.learn(recordings, training, path)
        batches = self._batches(store, texts, training, seed)
        valid = None
        if validation_data is not None:
            valid = self._labelled(*validation_data, None, checkpoint.file("validation.arrow"))
        elif held_out.any():
            valid = self._batches(store, texts, held_out, None)
        summary = {
            "recordings": recordings.summary(),
            "recordings trained on": batches.count,
            "left out for a missing text": int((~known).sum()),
            "left out for a text too long for its recording": int(training.sum()) - batches.count,
            "sample rate (Hz)": self.encoder_.rate,
            "tokens": self.text_encoder_.input_size,
            "validation recordings": 0 if valid is None else valid.count,
        }
        return Prepared(batches, valid, summary)

    def _batches(self, store: SequenceStore, texts: Sequence[str], mask: np.ndarray, seed: int | None) -> SpokenBatches:
        """Batches over some rows; with a seed, shuffled for training, without those that cannot be learned."""
        ids = self.text_encoder_.encode(texts)
        if seed is not None:
            steps = stacked_length(store.lengths, self.frames)
            fits = np.array([needed_steps(row.tolist()) <= n for row, n in zip(ids, steps, strict=True)])
            mask = mask & fits & (store.lengths > 0)
            if not mask.any():
                raise DataError("every text is too long for its recording: there is nothing to learn from")
        batches = SpokenBatches(
            store,
            np.flatnonzero(mask),
            SequenceStore.build([ids]),
            batch_size=PREDICT_BATCH if seed is None else self.batch_size,
            shuffle=seed is not None,
            seed=seed or 0,
        )
        batches.texts = texts
        return batches

    def _labelled(self, X: Any, y: Any, sample_weight: Any, path: Path | None = None) -> SpokenBatches:
        if sample_weight is not None:
            raise DataError("transcription knows no weights of recordings")
        recordings, texts, known = _spoken(X, y)
        store = SequenceStore.build((self.encoder_.encode(chunk) for chunk in recordings.chunks()), path)
        return self._batches(store, texts, known, None)

    def _build(self) -> TranscribingNetwork:
        return TranscribingNetwork(
            self.encoder_.input_size,
            self.text_encoder_.input_size,
            frames=self.frames,
            **vars(self._recurrent(bidirectional=self.bidirectional)),
        )

    def _fit_baselines(self, batches: SpokenBatches, folds: int) -> tuple[list[Baseline], dict[str, dict[str, float]]]:
        texts = Counter(batches.texts[row] for row in batches.rows.tolist())
        return [FrequentText("most frequent text", "", max(texts, key=lambda text: (texts[text], text)))], {}

    def _objective(self) -> CTCObjective:
        return CTCObjective(self.text_encoder_, self.beam_size, self.length_bonus, OwnMetrics(self.metrics))

    # predicting

    def predict(self, X: Any) -> list[str]:
        """Transcribes recordings.

        Args:
            X: recordings as in `fit`.
        """
        return [transcript.text for transcript in self.transcribe(X)]

    def score(self, X: Any, y: Any) -> float:
        """1 minus the character error rate: 1 is best, and it can be below 0."""
        check_is_fitted(self, "network_")
        return 1 - self._metrics(self._labelled(X, y, None))["cer"]

    def transcribe(
        self, X: Any, *, beam_size: int | None = None, length_bonus: float | None = None
    ) -> list[Transcript]:
        """Transcribes recordings, with a confidence and the times of the tokens.

        A token's time is that of the steps at which the network writes it, which can be shorter than it sounds.

        Args:
            X: recordings as in `fit`.
            beam_size: prefixes that the search keeps; None for the parameter of the estimator.
            length_bonus: added to the logarithm of a prefix for each token; None for the parameter of the estimator.

        Raises:
            DataError: `X` holds no recordings, or one that cannot be read.
        """
        check_is_fitted(self, "network_")
        if not len(X):
            return []
        bonus = self.length_bonus if length_bonus is None else length_bonus
        objective = CTCObjective(self.text_encoder_, beam_size or self.beam_size, bonus)
        return [row for chunk in _recordings(X).chunks() for row in self._transcribe(chunk, objective)]

    def _transcribe(self, chunk: list[Any], objective: CTCObjective) -> Iterator[Transcript]:
        def answer(network: Any, batch: Any) -> Iterator[Transcript]:
            log_probs, steps = (t.cpu() for t in network(batch.values, batch.lengths))
            finite(log_probs)
            return (self._transcript(objective, item[:n]) for item, n in zip(log_probs, steps.tolist(), strict=True))

        found = self._run(batches_of(self.encoder_.encode(chunk), batch_size=PREDICT_BATCH), answer)
        return (found[row] for row in range(len(chunk)))

    def _transcript(self, objective: CTCObjective, log_probs: Tensor) -> Transcript:
        (ids,) = objective.decode(log_probs.unsqueeze(0), torch.tensor([len(log_probs)]))
        sizes = torch.tensor([len(log_probs)]), torch.tensor([ids], dtype=torch.long), torch.tensor([len(ids)])
        loss = float(ctc_losses(log_probs.unsqueeze(0), *sizes))
        seconds = self.frames * HOP
        times = align(log_probs.numpy(), BLANK_ID, ids)
        tokens = [
            Token(self.text_encoder_.decode([token]), round(start * seconds, 3), round(end * seconds, 3))
            for token, (start, end) in zip(ids, times, strict=True)
            if token > BLANK_ID
        ]
        return Transcript(self.text_encoder_.decode(ids), float(np.exp(-loss / max(len(ids), 1))), tokens)

    def _embedded(self, X: Any, steps: bool) -> Iterator[np.ndarray]:
        def answer(network: Any, batch: Any) -> Iterator[np.ndarray]:
            states, lengths = network.states(batch.values, batch.lengths)
            return vectors_of(finite(states.float().cpu()).numpy(), lengths.tolist(), steps)

        return self._in_chunks(_recordings(X).chunks(), self.encoder_.encode, answer)

    def _vector_size(self) -> int:
        network: Any = self.network_
        return int(network.encoder.output_size)

    def step_names(self, X: Any) -> None:
        """Returns None: pieces of sound have no names."""

    def subject(self, X: Any, y: Any = None) -> Subject:
        """See `Estimator.subject`."""
        check_is_fitted(self, "network_")
        recordings = _recordings(X)
        texts, known = [""] * len(recordings), np.ones(len(recordings), bool)
        if y is not None:
            _, texts, known = _spoken(X, y)
            if not known.all():
                raise DataError("a text is missing", int(known.argmin()))
        store = SequenceStore.build(self.encoder_.encode(chunk) for chunk in recordings.chunks())
        batch, objective = self._whole(self._batches(store, texts, known, None)), self._objective()
        network = self.network_.to(batch.values.device).eval()
        with torch.no_grad():
            log_probs, steps = network(batch.values, batch.lengths)
        said = objective.decode(log_probs, steps)
        tokens, sizes = pad([np.array(ids, np.int64) for ids in said]), torch.tensor([len(ids) for ids in said])
        return Subject(
            network,
            batch,
            lambda batch: network(batch.values, batch.lengths)[0],
            lambda log_probs: -ctc_losses(log_probs, steps, tokens.to(log_probs.device), sizes),
            "log-probability of the transcript (nats)",
            None if y is None else lambda batch: objective.loss(network, batch),
            answers=[self.text_encoder_.decode(ids) for ids in said],
            seconds=self.frames * HOP,
            title=self.title,
        )

    # saving

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        config = {"encoder": self.encoder_.to_config(), "text encoder": self.text_encoder_.to_config()}
        return config, self.text_encoder_.to_files()

    def _load_state(self, config: dict[str, Any], files: dict[str, str]) -> None:
        self.encoder_ = AudioEncoder.from_files(config["encoder"], files)
        self.text_encoder_ = TextEncoder.from_files(config["text encoder"], files)

    def _card_info(self) -> tuple[str, str]:
        return "automatic-speech-recognition", '["recording.wav"]'


def _recordings(X: Any) -> Recordings:
    sequences = as_sequences(X)
    if not isinstance(sequences, Recordings):
        raise DataError("X holds no recordings: hand over paths of sound files, or pairs (samples, rate)")
    return sequences


def _spoken(X: Any, y: Any) -> tuple[Recordings, list[str], np.ndarray]:
    """Recordings, their texts ("" where there is none), and which rows have one."""
    recordings = _recordings(X)
    y = as_column(y, len(recordings), "y")
    known = ~is_missing(y)
    if not known.any():
        raise DataError("every text is missing: there is nothing to learn from or to compare with")
    for row in np.flatnonzero(known):
        if not isinstance(y[row], str):
            raise DataError(f"y holds {y[row]!r:.40}, which is no text", int(row))
    return recordings, [str(text) if there else "" for text, there in zip(y, known, strict=True)], known
