"""Which defaults for numeric series? Trains on real and on synthetic sets with some arguments, on several seeds.

Usage: python benchmarks/series.py [--data FOLDER] [--sets jv,gun,cbf,…] [--seeds 3] [--set pooling=mean dropout=0.4 …]

The figure is accuracy, R² for numbers, on the test part. `jv`, `gun`, `arrow`, `acsf`, `cardano` and `covid` need the
folder of real data; the others are made here: `cbf` (cylinder, bell, funnel: 30 rows, one feature), `spectra` (ragged,
classes differ in how channels hang together), `order` (which of two marks comes first), `damped` (frequency of an
oscillation), `noisy` (the mean of a channel, with as much noise in the target), `unsure` (the sign of that), `outlines`
of six shapes, `currents` of eight devices, `motions` of six channels and `chemical` (spectra of mixtures).
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np

from recurra import SequenceClassifier, SequenceRegressor
from recurra.data.readers.ts import read_ts

Pairs = list[tuple[np.ndarray, object]]


def cbf(random: np.random.Generator, rows: int) -> Pairs:
    """Cylinder, bell and funnel of Saito's thesis (1994)."""
    found: Pairs = []
    for i in range(rows):
        begin = random.integers(16, 33)
        end, t = begin + random.integers(32, 97), np.arange(128)
        shape = [1.0, (t - begin) / (end - begin), (end - t) / (end - begin)][i % 3]
        values = (6 + random.normal()) * shape * ((t >= begin) & (t <= end)) + random.normal(size=128)
        found.append((values[:, None], "cbf"[i % 3]))
    return found


def spectra(random: np.random.Generator, rows: int) -> Pairs:
    """Six linear systems of five channels, driven by noise, with a gain and an offset of their own each time."""
    fixed = np.random.default_rng(7)
    systems = [fixed.normal(size=(5, 5)) for _ in range(6)]
    systems = [0.85 * a / np.abs(np.linalg.eigvals(a)).max() for a in systems]
    found: Pairs = []
    for i in range(rows):
        state, steps = np.zeros(5), []
        for _ in range(int(random.integers(20, 90)) + 10):
            state = systems[i % 6] @ state + random.normal(size=5)
            steps.append(state)
        values = np.array(steps[10:]) * random.uniform(0.7, 1.4) + random.normal(size=5) * 0.5 + 50
        found.append((values, str(i % 6)))
    return found


def order(random: np.random.Generator, rows: int) -> Pairs:
    """Two bumps in noise, up or down, the first in one channel and the second in another."""
    bump = np.sin(np.linspace(0, np.pi, 9)) * 2.5
    found: Pairs = []
    for _ in range(rows):
        label, steps = int(random.integers(0, 4)), int(random.integers(50, 140))
        values = random.normal(scale=0.6, size=(steps, 3))
        first, second = sorted(random.choice(np.arange(2, steps - 12), 2, replace=False))
        second = min(max(second, first + 9), steps - 9)
        first = min(first, second - 9)
        signs = [(1, -1), (-1, 1), (1, 1), (-1, -1)][label]
        values[first : first + 9, 0] += signs[0] * bump
        values[second : second + 9, 1] += signs[1] * bump
        found.append((values, str(label)))
    return found


def damped(random: np.random.Generator, rows: int) -> Pairs:
    """A damped oscillation in noise beside a channel of noise; its frequency is wanted."""
    found: Pairs = []
    for _ in range(rows):
        t = np.arange(int(random.integers(40, 100)))
        frequency, decay, phase = random.uniform(0.1, 0.5), random.uniform(0.005, 0.03), random.uniform(0, 6.28)
        wave = np.exp(-decay * t) * np.cos(frequency * t + phase) * random.uniform(1, 2)
        values = np.stack([wave + random.normal(scale=0.2, size=len(t)), random.normal(size=len(t))], 1)
        found.append((values, 100 * frequency))
    return found


def noisy(random: np.random.Generator, rows: int) -> Pairs:
    """A mixture of the channels' means, with noise: no model can reach more than R² = 0.6."""
    found: Pairs = []
    for _ in range(rows):
        steps, means = int(random.integers(10, 50)), random.normal(size=4)
        values = means + random.normal(size=(steps, 4))
        found.append((values, means[0] - 0.5 * means[1] + random.normal() * 0.9))
    return found


def unsure(random: np.random.Generator, rows: int) -> Pairs:
    """The sign of `noisy`: no model can reach more than an accuracy of 0.78."""
    return [(values, "high" if float(str(y)) > 0 else "low") for values, y in noisy(random, rows)]


def outlines(random: np.random.Generator, rows: int) -> Pairs:
    """Distance of six closed curves from their centre, 400 steps, with other proportions and a warped angle."""
    fixed, found = np.random.default_rng(3), []
    curves = [fixed.normal(size=(9, 2)) / np.arange(1, 10)[:, None] ** 1.2 for _ in range(6)]
    for i in range(rows):
        angle = np.linspace(0, 2 * np.pi, 400, endpoint=False) + 0.12 * random.normal()
        angle = angle + 0.25 * random.normal() * np.sin(angle + random.uniform(0, 6.3))
        curve = curves[i % 6] * (1 + 0.25 * random.normal(size=(9, 2)))
        waves = [a * np.cos(n * angle) + b * np.sin(n * angle) for n, (a, b) in enumerate(curve, 1)]
        values = sum(waves, 0.02 * random.normal(size=400))
        found.append((((values - values.mean()) / values.std())[:, None], str(i % 6)))
    return found


