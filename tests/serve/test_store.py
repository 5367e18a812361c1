"""The store: nothing answered is lost, also after `kill -9`, and a file that is not ours is never changed."""

from __future__ import annotations

import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from recurra.errors import UsageError
from recurra.serve import store as stores
from recurra.serve.store import FILE, Saved, Store, StoreError, claimed

MODELS = {"m": "f" * 32}


def session(name: str = "a", **changes) -> Saved:
    given = Saved(name, "m", 0, 1, b"\0state\xff", "끝", created=100.0, used=200.0)
    return given._replace(**changes)


@pytest.fixture
def store(tmp_path):
    with closing(Store(tmp_path, MODELS)) as found:
        yield found


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", f"from recurra.serve.store import *\nfrom pathlib import Path\n{program}", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_session_is_read_as_it_was_written(store):
    store.write([session(), session("b", rest="")])
    assert store.read("a") == session()
    assert store.read("b") == session("b", rest="")
    assert store.read("c") is None
    assert store.ended("c") is None
    assert store.count() == 2


def test_a_later_write_replaces_a_session_and_keeps_its_creation(store):
    store.write([session()])
    later = session(seq=7, steps=9, state=b"new", rest="x", created=999.0, used=300.0)
    store.write([later])
    assert store.read("a") == later._replace(created=100.0)
    assert store.count() == 1


def test_a_grant_stays_with_its_session(store):
    store.write([session(), session("b")])
    store.mark("a", "00000002")
    store.mark("c", "00000003")
    store.write([session(seq=1)])
    assert store.grants() == {"a": "00000002", "b": ""}
    store.delete(["a"])
    store.write([session()])
    assert store.grants() == {"a": "", "b": ""}


def test_sessions_are_there_after_the_store_is_opened_again(tmp_path):
    for seq in range(3):
        with closing(Store(tmp_path, MODELS)) as found:
            assert seq == 0 or found.read("a") == session(seq=seq - 1)
            found.write([session(seq=seq)])
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_files_are_readable_by_their_owner_only(tmp_path, store):
    store.write([session()])
    assert len(list(tmp_path.iterdir())) == 3  # the database, its log and the index of the log
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def test_all_sessions_of_a_write_are_stored_or_none(store):
    with pytest.raises(StoreError, match="NOT NULL constraint failed"):
        store.write([session(), session("b", rest=None)])
    assert store.count() == 0
    store.write([session()])
    assert store.count() == 1


def test_a_deleted_session_has_a_reason(store):
    store.write([session(), session("b")])
    store.delete(["a", "unknown"])
    assert (store.read("a"), store.ended("a"), store.ended("unknown")) == (None, "deleted", None)
    store.delete(["b"], "its connection was closed")
    assert store.ended("b") == "its connection was closed"
    assert store.count() == 0


def test_sessions_expire_by_idle_time_and_age(store):
    store.write([session("idle", used=300.0, created=300.0), session("old", used=1000.0, created=50.0)])
    store.write([session("both", used=60.0, created=50.0), session("young", used=400.0, created=400.0)])
    assert store.expire(now=1000.0, idle=600.0, age=900.0) == {"idle": 2, "age": 1, "model": 0}
    assert store.ended("idle") == store.ended("both") == "no step arrived for 600 seconds (--idle)"
    assert store.ended("old") == "it was 900 seconds old (--max-age)"
    assert store.read("young") is not None
    assert store.count() == 1


def test_many_sessions_expire_in_small_transactions(store):
    store.write(session(f"s{i}", used=float(i)) for i in range(2 * stores.CHUNK + 10))
    assert store.expire(now=2 * stores.CHUNK + 5.0, idle=0.0, age=1e9) == {"idle": 205, "age": 0, "model": 0}
    assert store.count() == 5
    assert store.expire(now=1e6, idle=0.0, age=0.0, most=2) == {"idle": 2, "age": 2, "model": 0}
    assert store.count() == 1


def test_records_of_ended_sessions_are_bounded_in_number_and_age(store, monkeypatch):
    monkeypatch.setattr(stores, "KEPT_REASONS", 3)
    now = time.time()
    store.write(session(f"s{i}", used=now, created=now) for i in range(5))
    store.delete([f"s{i}" for i in range(5)])
    store.expire(now, idle=600, age=600)
    assert [store.ended(f"s{i}") for i in range(5)] == [None, None, "deleted", "deleted", "deleted"]
    store.write([session("late", used=now + 90, created=now)])
    store.expire(now + 700, idle=600, age=1e9)
    store.expire(now + stores.KEPT_SECONDS + 60, idle=1e9, age=1e9)
    assert store.ended("s4") is None
    assert store.ended("late") is not None
    store.expire(now + stores.KEPT_SECONDS + 1000, idle=1e9, age=1e9)
    assert store.ended("late") is None


