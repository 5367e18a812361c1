"""Hosts that requests may name."""

from __future__ import annotations

import httpx
import pytest
from serve_helpers import serving

from recurra.serve import Settings, create_app, running
from recurra.serve.hosts import Hosts, is_host

ALLOWED = (
    *(b"localhost", b"LocalHost:8000", b"localhost.", b"127.0.0.1", b"127.1.2.3:80", b"[::1]", b"[::1]:8000"),
    *(b"192.168.0.3:8000", b"127.0.0.1.", b"[fe80::1]", b""),
)
REFUSED = (
    *(b"evil.example", b"evil.example:8000", b"localhost.evil.example", b"127.0.0.1.evil.example", b"evillocalhost"),
    *(b"localhost@evil.example", b"[localhost]", b"[", b":80", b"\xff", b"*", b"1"),
)


def hosts(*, local: bool = True, **settings) -> Hosts:
    found = Hosts(Settings(**settings))
    found.local = local
    return found


@pytest.mark.parametrize("header", ALLOWED)
def test_addresses_and_localhost_are_allowed(header):
    assert hosts().refusal(header) is None


@pytest.mark.parametrize("header", REFUSED)
def test_other_names_are_refused_at_a_loopback_address(header):
    refusal = hosts().refusal(header)
    assert refusal is not None
    assert "--allowed-host" in refusal
    assert hosts(local=False).refusal(header) is None
    assert hosts(allowed_hosts=("*",)).refusal(header) is None


@pytest.mark.parametrize("local", [True, False])
def test_named_hosts_are_allowed(local):
    found = hosts(local=local, allowed_hosts=("Shop.example",), origins=("https://pages.example:8443",))
    for header in (b"shop.example:8000", b"SHOP.EXAMPLE", b"pages.example", *ALLOWED):
        assert found.refusal(header) is None
    for header in REFUSED:
        assert found.refusal(header) is not None


def test_hosts_of_origins_alone_are_checked_at_a_loopback_address_only():
    for origin in ("https://pages.example", "http://["):
        assert hosts(local=False, origins=(origin,)).refusal(b"evil.example") is None
        assert hosts(origins=(origin,)).refusal(b"evil.example") is not None


def test_no_address_is_answered_for_another_host(sensor):
    body = {"inputs": [{"name": "x", "shape": [1, 1, 2], "datatype": "FP32", "data": [1, 2]}]}
    with running(create_app({"sensor": sensor})) as url, httpx.Client(base_url=url, timeout=20) as client:
        for headers, status in (({}, 200), ({"host": "evil.example"}, 403)):
            answers = [
                client.post("/v1/models/sensor/predict", json={"inputs": [[[1, 2]]]}, headers=headers),
                client.post("/v2/models/sensor/infer", json=body, headers=headers),
                *(client.get(path, headers=headers) for path in ("/", "/v1/models", "/v2", "/openapi.json")),
            ]
            assert [answer.status_code for answer in answers] == [status] * len(answers)


def test_other_servers_check_the_hosts_that_are_given(sensor):
    with serving({"sensor": sensor}, allowed_hosts=("shop.example",)) as client:
        assert client.get("/v1/models").status_code == 403  # of the host "testserver"
        assert client.get("/v1/models", headers={"host": "shop.example"}).status_code == 200


@pytest.mark.parametrize(
    "header", [b"", b"localhost", b"a-b.example.:80", b"my_host", b"[::1]:8000", b"1.2.3.4:", b":80"]
)
def test_hosts(header):
    assert is_host(header)


@pytest.mark.parametrize(
    "header",
    [b"a b", b"a:b", b"a:65536", b"a:0", b"a/b", b"a@b", b"[", b"[x]", b"[::1", b"::1", b"\xff", b"a\tb", b"a,b c"],
)
def test_values_that_are_no_hosts(header):
    assert not is_host(header)
