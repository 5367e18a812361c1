"""A whole task in one file outside the package: the number of steps of a sequence."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from recurra.cli.support.options import with_options
from recurra.cli.tasks import many_to_one
from recurra.cli.tasks.training import train as train_model
from recurra.data.batching.batches import Batches
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.inputs import as_sequences
from recurra.nn import SequenceEncoder
from recurra.tasks import Estimator
from recurra.tasks.fitting import Prepared
from recurra.tasks.registry import Task, register
from recurra.tasks.subject import Subject


class LengthNetwork(nn.Module):
    """Estimates one number from the last hidden state."""

    def __init__(self, cell, hidden_size):
        super().__init__()
        self.encoder = SequenceEncoder(1, 0, cell=cell, hidden_size=hidden_size)
        self.head = nn.Linear(self.encoder.output_size, 1)

    def forward(self, values, lengths):
        return self.head(self.encoder(values, lengths)[1])[:, 0]


class LengthObjective:
    """Squared error."""

    monitor, monitor_mode, perfect = "loss", "min", None

    def loss(self, network, batch):
        errors = (network(batch.values, batch.lengths) - batch.targets) ** 2
        return errors.sum(), torch.tensor(float(len(errors)))

    def observe(self, network, batch):
        return tuple(map(float, self.loss(network, batch)))

    def metrics(self, observed):
        return {"loss": sum(o[0] for o in observed) / sum(o[1] for o in observed)}


class LengthRegressor(Estimator):
    """Estimates a number that depends on the length of a sequence."""

    task = "toy-length"

    def fit(self, X, y, *, validation_data=None, checkpoint=None, checkpoint_minutes=10.0, resume=False):
        return self._fit(
            X,
            y,
            validation_data=validation_data,
            checkpoint=checkpoint,
            checkpoint_minutes=checkpoint_minutes,
            resume=resume,
        )

    def predict(self, X):
        batches = self._batches(X, None)
        found = self._run(batches, lambda network, batch: network(batch.values, batch.lengths).tolist())
        return [found[row] for row in range(batches.count)]

    def subject(self, X, y=None):
        batch = self._whole(self._batches(X, y))
        return Subject(
            self.network_,
            batch,
            forward=lambda batch: self.network_(batch.values, batch.lengths),
            score=lambda output: output,
            answers=[f"{number:.1f} steps" for number in self.predict(X)],
            title=self.title,
        )

    def _batches(self, X, y, **options):
        store = SequenceStore.build([[row.astype("float32") for row in as_sequences(X).rows]])
        targets = None if y is None else torch.tensor(y, dtype=torch.float32)
        return Batches(store, targets=targets, batch_size=self.batch_size, **options)

    def _prepare(self, X, y, *, validation_data, seed, checkpoint):
        valid = None if validation_data is None else self._batches(*validation_data)
        return Prepared(self._batches(X, y, shuffle=True, seed=seed), valid, {"sequences": len(X)})

    def _labelled(self, X, y, sample_weight):
        return self._batches(X, y)

    def _build(self):
        return LengthNetwork(self.cell, self.hidden_size)

    def _objective(self):
        return LengthObjective()

    def _state(self):
        return {}, {}

    def _load_state(self, config, files):
        pass

    def _card_info(self):
        return "series", "[[1.0, 2.0]]"


# the commands

OPTIONS = ("input", "target")


@with_options(many_to_one.SequenceFitOptions)
def fit(train: many_to_one.Train, *, options: many_to_one.SequenceFitOptions) -> None:
    """Train a regressor of lengths."""
    train_model("toy-length", train, options, lambda file, cache: _labelled(file, options))


def read(estimator, path, options):
    return _labelled(path, options, estimator.provenance_)


def inputs(estimator, source, options):
    return ((labelled.arguments[0],) for labelled in [read(estimator, Path(source), options)])


def predict(estimator, source, options):
    return ({"steps": number} for X in inputs(estimator, source, options) for number in estimator.predict(*X))


def _labelled(path, options, known=None):
    return many_to_one.read_labelled("regress", path, many_to_one.Columns.of(options, known), options)


TASK = Task("toy-length", f"{__name__}:LengthRegressor", "Length regressor", commands=__name__)
register(TASK)