def test_sessions_of_a_replaced_model_are_not_used(tmp_path, store):
    store.write([session(used=1e12, created=1e12)])
    with closing(Store(tmp_path, {"m": "e" * 32})) as other:
        assert other.read("a") is None
        assert other.ended("a") == "the model m was replaced by another one"
        with closing(Store(tmp_path, {"x": "0"})) as third:  # a server that does not have this model
            assert (third.read("a"), third.ended("a")) == (None, None)
            assert third.expire(1e12, 600, 600) == {"idle": 0, "age": 0, "model": 0}
        assert store.read("a") is not None  # the earlier model still has it
        assert other.expire(1e12, 600, 600) == {"idle": 0, "age": 0, "model": 1}
        assert (other.count(), other.ended("a")) == (0, "the model m was replaced by another one")


def test_threads_share_a_store(store):
    def work(number: int) -> None:
        for seq in range(50):
            store.write([session(f"t{number}", seq=seq)])
            assert store.read(f"t{number}").seq == seq

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert store.count() == 4


def test_processes_share_a_folder(tmp_path):
    program = """
import sys
store = Store(Path("."), {"m": "f"})
for seq in range(200):
    store.write([Saved(sys.argv[1] + str(i), "m", seq, seq, bytes(100), "", 1.0, 2.0) for i in range(4)])
"""
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda name: run(tmp_path, program, name), "abc"))
    assert [(d.returncode, d.stderr) for d in done] == [(0, "")] * 3
    with closing(Store(tmp_path, {"m": "f"})) as store:
        assert store.count() == 12
        assert all(store.read(f"{name}{i}").seq == 199 for name in "abc" for i in range(4))


def test_a_reader_does_not_wait_for_a_writer(tmp_path, store):
    store.write([session()])
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert store.read("a") == session()
        assert store.count() == 1


def test_a_lock_that_is_held_for_too_long_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "BUSY_SECONDS", 0.05)
    with closing(Store(tmp_path, MODELS)) as store, closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"sessions\.sqlite is locked by another process"):
            store.write([session()])
        other.rollback()
        store.write([session()])


def test_a_full_disk_is_an_error_and_loses_nothing(store):
    store.write([session()])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"sessions\.sqlite cannot be written: the disk is full"):
        store.write([session(seq=1), session("b", state=bytes(100_000))])
    assert store.read("a") == session()
    assert store.count() == 1


@pytest.mark.parametrize("content", [b"no database, but long enough for a header" * 100, b"short"])
def test_a_file_that_is_no_database_is_not_changed(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    for opened in (lambda: Store(tmp_path, MODELS), lambda: claimed(tmp_path).__enter__()):
        with pytest.raises(UsageError, match=r"sessions\.sqlite is not a database; use another --state-dir"):
            opened()
    assert (tmp_path / FILE).read_bytes() == content


def test_a_database_of_another_program_is_not_changed(tmp_path):
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("CREATE TABLE t (x)")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UsageError, match="is a database of another program"):
        Store(tmp_path, MODELS)
    with pytest.raises(UsageError, match="is a database of another program"):
        claimed(tmp_path).__enter__()
    assert (tmp_path / FILE).read_bytes() == before


def test_another_version_is_not_changed(tmp_path, store):
    store._connection.execute("PRAGMA user_version = 2")
    store.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UsageError, match="has version 2 of the format, and this version of Recurra reads version 1"):
        Store(tmp_path, MODELS)
    assert (tmp_path / FILE).read_bytes() == before


def damage(folder: Path) -> bytes:
    """Overwrites everything after the first page."""
    with closing(Store(folder, MODELS)) as found:
        found.write(session(f"s{i}", state=bytes(1000)) for i in range(100))
    content = (folder / FILE).read_bytes()
    content = content[:4096] + b"\xff" * (len(content) - 4096)
    (folder / FILE).write_bytes(content)
    return content


def test_a_damaged_database_is_detected_before_the_server_starts(tmp_path):
    content = damage(tmp_path)
    with pytest.raises(StoreError, match=r"sessions\.sqlite is damaged .*; to start without .*, move it away"):
        claimed(tmp_path).__enter__()
    with pytest.raises(StoreError, match=r"sessions\.sqlite is damaged"):
        Store(tmp_path, MODELS)
    assert (tmp_path / FILE).read_bytes() == content


def test_the_folder_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file cannot be used: File exists"):
        claimed(tmp_path / "file").__enter__()
    with pytest.raises(UsageError, match=r"sessions\.sqlite cannot be used: Not a directory"):
        Store(tmp_path / "file", MODELS)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that refuses every user")
def test_a_folder_without_permission():
    with pytest.raises(UsageError, match=r"--state-dir /proc/none cannot be used: "):
        claimed(Path("/proc/none")).__enter__()


