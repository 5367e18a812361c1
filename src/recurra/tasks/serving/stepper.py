"""Base class of the steppers, which run many sequences of one model step by step.

The state of a sequence is a fixed set of tensors, and for models of text the end of the text that later characters
may still change. After each call the answer equals the prediction for the whole sequence so far, bit by bit, for any
division into steps and for any other sequences in the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.errors import UsageError


class StateSpec(NamedTuple):
    """One tensor of the state of one sequence.

    Attributes:
        shape: without an axis for sequences.
        dtype: number type.
        initial: value of all numbers in a new sequence.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    initial: float = 0.0


class Advanced(NamedTuple):
    """Result of `Stepper.advance`.

    Attributes:
        states: the new states by name, `(sequences, …)`.
        rests: the new rests of text, one for each sequence; empty strings for models without text.
        outputs: output of the model for each sequence so far, `(sequences, outputs)`: probabilities in float32, and
            predicted numbers in the units of the training data in float64. A row with a value that is not finite is
            an error of this sequence only; the caller keeps its old state.
        errors: message for each sequence whose steps cannot be used, by position; its row of `outputs` is NaN.
    """

    states: dict[str, Tensor]
    rests: list[str]
    outputs: np.ndarray
    errors: Mapping[int, str] = MappingProxyType({})


class Stepper:
    """Runs sequences of one model step by step."""

    specs: dict[str, StateSpec]
    """Tensors of the state of one sequence by name, such as `hidden`, `cell` and `pooling.sum`."""

    def start(self, count: int, **options: Any) -> dict[str, Tensor]:
        """Returns the states of new sequences by name, `(count, …)`.

        Args:
            count: number of sequences.
            **options: options of the sequences, if the model has any; see `about`.

        Raises:
            UsageError: an option is not known. `InputError`: its value is not.
        """
        for name in options:
            raise UsageError(f"a sequence of this model has no option {name!r:.40}")
        return {
            name: torch.full((count, *spec.shape), spec.initial, dtype=spec.dtype) for name, spec in self.specs.items()
        }

    def about(self) -> dict[str, Any]:
        """Returns what a client needs to know, as JSON values.

        Returns:
            `state`: shape and type of each tensor by name. `outputs`: names of the outputs. `step`: what a step is.
            `options`: options of `start`, if there are any.
        """
        return {
            "state": {
                name: {"shape": list(spec.shape), "dtype": str(spec.dtype).removeprefix("torch.")}
                for name, spec in self.specs.items()
            }
        }

    def parse(self, inputs: Sequence[Any]) -> Any:
        """Converts the JSON value `inputs` of one request to steps of one sequence.

        Raises:
            InputError: a value cannot be used; `path` begins with `"inputs"`.
        """
        raise NotImplementedError

    def parse_binary(self, data: np.ndarray) -> Any:
        """Converts float32 values `(steps * features,)` of one request to steps of one sequence.

        Raises:
            InputError: the model does not take numbers, or their number is not a multiple of the features.
        """
        raise NotImplementedError

    def steps(self, item: Any) -> int:
        """Returns the number of time steps (or characters) of parsed steps; the server limits it."""
        return len(item)

    def advance(self, states: dict[str, Tensor], rests: Sequence[str], items: Sequence[Any]) -> Advanced:
        """Runs some steps of several sequences in one call of the engine. `states` are not changed.

        Args:
            states: by name, `(sequences, …)`.
            rests: the rest of the text of each sequence.
            items: a result of `parse` or `parse_binary` for each sequence; the numbers of steps may differ and be 0.
        """
        raise NotImplementedError

    def answer(self, output: np.ndarray, states: dict[str, Tensor]) -> dict[str, Any]:
        """Returns the answer to a step as JSON values, with keys and values as in `Service.answers`.

        Args:
            output: a row of `Advanced.outputs`.
            states: the new state of this sequence by name, without an axis for sequences.
        """
        raise NotImplementedError
