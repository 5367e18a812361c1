"""The models of a server: loaded once, each with its service and its stepper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recurra.errors import UsageError
from recurra.tasks import load
from recurra.tasks.serving.fingerprint import fingerprint
from recurra.tasks.serving.service import Service
from recurra.tasks.serving.stepper import Stepper

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
"""Names of models; they are parts of addresses."""


class ServedModel:
    """A model with everything that requests need.

    Args:
        name: name in the addresses.
        estimator: the fitted model.
        fingerprint: hash of weights and configuration; saved sessions belong to a model with this fingerprint.

    Attributes:
        service: answers for whole sequences.
        stepper: runs sessions; None if the model has none.
        no_sessions: the reason if it has none.
    """

    def __init__(self, name: str, estimator: Any, fingerprint: str) -> None:
        self.name, self.estimator, self.fingerprint = name, estimator, fingerprint
        self.service: Service = estimator.service()
        self.stepper: Stepper | None = None
        self.no_sessions = ""
        try:
            self.stepper = self.service.stepper()
        except UsageError as error:
            self.no_sessions = str(error)

    @property
    def generates(self) -> bool:
        """True if the model writes text."""
        return hasattr(self.estimator, "stream")

    def about(self) -> dict[str, Any]:
        """Returns the description of the model as JSON values."""
        estimator = self.estimator
        found: dict[str, Any] = {
            "name": self.name,
            "task": estimator.task,
            "title": estimator.title,
            "fingerprint": self.fingerprint,
            "input": self.service.input_schema(),
            "example": self.service.example(),
            **self.service.about(),
            "sessions": self.stepper is not None,
            "generates": self.generates,
            "metrics": getattr(estimator, "metrics_", {}),
        }
        if self.stepper is None:
            found["no_sessions"] = self.no_sessions
        else:
            found["steps"] = self.stepper.about()
        return found


def load_models(models: Mapping[str, Any]) -> dict[str, ServedModel]:
    """Loads models from folders, or takes fitted estimators.

    Args:
        models: model folder or estimator by name.

    Raises:
        UsageError: a name cannot be part of an address, or there is no model.
        ModelFolderError: a folder cannot be loaded.
    """
    if not models:
        raise UsageError("name at least one model to serve")
    found = {}
    for name, model in models.items():
        if not NAME.fullmatch(name):
            raise UsageError(
                f"the name {name!r:.120} cannot be part of an address: use up to 100 letters of a to z, digits, "
                "'.', '_' and '-', for example: recurra serve NAME=MODEL"
            )
        estimator = load(model) if isinstance(model, str | Path) else model
        found[name] = ServedModel(name, estimator, fingerprint(estimator))
    return found
