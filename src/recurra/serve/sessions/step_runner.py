"""Steps of sessions on the engine thread: one call of the engine advances many sessions, and saves them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.errors import NonFiniteError
from recurra.serve.models import ServedModel
from recurra.serve.problems import Problem, busy
from recurra.serve.state_file import SessionState, StateInfo
from recurra.serve.store import Saved, Store
from recurra.tasks.serving.service import InputError

from .slab import Slab

Done = Callable[["StepResult | BaseException"], None]


class StepResult(NamedTuple):
    """Answer to a step: the output of the model `(outputs,)`, and for clients of JSON the same as JSON values."""

    seq: int
    steps: int
    output: np.ndarray
    answer: dict[str, Any] | None


class Step(NamedTuple):
    """A step request of a session; `seq` is None to repeat the last answer."""

    session: Session
    seq: int | None
    item: Any
    json: bool


class Waiting(NamedTuple):
    """An accepted step and the callbacks that get its result."""

    step: Step
    callbacks: list[Done]


class Session:
    """A sequence and its state.

    Attributes:
        seq: number of the next step that is not answered yet.
        accepted: number of the next step that is not accepted yet.
        steps: time steps so far.
        queue: accepted steps; the first one is being computed.
        busy: computations that use the slot; the slot is not freed before they end.
        holds: requests that use the session; it stays in memory.
        replacing: True while its state is being set.
        moving: True while it is sent to another process.
        gone: True if the session ended.
    """

    __slots__ = (
        "accepted",
        "busy",
        "created",
        "gone",
        "holds",
        "id",
        "model",
        "moving",
        "queue",
        "replacing",
        "rest",
        "seq",
        "slot",
        "steps",
        "used",
    )

    def __init__(self, id: str, model: str, slot: int, info: StateInfo, created: float, used: float) -> None:
        self.id, self.model, self.slot, self.created = id, model, slot, created
        self.seq = self.accepted = info.seq
        self.steps, self.rest, self.used = info.steps, info.rest, used
        self.queue: deque[Waiting] = deque()
        self.busy, self.holds, self.replacing, self.moving, self.gone = 0, 0, False, False, False

    def check_moving(self) -> None:
        """Refuses changes of a session that is sent to another process.

        Raises:
            Problem: the session is being moved.
        """
        if self.moving:
            raise busy("the session is being moved")

    @property
    def in_use(self) -> bool:
        """True if a computation or a request uses the session, so that it stays in memory."""
        return bool(self.busy or self.holds)

    def about(self) -> dict[str, Any]:
        """Returns the session as JSON values."""
        return {"session": self.id, "seq": self.seq, "steps": self.steps}


class StepRunner:
    """Runs steps, and reads and writes states. All methods but `stepper` are called on the engine thread.

    Args:
        models: the models by name.
        store: sessions on disk; None to keep them in memory only.

    Attributes:
        slabs: states by model.
    """

    def __init__(self, models: Mapping[str, ServedModel], store: Store | None) -> None:
        self._models, self._store = models, store
        self.slabs = {name: Slab(model.stepper.specs) for name, model in models.items() if model.stepper is not None}

    def advance(self, batch: Sequence[Step]) -> list[Any]:
        """Runs a step of each session. A session whose output is not finite keeps its state."""
        ended = [step.session.gone for step in batch]  # the event loop may end a session at any time
        if any(ended):
            there = iter(self.advance([step for step, gone in zip(batch, ended, strict=True) if not gone]))
            return [_ended(step.session) if gone else next(there) for step, gone in zip(batch, ended, strict=True)]
        if not batch:
            return []
        model = batch[0].session.model
        stepper, slab = self.stepper(model), self.slabs[model]
        sessions = [step.session for step in batch]
        slots = [session.slot for session in sessions]
        found = stepper.advance(slab.get(slots), [session.rest for session in sessions], [step.item for step in batch])
        good = np.isfinite(found.outputs).reshape(len(batch), -1).all(1)
        states, kept = found.states, [i for i in range(len(batch)) if good[i] and batch[i].seq is not None]
        if len(kept) < len(batch):
            index = torch.tensor(kept, dtype=torch.long)
            states = {name: tensor[index] for name, tensor in states.items()}
        counts = [stepper.steps(step.item) for step in batch]
        if kept:
            changes = [
                (sessions[i], int(batch[i].seq or 0) + 1, sessions[i].steps + counts[i], found.rests[i]) for i in kept
            ]
            self._save(changes, slab, states)
            slab.put([slots[i] for i in kept], states)
        for i in kept:
            session = sessions[i]
            session.seq, session.rest = int(batch[i].seq or 0) + 1, found.rests[i]
            session.steps += counts[i]
        return [
            self._result(step, found.outputs[i], {n: t[i] for n, t in found.states.items()} if step.json else None)
            if good[i]
            else _failed(found.errors.get(i))
            for i, step in enumerate(batch)
        ]

    def _result(self, step: Step, output: np.ndarray, state: dict[str, Tensor] | None) -> StepResult:
        answer = None if state is None else self.stepper(step.session.model).answer(output, state)
        return StepResult(step.session.seq - 1, step.session.steps, output, answer)

    def _save(self, changes: Sequence[tuple[Session, int, int, str]], slab: Slab, states: Mapping[str, Tensor]) -> None:
        """Writes sessions to disk: the next seq, time steps, rests and states."""
        if self._store is None:
            return
        now = time.time()
        self._store.write(
            Saved(s.id, s.model, seq, steps, data, rest, s.created, now)
            for (s, seq, steps, rest), data in zip(changes, slab.to_bytes(states), strict=True)
        )

    def write_state(self, session: Session, state: SessionState) -> None:
        """Sets the state of a session, and saves it."""
        slab, info = self.slabs[session.model], state.info
        self._save([(session, info.seq, info.steps, info.rest)], slab, state.tensors)
        slab.put([session.slot], state.tensors)
        session.seq, session.steps, session.rest = info.seq, info.steps, info.rest

    def read_state(self, session: Session) -> SessionState:
        """Returns the state of a session after its last answered step."""
        info = StateInfo(self._models[session.model].fingerprint, session.seq, session.steps, session.rest)
        return SessionState(self.slabs[session.model].get([session.slot]), info)

    def stepper(self, model: str) -> Any:
        """Returns the stepper of a model.

        Raises:
            Problem: the model has no sessions.
        """
        served = self._models[model]
        if served.stepper is None:
            raise Problem(409, f"the model {model!r} has no sessions: {served.no_sessions}")
        return served.stepper


def _failed(message: str | None) -> Exception:
    if message is None:
        return NonFiniteError("the output of the model is not finite")
    return InputError(message, ("inputs",))


def _ended(session: Session) -> Problem:
    return Problem(410, f"the session {session.id!r} ended before this step was computed")
