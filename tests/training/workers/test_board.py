"""The board of a run with several workers."""

from __future__ import annotations

from recurra.training.workers.board import Board


def test_metrics_of_steps_that_workers_repeat_are_left_out():
    board = Board()
    board.starting(0, 2)
    board.log({"loss": 3.0}, 1)
    board.log({"loss": 2.0}, 2)
    board.log({"rate": 0.1}, 2)
    assert board.read()[2] == [({"loss": 3.0}, 1), ({"loss": 2.0}, 2), ({"rate": 0.1}, 2)]
    board.starting(1, 1)  # from a checkpoint at step 1
    board.log({"loss": 2.0}, 2)
    board.log({"loss": 1.0}, 3)
    assert board.read()[2] == [({"loss": 1.0}, 3)]
    assert board.read()[2] == []
