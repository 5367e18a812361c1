"""The directory of sessions, without Ray."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from recurra.serve.cluster import directory as module
from recurra.serve.cluster.directory import Directory, Place


def run(work: Any) -> Any:
    return asyncio.run(work)


@pytest.fixture
def directory() -> Directory:
    """A directory with two replicas."""
    made = Directory()
    run(made.join("a", "1:1", ["old"]))
    run(made.join("b", "2:2", []))
    return made


def test_a_session_has_one_replica(directory):
    assert run(directory.claim("s", "a"))
    assert run(directory.claim("s", "a"))
    assert not run(directory.claim("s", "b"))
    assert run(directory.find("s")) == Place("a", "1:1")
    assert run(directory.find("old")) == Place("a", "1:1")


def test_an_offered_session_moves(directory):
    run(directory.claim("s", "a"))
    assert not run(directory.is_offered("s", ""))
    token = run(directory.offer("s", "a"))
    assert run(directory.is_offered("s", token))
    assert not run(directory.is_offered("s", token + "0"))
    assert run(directory.claim("s", "b", moved=True))
    assert not run(directory.is_offered("s", token))
    run(directory.ended("s", "a"))  # of the copy that was moved
    assert run(directory.find("s")) == Place("b", "2:2")


def test_the_replica_of_an_ended_session_knows_the_reason(directory, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENDED", 1)
    for name in ("s", "t"):
        run(directory.claim(name, "b"))
        run(directory.ended(name, "b"))
    assert run(directory.find("t")) == Place("b", "2:2")
    assert run(directory.find("s")).replica == ""
    assert run(directory.claim("t", "a"))


def test_sessions_of_a_replica_that_left_have_no_address(directory, monkeypatch):
    run(directory.claim("s", "a"))
    assert run(directory.others("a")) == ["2:2"]
    run(directory.leave("a"))
    assert not run(directory.find("s")).known  # it may join again
    monkeypatch.setattr(module, "LOST", -1.0)
    assert run(directory.find("s")) == Place("a", "")
    assert run(directory.others("b")) == []
    assert not run(directory.beat("a"))


def test_a_replica_is_removed_if_it_is_silent(directory, monkeypatch):
    run(directory.suspect("a"))
    assert run(directory.find("old")).address == "1:1"
    monkeypatch.setattr(module, "DEAD", -1.0)
    monkeypatch.setattr(module, "LOST", -1.0)
    run(directory.suspect("a"))
    assert run(directory.find("old")) == Place("a", "")


def test_a_new_directory_does_not_know_all_sessions(monkeypatch):
    directory = Directory()
    assert not run(directory.find("s")).known
    monkeypatch.setattr(module, "BEAT", -1.0)
    assert run(directory.find("s")).known
