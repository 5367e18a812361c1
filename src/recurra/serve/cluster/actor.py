"""The directory as an actor of Ray, which all replicas of an application use.

The actor is no deployment of Ray Serve. Serve would replace it together with the replicas, and the new one would know
nothing while sessions are moved. The first replica starts it. It ends when no replica has sent a message for some time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from .directory import EMPTY, Directory, Holding, Member

VERSION = 1
"""Version of the messages between replicas and directory."""
UNUSED = 60.0
"""Seconds without a message of a replica after which the directory ends."""
_NAMESPACE = "recurra"


class DirectoryActor:
    """Calls methods of the directory of an application, and starts it if it does not exist.

    Args:
        application: name of the application of Ray Serve.
    """

    def __init__(self, application: str) -> None:
        self._name, self._actor = f"recurra-directory-{VERSION}-{application}", None

    async def __call__(self, method: str, *arguments: Any) -> Any:
        """Calls a method, once more if the directory had ended because it was unused."""
        from ray.exceptions import ActorDiedError

        try:
            return await getattr(self._found(), method).remote(*arguments)
        except ActorDiedError:
            self._actor = None
        return await getattr(self._found(), method).remote(*arguments)

    def _found(self) -> Any:
        import ray

        if self._actor is None:
            options = {
                "name": self._name,
                "namespace": _NAMESPACE,
                "lifetime": "detached",
                "get_if_exists": True,
                "num_cpus": 0,
                "max_restarts": -1,
            }
            self._actor = ray.remote(_EndingDirectory).options(**options).remote(self._name)
        return self._actor


class _EndingDirectory(Directory):
    """A directory that ends its actor when it is unused.

    Args:
        name: name of the actor.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self._watch = name, None

    async def join(
        self, member: Member, sessions: Mapping[str, Holding], arriving: Mapping[str, str] = EMPTY
    ) -> list[str]:
        """See `Directory.join`."""
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._end_unused())
        return await super().join(member, sessions, arriving)

    async def _end_unused(self) -> None:
        import ray

        while self.unused() < UNUSED:
            await asyncio.sleep(UNUSED / 4)
        ray.kill(ray.get_actor(self._name, _NAMESPACE))
