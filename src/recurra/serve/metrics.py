"""Metrics of a server in the text format of Prometheus.

The methods that requests call add to plain numbers, without locks and without a search for labels: they take a few
tenths of a microsecond. They are called on the event loop only. The families of `prometheus_client` are made from these
numbers when `/metrics` is read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ENGINE_SECONDS = (0.00005, 0.0001, 0.00025, *SECONDS)
SIZES = tuple(float(2**power) for power in range(13))

Labels = tuple[str, ...]
Gauge = Callable[[], "float | dict[Labels, float]"]


def merged(texts: Mapping[int, str]) -> bytes:
    """Returns the metrics of several worker processes as one text, with the label `worker`.

    Args:
        texts: metrics in the text format, by number of the worker.
    """
    families: dict[str, Metric] = {}
    for worker, text in texts.items():
        for family in text_string_to_metric_families(text):
            found = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            found.samples += [s._replace(labels={"worker": str(worker), **s.labels}) for s in family.samples]
    return generate_latest(_Families(families.values()))  # type: ignore[arg-type]


class _Families:
    """Collected families in the place of a registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Returns the families."""
        return self._families


class _Histogram:
    """Counts of values by upper bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Adds a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Returns the cumulative counts by upper bound."""
        found, so_far = [], 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            so_far += count
            found.append((floatToGoString(bound), float(so_far)))
        return found


class _Path:
    """Numbers of one path template."""

    __slots__ = ("received", "seconds", "sent", "statuses")

    def __init__(self) -> None:
        self.statuses: defaultdict[int, int] = defaultdict(int)
        self.seconds = _Histogram(SECONDS)
        self.received = 0
        self.sent = 0


class _Model:
    """Numbers of one model."""

    __slots__ = ("ended", "engine", "size", "started", "steps", "waited")

    def __init__(self) -> None:
        self.size = _Histogram(SIZES)
        self.engine = _Histogram(ENGINE_SECONDS)
        self.waited = _Histogram(ENGINE_SECONDS)
        self.steps = 0
        self.started = 0
        self.ended: defaultdict[str, int] = defaultdict(int)


class Metrics:
    """Numbers of one application, with its own registry.

    Attributes:
        registry: the registry that `text` writes. Other collectors may be registered.
        sockets: number of open WebSockets.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sockets = 0
        self._paths: defaultdict[str, _Path] = defaultdict(_Path)
        self._models: defaultdict[str, _Model] = defaultdict(_Model)
        self._refused: defaultdict[str, int] = defaultdict(int)
        self._messages = {"received": [0, 0], "sent": [0, 0]}
        self._gauges: dict[str, tuple[str, Labels, Gauge]] = {}
        self.registry.register(self)  # type: ignore[arg-type]
        ProcessCollector(registry=self.registry)

    # calls of the hot path

    def request(self, path: str, status: int, seconds: float, received: int, sent: int) -> None:
        """Counts an answered request.

        Args:
            path: path template, such as `/v1/models/{model}/predict`. Never the path itself: paths of clients would
                make any number of series.
            status: HTTP status.
            seconds: time from the head of the request to the end of the answer.
            received: bytes of the body of the request.
            sent: bytes of the body of the answer.
        """
        found = self._paths[path]
        found.statuses[status] += 1
        found.seconds.observe(seconds)
        found.received += received
        found.sent += sent

    def batch(self, model: str, size: int, seconds: float, waited: float) -> None:
        """Counts a batch.

        Args:
            model: name of the model.
            size: number of sequences.
            seconds: time of the engine.
            waited: time that the oldest request waited.
        """
        found = self._models[model]
        found.size.observe(size)
        found.engine.observe(seconds)
        found.waited.observe(waited)

    def steps(self, model: str, count: int) -> None:
        """Counts time steps of sessions."""
        self._models[model].steps += count

    def message_received(self, size: int) -> None:
        """Counts a message of a WebSocket of `size` bytes that was received."""
        found = self._messages["received"]
        found[0] += 1
        found[1] += size

    def message_sent(self, size: int) -> None:
        """Counts a message of a WebSocket of `size` bytes that was sent."""
        found = self._messages["sent"]
        found[0] += 1
        found[1] += size

    # rarer calls

    def session_started(self, model: str) -> None:
        """Counts a new session."""
        self._models[model].started += 1

    def session_ended(self, model: str, reason: str, count: int = 1) -> None:
        """Counts sessions that ended.

        Args:
            model: name of the model; empty for saved sessions, which are ended for all models together.
            reason: a word from a small fixed set, such as `idle`, `age` or `deleted`.
            count: number of sessions.
        """
        self._models[model].ended[reason] += count

    def refused(self, reason: str) -> None:
        """Counts a connection, request or socket that was refused or cut off.

        Args:
            reason: a word from a small fixed set, such as `queue`, `body`, `key` or `slow-reader`.
        """
        self._refused[reason] += 1

    def watch(self, name: str, text: str, read: Gauge, labels: Labels = ()) -> None:
        """Registers a gauge that is read when `/metrics` is read.

        Args:
            name: name without the prefix `recurra_`, such as `queue`.
            text: description.
            read: returns the value, or with `labels` the values by label values.
            labels: names of the labels.
        """
        self._gauges[name] = (text, labels, read)

    # reading

    def text(self) -> bytes:
        """Returns all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: names are not checked when the registry registers this collector."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yields the families of `prometheus_client`."""
        yield from self._collect_paths()
        yield from self._collect_models()
        refused = CounterMetricFamily("recurra_refused", "Refused or cut off, by reason.", labels=("reason",))
        for reason, count in self._refused.items():
            refused.add_metric((reason,), count)
        yield refused
        messages = CounterMetricFamily("recurra_socket_messages", "Messages of WebSockets.", labels=("direction",))
        size = CounterMetricFamily("recurra_socket_bytes", "Bytes of these messages.", labels=("direction",))
        for direction, (count, total) in self._messages.items():
            messages.add_metric((direction,), count)
            size.add_metric((direction,), total)
        yield messages
        yield size
        yield GaugeMetricFamily("recurra_sockets", "Open WebSockets.", value=self.sockets)
        for name, (text, labels, read) in self._gauges.items():
            values = read()
            gauge = GaugeMetricFamily(f"recurra_{name}", text, labels=labels)
            for key, value in (values if isinstance(values, dict) else {(): values}).items():
                gauge.add_metric(key, value)
            yield gauge

    def _collect_paths(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("recurra_requests", "Answered requests.", labels=("path", "status"))
        seconds = HistogramMetricFamily("recurra_request_seconds", "Time of requests.", labels=("path",))
        received = CounterMetricFamily("recurra_received_bytes", "Bytes of bodies of requests.", labels=("path",))
        sent = CounterMetricFamily("recurra_sent_bytes", "Bytes of bodies of answers.", labels=("path",))
        for path, found in self._paths.items():
            for status, count in found.statuses.items():
                requests.add_metric((path, str(status)), count)
            seconds.add_metric((path,), found.seconds.buckets(), found.seconds.total)
            received.add_metric((path,), found.received)
            sent.add_metric((path,), found.sent)
        yield from (requests, seconds, received, sent)

    def _collect_models(self) -> Iterator[Metric]:
        labels = ("model",)
        size = HistogramMetricFamily("recurra_batch_size", "Sequences in a call of the engine.", labels=labels)
        engine = HistogramMetricFamily("recurra_engine_seconds", "Time of a call of the engine.", labels=labels)
        waited = HistogramMetricFamily("recurra_queue_seconds", "Time of the oldest request of a batch.", labels=labels)
        steps = CounterMetricFamily("recurra_session_steps", "Time steps of sessions.", labels=labels)
        started = CounterMetricFamily("recurra_sessions_started", "New sessions.", labels=labels)
        ended = CounterMetricFamily("recurra_sessions_ended", "Ended sessions, by reason.", labels=("model", "reason"))
        for model, found in self._models.items():
            for family, histogram in ((size, found.size), (engine, found.engine), (waited, found.waited)):
                family.add_metric((model,), histogram.buckets(), histogram.total)
            steps.add_metric((model,), found.steps)
            started.add_metric((model,), found.started)
            for reason, count in found.ended.items():
                ended.add_metric((model, reason), count)
        yield from (size, engine, waited, steps, started, ended)
