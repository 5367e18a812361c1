"""Baselines: simple models measured on the same data as the network, and the verdict on the network.

A task returns its baselines from `Estimator._fit_baselines`. A baseline takes the place of the network in the task's
objective, so that its metrics are computed by the same code. `compare` decides whether the network is better.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from recurra._util import strict_json
from recurra._util.messages import readable
from recurra._util.schema import FileError, parse_json
from recurra.training.settings import Objective

FILE = "baselines.json"
CONFIDENCE = 0.95
"""One-sided confidence with which the network must be better than a baseline."""
FEWEST = 5
"""With fewer items even a network that is better on each of them is within chance: 0.5 ** 4 is above 5 %."""


@dataclass(frozen=True)
class Baseline:
    """A simple model that takes the place of a network in an objective.

    Attributes:
        name: for people, such as `"most frequent class"`.
        note: how it was fitted where that needs saying, such as `"fitted on 10,000 of 90,000 sequences"`.
    """

    name: str
    note: str

    constant: ClassVar[bool] = False
    """True if it gives the same answer to every input."""
    has_loss: ClassVar[bool] = True
    """True if `loss` is meaningful."""
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Names of the axes of each array, for the check of a model folder."""

    def observe(self, objective: Objective, batch: Any) -> Any:
        """Returns the objective's observation of this model on one batch."""
        return objective.observe(self, batch)  # type: ignore[arg-type]  # it is called like the network

    def loss(self, objective: Any, batch: Any) -> tuple[Any, Any]:
        """Sum of the training losses of a batch, and what to divide it by."""
        return objective.loss(self, batch)

    def metrics(self, objective: Any, observed: list[Any]) -> dict[str, float]:
        """Metrics from what was observed of all batches."""
        return objective.metrics(observed)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and texts, for the model folder."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in found.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The reverse of `to_dict`.

        Raises:
            ValueError: a value is of another type or not finite.
            TypeError: a value is missing or unknown.
        """
        found = dict(values)
        for field in dataclasses.fields(cls):
            value = found.get(field.name)
            if field.type == "np.ndarray":
                found[field.name] = array = np.array(value)
                if array.dtype.kind not in "if" or not np.isfinite(array).all():
                    raise ValueError(f"{field.name} of the baseline {values.get('name')!r} must be finite numbers")
            elif field.type == "int":
                if type(value) is not int:
                    raise ValueError(f"{field.name} of the baseline {values.get('name')!r} must be a whole number")
            elif not isinstance(value, str):
                raise ValueError(f"{field.name} of a baseline must be a text")
        return cls(**found)

    def check(self, sizes: Mapping[str, int]) -> None:
        """Checks the shapes of the arrays; raises ValueError."""
        for name, axes in self.axes.items():
            expected, shape = tuple(sizes[axis] for axis in axes), getattr(self, name).shape
            if shape != expected:
                raise ValueError(f"{name} of the baseline {self.name!r} has shape {shape}, not {expected}")


def dump(baselines: Sequence[Baseline]) -> str:
    """JSON of some baselines, for the model folder."""
    return strict_json.dump([{"kind": type(b).__name__, **b.to_dict()} for b in baselines]) + "\n"


def parse(text: str, kinds: Sequence[type[Baseline]], sizes: Mapping[str, int]) -> list[Baseline]:
    """The reverse of `dump`.

    Args:
        text: content of the file.
        kinds: the classes that it may hold.
        sizes: of the axes of their arrays, such as `{"outputs": 2}`.

    Raises:
        FileError: the text is no JSON, or does not fit.
    """
    known = {kind.__name__: kind for kind in kinds}
    found = parse_json(text, FILE)
    if not isinstance(found, list) or not all(isinstance(row, dict) and str(row.get("kind")) in known for row in found):
        raise FileError(FILE, f"does not fit: it must hold a list of {', '.join(known) or 'nothing'}")
    try:
        baselines = [known[row["kind"]].from_dict({k: v for k, v in row.items() if k != "kind"}) for row in found]
        for baseline in baselines:
            baseline.check(sizes)
    except (ValueError, TypeError, OverflowError) as error:
        raise FileError(FILE, f"does not fit: {error}") from None
    return baselines


class Comparison(NamedTuple):
    """Verdict on the network compared with its baselines.

    Attributes:
        figure: the metric that is compared.
        light: `"green"`: better than each of them. `"yellow"`: better than a simple model by no more than chance
            explains, or the items are too few to tell. `"red"`: not better than a simple model, or not clearly better
            than a constant answer. `"unknown"`: no data were held out.
        sentence: for people; `""` where the light is green.
        best: name of the baseline with the best metric; `""` if it is not known.
    """

    figure: str
    light: str
    sentence: str
    best: str = ""


class Measured(NamedTuple):
    """A model on some data: its metrics, and for each item the numerator and denominator of the compared one.

    Attributes:
        metrics: the metrics.
        items: `(items, 2)`; the compared metric is the ratio of the two sums. None where items are not known.
        constant: whether the model is a constant answer.
        margin: of a baseline, what `chance` returns for the network and the baseline, if it is known already.
    """

    metrics: dict[str, Any]
    items: np.ndarray | None = None
    constant: bool = False
    margin: float | None = None


def compare(
    network: Measured, baselines: Mapping[str, Measured], metric: str, greater: bool, perfect: float | None = None
) -> Comparison:
    """Judges a network by one metric.

    A difference counts where it is larger than chance explains: a one-sided t-test of the paired differences of the
    items (sequences, sentences, …) at 5 %.

    Args:
        network: metrics and items of the network.
        baselines: the same by the name of each baseline, on the same items.
        metric: name of the metric.
        greater: whether more of it is better.
        perfect: value that counts as perfect; a network that reaches it is not blamed for a baseline as good.

    Example:
        >>> right = np.stack([np.arange(40) < 38, np.ones(40)], 1)
        >>> half = np.stack([np.arange(40) < 20, np.ones(40)], 1)
        >>> model, majority = Measured({"accuracy": 0.95}, right), Measured({"accuracy": 0.5}, half, constant=True)
        >>> compare(model, {"most frequent class": majority}, "accuracy", True).light
        'green'
        >>> compare(majority, {"most frequent class": majority}, "accuracy", True).sentence
        'The network is not better than the most frequent class: accuracy 0.5000 against 0.5000.'
    """
    own, sign = float(network.metrics[metric]), 1.0 if greater else -1.0
    found: list[Verdict] = []
    for name, other in baselines.items():
        theirs = float(other.metrics[metric])
        gain = sign * (own - theirs)
        margin = chance(network.items, other.items) if other.margin is None else other.margin
        said = f"the {name}: {metric} {readable(own)} against {readable(theirs)}"
        value = -math.inf if math.isnan(theirs) else sign * theirs
        if not gain > 0:  # not the other way round: of NaN
            found.append(Verdict(name, value, other.constant, "red", f"not better than {said}"))
        elif gain <= margin:
            light = "red" if other.constant and margin < math.inf else "yellow"
            why = "a difference within chance" if margin < math.inf else "too few items to tell"
            found.append(Verdict(name, value, other.constant, light, f"not clearly better than {said} ({why})"))
        else:
            found.append(Verdict(name, value, other.constant, "green", ""))
    best = max(found, key=lambda verdict: verdict.value).name if found else ""
    if perfect is not None and sign * own >= sign * perfect:
        return Comparison(metric, "green", "", best)
    worse = [verdict for verdict in found if verdict.light != "green"]
    lights = [verdict.light for verdict in worse]
    light = "red" if "red" in lights else "yellow" if lights else "green"
    rivals = [verdict for verdict in worse if not verdict.constant]
    strongest = max(rivals, key=lambda verdict: verdict.value) if rivals else None
    words = "; it is ".join(verdict.words for verdict in worse if verdict.constant or verdict is strongest)
    return Comparison(metric, light, f"The network is {words}." if words else "", best)


class Verdict(NamedTuple):
    """The verdict on the network beside one baseline.

    Attributes:
        name: of the baseline.
        value: its metric, greater if better.
        constant: whether it is a constant answer.
        light: see `Comparison`.
        words: end of a sentence; `""` where the light is green.
    """

    name: str
    value: float
    constant: bool
    light: str
    words: str


def chance(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """Computes how much better one model may be than another by chance: the margin of a paired one-sided t-test.

    Args:
        one: numerator and denominator of each item, `(items, 2)`; the metric is the ratio of their sums.
        other: the same of the other model, on the same items.

    Returns:
        The margin in units of the metric; 0 where the items are not known.
    """
    if one is None or other is None or len(one) != len(other):
        return 0.0
    difference = influence_difference(one, other)
    return margin_of(len(one), float((difference**2).sum()))


def influence_difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the difference of the influences of each item on the metric of two models, `(items,)`."""
    # a ratio of sums: the influence of an item is (numerator - ratio * denominator) / sum of the denominators
    influences = []
    for items in (one, other):
        top, bottom = items.astype(np.float64).T
        ratio = top.sum() / max(bottom.sum(), 1e-300)
        influences.append((top - ratio * bottom) / max(bottom.sum(), 1e-300))
    return influences[0] - influences[1]


def margin_of(count: int, squares: float) -> float:
    """Returns the margin of `chance`.

    Args:
        count: number of items.
        squares: sum of the squared differences of the items' influences on the metric.
    """
    if count < FEWEST:
        return math.inf
    from scipy.stats import t

    return float(t.ppf(CONFIDENCE, count - 1)) * math.sqrt(squares * count / (count - 1))


def no_held_out(metric: str, baselines: Mapping[str, Mapping[str, float]]) -> Comparison:
    """Returns the verdict if no data were held out: the metrics of the baselines in cross-validation."""
    words = "No data were held out: measure the network on other data (evaluate)"
    if baselines:
        rows = " and ".join(f"{readable(values[metric])} by the {name}" for name, values in baselines.items())
        words += f"; in cross-validation {metric} is {rows}"
    return Comparison(metric, "unknown", f"{words}.")


@contextmanager
def single_threaded_fit() -> Iterator[None]:
    """Fits by one thread, so that the result does not depend on their number, and without warnings of the solver."""
    from scipy.linalg import LinAlgWarning
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(limits=1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", LinAlgWarning)
        yield
