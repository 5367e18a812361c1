"""Base class of the estimators: training, evaluation and saving, the same for all tasks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from recurra._util.terminal import say
from recurra.cells.registry import NO_MEMORY, find, name_of
from recurra.data.batching.batches import BatchSource, Shuffled, to_device
from recurra.errors import DataError, NonFiniteError, UsageError
from recurra.io import ModelFolder, Provenance, dumps, model_card, write_folder
from recurra.nn import RECURRENT, RecurrentSpec
from recurra.ops import Stack, batch_invariant, reproducible_algebra
from recurra.training.extensions import KNOWN, check_kinds, check_known, names_of
from recurra.training.health.statistics import bad_weights
from recurra.training.learning_curve import Epochs, draw_history
from recurra.training.logs.arguments import callbacks_of, kinds_of, loggers_of
from recurra.training.settings import LayerRate, Objective, Run, Settings, choose_device, ready

from . import registry, starting
from .aliases import RenamingType, alias, renamed
from .baselines import FILE, Baseline, Comparison, Measured, compare, dump, no_held_out, parse
from .config import METRICS, FolderConfig
from .finite import finite_loss
from .fitting import CHECKPOINT, CheckpointConfig, Prepared, logs_of
from .params import Parameters, check_params, params_of, with_descriptions
from .serving.default import PredictionService
from .serving.service import Service
from .size import refuse_too_large
from .starting.epochs import at_epoch
from .starting.language import Language
from .starting.reuse import fit_one_pass, freeze_names, frozen
from .starting.weights import put, with_classes
from .subject import Subject
from .subsample import select
from .tuning.tunable import Tunable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")

TRAINING_LOSS = "training loss"
"""Name of the compared metric if the network did not learn its training data."""
FOLDS = 5
"""Folds of the cross-validation of the baselines if no data are held out."""

MIN_EPOCHS, MIN_STEPS, MAX_EPOCHS = 6, 1500, 300
"""Passes over the data with `epochs=None`. Small data get more, up to `MAX_EPOCHS`, until `MIN_STEPS` are reached."""

OF_THE_RUN = ("logger", "callbacks", "start_from", "vectors")
"""Parameters that are not saved: they belong to a run, not to the model."""

PREDICT_BATCH = 256
REMEDY = "use a smaller learning rate or look for extreme values in the data"


@dataclass(eq=False, repr=False)
class Estimator(Parameters, Tunable, BaseEstimator, metaclass=RenamingType):
    """Base of the estimators. The constructor stores its arguments only; fitted names end in `_`.

    A task adds its own arguments. It defines the batches in `_prepare`, the network in `_build`, and the loss and the
    metrics in `_objective`. The shared arguments are described by `SequenceClassifier`.

    Example:
        `ESTIMATORS` has the estimators of all tasks by name.

        >>> from recurra.tasks import ESTIMATORS, Estimator
        >>> ESTIMATORS["tag"].__name__, all(issubclass(kind, Estimator) for kind in ESTIMATORS.values())
        ('SequenceTagger', True)
    """

    task: ClassVar[str]
    folder_config: ClassVar[type[FolderConfig]] = FolderConfig
    """Record of config.json, with the keys that `_state` adds."""
    min_steps: ClassVar[int] = MIN_STEPS
    """Fewest training steps with `epochs=None`, see `MIN_STEPS`."""
    aligned: ClassVar[bool] = False
    """True if targets belong to steps, so that the order test moves both."""
    simple_models: ClassVar[tuple[type[Baseline], ...]] = ()
    """Classes of the baselines that `_fit_baselines` returns, for reading a model folder."""
    service_class: ClassVar[type[Service]] = PredictionService
    """Class of the object that `service` returns."""
    starts_from_language: ClassVar[bool] = False
    """True if training can start from a model with a `language`."""
    class_axes: ClassVar[Mapping[str, tuple[int, ...]]] = MappingProxyType({})
    """Axes of classes in the weights, by name of the weight."""
    functions: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(KNOWN)
    """Parameters that may be functions, with the names that need none; see `recurra.training.extensions`."""
    one_pass: ClassVar[bool] = False
    """True in a call of `partial_fit`, which does not compare the network with baselines."""
    _start: ClassVar[Any] = None
    """During `fit`, the model that training starts from: a `recurra.tasks.starting.language.Start`."""

    @property
    def title(self) -> str:
        """Name of the task for people."""
        return registry.find(self.task).label

    @property
    def accepts_text(self) -> bool:
        """True if a sequence is a text, which may be an argument of the command line."""
        return False

    def rows_of(self, X: Any, y: Any) -> tuple[Any, Any] | None:
        """Returns data as containers with one row per sequence, to process them in chunks.

        Args:
            X: data as in `fit`.
            y: targets as in `fit`, or None.

        Returns:
            `X` and `y`, whose slices `X[a:b]` and `y[a:b]` are data as in `fit`; None if the data cannot be cut.
        """
        return X, y

    def subsample(self, X: Any, y: Any, rows: int) -> tuple[Any, Any, list[int]]:
        """Selects at most `rows` of the sequences, evenly spaced.

        Args:
            X: data as in `fit`.
            y: targets as in `fit`, or None.
            rows: number of sequences.

        Returns:
            The selected sequences, their targets, and their positions in `X`; no positions if all are returned.
        """
        return select(X, y, rows)

    def params_from(self, model: Any) -> dict[str, Any]:
        """Returns the parameters that training takes from the model that it starts from.

        Args:
            model: a fitted estimator of the same task, or one with a `language`.
        """
        return {name: getattr(model, name) for name, spec in params_of(type(model)).items() if spec.of_network}

    def language(self) -> Language | None:
        """Returns what the model learnt from texts without labels, for other tasks; None if it is no language model."""
        return None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the parameters, as scikit-learn does; those of a model in `start_from` are not among them."""
        return super().get_params(deep=False)

    def __sklearn_clone__(self) -> Self:
        plain = copy(self)
        plain.start_from = None
        found = cast(Self, super(Estimator, plain).__sklearn_clone__())
        found.start_from = self.start_from  # a clone of it would not be fitted
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.non_deterministic = self.random_state is None
        return tags

    watch = alias("watch", "health_checks")
    watch_ = alias("watch_", "health_checks_")

    def set_params(self, **params: Any) -> Self:
        """Sets parameters, as scikit-learn does."""
        return super().set_params(**renamed(params))

    def service(self) -> Service:
        """Returns an object that converts JSON values to sequences of this model, and predictions to JSON values.

        Example:
            >>> from recurra import SequenceClassifier
            >>> clf = SequenceClassifier(hidden_size=4, epochs=1, verbose=0).fit(["ab", "cd"] * 10, ["x", "y"] * 10)
            >>> service = clf.service()
            >>> [sorted(answer) for answer in service.answers(service.parse(["ab"]), service.Options())]
            [['label', 'probability']]
        """
        check_is_fitted(self, "network_")
        return self.service_class(self)

    # what a task defines

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__doc__ = with_descriptions(cls.__doc__, params_of(cls))

    def _prepare(self, *data: Any, **options: Any) -> Prepared:
        """Encodes the training data and learns everything but the weights (classes, scale, tokens).

        Args:
            *data: what `fit` passes to `_fit`.
            **options: `validation_data`, as in `fit`; `seed` of all random draws; `checkpoint`, whose folder is for
                large prepared data.
        """
        raise NotImplementedError

    def _build(self) -> torch.nn.Module:
        """Returns the untrained network, called as `network(values, lengths)` or as the objective calls it."""
        raise NotImplementedError

    def _recurrent(self, **changes: Any) -> RecurrentSpec:
        """Returns the options of the recurrent layers: the parameters with their names, or `changes`."""
        names = {field.name for field in fields(RecurrentSpec)} & {field.name for field in fields(Parameters)}
        return RecurrentSpec(**({name: getattr(self, name) for name in names} | changes))

    def _objective(self) -> Objective:
        """Returns the loss and the metrics."""
        raise NotImplementedError

    def _training_objective(self) -> Objective:
        """Returns the objective of training; it may differ from that of the comparison with the baselines."""
        return self._objective()

    def _evaluation_objective(self) -> Objective:
        """Returns the objective of `evaluate`; it may be slower and more exact than that of training."""
        return self._objective()

    def _fit_baselines(self, batches: Any, folds: int) -> tuple[list[Baseline], dict[str, dict[str, float]]]:
        """Fits a constant answer and a simple model on the data that the network was trained on.

        Args:
            batches: the training data.
            folds: parts of a cross-validation of the baselines; 0 for none.

        Returns:
            The baselines, the constant one first, and the metrics of their cross-validation by name.
        """
        return [], {}

    def _baseline_sizes(self) -> dict[str, int]:
        """Sizes of the axes of the baselines' arrays, see `Baseline.axes`."""
        return {}

    def _labelled(self, X: Any, y: Any, sample_weight: Any) -> BatchSource:
        """Returns batches to evaluate the model on."""
        raise NotImplementedError

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Returns everything `fit` learnt but the weights (classes, scale, tokens): configuration and text files."""
        raise NotImplementedError

    def _further_files(self) -> dict[str, str]:
        """Returns files of the model folder on which predictions without options do not depend."""
        return {}

    def _load_state(self, config: dict[str, Any], files: dict[str, str]) -> None:
        """Sets what `_state` returned. The arguments are checked: `config` has every key of `folder_config`."""
        raise NotImplementedError

    def _card_info(self) -> tuple[str, str]:
        """Returns a tag for the kind of data and a Python expression of an input, for the model card."""
        raise NotImplementedError

    def subject(self, X: Any, y: Any = None) -> Subject:
        """Returns the network and some inputs, for the inspection tools (`recurra.trace` and others).

        Args:
            X: sequences as `predict` takes them.
            y: their targets as in `fit`; needed for losses.

        Raises:
            DataError: the data cannot be used, or every sequence is empty.
        """
        raise NotImplementedError

    def _whole(self, batches: Any) -> Any:
        """Returns all sequences as one batch, in their order, on the device.

        Raises:
            DataError: every one is empty.
        """
        batch = batches.whole()
        if not bool(batch.lengths.any()):
            raise DataError("there is no step to look at: every sequence is empty")
        return to_device(batch, choose_device(self.device))

    # fitting

    def _fit(
        self,
        *data: Any,
        validation_data: Any,
        checkpoint: str | Path | None,
        checkpoint_minutes: float,
        resume: bool,
        workers: Any = None,
    ) -> Self:
        """Trains on data; the body of every `fit`.

        Args:
            *data: positional arguments of `_prepare`.
            validation_data: see `fit` of the task.
            checkpoint: see `fit` of the task.
            checkpoint_minutes: see `fit` of the task.
            resume: see `fit` of the task.
            workers: see `fit` of the task.
        """
        self._check_params()
        check_known(self)
        if self.logger is not None:
            from recurra.training.logs.open import check_loggers  # Lightning takes seconds to import

            check_loggers(loggers_of(self.logger))
        seed, config = self._seed(), CheckpointConfig.to(checkpoint, checkpoint_minutes, resume, workers)
        with ExitStack() as after:
            after.callback(vars(self).pop, "_start", None)
            vars(self)["_start"] = starting.begin(self, config.folder, config.resumes)
            prepared = self._prepare(*data, validation_data=validation_data, seed=seed, checkpoint=config)
            if prepared.close is not None:
                after.callback(prepared.close)
            settings = self._settings_of_run(prepared, seed, config)
            logs = None
            if self.logger is not None:
                params = {"task": self.task, **self._named_params(), **{f"data/{k}": v for k, v in self.data_.items()}}
                logs = after.enter_context(logs_of(self.logger, params, settings))
            self._train(prepared, settings, config, logs)
            if prepared.finish is not None:
                prepared.finish()
            if logs is not None and not self.interrupted_:
                logs.conclude(self.metrics_)
        return self

    def partial_fit(self, *data: Any) -> Self:
        """Trains for one pass over data, from the weights that the model has. The first call learns the encoding too.

        Every call has its own learning rate schedule. Nothing is held out, and no baselines are fitted.

        Args:
            *data: positional arguments of `fit`.

        Returns:
            The estimator itself.
        """
        fit_one_pass(self, *data)
        return self

    def _settings_of_run(self, prepared: Prepared, seed: int, checkpoint: CheckpointConfig) -> Settings:
        """Returns how to train on prepared data."""
        batches, valid = prepared.train, prepared.valid
        epochs = self.epochs or min(max(MIN_EPOCHS, math.ceil(self.min_steps / len(batches))), MAX_EPOCHS)
        if self.epochs is None and self.max_minutes is not None:
            epochs = MAX_EPOCHS  # the clock ends the run
        patience = self.n_iter_no_change
        if patience is not None and self.epochs is None:
            patience = max(patience, int(epochs * self._patience()))  # epochs of a few steps say little each
        specs = params_of(type(self))
        params = {**self.get_params(), **names_of(self)}
        options = {k: repr(v) for k, v in params.items() if specs[k].fingerprint}
        self.data_: dict[str, Any] = {**prepared.summary, "hash (BLAKE2b)": batches.fingerprint()}
        self.provenance_ = Provenance(started_from=self._start and self._start.name)
        hashes = {"training data": batches.fingerprint(), "validation data": valid and valid.fingerprint()}
        hashes["start_from"] = self._start and self._start.name
        return Settings(
            epochs=epochs,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            gradient_clip=self.gradient_clip,
            patience=patience,
            min_delta=self.min_delta,
            average_weights=self.average_weights,
            max_minutes=None if self.max_minutes is None else max(self.max_minutes - prepared.minutes, 1e-3),
            seed=seed,
            device=self.device,
            precision=self.precision,
            verbose=self.verbose,
            health_checks=self.health_checks,
            keep_epochs=self.keep_epochs,
            checkpoint=checkpoint.file(CHECKPOINT),
            checkpoint_minutes=checkpoint.minutes,
            resume=checkpoint.resume,
            fingerprint={"task": self.task, **options, **hashes},
            callbacks=tuple(callbacks_of(self.callbacks)),
            optimizer=self.optimizer,
            schedule=self.schedule,
            layers=() if self._start is None else self._layer_rates(self._start),
        )

    def _train(self, prepared: Prepared, settings: Settings, checkpoint: CheckpointConfig, logs: Any) -> None:
        """Trains a new network on prepared data."""
        from recurra.training.loop import train  # Lightning takes seconds to import
        from recurra.training.workers.on_ray import train_on_ray

        batches, valid = prepared.train, prepared.valid
        with ExitStack() as after, reproducible_algebra():
            with torch.random.fork_rng(devices=[]):
                with torch.device("meta"):  # shapes without memory
                    refuse_too_large(self._build())
                torch.manual_seed(settings.seed)
                self.network_ = self._build()
            put(self.network_, self._initial_weights())
            after.enter_context(frozen(self.network_, self.freeze))
            try:
                job = (self.network_, self._training_objective(), batches, valid)
                if checkpoint.workers is None:
                    run = train(*job, settings, loggers=() if logs is None else logs.channels)
                else:
                    run = train_on_ray(job, settings, checkpoint.workers, logs)
            except NonFiniteError:
                self._refuse_nonfinite()
                raise DataError(f"the output of the network became infinite in training; {REMEDY}") from None
        self._refuse_nonfinite()
        self._keep(run, settings.epochs)
        self.baselines_: list[Baseline] = []
        if run.best_epoch and not run.interrupted and not self.one_pass:
            self._compare_with_baselines(batches, valid)

    def _learnt(self, name: str, learn: Callable[[], T]) -> T:
        """Returns an attribute of the model that training starts from; of another model, what `learn` returns."""
        return learn() if self._start is None or not self._start.same else getattr(self._start.model, name)

    def _initial_weights(self) -> dict[str, torch.Tensor]:
        """Returns the weights of the new network that are given before training, by name."""
        return {} if self._start is None else self._start_weights(self._start)

    def _start_weights(self, start: Any) -> dict[str, torch.Tensor]:
        """Returns the weights of this network that come from the model that training starts from, by name."""
        weights = dict(start.model.network_.state_dict())
        classes: Any = getattr(self, "classes_", None)
        if self.class_axes and len(classes) > len(start.model.classes_):
            own, places = self.network_.state_dict(), np.searchsorted(classes, start.model.classes_)
            for name in weights.keys() & self.class_axes.keys():
                weights[name] = with_classes(own[name], weights[name], places, self.class_axes[name])
        return weights

    def _layer_rates(self, start: Any) -> tuple[LayerRate, ...]:
        """Returns how layers train whose weights come from the model that training starts from."""
        return ()

    def _refuse_nonfinite(self) -> None:
        """Raises `DataError` if training left weights that are not finite."""
        bad = bad_weights(self.network_)
        if bad is not None:
            raise DataError(f"training ended with {bad.where} = {bad.value}; {REMEDY}")

    def _keep(self, run: Run, epochs: int) -> None:
        self.history_, self.health_checks_ = Epochs(run.history), run.health
        self.best_epoch_, self.n_iter_ = run.best_epoch, len(run.history)
        self.interrupted_, self.resumed_ = run.interrupted, run.resumed
        self.epoch_weights_: Mapping[int, dict[str, torch.Tensor]] = run.epochs
        best = run.history[run.best_epoch - 1] if run.best_epoch else {}
        self.metrics_ = {
            "best_epoch": run.best_epoch,
            "epochs": len(run.history),
            "epochs_planned": epochs,
            "loss": best.get("loss", math.nan),
            "valid": {k.removeprefix("valid_"): v for k, v in best.items() if k.startswith("valid_")},
        }

    def _compare_with_baselines(self, batches: BatchSource, valid: BatchSource | None) -> None:
        """Fits the baselines and compares the network with them, on the validation data where there are any."""
        batches = getattr(batches, "sample", batches)  # of data larger than memory
        objective = self._objective()
        self.baselines_, crossed = self._fit_baselines(batches, 0 if valid is not None else FOLDS)
        if valid is not None:
            observed = self._observed(valid, objective)
            _, self.metrics_["baselines"], found = self._judged(objective, observed, self._rivals(valid, objective))
            self.metrics_.update(self._details(observed))
            self._calibrate_on(observed)
        else:
            self.metrics_["cross_validation"] = crossed
            found = no_held_out(objective.monitor, crossed)
        if found is not None and found.light != "green":
            found = self._not_learnt(batches, self._training_objective()) or found
        self._conclude(found)

    def _details(self, observed: list[Any]) -> dict[str, Any]:
        """Returns more metrics of the validation data, for metrics.json and the model card."""
        return {}

    def _pictures(self) -> list[Callable[[Any], Any]]:
        """Returns functions that draw on axes beside the learning curve."""
        return []

    def plot(self) -> Figure:
        """Draws the learning curve; of a classifier also the confusion matrix of the validation data.

        Returns:
            A `matplotlib.figure.Figure`, which a notebook shows. Its `savefig` writes a file.

        Example:
            >>> from recurra import SequenceClassifier
            >>> clf = SequenceClassifier(hidden_size=4, epochs=2, verbose=0).fit(["ab", "cd"] * 10, ["x", "y"] * 10)
            >>> [axes.get_ylabel() for axes in clf.plot().axes]
            ['loss', 'validation score', 'true class']
        """
        check_is_fitted(self, "network_")
        if not self.history_:
            raise UsageError("there is no learning curve: training ended before the first epoch")
        return draw_history(self.history_, self._pictures())

    def _calibrate_on(self, observed: list[Any]) -> None:
        """Keeps what predictions with a stated coverage need of the validation data, if the task has any."""

    def _conclude(self, found: Comparison | None) -> None:
        """Keeps the comparison with the baselines, and prints it to standard error unless the light is green."""
        self.metrics_["comparison"] = None if found is None else found._asdict()
        if found is not None and found.sentence and self.verbose:
            say(found.sentence)

    def _not_learnt(self, batches: BatchSource, objective: Objective) -> Comparison | None:
        """Returns a red comparison if the training loss is not below that of a constant answer; else None."""
        constant = next((b for b in self.baselines_ if b.constant and b.has_loss), None)
        if constant is None:
            return None
        sums = [tuple(map(float, constant.loss(objective, batch))) for batch in batches]
        limit = math.fsum(s[0] for s in sums) / max(math.fsum(s[1] for s in sums), 1e-300)
        loss = float(cast(float, self.metrics_["loss"]))
        if loss < limit:
            return None
        return Comparison(
            TRAINING_LOSS,
            "red",
            f"The network did not learn: its training loss of {loss:.4g} is not below the {limit:.4g} of the "
            f"{constant.name}; use another learning rate than {self.learning_rate:g}, or train for longer.",
        )

    def _check_params(self) -> None:
        check_params(self)
        loggers_of(self.logger)
        callbacks_of(self.callbacks)
        freeze_names(self.freeze)
        check_kinds(self)
        if self.cell != NO_MEMORY:
            find(self.cell, memoryless=True)
        choose_device(self.device)

    def _seed(self) -> int:
        if self.random_state is None:
            return int(np.random.SeedSequence().generate_state(1)[0]) >> 1
        if isinstance(self.random_state, np.random.RandomState):
            return int(self.random_state.randint(2**31 - 1))
        return int(self.random_state)

    # metrics

    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None) -> dict[str, float]:
        """Returns metrics of the model on labelled data. Items without a target are left out.

        Args:
            X: data as in `fit`.
            y: targets as in `fit`.
            sample_weight: weight of each sequence, `(batch,)`, if the task supports weights.

        Returns:
            The task's metrics, with `loss` and the number of items `n`. `baselines` has the same metrics of a
            constant answer and of a simple model, and `comparison` says whether the network is better than both;
            models of earlier versions have neither.
        """
        check_is_fitted(self, "network_")
        batches = self._labelled(X, y, sample_weight)
        metrics, baselines, comparison = self._compared(batches, self._evaluation_objective())
        return {**metrics, "n": batches.count, **beside(baselines, comparison)}

    def _compared(
        self, batches: Any, objective: Any
    ) -> tuple[dict[str, float], dict[str, dict[str, float]], Comparison | None]:
        """Returns metrics of the network, those of the baselines by name, and the comparison of both."""
        return self._judged(objective, self._observed(batches, objective), self._rivals(batches, objective))

    def _judged(
        self, objective: Any, own: list[Any], found: dict[str, Measured]
    ) -> tuple[dict[str, float], dict[str, dict[str, float]], Comparison | None]:
        """Returns what `_compared` returns, for observations of the network and measured baselines."""
        metrics = objective.metrics(own)
        finite_loss(metrics)
        network = Measured(metrics, _items(objective, own))
        baselines = {name: measured.metrics for name, measured in found.items()}
        if not found:
            return network.metrics, baselines, None
        comparison = compare(network, found, objective.monitor, objective.monitor_mode == "max", objective.perfect)
        return network.metrics, baselines, comparison

    def _rivals(self, batches: Any, objective: Any) -> dict[str, Measured]:
        """Evaluates the baselines; the result is by name."""
        return {
            baseline.name: measured(baseline, objective, [baseline.observe(objective, batch) for batch in batches])
            for baseline in self.baselines_
        }

    def order_test(self, X: Any, y: Any = None, sample_weight: Any = None) -> dict[str, dict[str, float]]:
        """Measures how much the order of the steps matters to this model on these data.

        Args:
            X: data as in `fit`.
            y: targets as in `fit`.
            sample_weight: as in `evaluate`.

        Returns:
            `{"in order": metrics, "shuffled": metrics}`: as `evaluate` gives them, and with the steps of every
            sequence in random order (seeded). Metrics that hardly differ show that a model without memory
            (`cell="none"`) may do.
        """
        check_is_fitted(self, "network_")
        batches = self._labelled(X, y, sample_weight)
        shuffled = Shuffled(batches, aligned=self.aligned)
        return {"in order": self._metrics(batches), "shuffled": self._metrics(shuffled)}

    def _metrics(self, batches: BatchSource) -> dict[str, float]:
        objective = self._evaluation_objective()
        metrics = objective.metrics(self._observed(batches, objective))
        finite_loss(metrics)
        return metrics

    def _observed(self, batches: Iterable[Any], objective: Objective) -> list[Any]:
        """Returns the objective's observations of the network on each batch."""
        with self._inference() as (network, device):
            return [objective.observe(network, to_device(batch, device)) for batch in batches]

    @contextmanager
    def _inference(self) -> Iterator[tuple[Any, torch.device]]:
        """Yields the network in evaluation mode and its device; no gradients are recorded inside."""
        device = choose_device(self.device)
        network = ready(self.network_, device)
        with torch.inference_mode(), reproducible_algebra(), batch_invariant():
            yield network, device

    def _run(self, batches: Iterable[Any], answer: Callable[[Any, Any], Iterable[T]]) -> dict[int, T]:
        """Runs the network on sequences.

        Args:
            batches: batches with `rows`.
            answer: called with the network and each batch on the device; returns one answer for each sequence.

        Returns:
            The answers by row.
        """
        found: dict[int, T] = {}
        with self._inference() as (network, device):
            for batch in batches:
                found.update(zip(batch.rows.tolist(), answer(network, to_device(batch, device)), strict=True))
        return found

    # saving

    def save(self, path: str | Path) -> None:
        """Writes the model to a folder: weights, tokenizer, configuration, metrics and a model card.

        Args:
            path: folder to write; a model that is there is replaced, anything else is not.

        Raises:
            ModelFolderError: `path` holds something else, or cannot be written.
        """
        check_is_fitted(self, "network_")
        bad = bad_weights(self.network_)
        if bad is not None:
            warnings.warn(
                f"the model is saved with {bad.where} = {bad.value}; to load it, use "
                "recurra.load(path, allow_nonfinite=True)",
                stacklevel=2,
            )
        learnt, files = self._state()
        files |= self._further_files()
        files[METRICS] = dumps({**self.metrics_, "history": self.history_, "watch": self.health_checks_})
        if self.baselines_:
            files[FILE] = dump(self.baselines_)
        files["README.md"] = self._card(Path(path).name)
        stack = self._stack()
        config = {
            "task": self.task,
            "params": {k: _to_json(v) for k, v in self._named_params().items() if k not in OF_THE_RUN},
            **learnt,
            "gates": list(stack.cell.gates) if stack else [],  # order of the rows in the recurrent weights
            "states": list(stack.cell.states) if stack else [],
            "data": self.data_,
            **({"provenance": known} if (known := self.provenance_.to_dict()) else {}),
            "files": sorted(files),
        }
        write_folder(path, ModelFolder(config, self.network_.state_dict(), files, getattr(self, "epoch_weights_", {})))

    def at_epoch(self, epoch: int) -> Self:
        """Returns a copy of the model with the weights of an epoch, which `keep_epochs=True` kept in training.

        Args:
            epoch: number of finished epochs; 0 for the weights before training.

        Raises:
            UsageError: the weights of this epoch were not kept.

        Example:
            >>> from recurra import SequenceClassifier
            >>> clf = SequenceClassifier(hidden_size=4, epochs=2, keep_epochs=True, verbose=0)
            >>> clf = clf.fit(["ab", "cd"] * 10, ["x", "y"] * 10)
            >>> sorted(clf.epoch_weights_), clf.at_epoch(0).predict(["ab"]).shape
            ([0, 1, 2], (1,))
        """
        check_is_fitted(self, "network_")
        return at_epoch(self, epoch)

    def _baselines_of(self, files: Mapping[str, str]) -> list[Baseline]:
        """Reads the baselines of a model folder; models of earlier versions have none."""
        return parse(files[FILE], self.simple_models, self._baseline_sizes()) if FILE in files else []

    def _stack(self) -> Stack | None:
        """Returns cell and sizes of the first recurrent layer; None with `cell="none"`."""
        return next((m.stack for m in self.network_.modules() if isinstance(m, RECURRENT)), None)

    def _card(self, name: str) -> str:
        stack, (kind, example) = self._stack(), self._card_info()
        count = sum(p.numel() for p in self.network_.parameters())
        direction = "Bidirectional " if stack and stack.bidirectional else ""
        cell = stack.cell.name.upper() if stack else "No memory"
        return model_card(
            name=name,
            title=f"{self.title}: {name}",
            description=f"{direction}{cell}, layers: {self.num_layers}, units per layer and "
            f"direction: {self.hidden_size}, weights: {count:,}. Trained with Recurra.",
            tags=[self.task, name_of(self.cell), kind],
            example=example,
            metrics={
                **self.metrics_,
                "evaluated_on": "The metrics are on the validation data.",
                "notes": [f"{b.name}: {b.note}." for b in self.baselines_ if b.note],
            },
            data={**self.data_, **self.provenance_.for_card()},
            settings={**self._settings(), "epochs": self.metrics_.get("epochs_planned") or self.epochs},
        )

    def _patience(self) -> float:
        """Returns the patience with `epochs=None`, as a share of the epochs."""
        return 0.2

    def _settings(self) -> dict[str, Any]:
        """Returns the parameters for the model card."""
        return self._named_params()

    def _named_params(self) -> dict[str, Any]:
        """Returns the parameters with names in place of a cell, functions, loggers and callbacks."""
        kinds = {name: ", ".join(kinds_of(getattr(self, name))) or None for name in ("logger", "callbacks")}
        kinds["start_from"] = getattr(self, "provenance_", Provenance()).started_from
        return {**self.get_params(), "cell": name_of(self.cell), **names_of(self), **kinds}


def _items(objective: Any, observed: list[Any]) -> np.ndarray | None:
    """Returns the contribution of each item to the compared metric; None if the objective does not define it."""
    return objective.items(observed) if hasattr(objective, "items") else None


def measured(baseline: Baseline, objective: Any, observed: list[Any]) -> Measured:
    """Returns a baseline with its metrics from observations."""
    return Measured(baseline.metrics(objective, observed), _items(objective, observed), baseline.constant)


def beside(baselines: dict[str, dict[str, float]], comparison: Comparison | None) -> dict[str, Any]:
    """Returns the keys that `evaluate` adds to the metrics of the network."""
    return {} if comparison is None else {"baselines": baselines, "comparison": comparison._asdict()}


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):  # JSON would turn keys such as 0 into "0"
        return {"items": [[_to_json(k), _to_json(v)] for k, v in value.items()]}
    if isinstance(value, np.random.RandomState):
        return None
    return value.item() if isinstance(value, np.generic) else value
