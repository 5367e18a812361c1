"""Vanishing gradients: learning across increasing lags, and gradient reach, for each cell.

Bengio, Simard and Frasconi, "Learning long-term dependencies with gradient descent is difficult", 1994.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from recurra._util.plotting import panels
from recurra.cells.registry import FAMILIES, find, label
from recurra.cells.registry import names as cell_names
from recurra.errors import UsageError

from .lesson import lesson
from .network import INITS, ProbeNetwork, build, parameter_count, styles
from .problems import PROBLEMS, Problem
from .reach import reach
from .result import Result, Row, Tell, silent
from .training import SOLVED, Plan, Trained, examine, generator, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAGS = (10, 25, 50, 100, 200, 500)
CHANCE = 0.9  # share of the baseline loss
REACH_COUNT = 32
FLOOR = 1e-10  # share of the gradient at the last step; smaller gradients do not change float32 weights

COLUMNS = {
    "problem": "problem",
    "lag": "lag",
    "cell": "cell",
    "loss": "loss",
    "baseline": "guess",
    "accuracy": "accuracy",
    "verdict": "verdict",
    "steps": "steps",
    "rate": "rate",
    "seconds": "seconds",
}


def vanishing(
    problem: str = "adding",
    lags: Sequence[int] = LAGS,
    cells: Sequence[str] = FAMILIES,
    *,
    parameters: int = 17_500,
    start: str = "long",
    learning_rates: Sequence[float] = (1e-2, 3e-3, 3e-4),
    steps: int = 2000,
    batch_size: int = 32,
    gradient_clip: float = 1.0,
    random_state: int = 0,
    progress: Tell = silent,
) -> Result:
    """Trains each cell on a problem at each lag, and measures its gradient reach before and after training.

    All cells have the same number of parameters (so the RNN has the most units) and the same sequences. The learning
    rates are tried in order until one solves the problem; the best one is used. With `start="long"` every cell is
    initialized for long memory: the RNN with an orthogonal recurrent matrix (the identity for ReLU), LSTM and GRU with
    orthogonal matrices and gates that keep a state for 1 to `lag` steps (Tallec and Ollivier 2018).

    Args:
        problem: `"adding"`, `"copy"`, `"order"`, or `"all"` of them; see `recurra.lab.problems`.
        lags: lags of the problem in steps, at least 10.
        cells: names of cells with memory, see `recurra.nn.CELLS`.
        parameters: approximate number of parameters of each network.
        start: `"long"`, or `"torch"` for the initialization of `torch.nn`.
        learning_rates: learning rates of Adam.
        steps: maximum number of steps with each learning rate.
        batch_size: number of new sequences in each step.
        gradient_clip: maximum norm of the gradient.
        random_state: seed of weights and sequences. The number of threads changes the rounding, so results can differ
            slightly.
        progress: called with a description, the amount of work done, and the total.

    Returns:
        A `Result` with a row for each problem, lag and cell. A loss of at most a tenth of the baseline is "solved", a
        loss of at least nine tenths is "at chance". `curves` has the gradient at the largest lag by steps back, before
        and after training. The first of `notes` is the conclusion, or the reason why the run allows none.

    Raises:
        UsageError: there is no such problem or cell, or a number is out of its range.

    Example:
        >>> from recurra import lab
        >>> result = lab.vanishing(lags=(10,), cells=("rnn",), parameters=200, learning_rates=(0.01,), steps=20)
        >>> result.rows[0]["verdict"]
        'at chance'
    """
    names = list(PROBLEMS) if problem == "all" else [problem]
    _check_names(names, cells, start)
    plan = Plan(tuple(learning_rates), steps, batch_size, gradient_clip, random_state)
    _check_numbers(plan, lags, parameters)
    rows: list[Row] = []
    curves: list[Row] = []
    done, total = 0.0, float(len(names) * len(cells) * sum(lags))
    for each, lag, cell in product(map(PROBLEMS.__getitem__, names), sorted(lags), cells):
        doing = f"{each.title}, lag {lag}, {label(cell)}"
        share = lag / (plan.steps * len(plan.rates))
        make = partial(build, each, cell, parameters, start, lag, random_state)
        began = perf_counter()
        found = train(make, each, lag, plan, lambda n, d=doing, k=done, s=share: progress(d, k + s * n, total))
        rows.append(_row(each, lag, cell, found, random_state, perf_counter() - began))
        if lag == max(lags):
            networks = {"start": make(), "trained": found.network}
            curves += [_curve(each, cell, lag, when, network, random_state) for when, network in networks.items()]
        done += lag
        progress(doing, done, total)
    settings = {**asdict(plan), "parameters": parameters, "start": start, "threads": torch.get_num_threads()}
    columns = COLUMNS if len(names) > 1 else {key: title for key, title in COLUMNS.items() if key != "problem"}
    title = f"Learning across increasing lags: {', '.join(PROBLEMS[name].title for name in names)}"
    notes = [*_lessons(names, cells, rows), *_notes(plan, start, rows)]
    return Result("vanishing", title, columns, rows, settings, _draw, curves, notes)


def _check_names(problems: Sequence[str], cells: Sequence[str], start: str) -> None:
    remembering = cell_names(memoryless=False)
    for what, given, known in (
        ("problem", problems, PROBLEMS),
        ("cell", cells, remembering),
        ("start", [start], INITS),
    ):
        for name in given:
            if name not in known:
                also = ", all" if what == "problem" else ""
                raise UsageError(f"{what} is one of {', '.join(known)}{also}, not {name!r}")
    if not cells:
        raise UsageError("at least one cell is needed")


def _check_numbers(plan: Plan, lags: Sequence[int], parameters: int) -> None:
    if not lags or min(lags) < 10:
        raise UsageError(f"lags are 10 steps or more, got {', '.join(map(str, lags)) or 'none'}")
    if not plan.rates or min(plan.rates) <= 0:
        raise UsageError(f"learning_rates must be positive, got {', '.join(map(str, plan.rates)) or 'none'}")
    for name, value in {"steps": plan.steps, "batch_size": plan.batch_size, "parameters": parameters}.items():
        if value < 1:
            raise UsageError(f"{name} must be at least 1, got {value}")


def _row(problem: Problem, lag: int, cell: str, found: Trained, seed: int, seconds: float) -> Row:
    metrics, baseline = examine(found.network, problem, lag, seed), problem.baseline(lag)
    part = metrics["loss"] / baseline
    return {
        "problem": problem.name,
        "lag": lag,
        "cell": label(cell),
        "units": found.network.layer.stack.hidden_size,
        "parameters": parameter_count(found.network),
        **metrics,
        "baseline": baseline,
        "verdict": "solved" if part <= SOLVED else "partly" if part < CHANCE else "at chance",
        "steps": found.steps,
        "rate": found.rate,
        "seconds": round(seconds, 2),
    }


def _curve(problem: Problem, cell: str, lag: int, when: str, network: ProbeNetwork, seed: int) -> Row:
    """Returns the gradient by steps back: norms, and their shares of the norm at the last step."""
    steps = reach(network, problem, problem.draw(lag, REACH_COUNT, generator(seed, lag, "reach")))
    last = steps[0]["state"]
    for step in steps:
        step["relative"] = step["state"] / last if last else None
    return {"problem": problem.name, "cell": cell, "lag": lag, "when": when, "steps": steps}


def _lessons(problems: Sequence[str], cells: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Returns the conclusion for each problem."""
    gated = {label(cell) for cell in cells if find(cell).keeps}
    found = {name: lesson([row for row in rows if row["problem"] == name], gated) for name in problems}
    several = len(problems) > 1
    return [f"{name}: {text}" if several else text for name, text in found.items() if text is not None]


