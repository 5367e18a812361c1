"""Sessions on disk: one SQLite database in a folder, with the complete state of every session after its last step.

The server writes all sessions that advanced in one transaction before it sends their answers. After `kill -9`, every
session therefore continues from the last step that was answered. A repeated step gets the same answer, because the
output of a model follows from the state.

Settings were chosen by measurement with 100,000 sessions of 1 and 2.2 KiB. Pages of 4 KiB in a table with integer keys
need a third of the space of a table without them. Checkpoints of 1,000 pages pause a writer for at most a few
milliseconds. The cache of 4 MiB and no memory map keep the memory of the process constant.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from recurra._util.atomic import locked, reason
from recurra.errors import RecurraError, UsageError

FILE = "sessions.sqlite"
OWNER = "server.pid"

Durability = Literal["process", "power"]

APPLICATION_ID = 0x52635365
"""Number in the header of the database that marks it as a store of Recurra."""
VERSION = 1
"""Version of the tables."""
KEPT_REASONS, KEPT_SECONDS = 100_000, 86_400
"""Largest number of the records of ended sessions, and their largest age in seconds."""
BUSY_SECONDS = 10
"""Time to wait for another process that writes."""
CHUNK = 100
"""Sessions that `expire` removes in one transaction. Other writers wait for at most one transaction."""

_SYNCHRONOUS = {"process": "OFF", "power": "FULL"}

_SCHEMA = """
CREATE TABLE models (number INTEGER PRIMARY KEY, name TEXT NOT NULL, fingerprint TEXT NOT NULL,
  UNIQUE (name, fingerprint));
CREATE TABLE sessions (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, model INTEGER NOT NULL,
  seq INTEGER NOT NULL, steps INTEGER NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
  rest TEXT NOT NULL, state BLOB NOT NULL, grant TEXT NOT NULL DEFAULT '');
