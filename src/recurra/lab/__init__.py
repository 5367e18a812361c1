"""Reproducible experiments, each with a table and a figure: `recurra lab` and `recurra.lab`."""

from .bidirectional import bidirectional
from .capacity import capacity
from .order import order
from .result import Result
from .vanishing import vanishing

QUICK = {
    "vanishing": {"lags": (10, 50), "parameters": 2000, "learning_rates": (1e-2,), "steps": 600},
    "order": {"rows": 120, "epochs": 12, "hidden_size": 32},
    "capacity": {"budgets": (6000,), "learning_rates": (1e-2,), "epochs": 1},
    "bidirectional": {"rows": 300, "epochs": 2, "hidden_size": 32},
}
"""Arguments of a small version of each experiment, which takes seconds."""

__all__ = ["QUICK", "Result", "bidirectional", "capacity", "order", "vanishing"]
