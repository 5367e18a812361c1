"""A classifier of film reviews in plain PyTorch: what `recurra fit classify` trains with its defaults, written by hand.

Usage: python benchmarks/nsmc_pytorch.py TRAIN VALID [--alike] [--epochs 6] [--seed 0] [--threads 2]

TRAIN and VALID are tables with the columns `document` and `label`, as those of the Naver sentiment movie corpus. The
tokenizer is Recurra's, so that both train on the same tokens; data loader, network, packing and training loop are as
the PyTorch documentation shows them. With `--alike` the batches are Recurra's own, of reviews of like length: what
is left of the difference then is not theirs. Prints figures of each epoch, then one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

from recurra.data import TextEncoder
from recurra.data.batching.batches import Batches
from recurra.data.batching.store import SequenceStore
from recurra.data.readers.tables import read_table

EMBEDDING, HIDDEN, VOCABULARY, BATCH = 128, 128, 4000, 64
DROPOUT, TOKEN_DROPOUT = 0.4, 0.3
LEARNING_RATE, WEIGHT_DECAY, WARM_UP, CLIP = 2e-3, 0.01, 0.05, 1.0


class Classifier(torch.nn.Module):
    """Embedding, LSTM over packed sequences, attention over its outputs, linear head."""

    def __init__(self, tokens: int, classes: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(tokens, EMBEDDING)
        torch.nn.init.normal_(self.embedding.weight, std=EMBEDDING**-0.5)
        self.lstm = torch.nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.score = torch.nn.Linear(HIDDEN, 1)
        self.head = torch.nn.Linear(HIDDEN, classes)
        self.dropout = torch.nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Scores of the classes, `(batch, classes)`."""
        if self.training:
            tokens = tokens * (torch.rand(tokens.shape) >= TOKEN_DROPOUT)  # 0 is the unknown token
        embedded = self.dropout(self.embedding(tokens))
        lengths = lengths.clamp(min=1)  # empty reviews cannot be packed
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        output, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        mask = torch.arange(output.shape[1]) < lengths.unsqueeze(1)
        score = self.score(output).squeeze(2).masked_fill(~mask, -math.inf)
        weight = torch.softmax(score, dim=1).unsqueeze(2)
        return self.head(self.dropout((weight * output).sum(1)))


class Reviews(Dataset):
    """Tokens and class of each review."""

    def __init__(self, reviews: list[np.ndarray], classes: Tensor) -> None:
        self.reviews, self.classes = [torch.tensor(review) for review in reviews], classes

    def __len__(self) -> int:
        return len(self.reviews)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.reviews[index], self.classes[index]


def collate(reviews: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Padded tokens `(batch, time)`, lengths and classes."""
    tokens, classes = zip(*reviews, strict=True)
    return pad_sequence(list(tokens), batch_first=True), torch.tensor([len(t) for t in tokens]), torch.stack(classes)


def load(train: Path, valid: Path, seed: int, alike: bool) -> tuple[Batches | DataLoader, Batches, int]:
    """Batches of both files, and the number of different tokens."""
    tables = [read_table(file, ["document", "label"]).table for file in (train, valid)]
    texts = [[text or "" for text in table.column(0).to_pylist()] for table in tables]
    labels = [np.array([str(label) for label in table.column(1).to_pylist()]) for table in tables]
    encoder = TextEncoder("bpe", VOCABULARY).fit([texts[0]])
    classes = np.unique(labels[0])
    stores = [SequenceStore.build([encoder.encode(part)]) for part in texts]
    targets = [torch.from_numpy(np.searchsorted(classes, part)) for part in labels]
    if alike:
        batches = Batches(stores[0], targets=targets[0], batch_size=BATCH, shuffle=True, seed=seed)
    else:
        reviews = Reviews(stores[0].take(np.arange(len(stores[0]))), targets[0])
        batches = DataLoader(reviews, BATCH, shuffle=True, collate_fn=collate)
    return batches, Batches(stores[1], targets=targets[1], batch_size=256), encoder.input_size


def train_epoch(model: Classifier, batches: Iterable, optimizer, schedule) -> float:
    """One pass over the data; returns the tokens per second of its steps."""
    model.train()
    tokens, seconds = 0, 0.0
    for values, lengths, targets, *_ in batches:
        start = time.perf_counter()
        loss = torch.nn.functional.cross_entropy(model(values, lengths), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        seconds += time.perf_counter() - start
        tokens += int(lengths.sum())
    return tokens / seconds


def accuracy(model: Classifier, batches: Batches) -> float:
    """Share of the reviews whose class is found."""
    model.eval()
    right = total = 0
    with torch.inference_mode():
        for values, lengths, targets, *_ in batches:
            right += int((model(values, lengths).argmax(1) == targets).sum())
            total += len(targets)
    return right / total


def main() -> None:
    """Trains and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--alike", action="store_true", help="batches of reviews of like length")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    batches, valid, tokens = load(args.train, args.valid, args.seed, args.alike)
    model = Classifier(tokens, 2)
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, fused=True)
    total = args.epochs * len(batches)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / (WARM_UP * total)) * 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    speeds, scores = [], []
    for epoch in range(args.epochs):
        speeds.append(train_epoch(model, batches, optimizer, schedule))
        scores.append(accuracy(model, valid))
        print(json.dumps({"epoch": epoch + 1, "tokens_per_second": speeds[-1], "accuracy": scores[-1]}), flush=True)
    print(json.dumps({"tokens_per_second": statistics.median(speeds), "accuracy": max(scores)}))


if __name__ == "__main__":
    main()
