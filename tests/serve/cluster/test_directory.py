"""The directory of sessions, without Ray. `test_holdings` has the protocol between replicas and directory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from recurra.serve.cluster import directory as module
from recurra.serve.cluster.directory import DEAD, LOST, RECOVERY, Answer, Directory, Holding, Member, Place


class Clocked:
    """A directory whose methods return their results at once, with a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.directory = Directory(lambda: self.now)

    def __getattr__(self, method: str) -> Any:
        return lambda *values: asyncio.run(getattr(self.directory, method)(*values))

    def pause(self, seconds: float) -> None:
        self.now += seconds
        for name in list(self.directory._members):
            self.beat(name)


@pytest.fixture
def directory() -> Clocked:
    """A directory with two replicas, which knows all sessions."""
    made = Clocked()
    made.join(Member("a", "1:1"), {"old": Holding("00000000")})
    made.join(Member("b", "2:2"), {})
    made.pause(RECOVERY)
    return made


def test_a_session_has_one_replica(directory):
    assert directory.claim("s", "a", "00000001") == Answer.YES
    assert directory.claim("s", "a", "00000001") == Answer.YES
    assert directory.claim("s", "b", "00000002") == Answer.NO
    assert directory.find("s") == Place("a", "1:1")
    assert directory.find("old") == Place("a", "1:1")
    assert directory.find("other") == Place()


def test_an_offered_session_moves(directory):
    assert not directory.is_offered("old", "")
    assert directory.offer("old", "a", "00000000", "b", "00000001") == Answer.YES
    assert directory.is_offered("old", "00000001")
    assert not directory.is_offered("old", "00000000")
    assert not directory.find("old").known
    assert directory.accept("old", "a", "00000001") == Answer.NO
    assert directory.accept("old", "b", "00000000") == Answer.NO
    assert [directory.accept("old", "b", "00000001") for _ in range(2)] == [Answer.YES] * 2
    assert directory.find("old") == Place("b", "2:2")
    assert directory.withdraw("old", "a", "00000002") == Answer.NO


def test_a_withdrawn_session_stays(directory):
    directory.offer("old", "a", "00000000", "b", "00000001")
    assert [directory.withdraw("old", "a", "00000002") for _ in range(2)] == [Answer.YES] * 2
    assert directory.accept("old", "b", "00000001") == Answer.NO
    assert directory.find("old") == Place("a", "1:1")


def test_late_messages_have_no_effect(directory):
    directory.offer("old", "a", "00000000", "b", "00000001")
    directory.withdraw("old", "a", "00000002")
    assert directory.offer("old", "a", "00000000", "b", "00000001") == Answer.NO
    directory.ended("old", "a", "00000000")
    directory.ended("old", "b", "00000002")
    assert directory.find("old") == Place("a", "1:1")
    directory.ended("old", "a", "00000002")
    assert directory.accept("old", "b", "00000001") == Answer.NO


