"""Many-to-one: what classification and regression share, from sequences and one target each to batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

import msgspec
import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from recurra._util.terminal import say
from recurra.data import ENCODERS, AudioEncoder, SeriesEncoder, TextEncoder
from recurra.data.batching.batches import Batches, Shuffled, batches_of, to_device
from recurra.data.batching.split import hold_out_stratified
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.inputs import Arrays, Texts, as_sequences, is_empty, is_missing
from recurra.data.encoders.logmel import HOP
from recurra.data.files.audio import Recordings
from recurra.data.pieces import PieceColumn
from recurra.errors import DataError, UsageError
from recurra.tasks.aliases import alias
from recurra.tasks.base import PREDICT_BATCH, beside
from recurra.tasks.baselines import Baseline, chance
from recurra.tasks.finite import finite
from recurra.tasks.fitting import CheckpointConfig, Prepared
from recurra.tasks.params import param
from recurra.tasks.serving.names import copy_columns, in_order, learn_columns, set_columns, step_columns
from recurra.tasks.starting.embedding import Embedding
from recurra.tasks.starting.language import Start
from recurra.tasks.starting.reuse import fit_one_pass
from recurra.tasks.starting.vectors import WithVectors
from recurra.tasks.subject import Subject, unknown_notes
from recurra.tasks.tuning.parts import Data, cut_rows, share_of
from recurra.tasks.tuning.space import Space, declared
from recurra.training.extensions import KNOWN
from recurra.training.settings import Run, Settings

from .conformal import FILE, Calibration, WithCoverage, coverage_metrics
from .metrics.groups import as_groups, measure_groups
from .network import PooledNetwork, states_of_steps, vectors_of_rows
from .objective import PooledObjective, as_weights, joined, order_sentence
from .running import RunningEvaluation
from .series.ensemble import Ensemble, one_network
from .series.presets import (
    Selection,
    SeriesConfig,
    candidates,
    explain_choice,
    members_of,
    network_for,
    schedule,
)
from .simple.fit import Fitted, cross_validate, fit_models
from .simple.models import KINDS, Constant, Problem
from .targets import WithTargets

AUDIO_FRAMES = 3
"""Spectra, one every 10 ms, that make one step of the network."""
TEXT_DEFAULTS = {
    "bidirectional": False,
    "pooling": "attention",
    "dropout": 0.4,
    "batch_size": 64,
    "validation_fraction": 0.1,
}
SERIES_DEFAULTS = {
    "bidirectional": True,
    "pooling": "max",
    "dropout": 0.2,
    "batch_size": 16,
    "validation_fraction": 0.1,
}
AUDIO_DEFAULTS = TEXT_DEFAULTS | {"bidirectional": True}
OF_TEXTS = ("tokens", "vocab_size", "embedding_size", "token_dropout")
"""Parameters that matter for texts only."""
OF_SERIES = ("preset", "members")
"""Parameters that matter for numeric series only."""
SMALL = 500
"""Fewer numeric sequences than this are few: see `SequenceEstimator.held_out_of_few`."""


@dataclass(eq=False, repr=False)
class SequenceEstimator(WithTargets, Embedding, WithVectors, WithCoverage):
    """Base of the estimators that give each sequence one output, see `SequenceClassifier`."""

    dropout: float | None = None  # type: ignore[assignment]  # None: by the kind of the sequences, see `defaults`
    batch_size: int | None = None  # type: ignore[assignment]
    validation_fraction: float | None = None  # type: ignore[assignment]
    bidirectional: bool | None = None
    tokens: str = "bpe"
    vocab_size: int = 4000
    embedding_size: int = 128
    pooling: str | None = None
    token_dropout: float = 0.3
    preset: str = param(
        "auto",
        "",
        'for numeric series, what a step of the recurrent layers is: `"steps"` (a step of the series), `"segments"` '
        '(about 32 segments of neighbouring steps), `"parts"` (about 4) or `"spectra"` (of overlapping windows). '
        '`"auto"` compares some of them by cross-validation if several networks are trained, else it is '
        '`"segments"` for long series. With `epochs=` it is `"steps"`.',
        choices="recurra.tasks.many_to_one.series.presets:CHOICES",
        search=("auto", "steps", "segments", "parts", "spectra"),
    )
    loss: Any = param(  # noqa: RUF009  (it is a field)
        None,
        "",
        "function of the outputs of the network and the targets, as tensors, that returns one value per sequence, in "
        "place of the loss of the task. Targets are numbers of classes `(batch,)`, or standardized numbers "
        "`(batch, outputs)`.",
    )
    metrics: Any = None
    members: int | None = param(
        None,
        "",
        "for numeric series, number of networks whose answers are averaged. Each leaves out a part of the sequences, "
        "and is tested on it. None for 5 if there are 20 to 499 sequences, and neither `epochs`, `max_minutes`, "
        "`validation_fraction`, validation data, workers nor several labels are given; else 1.",
        at_least=1,
        at_most=1000,
        none="for the default",
    )

    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "text": TEXT_DEFAULTS,
        "series": SERIES_DEFAULTS,
        "audio": AUDIO_DEFAULTS,
    }
    """For each kind of sequences, what a parameter is that was left None; docs/decisions 0002 and 0005 say why."""
    simple_models: ClassVar = KINDS
    starts_from_language: ClassVar = True
    functions: ClassVar = MappingProxyType({**KNOWN, "loss": (), "metrics": ()})
    embedding_path: ClassVar = "encoder.embedding"
    series_ = SeriesConfig()
    """What the layers read of numeric series, and the number of networks."""
    _selection = None
    held_out_of_few: ClassVar[float] = 0.0
    """Default of `validation_fraction` on few numeric sequences; without validation data the last epoch is kept."""

    @property
    def accepts_text(self) -> bool:
        """See `Estimator.accepts_text`."""
        return self.encoder_.kind == "text"

    def rows_of(self, X: Any, y: Any) -> tuple[Any, Any]:
        """See `Estimator.rows_of`."""
        found: Any = as_sequences(X)
        return found.rows, None if y is None else self._column(y, len(found))

    chosen_ = alias("chosen_", "resolved_params_")

    # fitting

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        validation_data: tuple[Any, Any] | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_minutes: float = 10.0,
        resume: bool = False,
        workers: Any = None,
    ) -> Self:
        """Trains on sequences `X` and targets `y`.

        Args:
            X: list, array, pandas or Arrow column of texts; or numeric sequences: a list of arrays
                `(time, features)`, an array `(batch, time, features)` or `(batch, time)`; or recordings: paths
                of sound files, or pairs `(samples, rate)`. Texts may be a column of a
                `recurra.data.pieces.LargeTable`.
            y: one target per sequence, of a `LargeTable` its column; sequences whose target is missing are left out.
            sample_weight: weight of each sequence in the loss, `(batch,)`.
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
        self.calibration_ = None
        return self._fit(
            X,
            y,
            sample_weight,
            validation_data=validation_data,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            resume=resume,
            workers=workers,
        )

    def partial_fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, X: Any, y: Any, sample_weight: Any = None
    ) -> Self:
        """Trains for one pass over some sequences, from the weights that the model has.

        The first call learns tokens and scales; of numeric series it trains one network. Every call has its own
        learning rate schedule. Nothing is held out, and no baselines are fitted.

        Args:
            X: sequences as in `fit`.
            y: their targets.
            sample_weight: weight of each sequence in the loss, `(batch,)`.

        Returns:
            The estimator itself.
        """
        fit_one_pass(self, X, y, sample_weight)
        return self

    def _prepare(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        validation_data: tuple[Any, Any] | None,
        seed: int,
        checkpoint: CheckpointConfig,
    ) -> Prepared:
        if self._start is not None:
            self._take_encoder(self._start)
        self._selection, self.series_ = None, SeriesConfig()
        if isinstance(X, PieceColumn):
            from .large import prepare

            return prepare(self, X, y, sample_weight, validation_data, seed, checkpoint)
        sequences = as_sequences(X) if self._start is None else self._accept(X)
        if self.vectors is not None and not isinstance(sequences, Texts):
            raise UsageError("vectors are vectors of words, and these sequences are not texts")
        y = self._column(y, len(sequences))
        count = int((~is_missing(y)).sum())
        self.resolved_params_ = self._choose(sequences.kind, count)
        alone = validation_data is None and checkpoint.workers is None and self._may_have_members(y)
        members = members_of(self, sequences.kind, count, alone)
        if members > 1:
            self.resolved_params_["validation_fraction"] = 0.0
        weights = as_weights(sample_weight, len(sequences))
        training, held_out = self._split(y, validation_data is None, seed)
        self._fit_targets(y[training])
        if self._start is None:
            self.encoder_ = self._new_encoder(sequences)
        store = self._learn(sequences, training, checkpoint.file("training.arrow"))
        targets = self._targets_of(y, training | held_out)
        weights = self._weigh(y, weights)
        batches = self._batches(store, training, targets, weights, seed)
        valid = None
        if validation_data is not None:
            valid = self._validation_batches(validation_data, checkpoint)
        elif held_out.any():
            valid = self._batches(store, held_out, targets, weights, None)
        if sequences.kind == "series":
            batches, valid = self._plan(batches, valid, members, None if members == 1 else self._stratify(y[training]))
        summary = {
            "sequences": int(training.sum()),
            "steps": int(store.lengths[training].sum()),
            "empty sequences": int((store.lengths[training] == 0).sum()),
            "left out for a missing target": int(is_missing(y).sum()),
            "validation sequences": 0 if valid is None else len(valid.rows),
        }
        if isinstance(sequences, Arrays):
            summary["missing values"] = Arrays(list(compress(sequences.rows, training)), sequences.features).missing
        return Prepared(batches, valid, summary)

    def _take_encoder(self, start: Start) -> None:
        """Takes the encoder of the model that training starts from."""
        self.encoder_ = start.model.encoder_ if start.same else start.model.language().encoder
        copy_columns(self, start.model)

    def params_from(self, model: Any) -> dict[str, Any]:
        """See `Estimator.params_from`."""
        if model.task != self.task:
            return model.language().params
        return super().params_from(model) | {
            name: model.resolved_params_[name] for name in ("bidirectional", "pooling")
        }

    def _start_weights(self, start: Start) -> dict[str, Tensor]:
        if start.same:
            return super()._start_weights(start)
        language = start.model.language()
        recurrent = {f"encoder.recurrent.{name}": weight for name, weight in language.recurrent().items()}
        return {"encoder.embedding.weight": language.embedding, **recurrent}

    def _plan(
        self, batches: Batches, valid: Batches | None, members: int, strata: np.ndarray | None
    ) -> tuple[Batches, Batches | None]:
        """Chooses the presets of the network, and the data of several networks."""
        self._steps = float(np.median(batches.store.lengths[batches.rows]))
        if members > 1:
            objective, regress = self._trained_objective(), self.target_kind == "numbers"
            self._selection = Selection(objective, batches, members, strata, batches.seed, correct=regress)
            batches, valid = self._selection.train, self._selection.valid
        values = self._selection.values if self._selection else 0
        self.series_ = SeriesConfig(candidates(self, members, self._steps), members, values)
        return batches, valid

    def _training_objective(self) -> Any:
        return self._selection.objective if self._selection else self._trained_objective()

    def _trained_objective(self) -> Any:
        """Returns the objective of a single network in training."""
        return self._objective()

    def _settings_of_run(self, prepared: Prepared, seed: int, checkpoint: CheckpointConfig) -> Settings:
        settings = super()._settings_of_run(prepared, seed, checkpoint)
        if self.encoder_.kind != "series":
            return settings
        return schedule(self, settings, cast(Batches, prepared.train), self._steps)

    def _keep(self, run: Run, epochs: int) -> None:
        super()._keep(run, epochs)
        network = self.network_
        if self._selection and isinstance(network, Ensemble):
            row = run.history[run.best_epoch - 1] if run.best_epoch else {}
            self.metrics_["presets"] = losses = self._selection.finish(network, row)
            presets = {name: self.series_.presets[name] for name in network.presets}
            self.series_ = SeriesConfig(presets, self.series_.members, self.series_.values)
            if self.verbose and losses:
                metric = {"classes": "accuracy", "labels": "micro_f1", "numbers": "r2"}[self.target_kind]
                said = f"{'R²' if metric == 'r2' else metric} {row[f'valid_{metric}']:.4f}"
                words = explain_choice(self.series_, losses, said)
                if network.values is not None and not network.share:
                    words += " The networks do not improve the ridge regression, whose answer is given."
                say(words)
        self._selection = None

    def _compare_with_baselines(self, batches: Any, valid: Any) -> None:
        ensemble = isinstance(self.network_, Ensemble)
        super()._compare_with_baselines(batches, None if ensemble else valid)

    def _choose(self, kind: str, count: int) -> dict[str, Any]:
        """The parameters that depend on the kind of sequences and their number: as given, else by default."""
        defaults = dict(self.defaults[kind])
        if kind == "series" and count < SMALL:
            defaults["validation_fraction"] = self.held_out_of_few
        given = {name: getattr(self, name) for name in defaults}
        return {name: default if given[name] is None else given[name] for name, default in defaults.items()}

    def _split(self, y: np.ndarray, apart: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks of the rows to train on and of those that choose the best epoch; neither has rows without a target."""
        known = ~is_missing(y)
        if not known.any():
            raise DataError("every target is missing: there is nothing to learn")
        fraction = self.resolved_params_["validation_fraction"] if apart else 0
        held_out = hold_out_stratified(known, fraction, seed, self._stratify(y[known]))
        return known & ~held_out, held_out

    def _batches(
        self,
        store: SequenceStore,
        mask: np.ndarray,
        targets: Tensor,
        weights: np.ndarray | None,
        seed: int | None,
    ) -> Batches:
        """Batches over some rows; shuffled for training where a seed is given."""
        return Batches(
            store,
            np.flatnonzero(mask),
            targets,
            None if weights is None else torch.from_numpy(weights.astype(np.float32)),
            batch_size=PREDICT_BATCH if seed is None else self.resolved_params_["batch_size"],
            shuffle=seed is not None,
            seed=seed or 0,
        )

    def _validation_batches(self, data: tuple[Any, Any], checkpoint: CheckpointConfig) -> Batches:
        sequences = self._accept(data[0])
        y = self._column(data[1], len(sequences), "the validation y")
        known = ~is_missing(y)
        if not known.any():
            raise DataError("every validation target is missing")
        store = self._store(sequences, checkpoint.file("validation.arrow"))
        return self._batches(store, known, self._targets_of(y, known), self._weigh(y, None), None)

    def _store(self, sequences: Texts | Arrays | Recordings, path: Path | None) -> SequenceStore:
        encode: Any = self.encoder_.encode
        return SequenceStore.build((encode(chunk) for chunk in sequences.chunks()), path)

    def _fit_encoder(self, chunks: Iterable[Any]) -> None:
        """Fits the encoder on parts of the training data."""
        file = self._vector_file()
        if file is not None and self.encoder_.kind == "text":
            self.encoder_ = TextEncoder("word", self.vocab_size, lowercase=not file.has_case())
        self.encoder_.fit(chunks)
        if file is not None:
            self._read_vectors(file, self._numbered_words()[1:], self.encoder_.add_words)  # not the unknown one

    def _numbered_words(self) -> Sequence[str]:
        return self.encoder_.numbered()

    def _learn(self, sequences: Texts | Arrays | Recordings, training: np.ndarray, path: Path | None) -> SequenceStore:
        """Fits the encoder on the training rows, and stores all rows encoded."""
        if self._start is None and isinstance(sequences, Recordings):
            return self.encoder_.learn(sequences, training, path)
        if self._start is None:
            self._fit_encoder(sequences.chunks(training))
        return self._store(sequences, path)

    def _fit_baselines(self, batches: Batches, folds: int) -> tuple[list[Baseline], dict[str, dict[str, float]]]:
        rows, targets = batches.rows, cast(Tensor, batches.targets)
        weights = np.ones(len(rows)) if batches.weights is None else batches.weights[rows].double().numpy()
        if not weights.any():
            return [], {}
        name = self._constant_name()
        constant = Constant(name, "", self._constant(targets[rows].numpy(), weights))
        models = fit_models(batches, self._problem())
        found = [constant, *(fitted.model for fitted in models)]
        folds = min(folds, *(len(fitted.examples.targets) for fitted in models), len(rows))
        every = (weights > 0).all()  # a part without weight has no metrics
        return found, self._crossed(constant, models, folds) if folds > 1 and models and every else {}

    def _problem(self) -> Problem:
        encoder = self.encoder_
        tokens = encoder.tokens if encoder.kind == "text" else ""
        return Problem(encoder.kind, tokens, encoder.input_size, self._output_size(), self.task == "classify")

    def _baseline_sizes(self) -> dict[str, int]:
        return self._problem().sizes()

    def _crossed(self, constant: Baseline, models: list[Fitted], folds: int) -> dict[str, Any]:
        """Metrics of the baselines by cross-validation."""
        examples = models[0].examples
        targets, weights = examples.targets, examples.weights
        found = np.zeros((len(targets), examples.outputs))
        for train, test in examples.folds(folds):
            found[test] = self._constant(targets[train], np.ones(len(train)) if weights is None else weights[train])
        outputs = {constant.name: found}
        for model, own, strength in models:
            outputs[model.name] = cross_validate(own, folds, strength)
        measure = cast(PooledObjective, self._objective()).measure
        return {name: measure(output.astype(np.float32), targets, weights) for name, output in outputs.items()}

    def _new_encoder(self, sequences: Texts | Arrays | Recordings) -> Any:
        set_columns(self, None, None)
        if isinstance(sequences, Texts):
            return TextEncoder(self.tokens, self.vocab_size)
        if isinstance(sequences, Recordings):
            return AudioEncoder()
        learn_columns(self, sequences)
        return SeriesEncoder(sequences.features)

    def _build(self) -> torch.nn.Module:
        network = network_for(self, self.series_, self._build_one)
        if self._selection and isinstance(network, Ensemble):
            self._selection.start(network)
        return network

    def _build_one(self, preset: str, segment: int) -> PooledNetwork:
        chosen = self.resolved_params_
        return PooledNetwork(
            self.encoder_.input_size,
            self.embedding_size if self.encoder_.kind == "text" else 0,
            self._output_size(),
            pooling=chosen["pooling"],
            frames=AUDIO_FRAMES if self.encoder_.kind == "audio" else 0,
            token_dropout=self.token_dropout,
            preset=preset,
            segment=segment,
            vectors=(given.known, given.size) if (given := getattr(self.encoder_, "vectors", None)) else None,
            **vars(self._recurrent(bidirectional=chosen["bidirectional"], dropout=chosen["dropout"])),
        )

    # vectors

    def _embedded(self, X: Any, steps: bool) -> Iterator[np.ndarray]:
        if steps:
            one_network(self, "a vector for each step")
        answer = states_of_steps if steps else vectors_of_rows
        return self._in_chunks(self._accept(X).chunks(), self.encoder_.encode, answer)

    def _vector_size(self) -> int:
        members: Any = getattr(self.network_, "members", [self.network_])
        return sum(member.encoder.output_size for member in members)

    def step_names(self, X: Any) -> list[list[str]] | None:
        """See `Embedding.step_names`."""
        sequences = self._accept(X)
        if not isinstance(sequences, Texts):
            return None
        return self.encoder_.shown([text for chunk in sequences.chunks() for text in chunk])

    # searching

    def _search_space(self, *data: Any) -> Space:
        kind = as_sequences(data[0]).kind
        others = (() if kind == "text" else OF_TEXTS) + (() if kind == "series" else OF_SERIES)
        return {name: search for name, search in declared(type(self)).items() if name not in others}

    def _search_defaults(self, *data: Any) -> dict[str, Any]:
        sequences = as_sequences(data[0])
        return {**self.get_params(deep=False), **self._choose(sequences.kind, len(sequences))}

    def _search_cut(self, data: tuple[Any, ...], seed: int) -> tuple[Data, Data]:
        if isinstance(data[0], PieceColumn):
            raise UsageError("tune needs data that fit into memory: give a part of them, and train on all with fit")
        sequences = as_sequences(data[0])
        y = self._column(data[1], len(sequences))
        weights = as_weights(data[2] if len(data) > 2 else None, len(sequences))
        known = ~is_missing(y)
        share = share_of(int(known.sum()))
        return cut_rows((sequences, y, weights), hold_out_stratified(known, share, seed, self._stratify(y[known])))

    # predicting

    def _accept(self, X: Any) -> Texts | Arrays | Recordings:
        """Sequences of the kind that the model was trained on."""
        sequences = as_sequences(X)
        if sequences.kind != self.encoder_.kind:
            words = {"text": "texts", "series": "numeric sequences", "audio": "recordings"}
            raise DataError(f"the model was trained on {words[self.encoder_.kind]}, X holds {words[sequences.kind]}")
        if isinstance(sequences, Arrays):
            sequences = in_order(self, sequences)
        if isinstance(sequences, Arrays) and not any(len(row) for row in sequences.rows):
            features = self.encoder_.features  # nothing in X says how many
            return Arrays([np.zeros((0, features))] * len(sequences), features)
        return sequences

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's output for each sequence, in order: `(batch, outputs)`."""
        check_is_fitted(self, "network_")
        if is_empty(X):
            return np.zeros((0, self._output_size()), np.float32)
        return np.concatenate(list(self._output_chunks(self._accept(X))))

    def _output_chunks(self, sequences: Texts | Arrays | Recordings) -> Iterator[np.ndarray]:
        encode: Any = self.encoder_.encode
        for chunk in sequences.chunks():
            found = np.empty((len(chunk), self._output_size()), np.float32)
            with self._inference() as (network, device):
                for batch in batches_of(encode(chunk), batch_size=PREDICT_BATCH):
                    given = to_device(batch, device)
                    output = network(given.values, given.lengths).float().cpu()
                    found[batch.rows.numpy()] = finite(output).numpy()
            yield found

    def subject(self, X: Any, y: Any = None) -> Subject:
        """See `Estimator.subject`."""
        check_is_fitted(self, "network_")
        sequences = self._accept(X)
        targets = None
        if y is not None:
            y = self._column(y, len(sequences))
            if is_missing(y).any():
                raise DataError("a target is missing", int(is_missing(y).argmax()))
            targets = self._targets_of(y, np.ones(len(y), bool))
        batch = self._whole(Batches(self._store(sequences, None), targets=targets, batch_size=len(sequences)))
        network, objective = self.network_.to(batch.values.device).eval(), self._objective()
        with torch.no_grad():
            output = network(batch.values, batch.lengths)
        frames = network.frames if isinstance(network, PooledNetwork) else 0
        steps = words = None
        if isinstance(sequences, Texts):
            texts = [text for chunk in sequences.chunks() for text in chunk]
            steps, words = self.encoder_.shown(texts), self.encoder_.word_numbers(texts)
        return Subject(
            network,
            batch,
            lambda batch: network(batch.values, batch.lengths),
            lambda scored: self._score(scored, output),
            self._score_name(output),
            None if targets is None else lambda batch: objective.loss(network, batch),
            steps,
            answers=self._describe(output),
            seconds=frames * HOP if frames else None,
            notes=self.series_.notes() if steps is None else unknown_notes(batch.values, batch.lengths, steps),
            title=self.title,
            words=words,
            any_length=True,
        )

    def _score(self, output: Tensor, first: Tensor) -> Tensor:
        """Returns the score that explains the prediction, `(batch,)`; `first` is the output on the unchanged inputs."""
        raise NotImplementedError

    def _score_name(self, output: Tensor) -> str:
        """Its name, with the unit."""
        raise NotImplementedError

    def _describe(self, output: Tensor) -> list[str]:
        """The answers in words."""
        raise NotImplementedError

    def _labelled(self, X: Any, y: Any, sample_weight: Any) -> Batches:
        sequences = self._accept(X)
        y = self._column(y, len(sequences))
        weights = as_weights(sample_weight, len(sequences))
        known = ~is_missing(y)
        if not known.any():
            raise DataError("every target is missing: there is nothing to compare with")
        return self._batches(self._store(sequences, None), known, self._targets_of(y, known), weights, None)

    def evaluate(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, by: Any = None, coverage: float | None = None
    ) -> dict[str, Any]:
        """Returns metrics of the model on labelled data. Items without a target are left out.

        Args:
            X: sequences as in `fit`.
            y: targets as in `fit`.
            sample_weight: weight of each sequence, `(batch,)`.
            by: a value for each sequence, `(batch,)`, such as its source; `groups` then has the metrics of the
                sequences with each value.
            coverage: share of the sequences whose set of classes (or interval) should hold the true answer, such as
                0.9. The result then has the measured `coverage` without weights, `coverage_wanted`, and
                `mean_set_size` or `mean_interval_width`.

        Returns:
            The metrics of `Estimator.evaluate` and detailed ones: for classes those of
            `recurra.tasks.many_to_one.metrics.classes.ClassReport.result`; for several numbers `targets`, the metrics
            of each.
        """
        check_is_fitted(self, "network_")
        batches, objective = self._labelled(X, y, sample_weight), cast(Any, self._evaluation_objective())
        observed = self._observed(batches, objective)
        metrics, baselines, comparison = self._judged(objective, observed, self._rivals(batches, objective))
        arrays = joined(observed)
        found = {**metrics, **objective.details(*arrays), "n": batches.count}
        if by is not None:
            groups = as_groups(by, len(batches.store))[np.concatenate(batches.plan(0))]
            found["groups"] = measure_groups(objective.measure, groups, *arrays)
        if coverage is not None:
            covered, sizes = self.regions(*arrays[:2], coverage)
            found |= coverage_metrics(coverage, covered.mean(0), sizes.mean(0), self.region_size)
        return {**found, **beside(baselines, comparison)}

    def running_evaluation(self, coverage: float | None = None) -> RunningEvaluation:
        """Returns an object that evaluates the model on parts of a data set, as `evaluate` does on all of it.

        Args:
            coverage: see `evaluate`.
        """
        check_is_fitted(self, "network_")
        return RunningEvaluation(self, coverage)

    def order_test(self, X: Any, y: Any = None, sample_weight: Any = None) -> dict[str, Any]:
        """See `Estimator.order_test`. The key `sentence` says whether the order of the steps matters to the model.

        It matters if a paired one-sided t-test over the sequences finds it at 5 %.
        """
        check_is_fitted(self, "network_")
        batches, objective = self._labelled(X, y, sample_weight), cast(Any, self._evaluation_objective())
        both = [self._observed(source, objective) for source in (batches, Shuffled(batches))]
        metrics = [self._judged(objective, observed, {})[0] for observed in both]
        found: dict[str, Any] = dict(zip(("in order", "shuffled"), metrics, strict=True))
        if (batches.store.lengths[batches.rows] < 2).all():
            sentence = "Every sequence has one step, so there is no order: these data need no memory (cell none)."
        else:
            metric, sign = objective.monitor, 1 if objective.monitor_mode == "max" else -1
            own, other = (values[metric] for values in metrics)
            sentence = order_sentence(metric, own, other, sign, chance(*(objective.items(one) for one in both)))
        return found | {"sentence": sentence}

    # saving

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        config = {
            "targets": self._target_config(),
            "encoder": self.encoder_.to_config(),
            "chosen": self.resolved_params_,
            **({} if self.series_ == SeriesConfig() else {"series": msgspec.to_builtins(self.series_)}),
        }
        names = getattr(self, "feature_names_in_", None)
        if names is not None:
            config["feature_names"] = names.tolist()
        if self.encoder_.kind == "series" and (columns := step_columns(self)) is not None:
            config["columns"] = columns
        return config, self.encoder_.to_files()

    def _further_files(self) -> dict[str, str]:
        return {} if self.calibration_ is None else {FILE: self.calibration_.to_file()}

    def _load_state(self, config: dict[str, Any], files: dict[str, str]) -> None:
        self.encoder_: Any = ENCODERS[config["encoder"]["kind"]].from_files(config["encoder"], files)
        self._load_targets(config["targets"])
        self.calibration_ = Calibration.from_file(files[FILE], self._targets_count()) if FILE in files else None
        features = getattr(self.encoder_, "features", None) if self.encoder_.kind == "series" else None
        set_columns(self, config.get("columns") or features, config.get("feature_names"))
        self.series_ = SeriesConfig(**config.get("series", {}))
        self._selection = None
        self.resolved_params_ = config["chosen"] or self._choose(self.encoder_.kind, 0)

    def _patience(self) -> float:
        # long series of few features look the same for hundreds of steps before anything is learnt
        return 0.5 if self.encoder_.kind == "series" else super()._patience()

    def _settings(self) -> dict[str, Any]:
        series = {} if self.series_ == SeriesConfig() else msgspec.to_builtins(self.series_)
        return super()._settings() | self.resolved_params_ | series

    def _card_info(self) -> tuple[str, str]:
        if self.encoder_.kind == "text":
            return "text", '["a text"]'
        if self.encoder_.kind == "audio":
            return "audio", '["recording.wav"]'
        return "time-series", f"[[[0.0] * {self.encoder_.features}]]"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        given = tags.input_tags
        given.string = given.two_d_array = given.three_d_array = given.allow_nan = True
        tags.target_tags.required = True
        return tags
