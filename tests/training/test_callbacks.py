"""What happens between the steps: the clock, checkpoints, Ctrl-C, the best weights."""

from __future__ import annotations

import math
import signal
import threading
import types
from pathlib import Path

import pytest
import torch

from recurra.training import callbacks
from recurra.training.callbacks import TINY_LOSS, Clock, Interrupt, KeepBest, RunInterruptedError, SaveRun


@pytest.fixture
def now(monkeypatch):
    """The time on the clock, which only the test moves."""
    time = [100.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: time[0])
    return time


class Trainer:
    """As much of Lightning's trainer as the callbacks use."""

    def __init__(self, *, last_batch: bool = False, global_step: int = 0) -> None:
        progress = types.SimpleNamespace(is_last_batch=last_batch)
        self.fit_loop = types.SimpleNamespace(epoch_loop=types.SimpleNamespace(batch_progress=progress))
        self.global_step, self.should_stop = global_step, False
        self.saved: list[Path] = []

    def save_checkpoint(self, path: Path) -> None:
        self.saved.append(path)


def ended(callback, trainer, step=0):
    callback.on_train_batch_end(trainer, None, None, None, step)


# the clock


def test_the_clock_stops_a_run_when_its_minutes_are_over(now):
    clock, trainer = Clock(2.0), Trainer()
    clock.on_train_start(trainer, None)
    for now[0], share in ((100.0, 0.0), (130.0, 0.25), (219.0, 119 / 120)):
        ended(clock, trainer)
        assert clock.share == pytest.approx(share)
        assert not trainer.should_stop
    now[0] = 220.0
    ended(clock, trainer)
    assert (clock.share, trainer.should_stop) == (1.0, True)
    now[0] = 1000.0
    assert clock.share == 1.0


def test_the_clock_starts_with_the_first_step_and_goes_on_when_resumed(now):
    new, resumed = Clock(1.0), Clock(1.0)
    now[0] = 130.0
    new.on_train_start(Trainer(), None)
    resumed.on_train_start(Trainer(global_step=1), None)
    assert (new.share, resumed.share) == (0.0, 0.5)
    late, trainer = Clock(1.0), Trainer(global_step=1)
    now[0] = 190.0
    late.on_train_start(trainer, None)
    assert trainer.should_stop


def test_time_for_the_longest_validation_is_left(now):
    clock, trainer = Clock(1.0), Trainer()
    for begin, end in ((100.0, 120.0), (120.0, 125.0)):
        now[0] = begin
        clock.on_validation_start(trainer, None)
        now[0] = end
        clock.on_validation_end(trainer, None)
    assert clock.share == 25 / 40
    assert clock.state_dict() == {"gone": 25.0, "validation": 20.0}
    again = Clock(1.0)
    again.load_state_dict(clock.state_dict())
    now[0] = 135.0
    assert again.share == 35 / 40
    now[0] = 140.0
    ended(again, trainer)
    assert trainer.should_stop


def test_a_validation_longer_than_the_whole_time_leaves_none(now):
    clock = Clock(1.0)
    clock.load_state_dict({"gone": 0.0, "validation": 61.0})
    assert clock.share == 0.0
    now[0] += 1e-6
    assert clock.share == 1.0


# checkpoints


def test_checkpoints_are_saved_when_their_minutes_are_over(now):
    save, trainer = SaveRun(Path("last.ckpt"), 0.5), Trainer()
    now[0] = 129.0
    ended(save, trainer)
    assert trainer.saved == []
    now[0] = 130.0
    ended(save, Trainer(last_batch=True))  # the end of the epoch saves, after its validation
    ended(save, trainer)
    assert trainer.saved == [Path("last.ckpt")]
    now[0] = 159.0
    ended(save, trainer)
    assert len(trainer.saved) == 1
    save.on_train_epoch_end(trainer, None)
    assert len(trainer.saved) == 2
    now[0] = 188.0
    ended(save, trainer)
    assert len(trainer.saved) == 2
    now[0] = 189.0
    ended(save, trainer)
    assert len(trainer.saved) == 3


# Ctrl-C


def test_the_first_ctrl_c_ends_the_step_and_the_second_is_immediate():
    save, trainer = SaveRun(Path("last.ckpt"), 1e9), Trainer()
    interrupt = Interrupt(save)
    with interrupt.watching():
        ended(interrupt, trainer)
        interrupt.on_train_epoch_end(trainer, None)
        assert not interrupt.happened
        signal.raise_signal(signal.SIGINT)
        assert interrupt.happened
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        ended(interrupt, Trainer(last_batch=True))  # the end of the epoch leaves, after its validation
        with pytest.raises(RunInterruptedError):
            ended(interrupt, trainer)
        assert trainer.saved == [Path("last.ckpt")]
        with pytest.raises(RunInterruptedError):
            interrupt.on_train_epoch_end(trainer, None)
        assert len(trainer.saved) == 1


def test_a_run_without_checkpoints_can_be_left_too():
    interrupt = Interrupt(None)
    with interrupt.watching():
        signal.raise_signal(signal.SIGINT)
        ended(interrupt, Trainer())
        raise AssertionError("the block is left before")
    assert interrupt.happened


