"""Keeps torch and the engine usable in a child of a fork.

GNU OpenMP runs torch's threads. They do not exist in a child, but the child's OpenMP expects them: its first parallel
operation never returns. So the threads are ended before every fork. The next operation starts new ones, in the parent
and in the child. Where the threads cannot be ended, the child computes with one thread, which never waits for others.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

_SOFT = 1  # OpenMP's name: omp_pause_soft

_threads_left = False


def register() -> None:
    """Prepares every later fork of this process."""
    if hasattr(os, "register_at_fork") and sys.platform == "linux":  # other systems' OpenMP prepares forks itself
        os.register_at_fork(before=_end_threads, after_in_child=_settle)


def _end_threads() -> None:
    global _threads_left
    ended = [_paused(library) for library in _libraries()]  # each of them, also after one that could not
    _threads_left = not all(ended)


def _settle() -> None:
    if _threads_left:
        torch.set_num_threads(1)


def _libraries() -> set[str]:
    """Paths of every GNU OpenMP in this process: torch's wheels bring their own."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {fields[5] for line in lines if len(fields := line.split(None, 5)) == 6 and "libgomp" in fields[5]}


def _paused(library: str) -> bool:
    """Ends the idle threads that this thread started; False if the library cannot (before GCC 9), or is at work."""
    try:
        return ctypes.CDLL(library).omp_pause_resource_all(_SOFT) == 0
    except (OSError, AttributeError):
        return False
