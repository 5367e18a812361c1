"""Cells by name: the values of the parameter `cell`, the labels in tables and figures, and torch's equivalents.

The other packages derive their lists of cells from this module. It does not import torch, so that the command line can
list the cells in its help.
"""

from __future__ import annotations

import ast
from typing import NamedTuple, TypeVar

from recurra.errors import UsageError

from .base import Cell
from .checks import check_declaration, place_of
from .elementwise.indrnn import IndRNN
from .elementwise.mingru import MinGRU
from .elementwise.minlstm import MinLSTM
from .elementwise.rglru import RGLRU
from .elementwise.sru import SRU
from .gru import GRU
from .lstm import LSTM
from .rnn import RNN
from .variants.coupled_lstm import CoupledLSTM
from .variants.layer_norm_gru import LayerNormGRU
from .variants.layer_norm_lstm import LayerNormLSTM
from .variants.mgu import MGU
from .variants.mogrifier_lstm import MogrifierLSTM
from .variants.peephole_lstm import PeepholeLSTM
from .variants.reset_before_gru import ResetBeforeGRU
from .variants.slstm import SLSTM

CellLike = str | Cell | type[Cell]
"""A cell as a parameter: the name of a known one, or another cell as an instance or class.

Example:
    >>> [repr(find(cell)) for cell in ("lstm", LSTM(), LSTM)]
    ['LSTM()', 'LSTM()', 'LSTM()']
"""

C = TypeVar("C", bound=type[Cell] | Cell)

NO_MEMORY = "none"
"""Value of the parameter `cell` for the baseline without recurrence."""


class Known(NamedTuple):
    """One known cell.

    Attributes:
        cell: its equations; a cell holds no weights, so one instance serves every layer.
        label: how tables and figures show it.
        torch_class: the class of `torch.nn` that computes the same, `""` if there is none. `vars(cell)` are the
            arguments of that class.
    """

    cell: Cell
    label: str
    torch_class: str = ""


_BUILT_IN = {
    "lstm": Known(LSTM(), "LSTM", "LSTM"),
    "gru": Known(GRU(), "GRU", "GRU"),
    "rnn": Known(RNN(), "RNN", "RNN"),
    "rnn_relu": Known(RNN("relu"), "RNN (relu)", "RNN"),
    "layer_norm_lstm": Known(LayerNormLSTM(), "LSTM, layer norm"),
    "peephole_lstm": Known(PeepholeLSTM(), "peephole LSTM"),
    "coupled_lstm": Known(CoupledLSTM(), "coupled LSTM"),
    "mogrifier_lstm": Known(MogrifierLSTM(), "Mogrifier LSTM"),
    "slstm": Known(SLSTM(), "sLSTM"),
    "minlstm": Known(MinLSTM(), "minLSTM"),
    "layer_norm_gru": Known(LayerNormGRU(), "GRU, layer norm"),
    "reset_before_gru": Known(ResetBeforeGRU(), "GRU, reset before"),
    "mgu": Known(MGU(), "MGU"),
    "mingru": Known(MinGRU(), "minGRU"),
    "indrnn": Known(IndRNN(), "IndRNN"),
    "sru": Known(SRU(), "SRU"),
    "rglru": Known(RGLRU(), "RG-LRU"),
}
_registered: dict[str, Known] = {}

FAMILIES = ("rnn", "lstm", "gru")
"""The three basic cells, the simplest first."""


def known() -> dict[str, Known]:
    """Returns the built-in cells and then the registered ones, by name."""
    return _BUILT_IN | _registered


def names(*, memoryless: bool = True) -> tuple[str, ...]:
    """Returns the values that the parameter `cell` may have, with or without `"none"`.

    Example:
        >>> names()[:5], names()[-1]
        (('lstm', 'gru', 'rnn', 'rnn_relu', 'layer_norm_lstm'), 'none')
    """
    return (*known(), NO_MEMORY) if memoryless else tuple(known())


