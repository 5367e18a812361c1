"""The order of steps: each session has a queue, and one step of it is computed at a time."""

from __future__ import annotations

from typing import Any

from recurra.serve.batching import Batcher
from recurra.serve.metrics import Metrics
from recurra.serve.problems import Problem, busy

from .step_runner import Done, Session, Step, StepRunner, Waiting
from .table import SessionTable

MAX_PIPELINED = 256
"""Steps of one session that may wait."""


class StepQueue:
    """Accepts steps of sessions in memory. All methods are called on the event loop.

    Args:
        table: the sessions in memory.
        runner: computes steps.
        batcher: batches of steps.
        metrics: counts steps.
    """

    def __init__(self, table: SessionTable, runner: StepRunner, batcher: Batcher, metrics: Metrics) -> None:
        self._table, self._runner, self._batcher, self._metrics = table, runner, batcher, metrics

    def accept(self, session: Session, seq: int | None, item: Any, done: Done, *, json: bool = True) -> int:
        """Accepts a step. The result or an error is given to `done`, later, on the event loop.

        Args:
            session: a session in memory, see `Sessions.held` and `Sessions.is_live`.
            seq: number of the step, counted from 0; the number of the last step repeats its answer; None for the next.
            item: result of `Stepper.parse`.
            done: called with the result.
            json: whether the result has JSON values.

        Returns:
            Number of the step.

        Raises:
            Problem: `seq` leaves a gap or was answered before the last step, the session ended, or too many steps wait.
        """
        if not self._table.has(session):
            raise self._table.gone(session.id)
        session.check_moving()
        if session.replacing:
            raise Problem(409, "the state of this session is being replaced: wait for the answer")
        expected = session.accepted
        seq = expected if seq is None else seq
        if seq == expected - 1:
            self._repeat(session, seq, done, json)
            return seq
        if seq != expected:
            raise Problem(409, f"seq {seq} does not follow: the next step has seq {expected}", ("seq",), seq=expected)
        self._append(Step(session, seq, item, json), done)
        self._table.touch(session)
        session.accepted += 1
        return seq

    def _repeat(self, session: Session, seq: int, done: Done, json: bool) -> None:
        """Answers the last accepted step again."""
        if session.queue and session.queue[-1].step.json >= json:
            callbacks = session.queue[-1].callbacks
            if len(callbacks) >= MAX_PIPELINED:
                raise busy(f"{len(callbacks)} requests wait for the answer to this step", 429)
            callbacks.append(done)
            return
        item = self._runner.stepper(session.model).parse([])  # without a step: the output so far
        self._append(Step(session, None, item, json), done)

    def _append(self, step: Step, done: Done) -> None:
        """Puts a step into the queue of its session, and computes it if it is the first one."""
        session = step.session
        if len(session.queue) >= MAX_PIPELINED:
            raise busy(f"{len(session.queue)} steps of this session wait", 429)
        self._batcher.check(1)
        session.queue.append(Waiting(step, [done]))
        if len(session.queue) == 1:
            self._compute(session)

    def _compute(self, session: Session) -> None:
        session.busy += 1

        def finish(result: Any) -> None:
            session.busy -= 1
            self._table.release(session)
            self._finish(session, result)

        model = session.model
        step = session.queue[0].step
        cost = self._runner.stepper(model).steps(step.item)
        self._batcher.add(("steps", model), model, self._runner.advance, step, finish, cost=cost)

    def _finish(self, session: Session, result: Any) -> None:
        """Hands a result to its callbacks, and computes the next step of the session."""
        waiting = session.queue.popleft()
        failed = isinstance(result, BaseException) or session.gone
        rest = list(session.queue) if failed else []
        if failed:
            session.accepted = session.seq
            session.queue.clear()
        elif session.queue:
            self._compute(session)
        if not failed and waiting.step.seq is not None:
            self._metrics.steps(session.model, 1)
        for callback in waiting.callbacks:
            callback(result)
        if not rest:
            return
        text = f"an earlier step failed: the next step has seq {session.seq}"
        problem = self._table.gone(session.id) if session.gone else Problem(409, text, ("seq",), seq=session.seq)
        for late in rest:
            for callback in late.callbacks:
                callback(problem)
