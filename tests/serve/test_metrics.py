"""Metrics in the text format of Prometheus."""

from __future__ import annotations

import math

from prometheus_client.parser import text_string_to_metric_families

from recurra.serve.metrics import Metrics, merged


def values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Values of all samples by name and label values; the upper bound of a bucket is last."""
    families = text_string_to_metric_families(metrics.text().decode())
    samples = [sample for family in families for sample in family.samples]
    return {(s.name, *(s.labels[name] for name in sorted(s.labels, key="le".__eq__))): s.value for s in samples}


def test_requests():
    metrics = Metrics()
    metrics.request("/a/{x}", 200, 0.003, 10, 100)
    metrics.request("/a/{x}", 200, 0.3, 10, 100)
    metrics.request("/a/{x}", 422, 99.0, 0, 5)
    found = values(metrics)
    assert found["recurra_requests_total", "/a/{x}", "200"] == 2
    assert found["recurra_requests_total", "/a/{x}", "422"] == 1
    assert found["recurra_received_bytes_total", "/a/{x}"] == 20
    assert found["recurra_sent_bytes_total", "/a/{x}"] == 205
    assert found["recurra_request_seconds_bucket", "/a/{x}", "0.0025"] == 0
    assert found["recurra_request_seconds_bucket", "/a/{x}", "0.005"] == 1
    assert found["recurra_request_seconds_bucket", "/a/{x}", "30.0"] == 2
    assert found["recurra_request_seconds_bucket", "/a/{x}", "+Inf"] == 3
    assert found["recurra_request_seconds_count", "/a/{x}"] == 3
    assert math.isclose(found["recurra_request_seconds_sum", "/a/{x}"], 99.303)


def test_models_and_sessions():
    metrics = Metrics()
    metrics.batch("m", 64, 0.0002, 0.00007)
    metrics.steps("m", 7)
    metrics.session_started("m")
    metrics.session_ended("m", "idle")
    metrics.session_ended("m", "idle")
    found = values(metrics)
    assert found["recurra_batch_size_bucket", "m", "32.0"] == 0
    assert found["recurra_batch_size_bucket", "m", "64.0"] == 1  # a bound belongs to its bucket
    assert found["recurra_engine_seconds_bucket", "m", "0.00025"] == 1
    assert found["recurra_queue_seconds_bucket", "m", "0.0001"] == 1
    assert found["recurra_session_steps_total", "m"] == 7
    assert found["recurra_sessions_started_total", "m"] == 1
    assert found["recurra_sessions_ended_total", "m", "idle"] == 2


def test_gauges_are_read_when_the_text_is_written():
    metrics, queue = Metrics(), [3]
    metrics.watch("queue", "Requests that wait.", lambda: len(queue))
    metrics.watch("sessions", "Sessions.", lambda: {("m", "live"): 4, ("m", "saved"): 5}, ("model", "state"))
    metrics.sockets += 1
    queue.append(4)
    found = values(metrics)
    assert found[("recurra_queue",)] == 2
    assert found["recurra_sessions", "m", "saved"] == 5
    assert found[("recurra_sockets",)] == 1


def test_messages_and_refusals():
    metrics = Metrics()
    metrics.message_received(8)
    metrics.message_received(8)
    metrics.message_sent(3)
    metrics.refused("body")
    found = values(metrics)
    assert found["recurra_socket_messages_total", "received"] == 2
    assert found["recurra_socket_bytes_total", "received"] == 16
    assert found["recurra_socket_bytes_total", "sent"] == 3
    assert found["recurra_refused_total", "body"] == 1


def test_two_applications_do_not_share_numbers():
    one, other = Metrics(), Metrics()
    one.refused("key")
    assert ("recurra_refused_total", "key") in values(one)
    assert ("recurra_refused_total", "key") not in values(other)
    assert ("process_resident_memory_bytes",) in values(other)


def test_metrics_of_several_workers_have_a_label():
    workers = [Metrics(), Metrics()]
    workers[0].request("/a", 200, 0.003, 10, 100)
    workers[1].request("/a", 200, 99.0, 10, 200)
    workers[1].request("/b", 404, 0.1, 0, 1)
    text = merged({number: metrics.text().decode() for number, metrics in enumerate(workers)}).decode()
    assert 'recurra_sent_bytes_total{path="/a",worker="0"} 100.0' in text
    assert 'recurra_sent_bytes_total{path="/a",worker="1"} 200.0' in text
    assert 'recurra_request_seconds_bucket{le="+Inf",path="/b",worker="1"} 1.0' in text
    assert text.count("# TYPE recurra_requests_total counter") == 1
    assert text.count("# TYPE process_resident_memory_bytes gauge") == 1