CREATE INDEX sessions_by_use ON sessions (used);
CREATE INDEX sessions_by_creation ON sessions (created);
CREATE TABLE ended (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, reason TEXT NOT NULL, time REAL NOT NULL)
"""
_WRITE = """
INSERT INTO sessions (id, model, seq, steps, state, rest, created, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET model = excluded.model, seq = excluded.seq, steps = excluded.steps,
  state = excluded.state, rest = excluded.rest, used = excluded.used
"""


class StoreError(RecurraError):
    """A store that cannot be read or written: the disk is full, or the database is damaged."""


class Saved(NamedTuple):
    """A session as it is stored.

    Attributes:
        id: name of the session.
        model: name of the model.
        seq: number of the next step request.
        steps: number of steps so far.
        state: bytes of the tensors of the state, in the order of the stepper.
        rest: end of the text that later characters may still change.
        created: time of creation, in seconds since 1970. It does not change when the session is written again.
        used: time of the last request.
    """

    id: str
    model: str
    seq: int
    steps: int
    state: bytes
    rest: str
    created: float
    used: float


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Reserves a folder for one server and checks its database. The parent process of the server holds it.

    Args:
        folder: folder for the database; it is created if it does not exist.

    Raises:
        UsageError: another server uses the folder, or it cannot be used.
        StoreError: the database is damaged.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--state-dir {folder} cannot be used: {reason(error)}") from None
    with locked(folder, f"{folder} is used by another server{_owner(folder)}; use another --state-dir"):
        with _clear_errors(folder / FILE):
            (folder / OWNER).write_text(f"{os.getpid()}\n", encoding="ascii")
            if (folder / FILE).exists():
                _check(folder / FILE)
        try:
            yield
        finally:
            with suppress(OSError):
                (folder / OWNER).unlink()


class Store:
    """The sessions in a folder. Several processes, and the threads of each, may use it at the same time.

    Args:
        folder: folder of the database, on a local disk. `claimed` creates it.
        fingerprints: fingerprint of each model by name, see
            `recurra.tasks.serving.fingerprint`. Sessions of the same name and another
            fingerprint are not used.
        durability: what a finished `write` survives. `"process"`: the end of the process, also by `kill -9`. After a
            loss of power or a crash of the system, the last writes may be lost or the database may be damaged.
            `"power"`: also a loss of power; every `write` then waits for the disk.

    Raises:
        UsageError: the file is not a store, has another version, or cannot be opened.
        StoreError: the database is damaged or the disk is full.
    """

    def __init__(self, folder: Path, fingerprints: Mapping[str, str], durability: Durability = "process") -> None:
        self.path = folder / FILE
        self._lock = threading.Lock()
        with _clear_errors(self.path):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # answers and texts are private
            self._connection = _connect(self.path)
            try:
                self._prepare(durability)
                self._numbers = self._register(fingerprints)
            except BaseException:
                self._connection.close()
                raise
        self._names = {number: name for name, number in self._numbers.items()}
        self._stale = self._other_models()

    def write(self, sessions: Iterable[Saved]) -> None:
        """Writes sessions in one transaction: all of them or none. A session that exists is replaced.

        Raises:
            StoreError: the disk is full, or the database is damaged. The store is unchanged.
        """
        rows = [(session.id, self._numbers[session.model], *session[2:]) for session in sessions]
        with self._transaction() as run:
            run.executemany(_WRITE, rows)

    def read(self, session: str) -> Saved | None:
        """Returns a session, or None; `ended` then gives the reason."""
        columns = "id, model, seq, steps, state, rest, created, used"
        row = self._one(f"SELECT {columns} FROM sessions WHERE id = ?", session)  # noqa: S608 (constant)
        if row is None or row[1] not in self._names:
            return None
        return Saved(row[0], self._names[row[1]], *row[2:])

    def mark(self, session: str, grant: str) -> None:
        """Records the grant of a session, see `recurra.serve.cluster.directory`."""
        with self._transaction() as run:
            run.execute("UPDATE sessions SET grant = ? WHERE id = ?", (grant, session))

    def grants(self) -> dict[str, str]:
        """Returns the names of all sessions with their grants; an empty one if none was recorded."""
        with self._transaction() as run:
            rows = run.execute("SELECT id, grant, model FROM sessions").fetchall()
        return {id: grant for id, grant, model in rows if model in self._names}

    def ended(self, session: str) -> str | None:
        """Returns the reason why a session ended, as a clause; None if it is not known."""
        row = self._one("SELECT reason FROM ended WHERE id = ?", session)
        if row is not None:
            return row[0]
        row = self._one("SELECT model FROM sessions WHERE id = ?", session)
        return _changed(self._stale[row[0]]) if row is not None and row[0] in self._stale else None

    def delete(self, sessions: Iterable[str], because: str = "deleted") -> None:
        """Removes sessions in one transaction and records the reason. Unknown names are ignored."""
        with self._transaction() as run:
            for session in sessions:
                row = run.execute("SELECT number, id FROM sessions WHERE id = ?", (session,)).fetchone()
                if row is not None:
                    _remove(run, [row], because, time.time())

    def expire(self, now: float, idle: float, age: float, most: int = 2**63 - 1) -> dict[str, int]:
        """Removes sessions that are too old, and those of models that changed.

        Args:
            now: the time in seconds since 1970.
            idle: largest time since the last request in seconds.
            age: largest time since the creation in seconds.
            most: largest number of sessions to remove for each reason, so that a call takes little time.

        Returns:
            Number of removed sessions by reason: `idle`, `age` and `model`.
        """
        found = {
            "idle": self._remove_all(
                now, most, "used < ?", now - idle, f"no step arrived for {idle:g} seconds (--idle)"
            ),
            "age": self._remove_all(now, most, "created < ?", now - age, f"it was {age:g} seconds old (--max-age)"),
            "model": 0,
        }
        for number, name in self._stale.items():
            found["model"] += self._remove_all(now, most, "model = ?", number, _changed(name))
        self._forget(now)
        return found

    def count(self) -> int:
        """Returns the number of stored sessions."""
        row = self._one("SELECT count(*) FROM sessions")
        return 0 if row is None else row[0]

    def close(self) -> None:
        """Closes the database. The last process that closes it writes everything to one file."""
        with self._lock, _clear_errors(self.path):
            self._connection.close()

    def _prepare(self, durability: Durability) -> None:
        """Checks the version, and creates the tables in a new file."""
        run = self._connection
        if _is_new(run, self.path):
            run.execute("PRAGMA page_size = 4096")
        if run.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise UsageError(f"{self.path}: the file system cannot share memory; use a local disk for --state-dir")
        run.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
        run.execute("PRAGMA wal_autocheckpoint = 1000")
        run.execute(f"PRAGMA journal_size_limit = {16 << 20}")
        with self._transaction():
            if _is_new(run, self.path):  # no other process has created the tables meanwhile
                for statement in _SCHEMA.split(";"):
                    run.execute(statement)
                run.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                run.execute(f"PRAGMA user_version = {VERSION}")

    def _register(self, fingerprints: Mapping[str, str]) -> dict[str, int]:
        """Returns the number of each model in the database."""
        with self._transaction() as run:
            run.executemany("INSERT OR IGNORE INTO models (name, fingerprint) VALUES (?, ?)", fingerprints.items())
            rows = run.execute("SELECT name, fingerprint, number FROM models").fetchall()
        return {name: number for name, found, number in rows if fingerprints.get(name) == found}

    def _other_models(self) -> dict[int, str]:
        """Returns the names of earlier models that the server now has with other weights, by number."""
        with self._transaction() as run:
            rows = run.execute("SELECT number, name FROM models").fetchall()
        return {number: name for number, name in rows if name in self._numbers and number not in self._names}

    def _remove_all(self, now: float, most: int, condition: str, value: float, because: str) -> int:
        """Removes the sessions that satisfy a condition in small transactions; returns their number."""
        query, removed = f"SELECT number, id FROM sessions WHERE {condition} LIMIT ?", 0  # noqa: S608 (constant)
        while removed < most and self._one(query, value, 1) is not None:  # a reader does not wait for writers
            with self._transaction() as run:
                rows = run.execute(query, (value, min(CHUNK, most - removed))).fetchall()
                _remove(run, rows, because, now)
            removed += len(rows)
        return removed

    def _forget(self, now: float) -> None:
        """Removes the oldest reasons. Their numbers rise with the time, so that young ones are not read."""
        first = self._one("SELECT number, time FROM ended ORDER BY number LIMIT 1")
        if first is None:
            return
        last = (self._one("SELECT max(number) FROM ended") or first)[0]
        if first[0] > last - KEPT_REASONS and first[1] >= now - KEPT_SECONDS:
            return
        young = self._one("SELECT number FROM ended WHERE time >= ? ORDER BY number LIMIT 1", now - KEPT_SECONDS)
        begin = max(last - KEPT_REASONS, last if young is None else young[0] - 1)
        with self._transaction() as run:
            run.execute("DELETE FROM ended WHERE number <= ?", (begin,))

    def _one(self, query: str, *values: float | str) -> tuple | None:
        with self._lock, _clear_errors(self.path):
            return self._connection.execute(query, values).fetchone()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        run = self._connection
        with self._lock, _clear_errors(self.path):
            run.execute("BEGIN IMMEDIATE")
            try:
                yield run
                run.execute("COMMIT")
            except BaseException:
                if run.in_transaction:
                    run.execute("ROLLBACK")
                raise


def _connect(path: Path) -> sqlite3.Connection:
    run = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    run.execute("PRAGMA cache_size = -4096")
    run.execute("PRAGMA mmap_size = 0")
    return run


def _check(path: Path) -> None:
    """Reads the structure of the whole database, in about 0.1 s for 100,000 sessions."""
    with closing(_connect(path)) as run:
        if not _is_new(run, path):
            found = run.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise StoreError(_damaged(path, " ".join(found.split())))


def _is_new(run: sqlite3.Connection, path: Path) -> bool:
    """Returns whether a database is empty.

    Raises:
        UsageError: it is not a store of this version.
    """
    (application,), (version,) = (
        run.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
    )
    if application == APPLICATION_ID and version == VERSION:
        return False
    if application == APPLICATION_ID:
        raise UsageError(
            f"{path} has version {version} of the format, and this version of Recurra reads version {VERSION}; "
            "use another --state-dir"
        )
    if run.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise UsageError(f"{path} is a database of another program; use another --state-dir")
    return True


def _remove(run: sqlite3.Connection, rows: list[tuple[int, str]], because: str, now: float) -> None:
    run.executemany("DELETE FROM sessions WHERE number = ?", [(number,) for number, _ in rows])
    ended = [(session, because, now) for _, session in rows]
    run.executemany("INSERT OR REPLACE INTO ended (id, reason, time) VALUES (?, ?, ?)", ended)


def _changed(model: str) -> str:
    return f"the model {model} was replaced by another one"


def _owner(folder: Path) -> str:
    with suppress(OSError, ValueError):
        return f" (process {int((folder / OWNER).read_text(encoding='ascii'))})"
    return ""


def _damaged(path: Path, why: str) -> str:
    return f"{path} is damaged ({why:.200}); to start without the saved sessions, move it away"


_MESSAGES: dict[str, Callable[[Path, str], RecurraError]] = {
    "file is not a database": lambda path, _: UsageError(f"{path} is not a database; use another --state-dir"),
    "unable to open database file": lambda path, why: UsageError(f"{path}: {why}; use another --state-dir"),
    "attempt to write a readonly database": lambda path, why: UsageError(f"{path}: {why}; use another --state-dir"),
    "database or disk is full": lambda path, _: StoreError(f"{path} cannot be written: the disk is full"),
    "database is locked": lambda path, _: StoreError(f"{path} is locked by another process for {BUSY_SECONDS} s"),
    "database disk image is malformed": lambda path, why: StoreError(_damaged(path, why)),
}


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path} cannot be used: {reason(error)}") from None
    except sqlite3.Error as error:
        make = _MESSAGES.get(str(error))
        raise make(path, str(error)) if make else StoreError(f"{path} cannot be used: {error}") from None
