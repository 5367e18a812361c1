"""The training loop, which uses Lightning: back-propagation through time, validation, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from rich.console import Console
from torch import Tensor

from recurra._util.atomic import locked
from recurra.data.batching.batches import BatchSource, to_device
from recurra.errors import DataError, UsageError
from recurra.nn import RECURRENT
from recurra.ops.reproducible import rounded_products

from .averaging import AverageWeights
from .callbacks import FALL, Clock, Interrupt, KeepBest, SaveRun
from .checkpoints import CheckedFiles
from .epoch_weights import KeepEpochs
from .health.monitor import HealthMonitor
from .health.nonfinite import first_bad
from .logs.callback import LogMetrics
from .observer import CallObserver, current_observer
from .optimizers import SCHEDULES, make_optimizer, make_schedule
from .progress import Line, ShowProgress, line_for
from .quiet import quiet_lightning
from .settings import Carrying, History, LayerRate, Objective, Run, Settings, choose_device
from .workers.division import Shares, add_gradients, all_observed, observe_own, own_part
from .workers.group import ALONE, Group, join, own_share
from .workers.sums import Sums

WARM_UP = 0.05  # share of the steps over which the learning rate rises
RISE_STEPS = 50  # the same if their number is not known


def train(
    network: torch.nn.Module,
    objective: Objective,
    batches: BatchSource,
    valid: BatchSource | None,
    settings: Settings,
    group: Group = ALONE,
    line: Line | None = None,
    loggers: Sequence[Logger] = (),
) -> Run:
    """Trains `network` in place. At the end it has the weights of its best epoch.

    The same seed gives the same result, also in a resumed run, unless the time limit ends the run. No global random
    generator is changed.

    Args:
        network: the network that the objective calls.
        objective: loss and metrics of the task.
        batches: training data.
        valid: validation data, which choose the best epoch; None to keep the last.
        settings: settings of the run.
        group: the processes that divide every batch. All of them call this function with the same arguments.
        line: shows the progress; None for a line on standard error.
        loggers: get the metrics; of several processes, those of process 0.

    Returns:
        The history, and how the run ended.

    Raises:
        DataError: the loss is not a finite number.
        UsageError: the checkpoint belongs to other data or settings.
        EngineError: the device is not available.
    """
    device = choose_device(settings.device)
    clock = None if settings.max_minutes is None else Clock(settings.max_minutes, group)
    save = None if settings.checkpoint is None else SaveRun(settings.checkpoint, settings.checkpoint_minutes)
    average = AverageWeights(len(batches)) if settings.average_weights else None
    keep = KeepBest(
        f"valid_{objective.monitor}",
        objective.monitor_mode == "max",
        settings.patience,
        settings.min_delta,
        objective.perfect,
        average,
        settings.follow,
    )
    epochs = KeepEpochs(average) if settings.keep_epochs else None
    learner = Learner(network, objective, batches, valid, settings, clock, save, group, keep)
    interrupt = Interrupt(save)
    health = HealthMonitor(settings.gradient_clip) if settings.health_checks else None
    log = LogMetrics() if loggers else None
    # `log` before `save`: a checkpoint contains the metrics that the loggers do not have yet
    callbacks: list[pl.Callback] = [
        callback for callback in (clock, average, keep, epochs, health, log, save) if callback is not None
    ]
    shown = settings.verbose and not group.rank
    progress = ShowProgress(line or line_for(Console(stderr=True)), health) if shown else None
    callbacks += [progress] if progress else []
    observer = current_observer()
    callbacks += [CallObserver(observer)] if observer is not None else []
    on_gpu = device.type == "cuda"
    with (
        _sole_user(None if group.several else settings.checkpoint),
        quiet_lightning(),
        _rounding(network, settings.precision),
        torch.random.fork_rng(devices=[device] if on_gpu else []),
    ):
        checkpoint = checkpoint_to_resume(settings)
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            accelerator="gpu" if on_gpu else "cpu",
            devices=[device.index or 0] if on_gpu else 1,
            gradient_clip_val=settings.gradient_clip,
            plugins=[CheckedFiles(writes=not group.rank)],
            callbacks=[*callbacks, *settings.callbacks, interrupt],
            logger=list(loggers) or False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        network.train()
        with interrupt.watching():
            trainer.fit(learner, batches, valid, ckpt_path=checkpoint, weights_only=True)
    network.to("cpu")
    if keep.weights:
        network.load_state_dict(keep.weights)
    network.eval()
    rows, weights = health.rows if health else [], epochs.weights if epochs else {}
    run = Run(learner.history, keep.epoch, interrupt.happened, checkpoint is not None, rows, weights)
    if progress:
        progress.close(run)
    return run


class Learner(pl.LightningModule):
    """The training step, the validation pass and the history of a run."""

    def __init__(
        self,
        network: torch.nn.Module,
        objective: Objective,
        batches: BatchSource,
        valid: BatchSource | None,
        settings: Settings,
        clock: Clock | None = None,
        save: SaveRun | None = None,
        group: Group = ALONE,
        keep: KeepBest | None = None,
    ) -> None:
        super().__init__()
        self.keep = keep
        self.network, self.objective, self.settings, self.group = network, objective, settings, group
        self.batches, self.valid, self.clock, self.save = batches, valid, clock, save
        self.total_steps = settings.epochs * len(batches)
        self.history: History = []
        self._sums = Sums(group)
        self._open_epoch()

    def _open_epoch(self) -> None:
        self._loss_sum = self._weight_sum = self._seconds = 0.0
        self._tokens = 0
        self._observed: list[Any] = []
        self.shares = Shares(self.group)

    @property
    def running_loss(self) -> float:
        """Mean loss of the epoch so far."""
        return self._loss_sum / self._weight_sum if self._weight_sum else 0.0

    @property
    def sums(self) -> tuple[float, float, float, float]:
        """Losses, weights, time steps and seconds of the epoch so far."""
        return self._loss_sum, self._weight_sum, float(self._tokens), self._seconds

    @property
    def tokens_per_second(self) -> float:
        """Time steps trained on per second in this epoch."""
        return self._tokens / max(self._seconds, 1e-9)

    def configure_optimizers(self) -> Any:
        """Returns the optimizer. Its learning rate rises and then falls: by the schedule, or at each plateau."""
        groups, rates = [], []
        for layer, parameters in self._layers():
            groups += [
                {"params": [p for p in parameters if p.dim() > 1], "weight_decay": self.settings.weight_decay},
                {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
            ]
            rates += [partial(self._rate_of, layer)] * 2
        optimizer = make_optimizer(self.settings.optimizer, groups, self.settings.learning_rate)
        schedule = make_schedule(self.settings.schedule, optimizer, rates, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _layers(self) -> list[tuple[LayerRate, list[Tensor]]]:
        """Returns the weights that train alike: first those of no layer of the settings."""
        found: list[tuple[LayerRate, list[Tensor]]] = [(layer, []) for layer in (LayerRate(""), *self.settings.layers)]
        for name, parameter in self.network.named_parameters():
            place = next((i for i, layer in enumerate(self.settings.layers, 1) if name.startswith(layer.prefix)), 0)
            found[place][1].append(parameter)
        return found

    def _rate_of(self, layer: LayerRate, step: int) -> float:
        gone = max(step / self.total_steps, self.clock.share if self.clock else 0.0)
        return layer.rate * self._rate(step) if gone >= layer.begin else 0.0

    def _rate(self, step: int) -> float:
        if self.settings.follow is not None and self.settings.schedule is None:
            falls = 0 if self.keep is None else self.keep.falls
            return min(1.0, (step + 1) / RISE_STEPS) * FALL**falls  # type: ignore[no-any-return]
        gone = self.clock.share if self.clock else 0.0
        rise = min(1.0, max((step + 1) / max(WARM_UP * self.total_steps, 1.0), gone / WARM_UP))
        return rise * SCHEDULES[self.settings.schedule or "cosine"](max(step / self.total_steps, gone))

    def on_train_start(self) -> None:
        """Moves the batches to the position of the checkpoint."""
        self.batches.seek(self.global_step)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Moves everything except the lengths."""
        return to_device(batch, device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds dropout. The masks depend on the seed and the step only, so a resumed run draws the same ones."""
        self._step_start = time.perf_counter()
        self._seed_step()

    def _seed_step(self) -> None:
        # `torch.manual_seed` would store a stack trace at each step for every kind of device that is not in use
        # torch's CPU generator uses the lower 32 bits of a seed. The odd factor spreads the seeds of runs over them.
        seed = (self.settings.seed * 0x9E3779B1 + self.global_step) & 0xFFFFFFFF
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index].manual_seed(seed)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Weighted mean loss of a batch; with several processes the share of this process in it."""
        if self.group.several:
            return self._loss_of_part(batch)
        total, weight = self.objective.loss(self.network, batch)
        self._add(float(total.detach()), float(weight), int(batch.lengths.sum()), batch)
        return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)

    def _add(self, total: float, weight: float, tokens: int, batch: Any) -> None:
        """Adds a step to the sums of the epoch.

        Args:
            total: sum of the losses of the whole batch.
            weight: weight of the whole batch.
            tokens: time steps of the whole batch.
            batch: the batch of this process, to look for the cause of a loss that is not finite; None if it is empty.
        """
        if not math.isfinite(total):
            bad = None if batch is None else first_bad(self.network, self.objective, batch, self._seed_step)
            where = "" if bad is None else f"\nthe first bad number is {bad.value} in {bad.where}"
            raise DataError(
                f"the loss became {total} at step {self.global_step + 1}; use a smaller learning rate "
                f"or look for extreme values in the data{where}"
            )
        self._loss_sum += total
        self._weight_sum += weight
        self._tokens += tokens

    def _loss_of_part(self, batch: Any) -> Tensor:
        with own_part(batch, self.group) as part:
            if part is None:  # fewer sequences than processes
                total = sum((p.sum() * 0 for p in self.network.parameters()), torch.zeros(()))
            else:
                total, _ = self.objective.loss(self.network, part)
        weight = self.objective.weight(batch)
        self._part = part, total.detach(), weight
        return total / weight.to(total.device).clamp(min=torch.finfo(weight.dtype).tiny)

    def on_after_backward(self) -> None:
        """Adds the gradients of several processes, and lets process 0 decide what depends on the time."""
        if not self.group.several:
            return
        part, total, weight = self._part
        timed = [t for t in (self.clock, self.save) if t is not None]
        tokens = 0 if part is None else int(part.lengths.sum())
        work = float(tokens), time.perf_counter() - self._step_start
        step = add_gradients(self.network, self.group, self._sums, total, work, [t.measure() for t in timed])
        for callback, value in zip(timed, step.agreed, strict=True):
            callback.agreed = value
        self.shares.add(step)
        self._add(step.total, float(weight), round(sum(step.tokens)), part)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips by the norm, as Lightning does. On the CPU, gradients below the limit are not multiplied by one."""
        if not gradient_clip_val:
            return
        weights = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in weights])
        if self.device.type != "cpu" or not norm + 1e-6 <= gradient_clip_val:  # also true for NaN
            torch.nn.utils.clip_grads_with_norm_(weights, gradient_clip_val, norm)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Adds the time of the step, without validation."""
        self._seconds += time.perf_counter() - self._step_start

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Collects observations. The metrics of the whole set are computed at the end of the epoch."""
        if isinstance(self.objective, Carrying):  # the batches depend on each other
            self._observed.append((batch_idx, self.objective.observe(self.network, batch)))
        else:
            observe_own(self._observed, batch_idx, self.group, lambda: self.objective.observe(self.network, batch))

    def close_epoch(self) -> None:
        """Adds the epoch's metrics to the history."""
        row: dict[str, float] = {"epoch": len(self.history) + 1, "loss": self.running_loss}
        if self.valid is not None:
            group = ALONE if isinstance(self.objective, Carrying) else self.group
            metrics = self.objective.metrics(all_observed(self._observed, group))
            row |= {f"valid_{name}": value for name, value in metrics.items()}
        if self.settings.callbacks:  # which find the metrics in `trainer.callback_metrics`
            self.log_dict({name: value for name, value in row.items() if name != "epoch"}, logger=False)
        self.history.append(row | {"tokens_per_second": self.tokens_per_second, "seconds": self._seconds})
        self._open_epoch()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the history, the sums of the current epoch, and the fingerprint of the run."""
        checkpoint["recurra"] = {
            "fingerprint": self.settings.fingerprint,
            "history": self.history,
            "open_epoch": [self._loss_sum, self._weight_sum, self._seconds, self._tokens],
            "carried": self._carried(),
        }

    def _carried(self) -> Any:
        """Returns the state that the objective carries, for the rows of all processes."""
        if not isinstance(self.objective, Carrying):
            return None
        state = self.objective.carried()
        return join(self.group.gather(state)) if self.group.several else state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores them."""
        state = checkpoint["recurra"]
        self.history = state["history"]
        self._loss_sum, self._weight_sum, self._seconds, self._tokens = state["open_epoch"]
        if isinstance(self.objective, Carrying):
            self.objective.carry(own_share(state["carried"], self.group))