def test_an_empty_file_is_a_new_store(tmp_path):
    (tmp_path / FILE).touch()
    with claimed(tmp_path), closing(Store(tmp_path, MODELS)) as store:
        store.write([session()])
        assert store.count() == 1


def test_a_folder_has_one_server(tmp_path):
    folder = tmp_path / "new" / "state"
    with claimed(folder):
        done = run(tmp_path, "with claimed(Path('new/state')): pass")
        assert f"new/state is used by another server (process {os.getpid()}); use another --state-dir" in done.stderr
        assert run(tmp_path, "Store(Path('new/state'), {}).close()").stderr == ""  # a worker
    assert run(tmp_path, "with claimed(Path('new/state')): pass").stderr == ""
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_folder_of_a_killed_server_can_be_used(tmp_path):
    done = run(tmp_path, "import os\nwith claimed(Path('.')): os.kill(os.getpid(), 9)")
    assert done.returncode == -signal.SIGKILL
    with claimed(tmp_path):
        pass


WRITER = """
import sys
store = Store(Path("."), {"m": "f"}, sys.argv[1])
first = int(sys.argv[2])
for seq in range(first, first + 1_000_000):
    content = f"{seq}".encode() * 500
    store.write([Saved(f"s{i}", "m", seq, seq, content, str(seq), 1.0, 2.0) for i in range(16)])
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
"""


def acknowledged_before_kill(folder: Path, durability: str, first: int, seconds: float) -> int:
    """Kills a writing process some seconds after its first write; returns the last write that it acknowledged."""
    program = f"from recurra.serve.store import *\nfrom pathlib import Path\n{WRITER}"
    command = [sys.executable, "-c", program, durability, str(first)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        output = bytearray()
        assert select.select([process.stdout], [], [], 60)[0]
        killer = threading.Timer(seconds, process.kill)
        killer.start()
        while part := os.read(process.stdout.fileno(), 65536):
            output += part
        killer.join()
    assert process.returncode == -signal.SIGKILL
    return int(output[: output.rindex(b"\n")].split()[-1])


def check_after_kill(folder: Path, durability: str, times: int) -> None:
    chance, first = random.Random(times), 0
    for _ in range(times):
        last = acknowledged_before_kill(folder, durability, first, chance.uniform(0, 0.1))
        with claimed(folder), closing(Store(folder, {"m": "f"})) as store:
            found = [store.read(f"s{i}") for i in range(16)]
        assert len({(s.seq, s.steps, s.state, s.rest) for s in found}) == 1  # no partial transaction
        assert found[0].seq in (last, last + 1)
        assert found[0].state == f"{found[0].seq}".encode() * 500
        first = found[0].seq + 1


def test_kill_loses_no_acknowledged_write(tmp_path):
    check_after_kill(tmp_path, "process", 3)


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["process", "power"])
def test_twenty_kills_lose_no_acknowledged_write(tmp_path, durability):
    check_after_kill(tmp_path, durability, 20)


LARGE = """
import os, random, sys, time
def memory():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
size, count = int(sys.argv[1]), int(sys.argv[2])
store = Store(Path("."), {"m": "f"})
names, before = [f"{random.getrandbits(128):032x}" for _ in range(count)], memory()
highest = before
def write(names, used):
    global highest
    store.write([Saved(n, "m", 0, 0, os.urandom(size), "", 1.0, used) for n in names])
    highest = max(highest, memory())
for i in range(0, count, 64):
    write(names[i : i + 64], 1.0)
for _ in range(count // 500):
    write(random.sample(names, 64), 2.0)
    assert store.read(random.choice(names)) is not None
disk = sum(path.stat().st_size for path in Path(".").iterdir())
removed = store.expire(3.0, 1.5, 10.0)["idle"]
assert removed + store.count() == count
print(disk, max(highest, memory()) - before)
"""


def disk_and_memory(folder: Path, size: int, count: int) -> tuple[float, float]:
    """Returns the size on disk of one session in bytes, and the growth of the memory in MB."""
    done = run(folder, LARGE, str(size), str(count))
    assert done.returncode == 0, done.stderr
    disk, memory = map(int, done.stdout.split())
    return disk / count, memory / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process from /proc")
def test_space_for_many_sessions(tmp_path):
    disk, memory = disk_and_memory(tmp_path, 1024, 5_000)
    assert disk < 4_000
    assert memory < 20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process from /proc")
@pytest.mark.parametrize(("size", "most"), [(1024, 2_000), (2253, 5_000)])
def test_space_for_100_000_sessions(tmp_path, size, most):
    disk, memory = disk_and_memory(tmp_path, size, 100_000)
    assert disk < most
    assert memory < 30