def register(cell: C) -> C:
    """Makes a cell known by its name, as a function or as a decorator of the class.

    The parameter `cell`, the command line and `recurra.load` then accept the name.

    Args:
        cell: a subclass of `Cell`, or an instance.

    Raises:
        UsageError: the name is empty or is the name of a built-in cell.

    Example:
        >>> from recurra.cells import GRU, CellLike, register, registry
        >>> @register
        ... class SlowGRU(GRU):
        ...     name = "slow_gru"
        >>> chosen: CellLike = "slow_gru"  # or the class, or an instance
        >>> registry.find(chosen)
        SlowGRU()
        >>> del registry._registered["slow_gru"]
    """
    found = find(cell)
    if found.name in _BUILT_IN:  # known already
        return cell
    _registered[found.name] = Known(found, found.name.upper())
    return cell


def find(cell: CellLike, *, memoryless: bool = False) -> Cell:
    """Returns the cell for a name, an instance or a class.

    Args:
        cell: the cell. A name may have settings: `"slstm(heads=4)"`.
        memoryless: whether the message of the error lists `"none"` among the names.

    Raises:
        UsageError: the name is unknown, or a cell has no usable name, gates or states.
    """
    if isinstance(cell, str):
        name = cell.partition("(")[0]
        if name not in known():
            raise UsageError(f"cell is one of {', '.join(names(memoryless=memoryless))}, not {cell!r}")
        return known()[name].cell if name == cell else _with_settings(known()[name].cell, cell)
    if isinstance(cell, type) and issubclass(cell, Cell):
        try:
            cell = cell()
        except TypeError as error:
            raise UsageError(f"the cell {cell.__name__} cannot be made without arguments: {error}") from None
    if not isinstance(cell, Cell):
        raise UsageError(f"cell is a name, a Cell or its class, not {cell!r:.60}")
    name = getattr(cell, "name", "")
    if not isinstance(name, str) or not name:
        raise UsageError(
            f"{place_of(type(cell))}the cell {type(cell).__name__} needs a name: set the attribute `name` of its class"
        )
    taken = name == NO_MEMORY or (name in _BUILT_IN and type(_BUILT_IN[name].cell) is not type(cell))
    if taken:
        raise UsageError(
            f"{place_of(type(cell))}the cell {type(cell).__name__} has the name {name!r} of a built-in cell; "
            "use another name"
        )
    check_declaration(cell)
    return cell


def name_of(cell: CellLike) -> str:
    """Returns the name under which a model folder stores a cell.

    Example:
        >>> name_of(RNN("relu")), name_of(LSTM), name_of("none"), name_of(SLSTM(heads=4))
        ('rnn_relu', 'lstm', 'none', 'slstm(heads=4)')
    """
    if isinstance(cell, str):
        return cell
    cell = find(cell)
    for name, entry in _BUILT_IN.items():
        if is_same(entry.cell, cell):
            return name
    full = f"{cell.name}({', '.join(f'{name}={value!r}' for name, value in vars(cell).items())})"
    try:
        return full if cell.name in _BUILT_IN and is_same(find(full), cell) else cell.name
    except UsageError:
        return cell.name


def _with_settings(cell: Cell, text: str) -> Cell:
    """Returns a cell of the same class with the settings of a text such as `"slstm(heads=4)"`."""
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("settings have the form name=value")
        settings = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
        return type(cell)(**vars(cell) | settings)
    except (SyntaxError, TypeError, ValueError) as error:
        wanted = ", ".join(f"{name}={value!r}" for name, value in vars(cell).items())
        raise UsageError(
            f"cell {text!r:.60} is not understood ({error}); "
            + (f"write {cell.name}({wanted})" if wanted else f"the cell {cell.name} has no settings")
        ) from None


def label(name: str) -> str:
    """Returns how tables and figures show a cell.

    Example:
        >>> label("rnn_relu"), label("none")
        ('RNN (relu)', 'no memory')
    """
    if name == NO_MEMORY:
        return "no memory"
    return known()[name].label if name in known() else name


def torch_class(cell: Cell) -> str:
    """Returns the name of the class of `torch.nn` that computes the same; `""` if there is none.

    A subclass of a built-in cell may compute something else, so it has none.
    """
    return next((entry.torch_class for entry in _BUILT_IN.values() if type(entry.cell) is type(cell)), "")


def is_same(one: Cell, other: Cell) -> bool:
    """Returns whether two cells compute the same: one class, equal settings."""
    return type(one) is type(other) and vars(one) == vars(other)
