"""Errors of a connection to Ray."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from recurra.errors import EngineError, UsageError
from recurra.training.workers import cluster
from recurra.training.workers.cluster import compare_versions, connected
from recurra.training.workers.options import Workers

OWN: dict[str, str | None] = {"Ray": "2.60.0", "Python": "3.11.2", "Recurra": "1.0"}


def refusing(error: Exception) -> Any:
    """A module that cannot be connected."""

    def init(**options: Any) -> None:
        raise error

    return SimpleNamespace(is_initialized=lambda: False, init=init)


@pytest.fixture
def listening():
    """Address at which something answers."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cluster_with_another_version_of_ray_is_one_sentence(monkeypatch, listening):
    utils = pytest.importorskip("ray._private.utils")
    there = {"ray_version": "2.1.0", "python_version": "3.8.1"}
    monkeypatch.setattr(utils, "compute_version_info", lambda: ("2.60.0", "3.11.2"))
    with pytest.raises(RuntimeError) as found:  # the words of Ray itself
        utils.check_version_info(there, "node 10.0.0.5")
    said = rf"^the cluster {listening} has Ray 2.1.0 and Python 3.8.1, this machine Ray 2.60.0 and Python 3.11.2: all "
    with pytest.raises(EngineError, match=said), connected(refusing(found.value), Workers(1, 1, listening), 1):
        pass


def test_other_errors_of_ray_are_one_sentence(listening):
    error = RuntimeError("Traceback\n  lines\nno such cluster")
    said = rf"^the cluster {listening} cannot be used: no such cluster$"
    with pytest.raises(EngineError, match=said), connected(refusing(error), Workers(1, 1, listening), 1):
        pass
    with (
        pytest.raises(EngineError, match=r"^Ray cannot be started: no such"),
        connected(refusing(error), Workers(1, 1), 1),
    ):
        pass


@pytest.mark.parametrize("address", ["somewhere", "10.0.0.1:x", "10.0.0.1:70000", "10.0.0.1"])
def test_addresses_that_cannot_be(address):
    with pytest.raises(UsageError, match="HOST:PORT"), connected(refusing(OSError()), Workers(1, 1, address), 1):
        pass


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (OWN, ""),
        (OWN | {"Recurra": None}, "the machine m lacks Recurra: all machines of a cluster need Recurra 1.0"),
        (OWN | {"Recurra": "0.9"}, "the machine m has Recurra 0.9, this one Recurra 1.0: all machines need the same"),
        (OWN | {"Python": "3.12.0"}, "the machine m has Python 3.12.0, this one Python 3.11.2"),
    ],
)
def test_versions_of_a_machine(found, said):
    sentence = compare_versions("m", found, OWN)
    assert sentence.startswith(said)
    assert bool(sentence) == bool(said)


def test_the_address_of_the_dashboard(monkeypatch):
    class Ray:
        """A cluster with a dashboard."""

        is_connected = False

        def init(self, **options: Any) -> SimpleNamespace:
            self.is_connected = True
            return SimpleNamespace(dashboard_url="" if options["address"] == "local" else "10.0.0.5:8265")

        def is_initialized(self) -> bool:
            return self.is_connected

        def shutdown(self) -> None:
            self.is_connected = False

    monkeypatch.setattr(cluster, "_check_machines", lambda ray: None)
    ray = Ray()
    with connected(ray, Workers(1, 1, "auto"), 1) as dashboard:
        assert dashboard == "http://10.0.0.5:8265"
        with connected(ray, Workers(1, 1, "auto"), 1) as again:
            assert again == ""
    with connected(ray, Workers(1, 1), 1) as dashboard:
        assert dashboard == ""
