"""Accuracy of sessions whose weights are rounded: `python benchmarks/session_weights.py TRAIN VALID [--epochs 6]`.

Trains the classifier of `nsmc_pytorch.py`, with Recurra's LSTM in place of torch's. Then it runs the LSTM over the
reviews of VALID step by step, in sessions with weights in float32, bfloat16 and int8. Prints the accuracy of each, and
the share of the reviews that have the same class as with float32.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from nsmc_pytorch import BATCH, EMBEDDING, HIDDEN, LEARNING_RATE, WEIGHT_DECAY, Classifier, load, train_epoch
from torch import Tensor

from recurra import nn


class Stepwise(torch.nn.Module):
    """Runs an LSTM like a layer, but with one step of a session after the other."""

    def __init__(self, layer: nn.LSTM, weights: torch.dtype) -> None:
        super().__init__()
        self.layer, self.weights = layer, weights

    def forward(self, packed: torch.nn.utils.rnn.PackedSequence) -> tuple[torch.nn.utils.rnn.PackedSequence, None]:
        """The outputs `(tokens, hidden)` of packed sequences."""
        values, lengths = torch.nn.utils.rnn.pad_packed_sequence(packed)
        session = self.layer.session(values.shape[1], self.weights)
        output = torch.stack([session.step(step) for step in values])
        return torch.nn.utils.rnn.pack_padded_sequence(output, lengths, enforce_sorted=False), None


def train(model: Classifier, batches, epochs: int) -> None:
    """Trains with Adam and a learning rate that falls linearly."""
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, epochs * len(batches))
    for epoch in range(epochs):
        train_epoch(model, batches, optimizer, schedule)
        print(f"epoch {epoch + 1} of {epochs}", flush=True)


def classes(model: Classifier, batches) -> tuple[Tensor, Tensor]:
    """The predicted and the true classes of all reviews."""
    model.eval()
    with torch.inference_mode():
        found = [(model(values, lengths).argmax(1), targets) for values, lengths, targets, *_ in batches]
    return torch.cat([mine for mine, _ in found]), torch.cat([true for _, true in found])


def main() -> None:
    """Trains, then compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    batches, valid, tokens = load(options.train, options.valid, options.seed, alike=True)
    model = Classifier(tokens, 2)
    layer = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
    model.lstm = layer
    print(f"{len(batches)} batches of {BATCH} reviews")
    train(model, batches, options.epochs)
    reference = None
    for weights in (torch.float32, torch.bfloat16, torch.int8):
        model.lstm = Stepwise(layer, weights)
        found, true = classes(model, valid)
        reference = found if reference is None else reference
        name = str(weights).removeprefix("torch.")
        same = (found == reference).double().mean()
        print(f"{name}: accuracy {100 * (found == true).double().mean():.2f} %, same class {100 * same:.2f} %")


if __name__ == "__main__":
    main()