def currents(random: np.random.Generator, rows: int) -> Pairs:
    """Harmonics of eight devices that switch on and off, 1,000 steps."""
    fixed, found, t = np.random.default_rng(5), [], np.arange(1000)
    harmonics = np.abs(fixed.normal(size=(8, 6))) / np.arange(1, 7)
    duty, level, length = fixed.uniform(0.2, 1, 8), np.exp(fixed.normal(size=8)), fixed.uniform(8, 14, 8)
    for i in range(rows):
        k, phase, cycle = i % 8, random.uniform(0, 6.3), int(random.integers(100, 400))
        sizes = harmonics[k] * (1 + 0.3 * random.normal(size=6))
        wave = sum(a * np.sin(n * (2 * np.pi * t / length[k] + phase)) for n, a in enumerate(sizes, 1))
        on = ((t + random.integers(0, cycle)) % cycle) < duty[k] * cycle
        values = wave * (on + 0.1) * level[k] * np.exp(0.3 * random.normal()) + 0.1 * random.normal(size=1000)
        found.append((((values - values.mean()) / values.std())[:, None], str(k)))
    return found


def motions(random: np.random.Generator, rows: int) -> Pairs:
    """Oscillations of six channels in four motions, 100 steps; two motions begin and end."""
    fixed, found, t = np.random.default_rng(9), [], np.arange(100)[:, None]
    frequency, size = fixed.uniform(0.03, 0.12, (4, 6)), fixed.uniform(0.3, 2, (4, 6))
    for i in range(rows):
        k, speed = i % 4, random.uniform(0.85, 1.15)
        bell = np.exp(-0.5 * ((t - random.uniform(30, 70)) / random.uniform(12, 30)) ** 2)
        wave = np.sin(2 * np.pi * frequency[k] * speed * t + random.uniform(0, 6.3, 6))
        found.append((size[k] * wave * (bell if k % 2 else 1) + 0.5 * random.normal(size=(100, 6)), str(k)))
    return found


def chemical(random: np.random.Generator, rows: int) -> Pairs:
    """Absorption spectra of mixtures of five substances, 230 steps; the amount of one is wanted. Ridge is right."""
    fixed, found, x = np.random.default_rng(11), [], np.arange(230)
    peaks = [(fixed.uniform(0.2, 1), fixed.uniform(0, 230), fixed.uniform(8, 30)) for _ in range(20)]
    lines = np.array([a * np.exp(-0.5 * ((x - m) / s) ** 2) for a, m, s in peaks]).reshape(5, 4, 230).sum(1)
    for _ in range(rows):
        amounts = random.uniform(0, 1, 5)
        base = 0.3 * random.normal() + 0.1 * random.normal() * x / 230
        values = amounts @ lines + base + 0.005 * random.normal(size=230)
        found.append((values[:, None], 10 + 8 * amounts[0] + 0.15 * random.normal()))
    return found


SYNTHETIC: dict[str, tuple[Callable[[np.random.Generator, int], Pairs], int]] = {
    "cbf": (cbf, 30),
    "spectra": (spectra, 240),
    "order": (order, 200),
    "damped": (damped, 150),
    "noisy": (noisy, 120),
    "unsure": (unsure, 120),
    "outlines": (outlines, 120),
    "currents": (currents, 96),
    "motions": (motions, 40),
    "chemical": (chemical, 80),
}
REAL = {
    "jv": "japanese_vowels/JapaneseVowels",
    "gun": "gunpoint/GunPoint",
    "arrow": "arrowhead/ArrowHead",
    "acsf": "acsf1/ACSF1",
    "cardano": "cardano/CardanoSentiment",
    "covid": "covid3month/Covid3Month",
}
NUMBERS = ("damped", "noisy", "chemical", "cardano", "covid")


def load(name: str, folder: Path | None, seed: int) -> tuple[list, list, list, list]:
    """Training and test sequences with their targets; synthetic ones are others for each seed."""
    if name in SYNTHETIC:
        make, rows = SYNTHETIC[name]
        X, y = map(list, zip(*make(np.random.default_rng(seed), rows + 600), strict=True))
        return X[:rows], y[:rows], X[rows:], y[rows:]
    if folder is None:
        raise SystemExit(f"{name} needs --data")
    parts = [read_ts(folder / f"{REAL[name]}_{part}.ts") for part in ("TRAIN", "TEST")]
    return tuple(side for part in parts for side in (list(part.sequences.rows), list(part.targets)))  # type: ignore


def main() -> None:
    """Prints a table in Markdown, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sets", default=",".join(SYNTHETIC))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], help="arguments of the estimator, such as pooling=mean")
    args = parser.parse_args()
    chosen = {}
    for pair in args.set:
        key, _, value = pair.partition("=")
        try:
            chosen[key] = ast.literal_eval(value)
        except ValueError:
            chosen[key] = value
    print("| set | mean | lowest | highest |\n|---|---|---|---|", flush=True)
    for name in args.sets.split(","):
        kind = SequenceRegressor if name in NUMBERS else SequenceClassifier
        found = []
        for seed in range(args.seeds):
            X, y, X_test, y_test = load(name, args.data, seed)
            model = kind(random_state=seed, verbose=0, **chosen).fit(X, y)
            found.append(model.score(X_test, y_test))
        figures = " | ".join(f"{figure:.4f}" for figure in (np.mean(found), min(found), max(found)))
        print(f"| {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
