"""What a language model learnt from texts without labels, for a network of another task."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

Weights = dict[str, Tensor]
"""Weights of a recurrent layer by name."""


class Language(NamedTuple):
    """Tokens and weights of a language model.

    Attributes:
        encoder: converts texts to tokens.
        params: parameters that describe tokens and network, by name.
        embedding: vector of each token, as the recurrent layers read it, `(tokens, size)`.
        forwards: weights of the layers that read from the beginning to the end.
        backwards: those that read from the end to the beginning; None for none.
    """

    encoder: Any
    params: dict[str, Any]
    embedding: Tensor
    forwards: Weights
    backwards: Weights | None = None

    def recurrent(self) -> Weights:
        """Returns the weights of one layer stack of all directions, which computes the same as the stacks of both.

        A higher layer of a language model reads its own direction only. The weights of the other one are 0.
        """
        if self.backwards is None:
            return self.forwards
        found = {}
        for suffix, weights, first in (("", self.forwards, True), ("_reverse", self.backwards, False)):
            for name, weight in weights.items():
                if name.startswith("weight_ih_l") and name != "weight_ih_l0":
                    parts = (weight, torch.zeros_like(weight))
                    weight = torch.cat(parts if first else parts[::-1], 1)
                found[name + suffix] = weight
        return found


class Start(NamedTuple):
    """The model that training starts from.

    Attributes:
        model: the fitted model.
        name: its name for people, with the task and the hash of the weights.
        same: whether it has the task of the new model.
    """

    model: Any
    name: str
    same: bool
