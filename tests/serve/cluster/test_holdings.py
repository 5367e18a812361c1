"""The protocol of replicas and directory under many schedules of the messages, with lost messages and crashes.

See `cluster_world`. The clients repeat requests that are refused with 503. All other refusals fail the test, and so
does a step that is counted twice or not at all.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from cluster_world import DELAY, DELIVER, LOSE, FakeReplica, Stepper, World

from recurra.serve.cluster.directory import LOST, RECOVERY, Place
from recurra.serve.problems import Problem

SCHEDULES = 40
ACCEPT = ("r1 waits", "r1 sends accept")
"""Messages with which r1 repeats `accept`."""
LENGTH = 400
"""Messages and events of a schedule, after which the cluster comes to rest."""


class Schedule:
    """A random order of messages and events.

    Args:
        seed: of the random numbers.
        faults: whether messages are lost or late, and replicas and directory pause.
        kept: whether replicas have state folders.
        crashes: most crashes of replicas and of the directory.
    """

    def __init__(self, seed: int, faults: bool, kept: bool, crashes: tuple[int, int]) -> None:
        self.random, self.faults, self.world = random.Random(seed), faults, World(kept)
        self.crashes, self.moves = list(crashes), 4
        may_end = bool(crashes[0]) and not kept
        self.clients = [Stepper(self.world, f"s{n}", self.random.choice, lambda: may_end) for n in range(3)]

    async def run(self) -> int:
        """Runs the schedule. Returns the number of answered steps."""
        world = self.world
        world.add()
        world.add()
        await world.finish(lambda: all(one.ready for one in world.living))
        tasks = [asyncio.ensure_future(client.run()) for client in self.clients]
        try:
            for _ in range(LENGTH):
                await world.settle()
                await self._event(self.random.random())
            await world.settle()
            for _, late in world.late:
                await late()
            for client in self.clients:
                client.stopped = True
            if all(one.leaving for one in world.living):
                world.add()
            await world.finish(lambda: self._is_at_rest(tasks))
            for task in sorted(tasks, key=lambda task: not task.done()):  # a failed one first: others may wait for ever
                await task
            world.check({client.session: client.seq for client in self.clients if not client.ended})
            return sum(client.seq for client in self.clients)
        finally:
            for task in sorted(tasks, key=lambda task: not task.done()):
                task.cancel()
            world.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _is_at_rest(self, tasks: list[asyncio.Task[None]]) -> bool:
        if any(task.done() and task.exception() for task in tasks):
            return True
        rests = all(one.ready and not one.leaving for one in self.world.living) and self.world.all_joined()
        return rests and all(task.done() for task in tasks)

    async def _event(self, kind: float) -> None:
        world, choose = self.world, self.random.choice
        staying = [one for one in world.living if one.ready and not one.leaving]
        if kind < 0.02 and self.moves and staying:
            self.moves -= 1
            if len(world.living) < 4:
                world.add()
            leaving = choose(staying)
            leaving.start(leaving.leave())
        elif kind < 0.03 and self.crashes[0] and world.all_joined():
            self.crashes[0] -= 1
            world.crash(choose(world.living))
        elif kind < 0.04 and self.crashes[1] and world.all_joined():
            self.crashes[1] -= 1
            world.crash_directory()
        elif kind < 0.045 and self.faults and world.living:
            world.directory._remove(choose(world.living).name)  # it looked dead
        elif kind < 0.10:
            world.advance(3.0 if self.faults and kind > 0.09 else 0.2)
        elif kind < 0.14 and world.late:
            _, late = world.late.pop(self.random.randrange(len(world.late)))
            await late()
        elif world.gates:
            self._message(self.random.randrange(len(world.gates)))

    def _message(self, number: int) -> None:
        chance = self.random.random()
        if "too slow" in self.world.gates[number][0]:
            if self.faults and chance < 0.3:
                self.world.deliver(number)
            return
        self.world.deliver(number, DELIVER if not self.faults or chance > 0.08 else LOSE if chance > 0.04 else DELAY)


MODES = {
    "orders": (False, False, (0, 0)),
    "faults": (True, False, (0, 0)),
    "directory": (True, False, (0, 1)),
    "crashes": (False, False, (1, 0)),
    "crashes and folders": (True, True, (1, 0)),
    "all": (True, True, (4, 3)),
}


@pytest.mark.parametrize("mode", MODES)
def test_sessions_move_while_steps_arrive(mode):
    assert sum(asyncio.run(Schedule(seed, *MODES[mode]).run()) for seed in range(SCHEDULES)) > 5 * SCHEDULES


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_sessions_move_in_many_schedules(mode):
    for seed in range(SCHEDULES, 10 * SCHEDULES):
        asyncio.run(Schedule(seed, *MODES[mode]).run())


async def one_move(kept: bool, fault: str, place: int) -> int:
    """Moves a session while r0 ends, with a fault at one message. Returns the number of messages before it."""
    world = World(kept)
    try:
        r0, r1 = world.add(), world.add()
        await world.finish(lambda: r0.ready and r1.ready)
        assert await directly(world, r0.request("s", None)) == 0
        assert await directly(world, r0.request("s", 0)) == 1
        r0.start(r0.leave())
        count = 0
        while r0.alive and "s" in r0.table.rows:
            await world.settle()
            names = [n for n, (label, *_) in enumerate(world.gates) if not label.endswith(("beats", "too slow for s"))]
            if count == place:
                strike(world, fault, r0, r1, names)
                break
            world.deliver(names[0])
            count += 1
        for _ in range(100):  # until a replica that ended is noticed
            await world.finish(lambda: all(one.ready and not one.leaving for one in world.living))
            world.advance(0.2)
        await world.finish(lambda: world.all_joined() and all(len(one.holdings._arriving) == 0 for one in world.living))
        homes = {one.name: one.table.rows["s"].count for one in world.living if "s" in one.table.rows}
        if homes or kept or fault not in ("sender", "target"):
            world.ensure(list(homes.values()) == [1], f"{fault} at {place}: {homes}")
            world.check({"s": 1})
        return count
    finally:
        world.close()


def strike(world: World, fault: str, sender: FakeReplica, target: FakeReplica, names: list[int]) -> None:
    """Does a fault."""
    if fault == "sender":
        world.crash(sender)
    elif fault == "target":
        world.crash(target)
    elif fault == "directory":
        world.crash_directory()
    elif fault == "slow":
        slow = [n for n, (label, *_) in enumerate(world.gates) if label.endswith("too slow for s")]
        world.deliver(slow[0] if slow else names[0])
    else:
        world.deliver(names[0], fault)


async def directly(world: World, work: Any, held: tuple[str, ...] = ()) -> Any:
    """Returns the answer to a request while all messages are delivered in their order, except for those in `held`."""
    task = asyncio.ensure_future(work)
    await world.finish(task.done, held)
    return await task


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("fault", [LOSE, DELAY, "slow", "sender", "target", "directory"])
def test_a_fault_at_each_message_of_a_move(kept, fault):
    """The session is at one replica with its step, or it ended with a replica that crashed."""

    places = 0
    while asyncio.run(one_move(kept, fault, places)) == places:
        places += 1
    assert places > 8


async def unconfirmed_move(world: World) -> tuple[FakeReplica, FakeReplica]:
    """Moves a session with one step from r0, which ends, to r1. r1 gets no answer to `accept`, and r0 none of r1."""
    r0, r1 = world.add(), world.add()
    await world.finish(lambda: r0.ready and r1.ready)
    assert await directly(world, r0.request("s", None)) == 0
    assert await directly(world, r0.request("s", 0)) == 1
    r0.start(r0.leave())
    answer = "r1 gets the answer to accept"
    await world.finish(lambda: answer in world.labels, (answer,))
    world.deliver(world.labels.index(answer), LOSE)
    world.deliver(world.labels.index("r1 is too slow for s"))
    return r0, r1


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("fault", ["silence", "directory"])
def test_a_session_is_known_until_its_receiver_has_the_answer_to_accept(kept, fault):
    """r1 accepted the session, but the answer was lost, and r1 joins again before it repeats the question."""

    async def run() -> None:
        world = World(kept)
        r0, r1 = await unconfirmed_move(world)
        await world.finish(lambda: not r0.alive, ACCEPT)
        if fault == "silence":
            world.directory._remove("r1")  # it looked dead
        else:
            world.crash_directory()
        r2 = world.add()
        await world.finish(lambda: r2.ready and world.all_joined(), ACCEPT)
        assert "s" not in r1.holdings
        for request, status in ((r2.request("s", 1), 503), (r1.request("s", 1), 503), (r2.holdings.claim("s"), 409)):
            with pytest.raises(Problem) as refused:
                await directly(world, request, ACCEPT)
            assert refused.value.status == status
        await world.finish(lambda: not r1.holdings._arriving)
        assert await directly(world, r2.request("s", 1)) == 2
        world.check({"s": 2})
        world.close()

    asyncio.run(run())


def test_a_replica_that_ends_reports_sessions_that_arrive():
    async def run() -> None:
        world = World()
        _, r1 = await unconfirmed_move(world)
        await directly(world, r1.holdings.leave(), ACCEPT)
        r1.end()
        assert (await world.directory.find("s")).known is False
        world.now += LOST
        assert await world.directory.find("s") == Place("r1")
        world.close()

    asyncio.run(run())


@pytest.mark.parametrize("crashed", [("r1",), ("r0", "r1"), ("r1", "r0")])
def test_steps_of_a_receiver_are_kept_if_it_crashes_with_the_directory(crashed):
    """r1 accepted the session and answered a step, and r0 does not know it."""

    async def run() -> None:
        world = World(kept=True)
        r0, r1 = await unconfirmed_move(world)
        withdrawal = "r0 sends withdraw"
        await world.finish(lambda: "s" in r1.holdings and withdrawal in world.labels, (withdrawal,))
        assert await directly(world, r1.request("s", 1), (withdrawal,)) == 2
        world.crash_directory()
        for name in crashed:
            world.crash(world.replicas[name])
        await world.finish(lambda: all(one.ready for one in world.living) and not (r0.alive and "s" in r0.table.rows))
        await world.finish(lambda: world.all_joined() and "s" not in r0.table.rows)
        world.check({"s": 2})
        world.close()

    asyncio.run(run())


def test_only_one_of_two_claims_is_successful():
    async def run() -> None:
        world = World()
        r0, r1 = world.add(), world.add()
        await world.finish(lambda: r0.ready and r1.ready)
        claims = [asyncio.ensure_future(one.holdings.claim("s")) for one in (r0, r0, r1)]
        await world.finish(lambda: all(claim.done() for claim in claims))
        found = [claim.exception() for claim in claims]
        assert found[0] is None
        assert [error.status for error in found[1:] if isinstance(error, Problem)] == [503, 409]
        assert "s" in r0.holdings
        assert "s" not in r1.holdings
        world.close()

    asyncio.run(run())


def test_claims_wait_for_a_new_directory():
    async def run() -> None:
        world = World()
        r0 = world.add()
        await world.finish(lambda: r0.ready)
        assert world.now >= RECOVERY
        world.crash_directory()
        with pytest.raises(Problem, match="starting"):
            await directly(world, r0.holdings.claim("s"))
        await world.finish(lambda: world.now - world.directory._started > RECOVERY and world.all_joined())
        await directly(world, r0.holdings.claim("s"))
        world.close()

    asyncio.run(run())
