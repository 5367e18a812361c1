"""Capacity experiment: loss and speed of the three cells at equal numbers of parameters."""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from recurra._util.messages import counted
from recurra._util.plotting import panels
from recurra.cells.registry import FAMILIES, label, names
from recurra.data.encoders.running_text import BEGIN_ID, RunningTextEncoder, pieces
from recurra.errors import UsageError
from recurra.nn import RecurrentSpec
from recurra.tasks import LanguageModel
from recurra.tasks.generate.network import LanguageNetwork

from .network import fitting_size, parameter_count, styles
from .result import Result, Row, Tell, silent
from .samples import fitted, play

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "cell": "cell",
    "units": "units",
    "parameters": "parameters",
    "loss": "loss (nats)",
    "rate": "rate",
    "tokens_per_second": "characters/s",
    "microseconds": "step (µs)",
}
EMBEDDING, STREAMS, WINDOW = 32, 16, 64  # small batches give many steps from a small text
CALLS, ROUNDS = 200, 9  # of the timed step


def capacity(
    text: str | None = None,
    test: str | None = None,
    *,
    budgets: Sequence[int] = (20_000, 60_000, 180_000),
    cells: Sequence[str] = FAMILIES,
    epochs: int = 12,
    learning_rates: Sequence[float] = (1e-2, 3e-3),
    random_state: int = 0,
    progress: Tell = silent,
) -> Result:
    """Trains a language model of characters with each cell at each number of parameters.

    All models are trained on the same text for the same number of epochs. Of the learning rates, the one with the
    smallest loss on a held-out tenth of the text is used.

    Args:
        text: training text; None for about 90,000 characters of Shakespeare.
        test: test text; None for the last tenth of `text`, or about 10,000 further characters of Shakespeare.
        budgets: numbers of parameters, including embedding and output.
        cells: names of cells with memory, see `recurra.nn.CELLS`.
        epochs: passes over the text.
        learning_rates: peak learning rates of AdamW.
        random_state: seed of weights and dropout.
        progress: called with a description, the amount of work done, and the total.

    Returns:
        A `Result` with a row for each cell and budget. Speeds are medians, measured with the current number of torch
        threads: characters per second in training, and the time of one inference step for one sequence, with its
        output.

    Raises:
        DataError: the text cannot be used.
        UsageError: an argument is out of its range.

    Example:
        >>> from recurra import lab
        >>> result = lab.capacity("to be or not to be. " * 40, budgets=(3000,), epochs=1, learning_rates=(0.01,))
        >>> [row["cell"] for row in result.rows]
        ['RNN', 'LSTM', 'GRU']
    """
    for cell in cells:
        if cell not in names(memoryless=False):
            raise UsageError(f"cell is one of {', '.join(names(memoryless=False))}, not {cell!r}")
    if not (cells and budgets and learning_rates) or min(budgets) < 1:
        raise UsageError("at least one cell, one learning rate and one positive budget are needed")
    if text is None:
        text, test = play()
    elif test is None:
        cut = len(text) - len(text) // 10
        text, test = text[:cut], text[cut:]
    tokens = RunningTextEncoder("char").fit([pieces(text)]).input_size
    options: dict[str, Any] = {
        "epochs": epochs,
        "embedding_size": EMBEDDING,
        "batch_size": STREAMS,
        "bptt": WINDOW,
        "random_state": random_state,
        "verbose": 0,
    }
    rows: list[Row] = []
    done, total = 0, sum(budgets) * len(cells) * len(learning_rates)
    for budget in sorted(budgets):
        for cell in cells:
            size = _size(cell, budget, tokens)
            models = []
            for rate in learning_rates:
                progress(f"{label(cell)}, {budget:,} parameters, learning rate {rate:g}", done, total)
                model = LanguageModel(cell=cell, hidden_size=size, learning_rate=rate, **options)
                models.append(fitted(model, text))
                done += budget
            best = min(models, key=lambda model: model.metrics_["valid"]["loss"])
            rows.append(_row(best, cell, test))
    progress("done", total, total)
    settings = {
        "budgets": list(budgets),
        "learning_rates": list(learning_rates),
        **options,
        "characters": len(text),
        "threads": torch.get_num_threads(),
    }
    threads = counted(torch.get_num_threads(), "thread")
    notes = [
        f"{len(text):,} characters, {epochs} passes; learning rate with the smallest loss on a held-out tenth",
        "loss: mean per character of the test text; rate: peak learning rate",
        f"characters/s: in training; step: one step of inference for one sequence; {threads}",
    ]
    return Result(
        "capacity", "Loss and speed at equal numbers of parameters", COLUMNS, rows, settings, _draw, notes=notes
    )


def _size(cell: str, budget: int, tokens: int) -> int:
    """Finds the number of units for a number of parameters. The final vocabulary can be smaller."""

    def count(size: int) -> int:
        with torch.device("meta"):
            network = LanguageNetwork(tokens, EMBEDDING, tied=False, recurrent=RecurrentSpec(cell, size))
        return parameter_count(network)

    return fitting_size(count, budget)


def _row(model: LanguageModel, cell: str, test: str) -> Row:
    history = model.history_
    return {
        "cell": label(cell),
        "units": model.hidden_size,
        "parameters": parameter_count(model.network_),
        "loss": model.evaluate(test)["loss"],
        "train_loss": history[model.best_epoch_ - 1]["loss"],
        "rate": model.learning_rate,
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in history),
        "microseconds": _step_seconds(model.network_) * 1e6,
    }


def _step_seconds(network: Any) -> float:
    """Measures the median time in seconds of a step with its scores, for one sequence."""
    token, state = torch.tensor([BEGIN_ID]), None

    def step() -> None:
        nonlocal state
        features, state = network.step(token, state)
        network.score(features)

    with torch.inference_mode():
        step()
        return statistics.median(timeit.repeat(step, number=CALLS, repeat=ROUNDS)) / CALLS


def _draw(result: Result) -> Figure:
    figure, (grid,) = panels(3)
    axes_of = {
        "loss": "test loss (nats a character)",
        "tokens_per_second": "training (characters a second)",
        "microseconds": "one step of inference (µs)",
    }
    for axes, (name, title) in zip(grid, axes_of.items(), strict=True):
        for style in styles(row["cell"] for row in result.rows).values():
            rows = [row for row in result.rows if row["cell"] == style["label"]]
            if rows:
                axes.plot([row["parameters"] for row in rows], [row[name] for row in rows], **style, markersize=5)
        axes.set(xscale="log", xlabel="parameters", ylabel=title)
        axes.set_xticks(result.settings["budgets"], [f"{budget:,}" for budget in result.settings["budgets"]])
        axes.minorticks_off()
        if name != "loss":
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter("{x:,.0f}")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure
