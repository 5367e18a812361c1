"""Trace: every gate and state of a model on some inputs, with named axes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recurra._util.html import html_note
from recurra.cells import State
from recurra.errors import UsageError
from recurra.tasks.subject import Subject

from .layers import DIRECTIONS, LayerCall, as_ours, recurrent_layers, serving
from .record_windows import Choice, record_some
from .results import LayerResults, listed
from .subject import step_coords, subject_of

if TYPE_CHECKING:
    import xarray

MAX_BYTES = 2 << 30
"""Default maximum size of a trace in bytes."""

PAGE_WRITERS: list[Callable[..., None]] = []
"""Writes the HTML page of a trace. `recurra.inspect.report` adds its function here, since it imports this module."""

AXES = ("layer", "direction", "batch", "time", "unit")


def trace(
    model: Any,
    x: Any = None,
    *,
    lengths: Any = None,
    names: Collection[str] | None = None,
    units: Sequence[int] | slice | None = None,
    time: int | slice | None = None,
    max_bytes: int = MAX_BYTES,
    say: Callable[[str], Any] | None = None,
) -> Trace:
    """Runs a model and keeps every gate and state of its recurrent layers.

    The native engine stores these values for its backward pass anyway, so a trace costs little more than a forward pass
    in training. Dropout is off. A recurrent layer of `torch.nn` is recomputed from its weights; `Trace.deviation` is
    the difference from its real output.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        x: for an estimator, sequences as its `predict` takes them; for a module, the tensor that it is called with; or
            a `Subject`.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        names: gates and states to keep, such as `("forget", "cell")`; None for all.
        units: units to keep; None for all.
        time: steps to keep, an index or a slice with a positive step; None for all. All steps run, but only the
            selected ones are stored.
        max_bytes: maximum size of the trace.
        say: called before the run with a message about the size of the trace.

    Returns:
        Gates and states by name, NaN in the padding.

    Raises:
        UsageError: the model has no recurrent layer, the trace would be too large, or a name, unit or step does not
            exist.
        DataError: `x` cannot be used.

    Example:
        >>> import torch, recurra
        >>> trace = recurra.trace(torch.nn.LSTM(5, 8, batch_first=True), torch.randn(3, 10, 5))
        >>> trace["forget"].dims, trace["forget"].shape
        (('layer', 'direction', 'batch', 'time', 'unit'), (1, 1, 3, 10, 8))
        >>> bool(trace["output"].max() < 1), trace.deviation < 1e-6
        (True, True)
    """
    subject = subject_of(model, x, lengths=lengths)
    recorder = _Recorder(subject, names, units, time, max_bytes, say)
    network = subject.network
    with torch.no_grad(), serving(network, recorder.serve):
        subject.forward(subject.batch)
    recorder.check_found()
    return Trace(recorder.parts, subject, recorder.deviation)


@dataclass(frozen=True, repr=False)
class Trace(LayerResults):
    """Gates and states of one run of a model.

    Attributes:
        parts: for each recurrent layer of the model by name, an `xarray.Dataset` with one array for each gate and
            state, with the axes `layer direction batch time unit`.
        subject: the model and its inputs.
        deviation: largest difference between the output of the trace and that of the model's layers; 0 if the trace is
            the run itself.

    Example:
        >>> import torch, recurra
        >>> from recurra import nn
        >>> trace = recurra.trace(nn.GRU(5, 8, num_layers=2), torch.randn(7, 3, 5), units=[0, 1])
        >>> trace["update"].sel(layer=1, direction="forward").shape
        (3, 7, 2)
        >>> list(trace)
        ['reset', 'update', 'candidate', 'hidden']
    """

    subject: Subject
    deviation: float

    kind: ClassVar[str] = "trace"

    def __getitem__(self, name: str) -> xarray.DataArray:
        """A gate or state: `(layer, direction, batch, time, unit)`."""
        data = self.to_xarray()
        if name not in data.data_vars:
            raise UsageError(f"there is no {name!r} in this trace; there are {listed(data.data_vars)}")
        return data[name]

    def __iter__(self) -> Iterator[str]:
        """Names of the gates and states."""
        return iter([str(name) for name in self.to_xarray().data_vars])

    def __repr__(self) -> str:
        """Sizes of each part."""
        lines = [
            f"{name or 'layer'}: {', '.join(map(str, d.data_vars))} {dict(d.sizes)}" for name, d in self.parts.items()
        ]
        return "\n".join(["Trace", *lines])

    def _repr_html_(self) -> str:
        """Sizes and arrays of each part, as xarray shows them."""
        parts = (html_note(f"{name or 'layer'}:") + data._repr_html_() for name, data in self.parts.items())
        return html_note("Trace") + "".join(parts)

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        return sum(data.nbytes for data in self.parts.values())

    def to_html(self, path: str | Path, *, row: int = 0, language: str | None = None) -> None:
        """Writes the report page of one sequence; see `recurra.inspect.write_report`."""
        PAGE_WRITERS[0](self, path, row=row, language=language)

    def to_netcdf(self, path: str | Path) -> None:
        """Writes a netCDF file, with a group for each layer if there are several; see `xarray.open_dataset`."""
        from .export import to_netcdf

        to_netcdf(self.parts, Path(path))

    def to_parquet(self, path: str | Path) -> None:
        """Writes a Parquet table: a row for each layer, direction, sequence, step and unit, a column for each gate."""
        from .export import to_parquet

        to_parquet(self.parts, Path(path))


class TooLargeError(UsageError):
    """The trace would be larger than allowed.

    Args:
        what: description of the size.
        steps: number of steps that fit.
        units: number of units that fit.
        name: name of a gate, for the advice.
    """

    def __init__(self, what: str, steps: int, units: int, name: str) -> None:
        super().__init__(
            f"{what}\nchoose steps (time=slice(0, {steps})), units (units=range({units})) or gates (names=[{name!r}]), "
            "or raise max_bytes"
        )
        self.what, self.steps, self.units, self.name = what, steps, units, name


class _Recorder:
    """Handles the calls of the layers and keeps the selected values."""

    def __init__(
        self,
        subject: Subject,
        names: Collection[str] | None,
        units: Sequence[int] | slice | None,
        time: int | slice | None,
        max_bytes: int,
        say: Callable[[str], Any] | None,
    ) -> None:
        names = [names] if isinstance(names, str) else names
        self.subject, self.names, self.time = subject, names, time
        self.max_bytes, self.say = max_bytes, say
        self.parts: dict[str, xarray.Dataset] = {}
        self.deviation, self.longest = 0.0, 0
        sizes = [as_ours(layer).stack.inner_sizes for layer in recurrent_layers(subject.network).values()]
        known = {name: None for found in sizes for name in found}
        if names is not None and not (names and set(names) <= set(known)):
            wrong = listed(sorted(set(names) - set(known)))
            why = f"there is no {wrong} in this model" if wrong else "names is empty"
            raise UsageError(f"{why}; there are {listed(known)}")
        most = max(min(found.values()) for found in sizes)
        if isinstance(units, slice):
            units = range(most)[units]
        if units is not None and (not len(units) or min(units) < 0 or max(units) >= most):
            raise UsageError(f"units must be between 0 and {most - 1}, got {list(units)[:10]}")
        self.units = units

    def serve(self, call: LayerCall) -> tuple[Tensor, State]:
        choice = self._choose(call)
        output, last, arrays = record_some(call.stack, call.values, call.weights, call.lengths, call.states, choice)
        if call.real is not None and output.numel():
            apart = torch.where(output == call.real, 0, (output - call.real).abs())
            self.deviation = float(np.maximum(self.deviation, float(apart.max())))  # NaN stays NaN
        if arrays and (choice.time or self.time is None) and (choice.units is None or len(choice.units)):
            self.parts[call.part] = self._labelled(call, choice, arrays)
        return output, last

    def check_found(self) -> None:
        """Checks after the run that some layer had the selected steps. The number of steps can differ by layer."""
        if not self.parts and self.longest and self.time is not None:
            raise UsageError(f"time={self.time} selects none of the {self.longest:,} steps")

    def _choose(self, call: LayerCall) -> Choice:
        stack, (batch, steps) = call.stack, call.values.shape[:2]
        self.longest = max(self.longest, steps)
        time = self.time
        if isinstance(time, int):
            time = slice(time, time + 1 or None)
        chosen = range(steps)[slice(None) if time is None else time]
        if chosen.step < 1:
            raise UsageError("time must be a slice with a positive step")
        units = self.units
        if units is not None:
            own = min(stack.inner_sizes.values())
            units = [unit for unit in units if unit < own]
        names = [name for name in stack.inner_sizes if self.names is None or name in self.names]
        choice = Choice(names, units, chosen)
        self._check_size(call, choice, batch)
        return choice

    def _check_size(self, call: LayerCall, choice: Choice, batch: int) -> None:
        stack, sizes = call.stack, choice.sizes(call.stack)
        rows = stack.num_layers * stack.directions * batch * len(choice.time)
        size = rows * sum(sizes.values()) * call.values.element_size()
        if self.say is not None:
            self.say(f"tracing {call.name or 'the layer'}: {_bytes(size)}")
        if size <= self.max_bytes:
            return
        share = self.max_bytes / size
        raise TooLargeError(
            f"a trace of {batch} x {len(choice.time):,} steps x {stack.num_layers * stack.directions} layers and "
            f"directions x {sum(sizes.values()):,} values would take {_bytes(size)}; at most {_bytes(self.max_bytes)}",
            max(1, int(len(choice.time) * share)),
            max(1, int(stack.hidden_size * share)),
            next(iter(sizes)),
        )

    def _labelled(self, call: LayerCall, choice: Choice, arrays: Mapping[str, Tensor]) -> xarray.Dataset:
        """Data set of the arrays, with coordinates of the steps."""
        import xarray

        stack, units = call.stack, choice.units
        coords: dict[str, Any] = {
            "layer": range(stack.num_layers),
            "direction": list(DIRECTIONS[: stack.directions]),
            "unit": list(range(stack.hidden_size) if units is None else units),
            **step_coords(self.subject, call.part, call.full_lengths, choice.time),
        }
        found = {}
        for name, array in arrays.items():
            # a projected hidden state has its own units
            last = "unit" if units is not None or array.shape[-1] == stack.hidden_size else "projection"
            if array.dtype == torch.bfloat16:  # numpy has no bfloat16
                array = array.float()
            found[name] = ((*AXES[:4], last), array.cpu().numpy())
        return xarray.Dataset(found, coords, {"cell": stack.cell.name, "part": call.part})


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