def _notes(plan: Plan, start: str, rows: Sequence[Row]) -> list[str]:
    initializations = {
        "long": "RNN orthogonal (relu: identity); LSTM and GRU orthogonal, gates that keep a state for 1 to lag steps",
        "torch": "as in torch.nn",
    }
    rates = ", ".join(f"{rate:g}" for rate in plan.rates)
    sizes = {row["cell"]: f"{row['cell']} {row['units']} units ({row['parameters']:,} parameters)" for row in rows}
    return [
        ", ".join(sizes.values()),
        f"recurrent weights at the start: {initializations[start]}",
        f"Adam, learning rates {rates} tried in order until one solves the problem, up to {plan.steps:,} steps each "
        f"of {plan.batch_size} new sequences, gradients clipped at {plan.clip:g}; the best learning rate is used",
        f"guess: loss of a constant prediction; solved: at most {SOLVED:g} of it; at chance: at least {CHANCE:g} of it",
        "steps, rate: of the selected weights; seconds: of the whole training",
    ]


def _draw(result: Result) -> Figure:
    problems = list(dict.fromkeys(row["problem"] for row in result.rows))
    figure, grid = panels(3, len(problems))
    for name, (left, *others) in zip(problems, grid, strict=True):
        _draw_losses(left, PROBLEMS[name], [row for row in result.rows if row["problem"] == name])
        curves = [curve for curve in result.curves if curve["problem"] == name]
        values = [step["relative"] for curve in curves for step in curve["steps"] if step["relative"]] or [1.0]
        for axes, when, title in zip(others, ("start", "trained"), ("before training", "after training"), strict=True):
            _draw_reach(axes, [curve for curve in curves if curve["when"] == when])
            axes.set_ylim(max(min(values), FLOOR) / 2, max(values) * 2)
            axes.set_title(f"gradient reach at lag {curves[0]['lag']}, {title}", fontsize=9)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _draw_losses(axes: Any, problem: Problem, rows: Sequence[Row]) -> None:
    """Plots the loss against the lag, as a share of the baseline, which depends on the lag in the copy problem."""
    for style in styles(row["cell"] for row in rows).values():
        some = [row for row in rows if row["cell"] == style["label"]]
        if some:
            axes.plot([r["lag"] for r in some], [r["loss"] / r["baseline"] for r in some], **style, markersize=5)
    axes.axhline(1, color="0.3", linewidth=1, linestyle="--", label="baseline")
    axes.set(xscale="log", yscale="log", xlabel="lag (steps)")
    axes.set_ylabel(f"{problem.loss}\nas a share of the baseline")
    axes.set_ylim(bottom=min(axes.get_ylim()[0], SOLVED / 2))
    axes.axhspan(axes.get_ylim()[0], SOLVED, color="0.5", alpha=0.12, linewidth=0, label="solved")
    lags = sorted({row["lag"] for row in rows})
    axes.set_xticks(lags, list(map(str, lags)))
    axes.minorticks_off()
    axes.set_title(problem.title, fontsize=9)


def _draw_reach(axes: Any, curves: Sequence[Row]) -> None:
    shown = styles(label(curve["cell"]) for curve in curves)
    for curve in curves:
        points = [step for step in curve["steps"] if step["relative"]]  # zero has no logarithm
        lags, values = [step["lag"] for step in points], [step["relative"] for step in points]
        axes.plot(lags, values, **shown[curve["cell"]], markersize=3.5)
    axes.set_yscale("log")
    axes.set_xlabel("steps back, k")
    axes.set_ylabel("‖∂L$_T$/∂h$_{T-k}$‖ / ‖∂L$_T$/∂h$_T$‖")
