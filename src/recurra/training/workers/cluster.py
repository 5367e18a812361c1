"""Connections to Ray, on this machine or on a cluster whose machines have the same versions."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from recurra._util.atomic import reason
from recurra.errors import EngineError, UsageError

from .options import LOCAL, Workers

CONNECT_SECONDS = 10.0
"""Longest time until a cluster answers."""
CHECK_SECONDS = 60.0
"""Longest time until the machines of a cluster tell their versions; machines that are slower are not checked."""
MAX_PORT = 65535


@contextmanager
def connected(ray: Any, workers: Workers, threads: int) -> Iterator[str]:
    """Starts Ray on this machine or connects to a cluster; a connection that exists is used.

    Args:
        ray: the module.
        workers: the processes that will run.
        threads: threads of each process.

    Yields:
        The address of Ray's dashboard; `""` if there is none, or if the connection existed.

    Raises:
        EngineError: the cluster cannot be reached, or its machines have other versions than this one.
        UsageError: the address is not valid.
    """
    if ray.is_initialized():
        yield ""
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its remarks would be on the terminal
    os.environ.setdefault("RAY_worker_niceness", "0")  # else other programs of the machine delay every step
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if workers.cluster == LOCAL:
        options |= {"address": "local", "num_cpus": workers.most * threads, "include_dashboard": False}
    else:
        _reach(workers.cluster)
        options["address"] = workers.cluster
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dashboard = ray.init(**options).dashboard_url
    except Exception as error:  # Ray's errors have no common class
        raise EngineError(_refusal(workers.cluster, error)) from None
    with redirect_stdout(sys.stderr):  # Ray prints remarks on workers that ended
        try:
            if workers.cluster != LOCAL:
                _check_machines(ray)
            yield f"http://{dashboard}" if dashboard else ""
        finally:
            ray.shutdown()


def start_here(ray: Any, kind: type) -> Any:
    """Starts an actor on the machine of this process: on another one it would be lost with that machine.

    Args:
        ray: the module.
        kind: class of the actor, whose constructor needs no argument.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(kind).options(num_cpus=0, scheduling_strategy=here).remote()


def last_line(error: BaseException | None) -> str:
    """Returns the last line of the message of an error of Ray, which is the most specific one."""
    text = str(error or "there is no result").strip()
    return text.splitlines()[-1][:200] if text else type(error).__name__


def _refusal(cluster: str, error: Exception) -> str:
    """Returns the message for an error of `ray.init`."""
    pairs = re.findall(r"Ray: (\S+)\s+Python: (\S+)", str(error))
    if len(pairs) == 2:  # the error "Version mismatch" of Ray
        theirs, ours = (f"Ray {ray} and Python {python}" for ray, python in pairs)
        return f"the cluster {cluster} has {theirs}, this machine {ours}: all machines need the same versions"
    where = "Ray cannot be started" if cluster == LOCAL else f"the cluster {cluster} cannot be used"
    return f"{where}: {last_line(error)}"


def _reach(address: str) -> None:
    """Raises an `EngineError` if nothing answers at an address; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal() or int(port) > MAX_PORT:
        if address != "auto":
            raise UsageError(f"the address of a cluster is HOST:PORT, auto or local, not {address!r:.60}")
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise EngineError(f"the cluster {address} cannot be reached: {reason(error)}") from None


def _check_machines(ray: Any) -> None:
    """Compares the versions of the machines that workers can run on with those of this one.

    Raises:
        EngineError: a machine lacks Recurra, or has another version of Ray, Python or Recurra.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def versions() -> dict[str, str | None]:  # a nested function is sent as code, so it needs no package
        import platform
        from importlib import import_module

        import ray

        try:
            own = import_module("recurra").__version__
        except ImportError:
            own = None
        return {"Ray": ray.__version__, "Python": platform.python_version(), "Recurra": own}

    ask = ray.remote(versions)
    asked = {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("CPU", 0):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[ask.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote()] = node["NodeName"]
    own = versions()
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=CHECK_SECONDS) if asked else ([], [])
    for answer in ready:
        try:
            found = ray.get(answer)
        except Exception:  # the machine has left the cluster  # noqa: S112
            continue
        complaint = compare_versions(asked[answer], found, own)
        if complaint:
            raise EngineError(complaint)


def compare_versions(machine: str, found: dict[str, str | None], own: dict[str, str | None]) -> str:
    """Returns a sentence if a machine cannot work with this one, `""` otherwise.

    Args:
        machine: its name.
        found: versions there by name; None for a package that is missing.
        own: versions here.

    Example:
        >>> compare_versions("10.0.0.6", {"Recurra": None}, {"Recurra": "1.0"})
        'the machine 10.0.0.6 lacks Recurra: all machines of a cluster need Recurra 1.0'
    """
    for name, version in own.items():
        if found[name] is None:
            return f"the machine {machine} lacks {name}: all machines of a cluster need {name} {version}"
        if found[name] != version:
            return (
                f"the machine {machine} has {name} {found[name]}, this one {name} {version}: all machines need the "
                "same versions"
            )
    return ""
