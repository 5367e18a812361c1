"""The libraries that are timed, one file each; the file's name is the peer's."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from .base import Peer, Ready

PEERS = {
    "recurra": ("torch",),
    "torch": ("torch",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "jax": ("jax",),
    "keras": ("keras", "jax"),
}
"""Name of the peer and the packages that it needs."""


def missing(name: str) -> list[str]:
    """The packages that a peer needs and that are not installed."""
    return [package for package in PEERS[name] if find_spec(package) is None]


def load(name: str, threads: int) -> Peer:
    """Imports a peer. Call it in the process that times the peer."""
    return import_module(f".{name}", __name__).Peer(threads)


__all__ = ["PEERS", "Peer", "Ready", "load", "missing"]
