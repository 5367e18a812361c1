"""Regression, many-to-one: a number (or several) for a whole sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import RegressorMixin
from torch import Tensor

from recurra._util.messages import counted
from recurra._util.schema import Positive, Record
from recurra.data.columns.inputs import as_column, is_missing
from recurra.data.columns.scaling import Moments, moments_of, standardize
from recurra.errors import DataError
from recurra.tasks.finite import finite

from .config import PooledConfig
from .estimator import SequenceEstimator
from .metrics.numbers import by_target
from .metrics.own import Judged, extended
from .objective import PooledObjective, as_weights
from .running import NumberTotals
from .service import RegressService
from .targets import NumberScan


class NumberTargets(Record):
    """See `SequenceRegressor._target_config`."""

    mean: list[float]
    scale: list[Positive]
    several: bool

    def check(self) -> None:
        """See `Record.check`."""
        if not self.mean or len(self.mean) != len(self.scale) or not (self.several or len(self.mean) == 1):
            raise ValueError("mean, scale and several do not fit each other")


class RegressConfig(PooledConfig):
    """config.json of a regressor."""

    targets: NumberTargets


class SquaredError(PooledObjective):
    """Loss and metrics of regression; the network predicts standardised targets.

    Args:
        mean: of the training targets, `(outputs,)`.
        scale: their standard deviation, `(outputs,)`.
    """

    monitor = "loss"
    monitor_mode = "min"
    perfect: float | None = 1e-4  # of the variance of the targets is left: R² is 0.9999

    def __init__(self, mean: np.ndarray, scale: np.ndarray) -> None:
        self.mean, self.scale = mean, scale

    def losses(self, output: Tensor, target: Any) -> Tensor:
        """Squared error of the standardised target, mean over its values, `(batch,)`."""
        return ((output - target) ** 2).mean(-1)

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return self.losses(output, target)

    def measure(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, float]:
        """R² and loss of the standardized target; the other errors are in the target's own units."""
        from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error

        losses = self.losses(torch.from_numpy(output), torch.from_numpy(target)).numpy()
        output, target = output.astype(np.float64), target.astype(np.float64)
        found, true = output * self.scale + self.mean, target * self.scale + self.mean
        return {
            # R² has no unit; a constant target is exactly 0 here, but not in its own unit
            "r2": float(r2_score(target, output, sample_weight=weight)) if len(true) > 1 else float("nan"),
            "mse": float(mean_squared_error(true, found, sample_weight=weight)),
            "rmse": float(root_mean_squared_error(true, found, sample_weight=weight)),
            "mae": float(mean_absolute_error(true, found, sample_weight=weight)),
            "loss": float(np.average(losses, weights=weight)),
        }

    def details(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, Any]:
        """The same metrics of each target, if there are several."""
        if output.shape[1] == 1:
            return {}
        from sklearn.metrics import r2_score

        output, target = output.astype(np.float64), target.astype(np.float64)
        raw = "raw_values"
        r2: Any = r2_score(target, output, sample_weight=weight, multioutput=raw) if len(target) > 1 else None
        errors = np.abs(output - target) * self.scale
        return by_target(r2, *(np.average(found, axis=0, weights=weight) for found in (errors**2, errors)))


