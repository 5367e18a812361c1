"""Signs of health while a model trains, looked at as often as a small share of the time allows."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from recurra.nn import RECURRENT

from .nonfinite import layer_call
from .statistics import Activity, GateUse, UnitUse, place, saturation, spectral_radii
from .thresholds import DEAD, SATURATION, TRAINING_GRADIENT, UPDATE, Light, worst

BUDGET = 0.015
"""Share of the training time that looking may take; what Lightning takes to ask at every step comes on top. Both are
measured as the time of the main thread, so that a machine busy with other things does not make looking seem cheap."""

FIRST_LOOK = 0.01
"""Seconds that the first look is taken to cost, before one was measured."""

ROWS = 8
"""Sequences of a batch that a look runs once more."""

EIGENVALUES = 1e-4, 2.5e-9
"""Seconds that the eigenvalues of a matrix take, about: in any case, and for the cube of its rows."""

HealthRow = dict[str, Any]


class HealthMonitor(pl.Callback):
    """Looks at a step of training now and then: update sizes, gradient, gates, dead units, spectral radius.

    It reads and never writes: training gives the same model to the last bit with and without it. Which steps are looked
    at depends on the speed of the machine.

    Args:
        clip: norm above which gradients are clipped; 0 for never.
        budget: share of the time that looking may take.
    """

    def __init__(self, clip: float, budget: float = BUDGET) -> None:
        self.clip, self.budget = clip, budget
        self.rows: list[HealthRow] = []
        self._looks: list[HealthRow] = []
        self._look: _Look | None = None
        self._spent, self._cost, self._start = 0.0, FIRST_LOOK, time.thread_time()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Counts the time from here."""
        self._start = time.thread_time()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Decides whether this step is looked at."""
        if self._allows(self._cost):
            self._look = _Look(pl_module.network)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        """Gradients are there and not yet clipped, weights not yet changed."""
        if self._look is not None:
            self._look.before_update()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Weights have changed."""
        if self._look is not None:
            self._look.after_update()
            self._looks.append({"step": trainer.global_step, **self._look.row})
            self._pay(self._look.seconds)
            self._look = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Makes one row of the looks of an epoch."""
        if not self._looks:
            return
        row: HealthRow = {"epoch": len(pl_module.history), "looks": len(self._looks), **self._looks[-1]}
        for name in ("update", "gradient"):
            row |= max(
                ({k: v for k, v in look.items() if k.startswith(name)} for look in self._looks),
                key=lambda found: found.get(name, 0.0),
            )
        if self.clip:
            row["clipped"] = sum(look["gradient"] > self.clip for look in self._looks) / len(self._looks)
        row |= self._radius(pl_module.network)
        row["share_of_time"] = self._spent / (time.thread_time() - self._start)
        self.rows.append(row)
        self._looks = []

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Takes its hooks away."""
        if self._look is not None:
            self._look.release()
            self._look = None

    def line(self, epoch: int) -> str:
        """The row of an epoch in words, `""` where it was not looked at.

        Example:
            >>> monitor = HealthMonitor(clip=1.0)
            >>> monitor.rows = [{"epoch": 1, "update": 0.7, "update_at": "weight_hh_l0", "dead": 0.0}]
            >>> print(monitor.line(1))  # doctest: +ELLIPSIS
            RED update size 70 % (weight_hh_l0), dead units 0 %: the steps are too large...
        """
        if not self.rows or self.rows[-1]["epoch"] != epoch:
            return ""
        return said(row_lights(self.rows[-1]))

    def light(self) -> str:
        """Colour of the last look, `""` before the first."""
        return worst(row_lights(self._looks[-1])) if self._looks else ""

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"rows": self.rows, "looks": self._looks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.rows, self._looks = state_dict["rows"], state_dict["looks"]

    def _allows(self, seconds: float) -> bool:
        return self._spent + seconds <= self.budget * (time.thread_time() - self._start)

    def _pay(self, seconds: float) -> None:
        self._spent += seconds
        self._cost = max(seconds, self._cost / 2)  # a look may take longer than the last

    def _radius(self, network: torch.nn.Module) -> HealthRow:
        """Spectral radii once an epoch, if there is time for them."""
        layers = [(name, m) for name, m in network.named_modules() if isinstance(m, RECURRENT)]
        cost = sum(
            (EIGENVALUES[0] + EIGENVALUES[1] * stack.hidden_size**3) * stack.num_layers * stack.directions * gates
            for stack, gates in ((m.stack, len(m.stack.cell.gates)) for _, m in layers)
        )
        if not layers or not self._allows(cost):
            return {}
        begin = time.thread_time()
        radii = [r for name, m in layers for r in spectral_radii(name, m.stack, m.weights())]
        found = max(radii, key=lambda r: r.radius, default=None)
        self._spent += time.thread_time() - begin
        return {} if found is None else {"radius": found.radius, "radius_at": found.where}


