"""The result of a search: its models, the comparison with the defaults, and a table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from recurra._util.messages import readable
from recurra.tasks.baselines import chance

from .study import Study

PLOT = "tune.png"
SHOWN = 10
"""Trials of the table."""
NAMES = {"bits_per_character": "bits per character"}
"""Names of metrics for people."""


class Measurement(NamedTuple):
    """A model on the test data.

    Attributes:
        metric: name of the compared metric.
        greater: whether larger values are better.
        metrics: all metrics.
        items: numerator and denominator of the compared metric of each item; None if they are not known.
    """

    metric: str
    greater: bool
    metrics: dict[str, float]
    items: Any = None


class Models:
    """The model folders of a search: that of the defaults and that of the best trial.

    Args:
        folder: folder of the search.
        load: reads a model folder.
    """

    def __init__(self, folder: Path, load: Callable[[Path], Any]) -> None:
        self.folder, self.load = folder, load

    def path(self, number: int) -> Path:
        """Returns the folder of a trial's model."""
        return self.folder / f"trial-{number}"

    def keep(self, numbers: set[int | None]) -> None:
        """Removes the models of all other trials."""
        kept = {self.path(number) for number in numbers if number is not None}
        for path in self.folder.glob("trial-*"):
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def measure(self, number: int, test: tuple[Any, ...]) -> Measurement:
        """Measures a trial's model on test data."""
        return Measurement(*self.load(self.path(number))._search_measure(*test))


def conclude(
    estimator: Any,
    study: Study,
    models: Models,
    default: Measurement | None,
    given: tuple[tuple[Any, ...], Mapping[str, Any], tuple[Any, ...] | None],
    facts: dict[str, Any],
) -> Any:
    """Makes an estimator the best model, and compares it with the defaults on the test data.

    Args:
        estimator: the estimator.
        study: the finished study.
        models: the models of the search.
        default: the model of the defaults on the test data, if it is known.
        given: positional and keyword arguments of `fit`, and the test data.
        facts: further entries of `tuning_`.
    """
    data, options, test = given
    best, first = study.best, study.first
    assert best is not None  # noqa: S101  (`refuse_nothing` has raised otherwise)
    measured: dict[str, Measurement] = {}
    if test is not None:
        if first is not None:
            measured["defaults"] = default or models.measure(first, test)
        measured["best"] = measured["defaults"] if best == first else models.measure(best, test)
    rows = study.rows()
    chosen = next(row for row in rows if row["trial"] == best)
    sign = 1 if chosen["greater"] else -1
    for row in rows:
        score = row.pop("score")
        row["value"] = None if score is None else sign * score
    found = {
        "metric": chosen["metric"],
        "greater": chosen["greater"],
        "best": best,
        "defaults": first,
        "params": chosen["params"],
        "validation": {
            "best": chosen["value"],
            "defaults": next((r["value"] for r in rows if r["trial"] == first), None),
        },
        "test": {name: one.metrics for name, one in measured.items()} or None,
        **_verdict(measured, best == first, cut=facts["cut"]),
        **facts,
        "importances": study.importances(),
        "trials": rows,
    }
    estimator._search_adopt(models.load(models.path(best)), data, options)
    estimator.tuning_ = estimator.metrics_["tuning"] = found
    return estimator


CUT = " The time limit ended the training of a model early, so give the search more time."


def _verdict(measured: Mapping[str, Measurement], same: bool, *, cut: bool) -> dict[str, Any]:
    """Returns the sentence on the result, and whether the best model is better than the defaults."""
    found = _compared(measured, same)
    return {**found, "verdict": found["verdict"] + CUT * cut}


def _compared(measured: Mapping[str, Measurement], same: bool) -> dict[str, Any]:
    if same:
        return {"improved": False, "verdict": "The search found nothing better than the defaults."}
    if len(measured) < 2:
        return {"improved": None, "verdict": "There are no test data, so the result was not measured on unseen data."}
    best, defaults = measured["best"], measured["defaults"]
    name, sign = best.metric, 1 if best.greater else -1
    own, theirs = best.metrics[name], defaults.metrics[name]
    gain = sign * (own - theirs)
    known = best.items is not None and defaults.items is not None and len(best.items) == len(defaults.items)
    margin = chance(best.items, defaults.items) if known else None
    said = f"{NAMES.get(name, name)} {readable(own)} against {readable(theirs)}"
    if not gain > 0:
        words = f"The search did not help: on the test data it is not better than the defaults: {said}."
    elif margin is None:
        words = f"The best model is better than the defaults on the test data: {said}."
    elif gain <= margin:
        words = f"The search did not clearly help: on the test data the difference is within chance: {said}."
    else:
        words = f"The best model is better than the defaults on the test data: {said}."
    return {"improved": gain > (margin or 0), "margin": margin, "verdict": words}


def table(found: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Returns columns and rows of a table of the best trials."""
    sign = -1 if found["greater"] else 1
    complete = [row for row in found["trials"] if row["state"] == "complete"]
    rows = sorted(complete, key=lambda row: (sign * row["value"], row["trial"]))[:SHOWN]
    default = next((row for row in found["trials"] if row["trial"] == found["defaults"]), None)
    if default is not None and default not in rows:
        rows.append(default)
    shown = [
        [
            str(row["trial"]),
            readable(row["value"]),
            str(row["epochs"]),
            f"{row['seconds']:.1f}",
            "defaults" if row is default else in_words(_changed(row["params"], default)),
        ]
        for row in rows
    ]
    name = NAMES.get(found["metric"], found["metric"])
    return ["trial", f"validation {name}", "epochs", "seconds", "parameters"], shown


def _changed(params: Mapping[str, Any], default: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the parameters that differ from the defaults."""
    known = {} if default is None else default["params"]
    return {name: value for name, value in params.items() if name not in known or known[name] != value}


def in_words(params: Mapping[str, Any]) -> str:
    """Describes parameters on one line."""
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items()
    )


def counts(found: Mapping[str, Any]) -> str:
    """Describes how the trials ended."""
    states = [row["state"] for row in found["trials"]]
    words = {"complete": "complete", "pruned": "ended early", "stopped": "stopped at the limit", "failed": "failed"}
    parts = [f"{states.count(state)} {word}" for state, word in words.items() if state in states]
    return f"{len(states)} trials: {', '.join(parts)}"
