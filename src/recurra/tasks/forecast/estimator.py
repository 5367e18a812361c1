"""Forecasting, many-to-many over time: the next steps of one or several series, with bands."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from recurra.cells import CellLike
from recurra.data.batching.batches import Shuffled
from recurra.data.batching.windows import Frame, Windows
from recurra.data.columns.panel import Panel, Series, with_future
from recurra.data.columns.timestamps import TimeReading
from recurra.errors import DataError, UsageError
from recurra.ops import reproducible_algebra
from recurra.tasks.base import PREDICT_BATCH, Estimator
from recurra.tasks.config import FolderConfig
from recurra.tasks.finite import finite
from recurra.tasks.fitting import CheckpointConfig, Prepared
from recurra.tasks.params import param
from recurra.tasks.starting.embedding import Embedding
from recurra.tasks.subject import Subject
from recurra.training.extensions import KNOWN

from .baselines.mixture import ALONE, Shares, SharesConfig
from .closing.close import VALID_WINDOWS, close
from .closing.measure import measure, spans_of
from .coerce import SearchedForecaster, accept, accept_future, in_kind, kind_of, new_panel
from .decode import roll
from .inspection import subject_of_panel
from .intervals import nested
from .network import ForecastNetwork
from .objective import LOSSES, ForecastObjective
from .prepare import Preparation, PreparationConfig
from .result import Forecast
from .service import ForecastService
from .sizes import MAX_STEPS, SizesConfig, choose_sizes
from .split import Parts, Seen, SeenConfig, split_panel

DECODINGS = ("direct", "recursive")
EPOCH_BATCHES = 100
"""Batches in an epoch at most: windows of a long series overlap, and early stopping wants to look now and then."""


class ForecastConfig(FolderConfig):
    """config.json of a forecaster."""

    sizes: SizesConfig
    preparation: PreparationConfig
    seen: SeenConfig
    shares: SharesConfig | None = None


@dataclass(eq=False, repr=False)
class Forecaster(Embedding, SearchedForecaster, Estimator, auto_wrap_output_keys=None):
    """Recurrent network that forecasts the next steps of one or several series.

    Args:
        cell: one of `recurra.nn.CELLS`, or a `Cell` of your own; `"none"` sees only the last segment.
        horizon: steps to forecast at once.
        context: steps looked back on; None for a length that suits horizon, season and amount of data.
        segment: steps that the network reads as one; None for one that suits the context.
        split: rows, or shares, of the training, the validation and the test part, such as `(8640, 2880, 2880)` or
            `(0.7, 0.1, 0.2)`; None for `validation_fraction`, and no test part.
        quantiles: levels of the quantiles that are forecast beside the point; the outermost are the band. None: `()`.
        loss: of the point forecast, `"l1"`, `"l2"`, `"huber"`, or a function of forecasts and targets, both scaled
            `(batch, horizon, targets)`, that returns losses of the same shape.
        metrics: further metrics of the validation part and of `evaluate`, of the observed values in their own units:
            a function of true values and forecasts, an object as those of torchmetrics, a list or a dictionary by name.
        calendar: whether minute, hour, weekday and time of the year are known columns, where times are dates. A cycle
            is used if it is longer than two steps and the training part covers it twice.
        decoding: `"direct"` answers the whole horizon at once, `"recursive"` one segment after the other, each from
            the forecasts before it. Beyond the horizon both continue from their own forecasts.
        fill_gaps: whether missing steps of time are inserted as missing values instead of being an error.
        hidden_size: units of a layer.
        num_layers: recurrent layers on top of each other.
        dropout: probability of dropping a feature before the output, in training.
        epochs: passes over the data, of at most 100 batches each; None for 6, or more on small data: at least 600
            steps, at most 300 passes.
        batch_size: windows in a step of training.
        learning_rate: of AdamW at its peak; it rises for a short while and then falls as a cosine.
        weight_decay: of AdamW.
        gradient_clip: greatest norm of the gradient.
        validation_fraction: share of the time at the end that chooses the best epoch and calibrates the bands. If the
            horizon is long it is more: two horizons less one step, but not more than a quarter of the data.
        n_iter_no_change: epochs without a smaller validation loss after which training stops; None for never. With
            `epochs=None` it is at least a fifth of the epochs.
        random_state: seed of initialisation, order of windows and dropout; no global generator is changed.
        device: `"auto"`, `"cpu"`, `"cuda"`, …
        engine: engine of the recurrence, see `recurra.ops`.
        memory: `"full"`, or `"recompute"` for contexts too long to store.
        verbose: 1 for a progress line in a terminal or a notebook, 0 for silence.

    Attributes:
        context_: steps looked back on.
        season_: length of the season that was found, 1 for none.
        shares_: weights of the last value, the last season, the linear map and the network in the point forecast.
        preparation_: columns, step of time and scales.
        notes_: what was shortened or left out, for a person.
        history_: a dictionary of metrics for each epoch.
        network_: the trained `torch.nn.Module`.

    Example:
        >>> import numpy as np
        >>> from recurra import Forecaster
        >>> y = np.sin(np.arange(300) * 2 * np.pi / 12)
        >>> forecaster = Forecaster(horizon=6, hidden_size=16, epochs=4, verbose=0).fit(y)
        >>> forecaster.predict().shape
        (6,)
    """

    cell: CellLike = "gru"
    dropout: float = 0.5
    learning_rate: float = 1e-3
    horizon: int = param(24, at_least=1, at_most=MAX_STEPS, shapes=True)
    context: int | None = param(None, at_least=1, at_most=MAX_STEPS, none="", shapes=True)
    segment: int | None = param(None, at_least=1, at_most=MAX_STEPS, none="", shapes=True)
    split: Sequence[float] | None = None
    quantiles: Sequence[float] = param((0.1, 0.5, 0.9), shapes=True)
    loss: Any = param("l1")  # noqa: RUF009  (it is a field)
    calendar: bool = param(True, search=(True, False), shapes=True)
    decoding: str = param("direct", choices=DECODINGS, shapes=True)
    fill_gaps: bool = False
    metrics: Any = None

    task = "forecast"
    folder_config = ForecastConfig
    service_class = ForecastService
    min_steps: ClassVar = 600
    functions: ClassVar = MappingProxyType({**KNOWN, "loss": LOSSES, "metrics": ()})

    def rows_of(self, X: Any, y: Any) -> None:
        """Returns None: a history cannot be cut into rows."""

    def subsample(self, X: Any, y: Any, rows: int) -> tuple[Any, Any, list[int]]:
        """Returns all series, see `Estimator.subsample`."""
        return X, y, []

    # fitting

    def fit(
        self,
        y: Any,
        features: Any = None,
        known: Any = None,
        *,
        time: str | Sequence[str] | None = None,
        target: str | Sequence[str] | None = None,
        id: str | None = None,
        time_format: str | None = None,
        day_first: bool = False,
        month_first: bool = False,
        validation_data: Any = None,
        checkpoint: str | Path | None = None,
        checkpoint_minutes: float = 10.0,
        resume: bool = False,
        workers: Any = None,
    ) -> Self:
        """Trains on one or several series.

        Args:
            y: a table (pandas, polars, Arrow, or a dictionary of columns), one row for each step of each series; or
                arrays `(time,)` or `(time, targets)`, one or a list of them, NaN where missing. A series of a list is
                known again by its place in it.
            features: what is known of the past only: names of columns, or arrays like `y`.
            known: what is known of the future too: names of columns, or arrays `(time + ahead, known)`.
            time: for tables, the column of times, or several that hold its parts, such as `["date", "clock"]` or
                `["year", "month", "day", "hour"]`; pandas' index where that holds dates; None for rows in order.
            target: for tables, the columns to forecast; None for all columns of numbers that are left.
            id: for tables, the column that tells several series apart; it must not be empty in any row.
            time_format: how times are written, as for `strftime`, such as `"%d.%m.%Y %H:%M"`; `"unix"`, `"unix-ms"` or
                `"unix-us"` for numbers counted from 1970; `"number"` for whole numbers that are no dates. None to find
                it. The model remembers it, also where it was found.
            day_first: whether `1/2/2024` is the first of February. If neither this nor `month_first` is given, the
                reading with regular steps is taken.
            month_first: whether `1/2/2024` is the second of January.
            validation_data: data like `y` that choose the best epoch and calibrate the bands, instead of the end of
                `y`.
            checkpoint: folder for the state of the run, from which it can be resumed.
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
        reading = TimeReading.of(time_format, day_first, month_first)
        return self._fit(
            y,
            lambda: new_panel(y, features, known, time, target, id, fill_gaps=self.fill_gaps, reading=reading),
            validation_data=validation_data,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            resume=resume,
            workers=workers,
        )

    def _prepare(
        self, y: Any, read: Callable[[], Panel], *, validation_data: Any, seed: int, checkpoint: CheckpointConfig
    ) -> Prepared:
        panel = read()
        elsewhere = validation_data[0] if isinstance(validation_data, tuple) else validation_data
        fraction = self.validation_fraction if elsewhere is None else 0.0
        parts = split_panel(panel, self.split, fraction, self.horizon)
        self.preparation_ = Preparation.learn(panel, parts, self.calendar)
        self.notes_: list[str] = [] if isinstance(y, Panel) else list(panel.notes)
        sizes = choose_sizes(panel, parts, self.preparation_, self.horizon, self.context, self.segment)
        self.context_, self.season_, self.segment_, notes = sizes
        self.notes_ += notes
        self.shares_ = ALONE
        spans = [(0, p.train) for p in parts]
        if any(0 < p.train < self.context_ + self.horizon for p in parts):
            self.preparation_.masked = True  # short series are filled up in front
        most = EPOCH_BATCHES * self.batch_size
        batches = self._windows(panel, spans, self.batch_size, shuffle=True, seed=seed, most=most)
        if elsewhere is not None:
            other = self._accept(elsewhere)
            valid = other, [(0, len(series)) for series in other.series]
        else:
            valid = panel, [(p.train, p.valid) for p in parts]
        watched = self._windows(*valid, PREDICT_BATCH, most=VALID_WINDOWS)
        if not watched.count:
            self._refuse_no_validation(elsewhere)
        summary = {
            "series": len(panel.series),
            "steps": sum(p.train for p in parts),
            "windows": len(batches.begins),
            "missing values": int(
                sum(np.isnan(s.values[: p.train]).sum() for s, p in zip(panel.series, parts, strict=True))
            ),
            "validation windows": watched.count,
            "step of time": str(panel.frequency),
        }
        finish = partial(self._finish, y, panel, parts, spans, valid)
        return Prepared(batches, watched if watched.count else None, summary, finish)

    def _finish(
        self,
        y: Any,
        panel: Panel,
        parts: Sequence[Parts],
        spans: Sequence[tuple[int, int]],
        valid: tuple[Panel, Sequence[tuple[int, int]]],
    ) -> None:
        """Keeps the end of the series, calibrates the bands and compares with the baselines."""
        self.seen_ = Seen.of(panel, parts)
        self.tail_, self.kind_ = self._tail(panel), kind_of(y)
        if self.best_epoch_ or not self.interrupted_:
            with reproducible_algebra():
                close(self, panel, spans, valid)

    def params_from(self, model: Any) -> dict[str, Any]:
        """See `Estimator.params_from`; context and segment are those that the model chose."""
        return super().params_from(model) | {"context": model.context_, "segment": model.segment_}

    def _refuse_no_validation(self, elsewhere: Any) -> None:
        if elsewhere is not None:
            needed = self.context_ + self.horizon
            raise DataError(f"the validation data hold no series of {needed} steps (context + horizon)")
        if self.split is not None and self.split[1]:
            raise DataError(
                f"the validation part of the split {', '.join(f'{s:g}' for s in self.split)} is shorter than the "
                f"horizon of {self.horizon} steps in every series"
            )
        self.notes_.append("there is no validation part: the last epoch is kept, and the bands are not calibrated")

    def _windows(self, panel: Panel, spans: Sequence[tuple[int, int]], batch_size: int, **options: Any) -> Windows:
        """Windows that forecast steps inside a span of each series; their context may begin before it."""
        frames = []
        for series, (begin, end) in zip(panel.series, self._begun(spans), strict=True):
            if begin <= end - self.horizon:
                frames.append(self.preparation_.frame(panel, series, begin, end))
            else:  # nothing to forecast; the place stays, for the numbers of the series
                frames.append(Frame(np.zeros((0, self.preparation_.layout.width), np.float32), None, 1, 0))
        layout = self.preparation_.layout
        return Windows(frames, self.context_, self.horizon, layout, batch_size=batch_size, **options)

    def _begun(self, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Spans that begin late enough for a context: a whole one, or half of what a short series has."""
        found = []
        for begin, end in spans:
            spare = end - self.horizon
            first = self.context_ if spare >= self.context_ else max(1, spare // 2)
            found.append((begin or first, end))
        return found

    def _compare_with_baselines(self, batches: Any, valid: Any) -> None:
        """Does nothing: `close` compares with the baselines, on all windows of the validation part."""

    @property
    def _compared_metric(self) -> str:
        """The error that is compared with the baselines: the one that the loss measures."""
        return "mse" if self.loss == "l2" else "mae"

    def _roll(self, values: Tensor, future: Tensor) -> Tensor:
        """Uncalibrated forecasts `(batch, steps, targets, 1 + quantiles)`, scaled, on the CPU."""
        with self._inference() as (network, device):
            take = self.horizon if self.decoding == "direct" else network.written
            found = roll(network, values.to(device), future.to(device), self._levels(), take).float().cpu()
        return finite(found).clone()

    def _answer(self, values: Tensor, future: Tensor) -> Tensor:
        """Forecasts with calibrated, nested quantiles. Beyond the horizon the last shift grows with them."""
        found, levels = self._roll(values, future), self._levels()
        if levels:
            at = torch.arange(found.shape[1])
            growth = (at // self.horizon + 1.0).sqrt()
            found[..., 1:] += self._network.shifts.cpu()[at.clamp(max=self.horizon - 1)] * growth[:, None, None]
        return nested(found, levels)

    @property
    def _network(self) -> ForecastNetwork:
        return cast(ForecastNetwork, self.network_)

    def _levels(self) -> tuple[float, ...]:
        return tuple(float(q) for q in self.quantiles or ())

    def _build(self) -> ForecastNetwork:
        return ForecastNetwork(
            self.preparation_.layout,
            self.context_,
            self.horizon,
            self.segment_,
            len(self._levels()),
            recurrent=self._recurrent(),
            season=self.season_,
            shares=self.shares_,
        )

    def _objective(self) -> ForecastObjective:
        return ForecastObjective(self.loss, self._levels())

    def _check_params(self) -> None:
        super()._check_params()
        levels = self._levels()
        if any(not 0 < q < 1 for q in levels) or list(levels) != sorted(set(levels)):
            raise UsageError(f"quantiles are rising shares between 0 and 1, not {', '.join(f'{q:g}' for q in levels)}")

    # metrics

    def evaluate(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, y: Any, features: Any = None, known: Any = None, part: str | None = None
    ) -> dict[str, Any]:
        """Errors of the forecasts from every step on, beside those of the baselines.

        Of data that hold the training rows, only what comes after the validation part counts (up to the end of the test
        part where `split` gave one); where nothing does, the validation part. Contexts reach back before it.

        Args:
            y: data as in `fit`, with the same columns.
            features: as in `fit`, for arrays.
            known: as in `fit`, for arrays.
            part: `"test"`, `"validation"`, `"training"` or `"all"` to choose it.

        Returns:
            `mse` and `mae` of values scaled by the training part, `mse_units` and `mae_units` in the data's own units,
            `coverage` of the band (wanted: `coverage_wanted`), `n` windows, the `part`, the same errors of the
            `baselines`, and the `comparison` with them.
        """
        check_is_fitted(self, "network_")
        panel = self._accept(y, features, known)
        spans, part = spans_of(self, panel, part)
        return {**measure(self, panel, spans), "part": part}

    def order_test(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, y: Any, features: Any = None, known: Any = None, part: str | None = None
    ) -> dict[str, dict[str, float]]:
        """Measures how much the order of the steps of the context matters; arguments as in `evaluate`.

        Returns:
            `{"in order": metrics, "shuffled": metrics}`: the errors on scaled values with the contexts as they are, and
            with their steps in random order (seeded).
        """
        check_is_fitted(self, "network_")
        panel = self._accept(y, features, known)
        windows = self._windows(panel, spans_of(self, panel, part)[0], PREDICT_BATCH)
        return {"in order": self._metrics(windows), "shuffled": self._metrics(Shuffled(windows))}

    # predicting

    def forecast(
        self,
        history: Any = None,
        horizon: int | None = None,
        *,
        features: Any = None,
        known: Any = None,
        future: Any = None,
    ) -> Iterator[Forecast]:
        """Forecasts the steps after the end of every series.

        Args:
            history: data as in `fit`; the data of `fit` itself when None, unless the model was loaded from a folder.
            horizon: steps to forecast; that of training when None. Beyond it the model goes on from its own forecasts.
            features: as in `fit`, for arrays.
            known: as in `fit`, for arrays, `(time + horizon, known)`.
            future: a table of the known columns in the time to come, where `history` does not hold them.

        Raises:
            DataError: the history does not fit, or known columns do not reach far enough.
        """
        check_is_fitted(self, "network_")
        (found,) = self.forecast_panels([self._history(history, features, known, future)], horizon)
        yield from found

    def forecast_panels(self, panels: Sequence[Panel], horizon: int | None = None) -> list[list[Forecast]]:
        """Forecasts the steps after the end of every series of several panels, all of them together.

        Args:
            panels: histories with the columns and the step of time of the model.
            horizon: as in `forecast`.

        Returns:
            For each panel a forecast of each series.
        """
        every = [(panel, series) for panel in panels for series in panel.series]
        parts = (every[begin : begin + PREDICT_BATCH] for begin in range(0, len(every), PREDICT_BATCH))
        found = iter([one for some in parts for one in self._forecast_some(some, horizon or self.horizon)])
        return [list(islice(found, len(panel.series))) for panel in panels]

    def _history(self, history: Any, features: Any, known: Any, future: Any) -> Panel:
        """The arguments of `forecast` as one panel."""
        if history is None:
            if getattr(self, "tail_", None) is None:
                raise UsageError("a loaded model contains no data: pass the history to continue from")
            panel = self.tail_
        else:
            panel = self._accept(history, features, known)
        if future is not None:
            panel = with_future(panel, accept_future(future, self.preparation_, fill_gaps=self.fill_gaps))
        return panel

    def _forecast_some(self, some: Sequence[tuple[Panel, Series]], steps: int) -> Iterator[Forecast]:
        prepare = self.preparation_
        frames = [prepare.frame(panel, series, len(series), len(series) + steps) for panel, series in some]
        windows = Windows(frames, self.context_, steps, prepare.layout, batch_size=len(some))
        batch = next(iter(windows))
        answers = self._answer(batch.values, batch.future).double().numpy()
        for (panel, series), answer in zip(some, answers, strict=True):
            end = len(series)
            mean, deviation = prepare.scale(series, end)
            with np.errstate(over="ignore"):  # refused in the next line
                found = answer * deviation[:, None] + mean[:, None]
            finite(torch.from_numpy(found))
            kept = np.arange(max(0, end - max(3 * steps, self.context_)), end)
            coming = np.arange(end, end + steps)
            yield Forecast(
                series.id,
                panel.spelt(series, coming),
                panel.parts(series, coming),
                panel.instants(series, coming),
                found[..., 0],
                found[..., 1:],
                self._levels(),
                series.values[kept],
                panel.spelt(series, kept),
            )

    def predict(
        self,
        history: Any = None,
        horizon: int | None = None,
        *,
        features: Any = None,
        known: Any = None,
        future: Any = None,
    ) -> Any:
        """The point forecasts, with the band where `history` is a table; arguments as in `forecast`.

        Returns:
            For arrays, an array `(horizon,)` or `(horizon, targets)` as the history was, or a list of them. For a
            table, a table of the same kind (pandas, polars or Arrow): a row for each step with its time, forecasts, and
            ends of the band. Times, ids and an index of times have the same types as in the history.
        """
        check_is_fitted(self, "network_")
        panel = self._history(history, features, known, future)
        kind = self.kind_ if history is None else kind_of(history)
        return in_kind(self.forecast_panels([panel], horizon)[0], panel, kind)

    def transform(self, X: Any = None, *, features: Any = None, known: Any = None) -> np.ndarray:
        """Returns a vector for each series: the state after its last steps, for each target.

        Args:
            X: the history, as in `forecast`.
            features: as in `forecast`.
            known: as in `forecast`, up to the end of the history.

        Returns:
            `(series, targets * hidden_size)`.
        """
        check_is_fitted(self, "network_")
        return super().transform(self._history(X, features, known, None))

    def transform_steps(self, X: Any = None, *, features: Any = None, known: Any = None) -> list[np.ndarray]:
        """Returns a vector for each segment of the context of each series, with the arguments of `transform`.

        Returns:
            Arrays `(segments, targets * hidden_size)`; the last segment ends with the series.
        """
        check_is_fitted(self, "network_")
        return super().transform_steps(self._history(X, features, known, None))

    def _embedded(self, X: Panel, steps: bool) -> Iterator[np.ndarray]:
        prepare = self.preparation_
        frames = [prepare.frame(X, series, len(series), len(series)) for series in X.series]
        with self._inference() as (network, device):
            for batch in Windows(frames, self.context_, 0, prepare.layout, batch_size=PREDICT_BATCH):
                states = finite(network.states(batch.values.to(device)).float().cpu()).numpy()
                yield from states if steps else states[:, -1]

    def _vector_size(self) -> int:
        return self.preparation_.layout.targets * self.hidden_size

    def step_names(self, X: Any) -> None:
        """Returns None: segments have no names."""

    def subject(
        self, X: Any = None, y: Any = None, *, features: Any = None, known: Any = None, future: Any = None
    ) -> Subject:
        """See `Estimator.subject`.

        Args:
            X: the history, as in `forecast`.
            y: what came after it: `(horizon,)` or `(horizon, targets)`, or a list of them, NaN where missing.
            features: as in `forecast`.
            known: as in `forecast`.
            future: as in `forecast`.
        """
        check_is_fitted(self, "network_")
        return subject_of_panel(self, self._history(X, features, known, future), y)

    def _accept(self, data: Any, features: Any = None, known: Any = None) -> Panel:
        return accept(data, features, known, self.preparation_, fill_gaps=self.fill_gaps)

    def _tail(self, panel: Panel) -> Panel:
        """Returns the end of each series, as long as forecasts need."""
        kept = []
        for series in panel.series:
            begin = max(0, len(series) - max(self.context_, 3 * self.horizon))
            parts = {name: getattr(series, name)[begin:].copy() for name in ("values", "features", "known")}
            origin = panel.frequency.at(series.origin, np.array([begin]))[0]
            kept.append(dataclasses.replace(series, origin=origin, **parts))
        return dataclasses.replace(panel, series=kept)

    # saving

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        sizes = {"context": self.context_, "season": self.season_, "segment": self.segment_}
        found = {"sizes": sizes, "preparation": self.preparation_.to_config(), "seen": self.seen_._asdict()}
        return {**found, "shares": self.shares_._asdict()}, {}

    def _load_state(self, config: dict[str, Any], files: dict[str, str]) -> None:
        sizes = config["sizes"]
        self.context_, self.season_, self.segment_ = sizes["context"], sizes["season"], sizes["segment"]
        self.preparation_ = Preparation.from_config(config["preparation"])
        self.seen_ = Seen(**config["seen"])
        self.shares_ = Shares(**config["shares"]) if config.get("shares") else ALONE  # early models

    def _card_info(self) -> tuple[str, str]:
        columns = self.preparation_.columns
        if not columns.times:
            return "time-series", f"[0.0] * {self.context_}"
        return "time-series", "{" + ", ".join(f'"{name}": [...]' for name in columns.names) + "}"
