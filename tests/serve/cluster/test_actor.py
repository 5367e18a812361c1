"""The actor of the directory, with a stand-in for Ray. `test_ray_app` has the real one."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from recurra.serve.cluster import actor as module
from recurra.serve.cluster.actor import DirectoryActor
from recurra.serve.cluster.directory import Member, Place


class ActorDiedError(Exception):
    """Ray's error for an actor that has ended."""


class FakeRay(ModuleType):
    """Actors by name."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.actors: dict[str, Any] = {}
        self.options: dict[str, Any] = {}

    def remote(self, cls: Any) -> Any:
        def options(**options: Any) -> Any:
            self.options = options
            return SimpleNamespace(remote=lambda *values: self.started(options["name"], cls, values))

        return SimpleNamespace(options=options)

    def started(self, name: str, cls: Any, values: Any) -> Any:
        if name not in self.actors:
            self.actors[name] = FakeActor(cls(*values))
        return self.actors[name]

    def get_actor(self, name: str, namespace: str) -> Any:
        assert namespace == self.options["namespace"]
        return self.actors[name]

    def kill(self, actor: Any) -> None:
        actor.ended = True
        self.actors = {name: one for name, one in self.actors.items() if one is not actor}


class FakeActor:
    """A handle of an actor."""

    def __init__(self, target: Any) -> None:
        self.target, self.ended = target, False

    def __getattr__(self, method: str) -> Any:
        async def remote(*values: Any) -> Any:
            if self.ended:
                raise ActorDiedError
            return await getattr(self.target, method)(*values)

        return SimpleNamespace(remote=remote)


@pytest.fixture
def ray(monkeypatch) -> FakeRay:
    fake, errors = FakeRay(), ModuleType("ray.exceptions")
    errors.ActorDiedError = ActorDiedError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.exceptions", errors)
    return fake


def test_applications_have_directories_of_their_own(ray):
    async def run() -> None:
        first, second, other = DirectoryActor("a"), DirectoryActor("a"), DirectoryActor("b")
        assert await first("join", Member("r", "1:1"), {}) == []
        assert await second("beat", "r")
        assert not await other("beat", "r")
        assert ray.options["lifetime"] == "detached"

    asyncio.run(run())


def test_a_directory_that_is_not_used_ends(ray, monkeypatch):
    monkeypatch.setattr(module, "UNUSED", 0.2)

    async def run() -> None:
        directory = DirectoryActor("a")
        await directory("join", Member("r", "1:1"), {})
        (first,) = ray.actors.values()
        for _ in range(6):
            await asyncio.sleep(0.05)
            assert await directory("beat", "r")
        assert not first.ended
        await asyncio.sleep(0.5)
        assert first.ended
        assert Place(*await directory("find", "s")) == Place(known=False)  # of a new one
        assert len(ray.actors) == 1

    asyncio.run(run())