@pytest.mark.parametrize(("raised", "found"), [(SystemExit, KeyboardInterrupt), (ValueError, ValueError)])
def test_what_lightning_makes_of_the_second_ctrl_c_is_one(raised, found):
    before = signal.getsignal(signal.SIGINT)

    def fails():
        with Interrupt(None).watching():
            assert signal.getsignal(signal.SIGINT) is not before
            raise raised

    with pytest.raises(found):
        fails()
    assert signal.getsignal(signal.SIGINT) is before


def test_only_the_main_thread_catches_ctrl_c():
    before, seen = signal.getsignal(signal.SIGINT), []

    def run():
        with Interrupt(None).watching():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]


# the best weights


def epochs(keep, rows):
    """Ends epochs with these figures, each with other weights; returns the trainer."""
    trainer, network = Trainer(), torch.nn.Linear(1, 1)
    module = types.SimpleNamespace(history=[], network=network)
    for number, row in enumerate(rows, 1):
        with torch.no_grad():
            network.weight.fill_(number)
        module.close_epoch = lambda row=row: module.history.append(row)
        keep.on_train_epoch_end(trainer, module)
    return trainer


def test_the_weights_of_the_best_epoch_are_copied():
    keep, nothing = KeepBest("valid_loss", False, None), [-math.inf] * 2
    state = {"best": nothing, "epoch": 0, "weights": {}, "reference": nothing, "gained": 0}
    state |= {"falls": 0, "fell": 0, "least": math.inf}
    assert keep.state_dict() == state
    trainer = epochs(keep, [{"valid_loss": x} for x in (3.0, 1.0, 2.0)])
    assert (keep.epoch, float(keep.weights["weight"]), trainer.should_stop) == (2, 2.0, False)
    assert not keep.weights["weight"].requires_grad
    assert keep.best == keep.reference == [-1.0, -1.0]


def test_of_equal_figures_the_lower_loss_is_better():
    keep = KeepBest("valid_accuracy", True, None)
    rows = [(0.5, 1.0), (0.5, 0.9), (0.5, 0.9), (0.5, 0.95), (0.4, 0.1)]
    epochs(keep, [{"valid_accuracy": a, "valid_loss": x} for a, x in rows])
    assert (keep.epoch, keep.best) == (2, [0.5, -0.9])


def test_without_validation_the_last_epoch_is_the_best():
    for greater in (True, False):
        keep = KeepBest("valid_loss", greater, 1)
        assert not epochs(keep, [{"loss": 1.0}] * 3).should_stop
        assert (keep.epoch, keep.best, float(keep.weights["weight"])) == (3, [3.0, 0.0], 3.0)


@pytest.mark.parametrize(
    ("greater", "perfect", "row", "stops"),
    [
        (True, 1.0, {"valid_f": 1.0, "valid_loss": TINY_LOSS}, True),
        (True, 1.0, {"valid_f": 1.0, "valid_loss": 1.01 * TINY_LOSS}, False),
        (True, 1.0, {"valid_f": 0.999, "valid_loss": 0.0}, False),
        (True, 1.0, {"valid_f": 1.0}, True),
        (True, 1.0, {"loss": 0.0}, False),
        (True, None, {"valid_f": 1.0, "valid_loss": 0.0}, False),
        (False, 0.0, {"valid_f": 0.0, "valid_loss": 0.0}, True),
        (False, 0.0, {"valid_f": 0.1, "valid_loss": 0.0}, False),
    ],
)
def test_a_perfect_figure_stops_only_with_a_tiny_loss(greater, perfect, row, stops):
    keep = KeepBest("valid_f", greater, None, perfect=perfect)
    assert epochs(keep, [row]).should_stop is stops
    assert TINY_LOSS == 0.001


def test_a_run_without_an_epoch_is_not_stopped():
    trainer = Trainer()
    keep = KeepBest("valid_f", True, 1, perfect=1.0)
    keep.on_train_start(trainer, types.SimpleNamespace(history=[]))
    assert not trainer.should_stop
    keep.on_train_start(trainer, types.SimpleNamespace(history=[{"valid_f": 0.0}]))
    assert trainer.should_stop


def plateaus(name, losses):
    """Returns falls of the learning rate after epochs with these losses, whether training ends, and the callback."""
    keep = KeepBest("valid_loss", False, None, follow=2)
    stop = epochs(keep, [{"loss": 9.0, name: loss} for loss in losses]).should_stop
    return keep.falls, stop, keep


def test_the_rate_falls_at_plateaus_and_the_last_plateau_ends_training():
    losses = [3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    found = [plateaus("valid_loss", losses[: n + 1]) for n in range(len(losses))]
    assert [falls for falls, _, _ in found] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [stop for _, stop, _ in found] == [False] * 8 + [True]
    assert found[-1][2].epoch == 5


def test_without_validation_the_plateaus_are_those_of_the_training_loss():
    assert plateaus("loss", [1 / n for n in range(1, 9)])[:2] == (0, False)
    falls, stop, keep = plateaus("loss", [1.0] * 7)
    assert (falls, stop, keep.epoch) == (2, True, 7)
    again = KeepBest("valid_loss", False, None, follow=2)
    again.load_state_dict(keep.state_dict())
    assert again.state_dict() == keep.state_dict()