class _Look:
    """One step, looked at before and after its update."""

    def __init__(self, network: torch.nn.Module) -> None:
        begin = time.thread_time()
        self.network, self.row = network, {}
        self.layers = [(name, module) for name, module in network.named_modules() if isinstance(module, RECURRENT)]
        self.calls: dict[str, tuple] = {}
        self.hooks = [
            module.register_forward_pre_hook(lambda m, a, k, name=name: self._note(name, m, a, k), with_kwargs=True)
            for name, module in self.layers
        ]
        self.seconds = time.thread_time() - begin

    def release(self) -> None:
        """Lets the layers alone."""
        for hook in self.hooks:
            hook.remove()

    def _note(self, name: str, module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        if name not in self.calls:
            self.calls[name] = layer_call(module, *args, **kwargs)

    @torch.no_grad()
    def before_update(self) -> None:
        """Gradient, gates and units, with the weights that the step began with."""
        begin = time.thread_time()
        self.release()
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        self.row["gradient"] = float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0
        self._use()
        matrices = self._matrices()
        self.before = {name: weight.detach().clone() for name, weight in matrices.items()}
        self.seconds += time.thread_time() - begin

    @torch.no_grad()
    def after_update(self) -> None:
        """How far the weights have moved."""
        begin = time.thread_time()
        self.release()
        moved = {
            name: float(
                torch.linalg.vector_norm(weight - self.before[name]) / torch.linalg.vector_norm(self.before[name])
            )
            for name, weight in self._matrices().items()
        }
        if moved:
            name = max(moved, key=moved.__getitem__)
            self.row |= {"update": moved[name], "update_at": name}
        self.seconds += time.thread_time() - begin

    def _matrices(self) -> dict[str, Tensor]:
        """The matrices of the recurrent layers; of all the network where there is none."""
        modules = self.layers or [("", self.network)]
        return {
            f"{part}.{name}".lstrip("."): weight
            for part, module in modules
            for name, weight in module.named_parameters()
            if weight.dim() > 1
        }

    def _use(self) -> None:
        gates: list[GateUse] = []
        units: list[UnitUse] = []
        for name, layer in self.layers:
            if name not in self.calls:
                continue
            values, lengths, states = self.calls[name]
            activity = Activity(name, layer.stack)
            # a few sequences say enough, and the engine of the CPU is the one that hands out gates
            states = None if states is None else tuple(s[:, :ROWS].detach().cpu() for s in states)
            lengths = None if lengths is None else lengths[:ROWS].cpu()
            activity.run(values[:ROWS].detach().cpu(), [w.detach().cpu() for w in layer.weights()], lengths, states)
            gates += activity.gates()
            units += activity.units()
            if activity.bad is not None:
                self.row |= {"bad": activity.bad.number, "bad_at": activity.bad.where}
        if gates:
            share, where = max(saturation(gates))
            self.row |= {"saturated": share, "saturated_at": where}
        if units:
            layer = max(units, key=lambda u: u.share)
            self.row |= {"dead": layer.share, "dead_at": place(layer.part, layer.layer, layer.direction)}


# the learning rate falls to 0 in the end: that updates are small says nothing of one epoch
_EPOCH_UPDATE = dataclasses.replace(UPDATE, low=(-math.inf, -math.inf))
_SIGNS = (("update", _EPOCH_UPDATE), ("gradient", TRAINING_GRADIENT), ("saturated", SATURATION), ("dead", DEAD))


def row_lights(row: HealthRow) -> list[Light]:
    """What a row says, as lights."""
    return [sign.light(row[key], row.get(f"{key}_at", "")) for key, sign in _SIGNS if key in row]


def said(lights: list[Light]) -> str:
    """Lights in one line: the colour in words, the values, and the advice of the first that is not green."""
    colour = worst(lights)
    values = ", ".join(
        f"{light.name} {light.shown}" + (f" ({light.where})" if light.light != "green" and light.where else "")
        for light in lights
    )
    advice = next((light.advice for light in lights if light.light == colour and light.advice), "")
    return f"{colour if colour == 'green' else colour.upper()} {values}" + (f": {advice}" if advice else "")
