"""Ray clusters of the programs that `alone.run_alone` runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster


@contextmanager
def machines(count: int) -> Iterator[Any]:
    """Yields a cluster of machines with one core each, which are processes of this one."""
    # the first machine has the processes of Ray itself
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(count):
        cluster.add_node(num_cpus=1)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def processes_of(kind: str) -> list[int]:
    """Returns the ids of the processes whose title contains a text, such as the class of an actor."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            title = (entry / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if kind.encode() in title:
            found.append(int(entry.name))
    return sorted(found)
