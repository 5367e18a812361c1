"""The estimator of translation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import msgspec
import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from recurra.data import TextEncoder
from recurra.data.batching.batches import Batches
from recurra.data.batching.pairs import PairBatches, references_of
from recurra.data.batching.split import hold_out_groups
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.inputs import CHUNK_ROWS, Texts, as_sequences
from recurra.data.columns.pairs import Pairs, as_pairs
from recurra.data.encoders.text import TextConfig, alphabet_size
from recurra.errors import DataError, UsageError
from recurra.tasks.base import PREDICT_BATCH, Estimator, beside
from recurra.tasks.baselines import Measured
from recurra.tasks.config import FolderConfig
from recurra.tasks.finite import finite
from recurra.tasks.fitting import CheckpointConfig, Prepared, Validation
from recurra.tasks.params import param
from recurra.tasks.starting.embedding import Embedding, vectors_of
from recurra.tasks.subject import Subject
from recurra.tasks.tuning.parts import Data, cut_rows, share_of
from recurra.tasks.tuning.ranges import Range
from recurra.training.extensions import KNOWN
from recurra.training.own import OwnMetrics

from .alignment import Alignment
from .baselines import Neighbours
from .inspection import subject_of_texts
from .metrics import bleu_tokens, corpus_metrics, signatures
from .network import SPECIALS, EncoderDecoder
from .objective import MAX_SLOPE, Limit, Translating
from .service import TranslateService

NEAREST = "nearest neighbour"
"""The baseline: the known translation of the most similar known source."""
WATCHED = 1000  # validation sources that are translated after each epoch; the loss is taken over all of them
PIECES, WORDS = 2000, 10_000  # with `vocab_size=None`
SEARCHED = 64  # sources translated together


class TranslateConfig(FolderConfig):
    """config.json of a translator."""

    limit: tuple[Annotated[int, msgspec.Meta(ge=1, le=1000)], Annotated[float, msgspec.Meta(ge=0, le=MAX_SLOPE)]]
    bleu_tokens: Literal["char", "13a"]
    source: TextConfig
    target: TextConfig

    def check(self) -> None:
        """See `Record.check`."""
        if self.source.specials or self.target.specials != [*SPECIALS]:
            raise ValueError("the special tokens are not those of a translator")


class Candidate(NamedTuple):
    """A translation that the search found.

    Attributes:
        text: the translation.
        score: mean log-probability of its tokens (with `length_penalty=1`); 0 is certainty.
    """

    text: str
    score: float


@dataclass(eq=False, repr=False)
class Translator(Embedding, Estimator):
    """Recurrent encoder–decoder with attention that turns a text into a text, such as its translation.

    Args:
        cell: one of `recurra.nn.CELLS`, or a `Cell` of your own; `"none"` reads each word by itself, as a baseline.
        hidden_size: units per layer and direction.
        num_layers: layers of the encoder, and of the decoder.
        bidirectional: whether the encoder also reads from the end to the beginning.
        tokens: `"bpe"` (pieces of words, for scripts with and without spaces), `"word"` or `"char"`.
        vocab_size: greatest number of different tokens of each side; None for 2,000 pieces beyond the characters that
            make up the texts (for words: 10,000).
        embedding_size: size of a token's vector.
        dropout: probability of dropping a feature, in training; small data want much.
        token_dropout: probability of replacing a token by the unknown token, in training.
        label_smoothing: share of the probability that the loss spreads over all tokens.
        beam_size: hypotheses kept by the search; 1 for greedy decoding.
        length_penalty: 0 favours short translations, 1 compares mean log-probabilities.
        neighbours: training pairs kept in the model folder, from which `evaluate` takes the baseline: the translation
            of the most similar known source; 0 for none.
        epochs: passes over the data; None for 6, or more on small data: at least 4,000 steps, at most 300 passes.
        batch_size: pairs per step.
        learning_rate: of AdamW at its peak.
        weight_decay: of AdamW.
        gradient_clip: greatest norm of the gradient.
        validation_fraction: share of the distinct sources that chooses the best epoch, when `fit` gets no data for
            it; all translations of a source are in the same part.
        n_iter_no_change: epochs without a better validation BLEU after which training stops; None for never. With
            `epochs=None` it is at least a fifth of the epochs.
        random_state: seed of initialisation, split, shuffling and dropout; no global generator is changed.
        device: `"auto"`, `"cpu"`, `"cuda"`, …
        engine: engine of the recurrence, see `recurra.ops`.
        memory: `"full"` or `"recompute"`, see `SequenceClassifier`.
        verbose: 1 for a progress line in a terminal or a notebook, 0 for silence.

    Attributes:
        bleu_tokens_: how BLEU cuts the target's texts: `"char"` where spaces do not part words, else `"13a"`.
        history_: a dictionary of metrics for each epoch; validation translations are greedy.
        best_epoch_: the epoch, counted from 1, whose weights were kept.
        network_: the trained `torch.nn.Module`.

    Example:
        >>> from recurra import Translator
        >>> numbers = {"one": "일", "two": "이", "three": "삼"}
        >>> X = [f"{a} {b}" for a in numbers for b in numbers] * 10
        >>> y = [" ".join(numbers[word] for word in x.split()) for x in X]
        >>> quick = {"epochs": 12, "batch_size": 8, "dropout": 0.0, "token_dropout": 0.0, "learning_rate": 0.02}
        >>> model = Translator(hidden_size=16, embedding_size=16, validation_fraction=0, **quick).fit(X, y)
        >>> model.predict(["two three"])
        ['이 삼']
    """

    hidden_size: int = 192
    dropout: float = 0.3
    batch_size: int = 32
    n_iter_no_change: int | None = 8
    bidirectional: bool = True
    tokens: str = "bpe"
    vocab_size: int | None = param(None, none="for 2,000 pieces or 10,000 words", search=())
    embedding_size: int = 192
    token_dropout: float = 0.1
    label_smoothing: float = param(0.1, share=True, search=Range(0.0, 0.2))
    beam_size: int = param(5, at_least=1, at_most=1000)
    length_penalty: float = 1.0
    neighbours: int = param(20_000, at_least=0)
    loss: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "",
        "function of scores `(tokens, vocabulary)` and numbers of the next tokens `(tokens,)`, as tensors, that "
        "returns one value per token, in place of the cross entropy with `label_smoothing`.",
    )
    metrics: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "",
        "further metrics of the validation data and of `evaluate`: a function of the references of each source, a list "
        "of texts, and its translation; an object as those of torchmetrics for texts; a list, or a dictionary by name.",
    )

    task = "translate"
    folder_config = TranslateConfig
    service_class = TranslateService
    min_steps: ClassVar = 4000
    functions: ClassVar = MappingProxyType({**KNOWN, "loss": (), "metrics": ()})

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
        """Trains on texts `X` and their translations `y`.

        Args:
            X: list, array, pandas or Arrow column of texts. A text may occur several times, with as many translations.
            y: as many texts; pairs with an empty side are left out and counted in `data_`.
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
        pairs = as_pairs(X, y)
        groups = pairs.groups()
        held_out = np.zeros(len(pairs), dtype=bool)
        if validation_data is None and self.validation_fraction > 0:
            held_out = hold_out_groups(groups, self.validation_fraction, seed)
        training = np.flatnonzero(~held_out)
        if self._start is None:
            self._learn_tokens(pairs, training)
        else:
            model = self._start.model
            self.source_encoder_, self.target_encoder_ = model.source_encoder_, model.target_encoder_
            self.bleu_tokens_ = model.bleu_tokens_
        known = Pairs([pairs.sources[i] for i in training], [pairs.targets[i] for i in training], 0)
        self.neighbours_ = Neighbours.of(known, self.neighbours, seed)  # what training compares with has not seen more
        sources, targets = self._stores(pairs, checkpoint, "training")
        self.limit_ = Limit.of(sources.lengths[training], targets.lengths[training])
        batches = PairBatches(sources, training, targets, {}, batch_size=self.batch_size, shuffle=True, seed=seed)
        valid = None
        if validation_data is not None:
            valid = self._measured(as_pairs(*validation_data), checkpoint, WATCHED)
        elif held_out.any():
            rows = np.flatnonzero(held_out)
            references = references_of(pairs, groups, rows, WATCHED)
            valid = PairBatches(sources, rows, targets, references, batch_size=PREDICT_BATCH)
            valid.texts = pairs.sources
        summary = {
            "pairs": len(training),
            "distinct sources": len(np.unique(groups[training])),
            "source tokens": int(sources.lengths[training].sum()),
            "target tokens": int(targets.lengths[training].sum()),
            "left out for an empty side": pairs.left_out,
            "validation pairs": 0 if valid is None else valid.count,
        }

        def finish() -> None:
            self.neighbours_ = Neighbours.of(pairs, self.neighbours, seed)

        return Prepared(batches, valid, summary, finish)

    def _learn_tokens(self, pairs: Pairs, training: np.ndarray) -> None:
        sides = []
        for texts, specials in ((pairs.sources, ()), (pairs.targets, SPECIALS)):
            sides.append(self._new_encoder([texts[i] for i in training], specials))
        self.source_encoder_, self.target_encoder_ = sides
        self.bleu_tokens_ = bleu_tokens(pairs.targets)

    def _new_encoder(self, texts: list[str], specials: tuple[str, ...]) -> TextEncoder:
        size, alphabet = self.vocab_size, None
        if size is None and self.tokens == "word":
            size = WORDS
        elif size is None:
            alphabet = alphabet_size(_chunks(texts)) + 1  # and the mark where a word begins
            size = alphabet + PIECES
        return TextEncoder(self.tokens, size, specials, alphabet=alphabet, apart=True).fit(_chunks(texts))

    def _stores(self, pairs: Pairs, checkpoint: CheckpointConfig, name: str) -> tuple[SequenceStore, SequenceStore]:
        sides = ((self.source_encoder_, pairs.sources, "source"), (self.target_encoder_, pairs.targets, "target"))
        source, target = (
            SequenceStore.build(
                (encoder.encode(chunk) for chunk in _chunks(texts)), checkpoint.file(f"{name}-{side}.arrow")
            )
            for encoder, texts, side in sides
        )
        return source, target

    def _measured(self, pairs: Pairs, checkpoint: CheckpointConfig, most: int | None) -> PairBatches:
        """Batches to measure on, with the references of `most` sources."""
        sources, targets = self._stores(pairs, checkpoint, "validation")
        rows = np.arange(len(pairs))
        references = references_of(pairs, pairs.groups(), rows, most)
        batches = PairBatches(sources, rows, targets, references, batch_size=PREDICT_BATCH if most else SEARCHED)
        batches.texts = pairs.sources
        return batches

    def _rivals(self, batches: PairBatches, objective: Any) -> dict[str, Measured]:
        """The nearest neighbour on the sources with references."""
        if self.neighbours_ is None:
            return {}
        nearest = self.neighbours_.translate([batches.texts[row] for row in batches.references])
        references = list(batches.references.values())
        metrics = corpus_metrics(nearest, references, self.bleu_tokens_)
        return {NEAREST: Measured(objective.own.beside(metrics, references, nearest))}

    def _build(self) -> EncoderDecoder:
        return EncoderDecoder(
            self.source_encoder_.input_size,
            self.target_encoder_.input_size,
            self.embedding_size,
            recurrent=self._recurrent(bidirectional=self.bidirectional),
            token_dropout=self.token_dropout,
        )

    def _objective(self, beams: int = 1) -> Translating:
        # the validation metric of training is decoded greedily, in a fraction of the time
        return Translating(
            self.target_encoder_,
            self.limit_,
            smoothing=self.label_smoothing,
            beams=beams,
            length_penalty=self.length_penalty,
            bleu_tokens=self.bleu_tokens_,
            loss=self.loss,
            own=OwnMetrics(self.metrics),
        )

    def _evaluation_objective(self) -> Translating:
        return self._objective(self.beam_size)

    # metrics

    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None) -> dict[str, Any]:
        """Returns metrics of the model, and of its nearest-neighbour baseline, on texts and their translations.

        Where a source has several translations, each counts as a reference. Pairs with an empty side are left out.

        Args:
            X: texts.
            y: as many translations.
            sample_weight: not known to this task; None.

        Returns:
            `bleu` and `chrf` (0 to 100), `loss` (nats per token) and `perplexity`; `nearest_neighbour_bleu` and
            `nearest_neighbour_chrf` where the model kept training pairs, also as `baselines` and `comparison`;
            sacrebleu's signatures; the number of distinct `sources` and of pairs `n`.
        """
        check_is_fitted(self, "network_")
        batches = self._to_measure(X, y, sample_weight)[1]
        rows = list(batches.references)
        references = list(batches.references.values())
        metrics, baselines, comparison = self._compared(batches, self._evaluation_objective())
        nearest = {f"nearest_neighbour_{name}": value for name, value in baselines.get(NEAREST, {}).items()}
        counts = {"sources": len(rows), "n": batches.count}
        found = {**metrics, **nearest, **signatures(references, self.bleu_tokens_), **counts}
        return found | beside(baselines, comparison)

    def _labelled(self, X: Any, y: Any, sample_weight: Any) -> PairBatches:
        return self._to_measure(X, y, sample_weight)[1]

    def _to_measure(self, X: Any, y: Any, sample_weight: Any) -> tuple[Pairs, PairBatches]:
        if sample_weight is not None:
            raise UsageError("translation knows no sample_weight")
        pairs = as_pairs(X, y)
        return pairs, self._measured(pairs, CheckpointConfig(), None)

    def _search_cut(self, data: tuple[Any, ...], seed: int) -> tuple[Data, Data]:
        """Divides pairs; all translations of a source are in the same part."""
        pairs = as_pairs(*data)
        groups = pairs.groups()
        apart = hold_out_groups(groups, share_of(int(groups.max()) + 1), seed)
        return cut_rows((pairs.sources, pairs.targets), apart)

    # predicting

    def predict(self, X: Any) -> list[str]:
        """The best translation found of each text; an empty text gives an empty one."""
        return [found[0].text for found in self.candidates(X)]

    def candidates(self, X: Any, beam_size: int | None = None) -> list[list[Candidate]]:
        """The translations that the search found of each text, at most `beam_size`, the best first.

        Different tokens may spell the same text; it is then listed once, with its best score.

        Args:
            X: texts as in `fit`.
            beam_size: hypotheses of the search; None for the parameter of the estimator.
        """
        check_is_fitted(self, "network_")
        if len(X) == 0:
            return []
        judge = self._objective(beam_size or self.beam_size)
        return [found for chunk in _texts(X).chunks() for found in self._translate(chunk, judge)]

    def _translate(self, texts: list[str], judge: Translating) -> Iterator[list[Candidate]]:
        def answer(network: Any, batch: Any) -> Iterator[list[Candidate]]:
            for some in judge.hypotheses(network, batch.values, batch.lengths):
                scores: dict[str, float] = {}
                for hypothesis in some:
                    scores.setdefault(self.target_encoder_.decode(hypothesis.tokens), hypothesis.score)
                yield [Candidate(text, score) for text, score in scores.items() if text]

        ids = self._source(texts)
        rows = np.flatnonzero([len(row) for row in ids])
        found = self._run(Batches.of_list(ids, rows, batch_size=SEARCHED), answer)
        return (found.get(row) or [Candidate("", 0.0)] for row in range(len(texts)))

    def _source(self, texts: list[str]) -> list[np.ndarray]:
        """Returns the numbers of the tokens of texts."""
        return self.source_encoder_.encode([text.strip() for text in texts])

    def _embedded(self, X: Any, steps: bool) -> Iterator[np.ndarray]:
        def answer(network: Any, batch: Any) -> Iterator[np.ndarray]:
            output, last = (finite(part.float().cpu()).numpy() for part in network.encoder(batch.values, batch.lengths))
            return vectors_of(output, batch.lengths.tolist(), steps) if steps else iter(last)

        return self._in_chunks(_texts(X).chunks(), self._source, answer)

    def _vector_size(self) -> int:
        network: Any = self.network_
        return int(network.encoder.output_size)

    def step_names(self, X: Any) -> list[list[str]]:
        """See `Embedding.step_names`."""
        return self.source_encoder_.shown([text.strip() for chunk in _texts(X).chunks() for text in chunk])

    def subject(self, X: Any, y: Any = None) -> Subject:
        """See `Estimator.subject`; `y` holds translations to judge, and the best found are judged without it."""
        check_is_fitted(self, "network_")
        return subject_of_texts(self, X, y)

    def align(self, source: str) -> Alignment:
        """Translates a text and tells where the decoder looked.

        Example:
            >>> from recurra import Translator
            >>> quick = {"epochs": 1, "hidden_size": 8, "embedding_size": 8}
            >>> model = Translator(**quick).fit(["good day", "good night"] * 20, ["bonjour", "bonne nuit"] * 20)
            >>> alignment = model.align("good night")
            >>> alignment.weights.shape == (len(alignment.target), len(alignment.source))
            True
        """
        check_is_fitted(self, "network_")
        ids = self.source_encoder_.encode([source.strip()])[0]
        if not len(ids):
            return Alignment([], [], np.zeros((0, 0), np.float32), "")
        with self._inference() as (network, device):
            values, lengths = torch.from_numpy(ids).unsqueeze(0).to(device), torch.tensor([len(ids)])
            tokens = self._evaluation_objective().hypotheses(network, values, lengths)[0][0].tokens
            weights = network.attend(values, lengths, torch.tensor([tokens], device=device))[0, : len(tokens)]
        source_tokens, target_tokens = self.source_encoder_.pieces(ids.tolist()), self.target_encoder_.pieces(tokens)
        return Alignment(source_tokens, target_tokens, weights.cpu().numpy(), self.target_encoder_.decode(tokens))

    # saving

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        files = {} if self.neighbours_ is None else self.neighbours_.to_files()
        config: dict[str, Any] = {"limit": list(self.limit_), "bleu_tokens": self.bleu_tokens_}
        for side, encoder in (("source", self.source_encoder_), ("target", self.target_encoder_)):
            config[side] = encoder.to_config()
            files |= {f"{side}-{name}": text for name, text in encoder.to_files().items()}
        return config, files

    def _load_state(self, config: dict[str, Any], files: dict[str, str]) -> None:
        self.limit_, self.bleu_tokens_ = Limit(*config["limit"]), config["bleu_tokens"]
        self.source_encoder_, self.target_encoder_ = (
            TextEncoder.from_files(config[side], files, f"{side}-tokenizer.json") for side in ("source", "target")
        )
        self.neighbours_ = Neighbours.from_files(files)

    def _card_info(self) -> tuple[str, str]:
        return "translation", '["a text"]'

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags


def _texts(X: Any) -> Texts:
    sequences = as_sequences(X)
    if not isinstance(sequences, Texts):
        raise DataError("the model translates texts, X holds numbers")
    return sequences


def _chunks(texts: list[str]) -> Iterator[list[str]]:
    return (texts[start : start + CHUNK_ROWS] for start in range(0, len(texts), CHUNK_ROWS))