def checkpoint_to_resume(settings: Settings) -> Path | None:
    """Returns the checkpoint to resume from; None for a new run.

    Raises:
        UsageError: the checkpoint is damaged or belongs to another run.
    """
    path = settings.checkpoint
    if path is None or not path.exists():
        return None
    if not settings.resume:
        raise UsageError(
            f"{path.parent} contains the state of an earlier run\n"
            "continue it with resume=True, or choose another folder for checkpoints"
        )
    found = CheckedFiles().load_checkpoint(path)["recurra"]["fingerprint"]
    other = [name for name, value in settings.fingerprint.items() if found.get(name) != value]
    if other:
        raise UsageError(
            f"the run in {path.parent} cannot be resumed, because these are different: {', '.join(other)}\n"
            "give the data and options of the interrupted run, or start again (--overwrite instead of --resume)"
        )
    return path


def _sole_user(checkpoint: Path | None) -> AbstractContextManager[None]:
    """Locks the folder of the checkpoint."""
    if checkpoint is None:
        return nullcontext()
    return locked(checkpoint.parent, f"another process is training in {checkpoint.parent}; wait until it has finished")


@contextmanager
def _rounding(network: torch.nn.Module, precision: str) -> Iterator[None]:
    """Sets the precision of large products and of recurrent layers that have the default precision."""
    layers = [layer for layer in network.modules() if isinstance(layer, RECURRENT) and layer.precision == "float32"]
    try:
        for layer in layers:
            layer.precision = precision
        with rounded_products() if precision == "bfloat16" else nullcontext():
            yield
    finally:
        for layer in layers:
            layer.precision = "float32"