@dataclass(eq=False, repr=False)
class SequenceRegressor(RegressorMixin, SequenceEstimator):
    """Recurrent network that gives each sequence a number, or several.

    Args:
        cell: see `SequenceClassifier`, whose arguments this estimator shares but for `class_weight`.

    Attributes:
        history_: a dictionary of metrics for each epoch.
        best_epoch_: the epoch, counted from 1, whose weights were kept.
        network_: the trained `torch.nn.Module`.

    Example:
        >>> import numpy as np
        >>> from recurra import SequenceRegressor
        >>> X = [np.full((n % 5 + 1, 1), n % 3, dtype=float) for n in range(60)]
        >>> y = [float(x.sum()) for x in X]
        >>> model = SequenceRegressor(hidden_size=16, pooling="last", dropout=0, epochs=60, batch_size=8)
        >>> model.fit(X, y).score(X, y) > 0.9
        True
    """

    task = "regress"
    folder_config = RegressConfig
    service_class = RegressService
    region_size = "mean_interval_width"
    without_limit = "every interval is infinite"
    held_out_of_few: ClassVar = 0.2  # targets that are numbers are noisy: the last epoch would have learnt the noise
    defaults: ClassVar = {kind: {**chosen, "dropout": 0.1} for kind, chosen in SequenceEstimator.defaults.items()}

    def predict(self, X: Any) -> np.ndarray:
        """The predicted number of each sequence, `(batch,)`, or `(batch, outputs)` for several targets."""
        found = self._answers(self._outputs(X))
        finite(torch.from_numpy(found))
        return found if self.several_ else found[:, 0]

    def predict_interval(self, X: Any, coverage: float = 0.9) -> np.ndarray:
        """The interval of each sequence that should hold the true number: split conformal prediction.

        If new sequences are like those of the calibration, the share of intervals that hold the true number is at least
        `coverage` on average. All intervals of a target have the same width.

        Args:
            X: sequences as in `fit`.
            coverage: the share.

        Returns:
            Lower and upper ends, `(batch, 2)`, or `(batch, outputs, 2)` for several targets, each with its own
            intervals.

        Raises:
            UsageError: the model has no calibration, see `calibrate`.
        """
        limits = self._limits(coverage)
        return self.intervals_of(self.predict(X), limits)

    def intervals_of(self, answers: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Returns the intervals of `predict_interval`.

        Args:
            answers: as `predict` gives them.
            limits: as `Calibration.limits` gives them.
        """
        reach = limits * self.target_scale_ if self.several_ else limits[0] * self.target_scale_[0]
        return np.stack([answers - reach, answers + reach], -1)

    def _targets_count(self) -> int:
        return len(self.target_mean_)

    def _scores(self, output: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.abs(output.astype(np.float64) - target)

    def regions(self, output: np.ndarray, target: np.ndarray, coverage: float) -> tuple[np.ndarray, np.ndarray]:
        """See `SequenceEstimator.regions`."""
        limits = self.calibration().limits(coverage)
        inside = self._scores(output, target) <= limits
        return inside, np.broadcast_to(2 * limits * self.target_scale_, inside.shape)

    def _answers(self, outputs: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # refused by the caller
            return outputs * self.target_scale_ + self.target_mean_

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R², computed in units of the training targets' scales, so that the unit of the numbers does not matter."""
        from sklearn.metrics import r2_score

        found = standardize(_numbers(self.predict(X)), self.target_mean_, self.target_scale_, "the prediction")
        true = as_column(y, len(found), "y")
        known, weights = ~is_missing(true), as_weights(sample_weight, len(found))
        if not known.any():
            raise DataError("every target is missing")
        values = standardize(_numbers(true[known]), self.target_mean_, self.target_scale_, "the target")
        if values.shape[1] != found.shape[1]:
            raise DataError(f"y has {values.shape[1]} targets, but the model was trained on {found.shape[1]}")
        return float(r2_score(values, found[known], sample_weight=None if weights is None else weights[known]))

    @property
    def target_kind(self) -> str:
        """See `SequenceEstimator.target_kind`."""
        return "numbers"

    def _fit_targets(self, y: np.ndarray) -> None:
        if len(y) == 1:
            raise DataError("there is 1 sample with a target: a regressor needs several")
        self._keep_moments(moments_of(_numbers(y)), several=y.ndim == 2)

    def _keep_moments(self, moments: Moments, several: bool) -> None:
        self.several_ = several
        if not moments.deviation.any():
            raise DataError(f"every target is {moments.mean[0]:g}; there is nothing to learn")
        self.target_mean_ = self._learnt("target_mean_", lambda: moments.mean)
        self.target_scale_ = self._learnt("target_scale_", moments.target_scale)

    def new_totals(self, detailed: bool = False) -> NumberTotals:
        """See `SequenceEstimator.new_totals`."""
        return NumberTotals(self.target_mean_, self.target_scale_)

    def target_scan(self) -> NumberScan:
        """See `SequenceEstimator.target_scan`."""
        return NumberScan()

    def _encode_targets(self, y: np.ndarray) -> Tensor:
        numbers, count = _numbers(y), len(self.target_mean_)
        if numbers.shape[1] != count:
            raise DataError(f"y has {counted(numbers.shape[1], 'target')}, but the model was trained on {count}")
        values = standardize(numbers, self.target_mean_, self.target_scale_, "the target")
        return torch.from_numpy(values.astype(np.float32))

    def _output_size(self) -> int:
        return len(self.target_mean_)

    def _constant(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.average(targets, axis=0, weights=weights)

    def _constant_name(self) -> str:
        return "mean of the training targets"

    def _objective(self) -> SquaredError:
        objective = SquaredError(self.target_mean_, self.target_scale_)
        return extended(objective, self.loss, self.metrics, self._judged_by_number)

    def _judged_by_number(self, output: np.ndarray, target: np.ndarray) -> Judged:
        found, true = (self._answers(values.astype(np.float64)) for values in (output, target))
        if not self.several_:
            found, true = found[:, 0], true[:, 0]
        return Judged(true, found, found.astype(np.float32), true.astype(np.float32))

    def _score(self, output: Tensor, first: Tensor) -> Tensor:
        return (output.double() @ torch.from_numpy(self.target_scale_).to(output.device)) + self.target_mean_.sum()

    def _score_name(self, output: Tensor) -> str:
        return "sum of the predictions" if self.several_ else "prediction"

    def _describe(self, output: Tensor) -> list[str]:
        found = output.double().cpu().numpy() * self.target_scale_ + self.target_mean_
        return [", ".join(f"{number:.6g}" for number in row) for row in found]

    def _target_config(self) -> dict[str, Any]:
        return {
            "mean": self.target_mean_.tolist(),
            "scale": self.target_scale_.tolist(),
            "several": self.several_,
        }

    def _load_targets(self, config: dict[str, Any]) -> None:
        self.target_mean_, self.target_scale_ = np.array(config["mean"]), np.array(config["scale"])
        self.several_ = config["several"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _numbers(y: np.ndarray) -> np.ndarray:
    """Targets as finite numbers `(batch, outputs)`."""
    if y.ndim > 2 or not y.size:
        raise DataError(f"the target must hold one number or one row of numbers per sequence, got the shape {y.shape}")
    try:
        if y.dtype.kind in "mM":
            raise TypeError  # times would become numbers of an unknown unit
        values = y.astype(np.float64)
    except (TypeError, ValueError):
        first = y.flat[0].item() if isinstance(y.flat[0], np.generic) else y.flat[0]
        raise DataError(f"the target must be numbers; got values such as {first!r:.60}") from None
    values = values.reshape(len(values), -1)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise DataError(f"target {row} is {values[row]}, not a finite number", row)
    return values
