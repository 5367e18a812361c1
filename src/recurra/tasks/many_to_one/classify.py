"""Classification, many-to-one: a class for a whole sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from torch import Tensor

from recurra._util.messages import listed
from recurra._util.schema import Record, check_labels
from recurra.data.columns.inputs import as_column, is_missing
from recurra.errors import DataError, UsageError
from recurra.tasks.fitting import Prepared
from recurra.tasks.starting.reuse import fit_one_pass
from recurra.tasks.starting.weights import joined_classes

from .config import PooledConfig
from .estimator import SequenceEstimator
from .labels.objective import LabelLoss, balanced, by_label, constant_labels
from .labels.targets import LabelSets, as_label_lists, chosen, holds_labels, one_kind
from .metrics.classes import by_class, confusions, describe_classes, running_report
from .metrics.own import Judged, extended
from .metrics.plot import MOST_NAMES, draw_matrix
from .objective import PooledObjective, as_weights, joined
from .running import ClassTotals
from .service import ClassifyService
from .targets import ClassScan

DTYPES = ("str", "bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
DTYPES += ("float16", "float32", "float64")
"""Types that an array of classes may have."""


class ClassTargets(Record):
    """See `SequenceClassifier._target_config`."""

    classes: list[str | bool | int | float]
    dtype: str
    several: Literal["", "lists", "matrix"] = ""

    def check(self) -> None:
        """See `Record.check`."""
        check_labels(self.classes, least=2)
        words = {isinstance(label, str) for label in self.classes}
        if words != {self.dtype == "str"} or self.dtype not in DTYPES:
            raise ValueError(f"classes do not have the type {self.dtype!r:.20}")


class ClassifyConfig(PooledConfig):
    """config.json of a classifier."""

    targets: ClassTargets


class CrossEntropy(PooledObjective):
    """Loss and metrics of classification.

    Args:
        classes: the classes.
    """

    monitor = "accuracy"
    monitor_mode = "max"
    perfect: float | None = 1.0

    def __init__(self, classes: Sequence[Any]) -> None:
        self.classes = classes

    def losses(self, output: Tensor, target: Any) -> Tensor:
        """Negative log-probability of the true class, `(batch,)`."""
        return torch.nn.functional.cross_entropy(output, target, reduction="none")

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """1 where the class is right, else 0."""
        return (output.argmax(1) == target).float()

    def measure(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, float]:
        """Accuracy, macro-averaged F1 and mean loss in nats."""
        from sklearn.metrics import accuracy_score, f1_score

        found = output.argmax(1)
        losses = self.losses(torch.from_numpy(output), torch.from_numpy(target)).numpy()
        return {
            "accuracy": float(accuracy_score(target, found, sample_weight=weight)),
            "macro_f1": float(
                f1_score(target, found, average="macro", sample_weight=weight, zero_division=cast(Any, 0))
            ),
            "loss": float(np.average(losses, weights=weight)),
        }

    def details(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, Any]:
        """Metrics of each class, confusion matrix, ROC-AUC and calibration; see `ClassReport.result`."""
        return describe_classes(self.classes, output, target, weight)


@dataclass(eq=False, repr=False)
class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """Recurrent network that gives each sequence a class, or several labels.

    The targets decide: one class for each sequence, a list of labels for each sequence, or a matrix with a column of 0
    and 1 for each label. With several labels `predict` answers in the same form, and `predict_proba` gives the
    probability of each label; they do not sum to 1.

    Follows scikit-learn: `get_params`, `clone`, pipelines and `GridSearchCV` work.

    Args:
        bidirectional: whether every layer also reads from the end to the beginning. The default of this parameter and
            of four others depends on the kind of the sequences, see the table below.
        tokens: for texts, `"bpe"` (pieces of words), `"word"` or `"char"`.
        vocab_size: largest number of different tokens.
        embedding_size: size of a token's vector.
        pooling: how the steps become one vector: `"attention"`, `"max"`, `"mean"` or `"last"` (the last step of each
            sequence in each direction).
        token_dropout: probability of replacing a token by the unknown token in training.
        n_iter_no_change: epochs without a better validation accuracy (or the same at a lower loss) after which training
            stops; None for never. With `epochs=None` it is at least a fifth of the epochs, for numeric series half.
        min_delta: share by which the accuracy (or the loss at the same accuracy) must improve to count for
            `n_iter_no_change`; the best epoch is kept in any case. Training also ends at a perfect validation accuracy
            with a loss of at most 0.001.
        class_weight: `"balanced"`, or a weight for each class, as in scikit-learn. It also weights the validation
            metrics, so that the best epoch is chosen by the same measure.

    What None stands for (docs/decisions/0002-defaults.md and 0005-series-defaults.md have the measurements):

    | parameter | texts | numeric series | recordings |
    |---|---|---|---|
    | bidirectional | False | True | True |
    | pooling | attention | max | attention |
    | dropout | 0.4; regression 0.1 | 0.2; regression 0.1 | 0.4; regression 0.1 |
    | batch_size | 64 | 16 | 64 |
    | validation_fraction | 0.1 | 0.1; of fewer than 500, 0 for classes and 0.2 for numbers | 0.1 |

    Attributes:
        resolved_params_: values of these parameters for the training data.
        classes_: the classes, in the order of the columns of `predict_proba`.
        history_: a dictionary of metrics for each epoch.
        health_checks_: with `health_checks`, signs of health of each measured epoch.
        best_epoch_: the epoch, counted from 1, whose weights were kept.
        network_: the trained `torch.nn.Module`.

    Example:
        >>> from recurra import SequenceClassifier
        >>> texts = ["good film", "bad film", "so good", "so bad"] * 20
        >>> clf = SequenceClassifier(hidden_size=16, tokens="word", epochs=20, batch_size=8, learning_rate=0.01)
        >>> clf.fit(texts, ["pos", "neg", "pos", "neg"] * 20).predict(["good good"])[0]
        np.str_('pos')
    """

    class_weight: str | dict[Any, float] | None = None

    task = "classify"
    class_axes: ClassVar = {"head.weight": (0,), "head.bias": (0,)}
    folder_config = ClassifyConfig
    service_class = ClassifyService
    region_size = "mean_set_size"
    without_limit = "every class is in each set"
    label_sets_ = cast("LabelSets | None", None)
    _label_names = cast("Sequence[str] | None", None)
    _label_weights = cast("Tensor | None", None)
    """During `fit`, the weights of several labels in the loss, see `LabelLoss`."""

    declared: ClassVar[np.ndarray | None] = None
    """In a call of `partial_fit`, the classes that the data may have."""

    def partial_fit(  # pyright: ignore[reportIncompatibleMethodOverride]  (scikit-learn's order)
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Trains for one pass over some sequences, see `SequenceEstimator.partial_fit`.

        Args:
            X: sequences as in `fit`.
            y: their classes. A class that is new is added.
            classes: all classes, for the first call; None for those in `y`.
            sample_weight: weight of each sequence in the loss, `(batch,)`.

        Returns:
            The estimator itself.
        """
        known = None if classes is None else np.unique(as_column(classes, len(classes), "classes"))
        fit_one_pass(self, X, y, sample_weight, declared=known)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each sequence, `(batch,)`.

        With several labels, those with a probability above 0.5: lists, or a matrix `(batch, labels)` of 0 and 1.
        """
        outputs = self._outputs(X)
        if self.label_sets_ is not None:
            return self.label_sets_.decode(chosen(outputs))
        return self.classes_[outputs.argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, `(batch, classes)`, columns as in `classes_`."""
        return self._answers(self._outputs(X))

    def predict_set(self, X: Any, coverage: float = 0.9) -> list[np.ndarray]:
        """The classes that may be the true one, for each sequence: split conformal prediction.

        If new sequences are like those of the calibration, the share of sets that hold the true class is at least
        `coverage` on average. This holds over all sequences, not for each class. With several labels, a set holds all
        true labels with this share.

        Args:
            X: sequences as in `fit`.
            coverage: the share.

        Returns:
            For each sequence an array of classes, the most probable first. It has at least one class; of several
            labels it may have none.

        Raises:
            UsageError: the model has no calibration, see `calibrate`.
        """
        limits, chances = self._limits(coverage), self.predict_proba(X)
        return self.sets_of(chances, limits)

    def sets_of(self, chances: np.ndarray, limits: np.ndarray) -> list[np.ndarray]:
        """Returns the sets of `predict_set`.

        Args:
            chances: probabilities `(batch, classes)`.
            limits: as `Calibration.limits` gives them.
        """
        order, inside = np.argsort(-chances, axis=1, kind="stable"), self._inside(chances, limits)
        return [self.classes_[row[mask[row]]] for row, mask in zip(order, inside, strict=True)]

    def _inside(self, chances: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Returns which classes are in the set of each sequence, `(batch, classes)`; the most probable one always is.

        Of several labels, a set may be empty.
        """
        inside = np.less_equal(-chances.astype(np.float64), limits)
        if self.label_sets_ is None:
            inside[np.arange(len(chances)), chances.argmax(1)] = True
        return inside

    def _scores(self, output: np.ndarray, target: np.ndarray) -> np.ndarray:
        chances = self._answers(output)
        if self.label_sets_ is not None:  # of the true label that is found last
            return -np.where(target > 0, chances, 1.0).min(1, keepdims=True)
        return -chances[np.arange(len(target)), target][:, None]

    def regions(self, output: np.ndarray, target: np.ndarray, coverage: float) -> tuple[np.ndarray, np.ndarray]:
        """See `SequenceEstimator.regions`."""
        inside = self._inside(self._answers(output), self.calibration().limits(coverage))
        if self.label_sets_ is not None:
            return np.all(inside | (target <= 0), axis=1, keepdims=True), inside.sum(1)[:, None]
        return inside[np.arange(len(target)), target][:, None], inside.sum(1)[:, None]

    def _answers(self, outputs: np.ndarray) -> np.ndarray:
        if self.label_sets_ is not None:
            return torch.sigmoid(torch.from_numpy(outputs)).numpy()
        return torch.softmax(torch.from_numpy(outputs), dim=1).numpy()

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy; labels are compared as `fit` read them, so that `1` is the class `"1"` of labels of mixed types.

        With several labels it is the share of sequences whose labels are all right.
        """
        outputs = self._outputs(X)
        y = self._column(y, len(outputs))
        known, weights = ~is_missing(y), as_weights(sample_weight, len(y))
        if self.label_sets_ is not None and known.any():
            same = (chosen(outputs[known]) == (self.label_sets_.encode(y[known]).numpy() > 0)).all(1)
            return float(np.average(same, weights=None if weights is None else weights[known]))
        if y.ndim != 1 or not known.any():
            raise DataError("y must hold one class per sequence" if y.ndim != 1 else "every target is missing")
        right = self._class_numbers(y[known]) == outputs.argmax(1)[known]
        return float(np.average(right, weights=None if weights is None else weights[known]))

    def _column(self, y: Any, rows: int, name: str = "y") -> np.ndarray:
        return as_column(as_label_lists(y), rows, name)

    def _may_have_members(self, y: np.ndarray) -> bool:
        return not holds_labels(y) or self.members is not None

    @property
    def target_kind(self) -> str:
        """See `SequenceEstimator.target_kind`."""
        return "classes" if self.label_sets_ is None else "labels"

    def _prepare(self, X: Any, y: Any, sample_weight: Any, **options: Any) -> Prepared:
        columns = getattr(y, "columns", None)  # of a data frame
        self._label_names = None if columns is None else [str(name) for name in columns]
        return super()._prepare(X, y, sample_weight, **options)

    def _fit_labels(self, y: np.ndarray) -> None:
        """Learns several labels, see `_fit_targets`."""
        found = LabelSets.of(y, self._label_names).joined(self.declared, False)
        if self._start is not None and self._start.same:
            found = found.joined(self._start.model.classes_, bool(self.verbose))
        found.check(y)
        self.label_sets_, self.classes_ = found, found.classes
        self._label_weights = self._weights_of_labels(y)

    def _weights_of_labels(self, y: np.ndarray) -> Tensor | None:
        """Returns the weights of several labels in the loss; None for no weights."""
        if self.class_weight is None or self.label_sets_ is None:
            return None
        self._check_class_weight()
        if self.loss is not None:
            raise UsageError(
                "class_weight of several labels weighs the loss of each label; leave out class_weight or loss"
            )
        if isinstance(self.class_weight, str):
            return torch.from_numpy(balanced(self.label_sets_.encode(y).numpy())).float()
        weights = torch.ones(2, len(self.classes_))
        for at, label in enumerate(self.classes_.tolist()):
            weights[1, at] = self.class_weight.get(label, 1.0)
        return weights

    def _fit_targets(self, y: np.ndarray) -> None:
        self.label_sets_ = None
        if self._start is not None and self._start.same:
            before = self._start.model.label_sets_
            if (before is not None) != holds_labels(y):
                raise DataError("start_from: one of the models has several labels for each sequence, the other has not")
        if holds_labels(y):
            self._fit_labels(y)
            return
        if y.dtype.kind == "f" and (y != np.round(y)).any():
            example = y[y != np.round(y)][0]
            raise DataError(f"y holds continuous numbers such as {example}, not classes; try a regressor")
        self.classes_ = np.unique(y if y.dtype.kind != "O" else one_kind(y))
        if self.declared is not None:
            self.classes_ = joined_classes(self.declared, self.classes_, False)
        if self._start is not None and self._start.same:
            self.classes_ = joined_classes(self._start.model.classes_, self.classes_, bool(self.verbose))
        if len(self.classes_) < 2:
            raise DataError(f"the target has only one class, {self.classes_[0]!s}; there is nothing to tell apart")

    def new_totals(self, detailed: bool = False) -> ClassTotals:
        """See `SequenceEstimator.new_totals`."""
        if self.label_sets_ is not None:
            raise UsageError("several labels are evaluated on all data at once: leave out --workers")
        return ClassTotals(running_report(self.classes_.tolist()) if detailed else None)

    def target_scan(self) -> ClassScan:
        """See `SequenceEstimator.target_scan`."""
        return ClassScan()

    def target_weights(self, counts: np.ndarray) -> np.ndarray | None:
        """See `SequenceEstimator.target_weights`."""
        if self.class_weight is None:
            return None
        self._check_class_weight()
        if self.class_weight == "balanced":
            return counts.sum() / (len(counts) * counts)
        from sklearn.utils.class_weight import compute_class_weight

        return compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)

    def _class_numbers(self, y: np.ndarray) -> np.ndarray:
        """The number of each label among the classes, -1 for one that is none of them."""
        if y.dtype.kind == "O":
            y = one_kind(y)
        classes = self.classes_
        if (y.dtype.kind in "US") != (classes.dtype.kind in "US"):
            y, classes = y.astype(str), classes.astype(str)  # labels read from a file are strings
        known = {label: i for i, label in enumerate(classes.tolist())}
        return np.array([known.get(label, -1) for label in y.tolist()], np.int64)

    def _encode_targets(self, y: np.ndarray) -> Tensor:
        if self.label_sets_ is not None:
            return self.label_sets_.encode(y)
        if holds_labels(y):
            raise DataError("y holds several labels for each sequence, but the model was trained on one class for each")
        found = self._class_numbers(y)
        if (found < 0).any():
            row = int((found < 0).argmax())
            names = ", ".join(map(str, self.classes_[:10])) + (", …" if len(self.classes_) > 10 else "")
            raise DataError(f"the label {str(y[row])!r} was not in the training data; known are {names}", row)
        return torch.from_numpy(found)

    def _output_size(self) -> int:
        return len(self.classes_)

    def _constant(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self.label_sets_ is not None:
            return constant_labels(targets, weights)
        shares = np.bincount(targets, weights, minlength=len(self.classes_)) / weights.sum()
        return np.log(np.maximum(shares, 1e-12))

    def _constant_name(self) -> str:
        return "most frequent class" if self.label_sets_ is None else "most frequent labels"

    def _details(self, observed: list[Any]) -> dict[str, Any]:
        output, target, weight = joined(observed)
        if self.label_sets_ is not None:
            rows = by_label(self.classes_.tolist(), output, target, weight)
            return {"classes": [{"class": row.pop("label"), **row} for row in rows]}
        found, classes = output.argmax(1), self.classes_.tolist()
        matrix = confusions(len(classes), target, found, weight) if len(classes) <= MOST_NAMES else None
        kept = {} if matrix is None else {"confusion_matrix": matrix}
        return {"classes": by_class(classes, target, found, weight), **kept}

    def _pictures(self) -> list[Callable[[Any], Any]]:
        matrix = self.metrics_.get("confusion_matrix")
        if matrix is None:
            return []
        names = [str(label) for label in self.classes_]
        return [lambda axes: draw_matrix(axes, names, np.array(matrix, np.float64))]

    def _objective(self) -> CrossEntropy | LabelLoss:
        if self.label_sets_ is not None:
            return self._objective_of_labels()
        return extended(CrossEntropy(self.classes_.tolist()), self.loss, self.metrics, self._judged_by_class)

    def _judged_by_class(self, output: np.ndarray, target: np.ndarray) -> Judged:
        return Judged(self.classes_[target], self.classes_[output.argmax(1)], self._answers(output), target)

    def _objective_of_labels(self, training: bool = False) -> LabelLoss:
        objective = LabelLoss(self.classes_.tolist(), training, self._label_weights if training else None)
        return extended(objective, self.loss, self.metrics, self._judged_by_label)

    def _judged_by_label(self, output: np.ndarray, target: np.ndarray) -> Judged:
        true = target.astype(np.int64)
        return Judged(true, chosen(output).astype(np.int64), self._answers(output), true)

    def _trained_objective(self) -> Any:
        return super()._trained_objective() if self.label_sets_ is None else self._objective_of_labels(training=True)

    def _weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None or self.label_sets_ is not None:
            return weights  # those of several labels are in the loss
        self._check_class_weight()
        from sklearn.utils.class_weight import compute_class_weight

        known = ~is_missing(y)
        labels = self.classes_[self._encode_targets(y[known]).numpy()]
        table = compute_class_weight(self.class_weight, classes=self.classes_, y=labels)
        result = np.zeros(len(y))
        result[known] = table[np.searchsorted(self.classes_, labels)]
        return result if weights is None else result * weights

    def _check_class_weight(self) -> None:
        given = self.class_weight
        if isinstance(given, str):
            if given != "balanced":
                raise UsageError(f'class_weight is "balanced" or a dictionary of weights, not {given!r:.40}')
            return
        if not isinstance(given, Mapping):
            raise UsageError(f'class_weight is "balanced" or a dictionary of weights, not {type(given).__name__}')
        classes = self.classes_.tolist()
        for label, weight in given.items():
            if label not in classes:
                raise UsageError(
                    f"class_weight names the class {label!r}; the classes are {listed(list(map(str, classes)), 10)}"
                )
            if not isinstance(weight, int | float | np.number) or not 0 <= weight < np.inf:
                raise UsageError(
                    f"class_weight of the class {label!r} must be a number of at least 0, got {weight!r:.40}"
                )

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return None if holds_labels(y) else y.astype(str)

    def _score(self, output: Tensor, first: Tensor) -> Tensor:
        best = torch.nn.functional.one_hot(first.argmax(1), first.shape[1]).bool()
        if self.label_sets_ is not None:
            return (output * torch.where((first > 0).any(1, keepdim=True), first > 0, best)).sum(1)
        return output[best] - output.masked_fill(best, -torch.inf).logsumexp(1)

    def _score_name(self, output: Tensor) -> str:
        return "log-odds of the answer" if self.label_sets_ is None else "sum of the log-odds of the labels"

    def _describe(self, output: Tensor) -> list[str]:
        if self.label_sets_ is not None:
            chances = output.sigmoid().tolist()
            named = [[(p, c) for p, c in zip(row, self.classes_, strict=True) if p > 0.5] for row in chances]
            return [", ".join(f"{c} ({p:.1%})" for p, c in row) or "no label" for row in named]
        found = output.softmax(1).max(1)
        return [
            f"{self.classes_[i]} ({p:.1%})" for p, i in zip(found.values.tolist(), found.indices.tolist(), strict=True)
        ]

    def _target_config(self) -> dict[str, Any]:
        kind = "str" if self.classes_.dtype.kind in "US" else self.classes_.dtype.name
        several = {} if self.label_sets_ is None else {"several": "matrix" if self.label_sets_.matrix else "lists"}
        return {"classes": self.classes_.tolist(), "dtype": kind, **several}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = tags.classifier_tags.multi_label = True
        return tags

    def _load_targets(self, config: dict[str, Any]) -> None:
        self.classes_ = np.array(config["classes"], dtype=config["dtype"])
        several = config.get("several", "")
        self.label_sets_ = LabelSets(self.classes_, several == "matrix") if several else None
