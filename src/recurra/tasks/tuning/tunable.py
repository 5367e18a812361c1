"""The part of an estimator that a search of parameters needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from .space import Space, declared


class Tunable:
    """Base of estimators whose parameters can be searched. A task overrides what differs."""

    _search_by: ClassVar[str | None] = None
    """Validation metric that trials are compared by; None for the one that chooses the best epoch."""
    tuning_: dict[str, Any]
    """Trials and metrics of the search; absent without one."""

    def tune(
        self,
        *data: Any,
        minutes: float | None = None,
        trials: int | None = None,
        search: Mapping[str, Any] | None = None,
        validation_data: Any = None,
        test_data: Any = None,
        workers: int | None = None,
        cluster: str | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
        **options: Any,
    ) -> Self:
        """Searches for parameters that suit the data, and becomes the best model that was found.

        The first trial has the parameters of this estimator. Those that differ from their defaults are not changed.
        Trials that are worse than others at the same share of their epochs are ended early.

        Args:
            *data: the data, as the positional arguments of `fit`.
            minutes: time limit of the whole call; 10 if neither this nor `trials` is given.
            trials: number of trials.
            search: values to try by the name of the parameter: a list of choices, or a text such as
                `"1e-4..1e-2:log"`. Other parameters are searched as they declare it.
            validation_data: data that choose the parameters, instead of a part of `data`.
            test_data: data that measure the result, instead of a part of `data`. They choose nothing.
            workers: number of processes that run trials at the same time; by default it depends on the number of
                cores. With one process and without `minutes`, the same seed gives the same result.
            cluster: address of a Ray cluster that runs the trials, or `"local"`; needs the extra `cluster`.
            folder: folder for the journal of the search, from which it can be resumed.
            resume: whether to continue the search in `folder`, if there is one.
            **options: keyword arguments of `fit`, such as `time` of a forecaster.

        Returns:
            The estimator itself, fitted, with the parameters that were found. `tuning_` has the trials and the metrics
            on the test data.

        Raises:
            DataError: the data cannot be used, or every trial failed.
            UsageError: an argument is not allowed, or the packages of the extra `tune` are missing.

        Example:
            >>> from recurra import SequenceClassifier
            >>> texts, labels = ["good film", "bad film", "so good", "so bad"] * 20, ["pos", "neg"] * 40
            >>> clf = SequenceClassifier(tokens="word", epochs=2, batch_size=16, verbose=0)
            >>> clf = clf.tune(texts, labels, trials=2, search={"hidden_size": [8, 16]}, workers=1)
            >>> len(clf.tuning_["trials"]), sorted(clf.tuning_["test"])
            (2, ['best', 'defaults'])
        """
        from recurra.tasks import tuning

        limits = tuning.Limits.of(minutes, trials, workers, cluster)
        return tuning.tune(self, data, options, search or {}, (validation_data, test_data), limits, (folder, resume))

    def _search_metric(self) -> tuple[str, bool]:
        """Returns the validation metric that trials are compared by, and whether larger values are better."""
        objective: Any = self._objective()  # type: ignore[attr-defined]
        return self._search_by or objective.monitor, objective.monitor_mode == "max"

    def _search_space(self, *data: Any) -> Space:
        """Returns the values that a search tries by default on these data, by parameter.

        Args:
            *data: the positional arguments of `fit`.
        """
        return declared(type(self))

    def _search_defaults(self, *data: Any) -> dict[str, Any]:
        """Returns the parameters, with the values that None stands for on these data where they are known."""
        return self.get_params(deep=False)  # type: ignore[attr-defined]

    def _search_parts(self, data: tuple[Any, ...], valid: Any, test: Any, seed: int) -> Any:
        """Cuts data into the parts of a search.

        Args:
            data: the positional arguments of `fit`.
            valid: data to choose by; None to cut them off.
            test: data to measure the result on; None to cut them off.
            seed: seed of the draws.

        Returns:
            `recurra.tasks.tuning.parts.Parts`.
        """
        from .parts import cut_parts

        return cut_parts(data, valid, test, lambda some, number: self._search_cut(some, seed + number))

    def _search_cut(self, data: tuple[Any, ...], seed: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Divides data into a large and a small part; by default at random.

        Raises:
            DataError: the data are too few, or larger than memory.
        """
        import numpy as np

        from recurra.data.batching.split import hold_out

        from .parts import cut_rows, lengths_agree, share_of

        lengths_agree(data)
        count = len(data[0])
        return cut_rows(data, hold_out(np.ones(count, bool), share_of(count), seed))

    def _search_measure(self, *data: Any) -> tuple[str, bool, dict[str, float], Any]:
        """Measures the fitted model on test data.

        Returns:
            Name of the compared metric, whether larger values are better, all metrics, and the numerator and
            denominator of each item as `Measured.items` has them; None if they are not known.
        """
        batches: Any = self._labelled(*data[:2], *[None] * (3 - len(data[:2])))  # type: ignore[attr-defined]
        objective: Any = self._evaluation_objective()  # type: ignore[attr-defined]
        observed = self._observed(batches, objective)  # type: ignore[attr-defined]
        items = objective.items(observed) if hasattr(objective, "items") else None
        return *self._search_metric(), objective.metrics(observed), items

    def _search_adopt(self, model: Any, data: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        """Becomes a model that was found by a search, which was read from its folder.

        Args:
            model: the model.
            data: the positional arguments of `fit`.
            options: the keyword arguments of `fit`.
        """
        verbose = self.verbose  # type: ignore[attr-defined]
        vars(self).update(vars(model))
        self.verbose = verbose