def test_the_replica_of_an_ended_session_knows_the_reason(directory, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENDED", 1)
    for name in ("s", "t"):
        directory.claim(name, "b", name)
        directory.ended(name, "b", name)
    assert directory.find("t") == Place("b", "2:2")
    assert directory.find("s").replica == ""
    assert directory.claim("t", "a", "00000001") == Answer.YES


def test_sessions_of_a_replica_that_left(directory):
    directory.claim("s", "a", "00000001")
    directory.leave("a", ["old"])
    assert directory.find("s") == Place()
    assert not directory.find("old").known
    assert directory.claim("old", "b", "00000002") == Answer.NO  # it may join again
    directory.pause(LOST)
    assert directory.find("old") == Place("a", "")
    assert directory.claim("old", "b", "00000002") == Answer.YES
    assert directory.join(Member("a", "1:1"), {"old": Holding("00000000")}) == ["old"]


def test_a_replica_takes_over_a_state_folder(directory):
    directory.join(
        Member("c", "3:3", "folder"), {"s": Holding("00000001"), "t": Holding("00000002"), "u": Holding("00000003")}
    )
    directory.offer("s", "c", "00000001", "b", "00000004")
    directory.accept("s", "b", "00000004")
    directory.leave("c", ["t", "u"])
    directory.pause(LOST)
    assert directory.claim("t", "b", "00000005") == Answer.NO
    found = {name: Holding("00000006", found=True) for name in ("s", "t")}
    assert directory.join(Member("d", "4:4", "folder"), found) == ["s"]
    assert directory.find("t") == Place("d", "4:4")
    assert directory.find("u") == Place()


def test_a_replica_is_removed_if_it_is_silent(directory):
    directory.suspect("a")
    assert directory.find("old").address == "1:1"
    assert directory.others("b") == [("a", "1:1")]
    directory.now += DEAD + 0.1
    assert directory.others("b") == []
    directory.suspect("a")
    directory.now += LOST
    assert directory.find("old") == Place("a", "")
    assert not directory.beat("a")


def test_a_move_of_a_silent_replica_ends(directory):
    directory.offer("old", "a", "00000000", "b", "00000001")
    directory.now += LOST + 0.1
    assert not directory.find("old").known
    directory.now += LOST
    assert directory.find("old") == Place("a", "")


def test_replicas_that_leave_take_no_sessions(directory):
    assert directory.others("a") == [("b", "2:2")]
    assert directory.beat("b", True)
    assert directory.others("a") == []


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_new_directory_learns_moves(first):
    directory = Clocked()
    reports = {
        "a": {"s": Holding("00000000", "b", "00000001"), "t": Holding("00000002", "b", "00000003")},
        "b": {"s": Holding("00000001")},
    }
    assert not directory.find("s").known
    assert directory.claim("s", "b", "00000004") == Answer.LATER
    assert directory.join(Member(first, "1:1"), reports.pop(first)) == []
    if first == "a":
        assert directory.withdraw("s", "a", "00000005") == Answer.LATER  # b may have accepted it
    for other, report in reports.items():
        assert directory.join(Member(other, "2:2"), report) == []
    assert directory.find("s").replica == "b"
    assert directory.withdraw("s", "a", "00000005") == Answer.NO
    assert directory.withdraw("t", "a", "00000006") == Answer.YES
    assert directory.accept("t", "b", "00000003") == Answer.NO


def test_a_new_directory_gives_a_session_to_its_target_if_the_sender_ended():
    directory = Clocked()
    directory.join(Member("b", "2:2"), {}, {"s": "00000001"})
    assert directory.accept("s", "b", "00000001") == Answer.LATER
    directory.pause(RECOVERY)
    assert directory.accept("s", "b", "00000001") == Answer.YES


@pytest.mark.parametrize("folder", ["", "folder"])
def test_a_session_that_a_replica_accepted_stays_when_it_joins_again(directory, folder):
    member = Member("b", "2:2", folder)
    directory.join(member, {})
    directory.offer("old", "a", "00000000", "b", "00000001")
    directory.accept("old", "b", "00000001")
    assert directory.join(member, {}, {"old": "00000001"}) == []
    assert directory.find("old") == Place("b", "2:2")
    assert directory.join(member, {}) == []
    assert directory.find("old") == Place()


def test_a_session_that_arrives_is_known_to_a_new_directory():
    directory = Clocked()
    directory.join(Member("a", "1:1"), {})
    directory.join(Member("b", "2:2"), {}, {"s": "00000001"})
    directory.pause(RECOVERY)
    assert not directory.find("s").known
    assert directory.claim("s", "a", "00000002") == Answer.NO
    assert directory.withdraw("s", "a", "00000002") == Answer.NO
    assert directory.accept("s", "b", "00000000") == Answer.NO
    assert directory.accept("s", "b", "00000001") == Answer.YES
    assert directory.find("s") == Place("b", "2:2")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    "report", [Holding("00000000", "b", "00000001"), Holding("00000000"), Holding("00000002", found=True)]
)
def test_a_report_of_the_sender_decides_about_a_session_that_arrives(first, report):
    directory, members = Clocked(), [("a", {"s": report}, {}), ("b", {}, {"s": "00000001"})]
    for name, sessions, arriving in (members[first], members[1 - first]):
        assert directory.join(Member(name, "1:1"), sessions, arriving) == []
    directory.pause(RECOVERY)
    assert directory.find("s") == (Place(known=False) if report.target else Place("a", "1:1"))
    assert directory.accept("s", "b", "00000001") == (Answer.YES if report.target else Answer.NO)


def test_a_withdrawn_move_is_not_offered_again_by_a_replica_that_does_not_know_it(directory):
    directory.offer("old", "a", "00000000", "b", "00000001")
    assert directory.withdraw("old", "a", "00000002") == Answer.YES  # the answer is lost
    directory.join(Member("a", "1:1"), {"old": Holding("00000000", "b", "00000001")})
    assert directory.accept("old", "b", "00000001") == Answer.NO
    assert directory.withdraw("old", "a", "00000003") == Answer.YES
    assert directory.find("old") == Place("a", "1:1")


def test_a_session_does_not_arrive_after_its_end(directory):
    directory.ended("old", "a", "00000000")
    directory.join(Member("b", "2:2"), {}, {"old": "00000001"})
    assert directory.find("old") == Place("a", "1:1")
    assert directory.accept("old", "b", "00000001") == Answer.NO


def test_an_old_copy_in_a_state_folder_loses():
    directory = Clocked()
    assert directory.join(Member("a", "1:1", "folder"), {"s": Holding("00000000", found=True)}) == []
    assert not directory.find("s").known
    assert directory.offer("s", "a", "00000000", "b", "00000002") == Answer.LATER
    assert directory.join(Member("b", "2:2"), {"s": Holding("00000001")}) == []
    assert directory.find("s") == Place("b", "2:2")
    assert not directory.beat("a")
    assert directory.join(Member("a", "1:1", "folder"), {"s": Holding("00000000", found=True)}) == ["s"]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("sender", "receiver", "newest"),
    [
        (Holding("00000001", found=True), Holding("00000002", found=True), 1),
        (Holding("00000001", "b", "00000002"), Holding("00000002", found=True), 1),
        (Holding("00000001", "b", "00000002"), Holding("00000004", found=True), 1),
        (Holding("00000003", found=True), Holding("00000002", found=True), 0),
        (Holding("00000003"), Holding("00000002", found=True), 0),
    ],
)
def test_the_newest_copy_wins(first, sender, receiver, newest):
    """Replica, receiver and directory crashed."""
    directory, members = Clocked(), [("a", sender), ("b", receiver)]
    for name, report in (members[first], members[1 - first], *members):  # those that were removed join again
        if not directory.beat(name):
            directory.join(Member(name, "1:1", f"folder of {name}"), {"s": report})
    directory.pause(RECOVERY)
    assert directory.find("s").replica == "ab"[newest]
    answer = Answer.NO if newest else Answer.YES
    assert directory.withdraw("s", "a", "00000005") == answer


def test_a_move_ends_if_no_replacement_of_its_receiver_joins_a_new_directory():
    directory = Clocked()
    directory.join(Member("a", "1:1", "folder of a"), {"s": Holding("00000001", "b", "00000002")})
    directory.pause(LOST - 0.1)
    assert directory.withdraw("s", "a", "00000003") == Answer.LATER
    directory.pause(0.2)
    assert directory.withdraw("s", "a", "00000003") == Answer.YES
    assert directory.join(Member("c", "3:3", "folder of b"), {"s": Holding("00000002", found=True)}) == ["s"]


def test_a_directory_that_is_not_used(directory):
    assert directory.directory.unused() == 0
    directory.now += 5
    assert directory.directory.unused() == 5
