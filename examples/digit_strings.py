"""Joins recordings of spoken digits to strings such as 31415: training and test data for `recurra fit transcribe`.

    python examples/digit_strings.py RECORDINGS --out digit-strings

RECORDINGS is the folder `recordings` of the Free Spoken Digit Dataset (CC BY-SA 4.0):
https://github.com/Jakobovski/free-spoken-digit-dataset
Its files are named digit_speaker_index.wav. `test.csv` uses the recordings with the indices 0 to 4 (the test part of
the authors of the data set), `train.csv` all others. The output has the same licence.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

TEST_INDICES = range(5)
DIGITS = 3, 7  # fewest and most of a string
SILENCE = 0.02, 0.2  # seconds before, between and after the digits, at least and at most


def load(folder: Path) -> tuple[dict[str, dict[str, list[np.ndarray]]], dict[str, dict[str, list[np.ndarray]]], int]:
    """The recordings of the training and of the test part, by speaker and digit, and their sample rate."""
    parts = {False: defaultdict(lambda: defaultdict(list)), True: defaultdict(lambda: defaultdict(list))}
    rate = 0
    for path in sorted(folder.glob("*_*_*.wav")):
        digit, speaker, index = path.stem.split("_")
        samples, rate = soundfile.read(path, dtype="float32")
        parts[int(index) in TEST_INDICES][speaker][digit].append(samples)
    if not parts[False] or not parts[True]:
        raise SystemExit(f"{folder} does not hold recordings named digit_speaker_index.wav")
    return parts[False], parts[True], rate


def write(part: dict[str, dict[str, list[np.ndarray]]], rate: int, count: int, out: Path, seed: int) -> None:
    """Writes `count` strings, each of one speaker, as WAV files in `out` and a table of them in `out.csv`."""
    random = np.random.default_rng(seed)
    out.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "text"])
        for number in range(count):
            speaker = part[random.choice(sorted(part))]
            text = [str(digit) for digit in random.choice(sorted(speaker), random.integers(DIGITS[0], DIGITS[1] + 1))]
            pieces = [silence(random, rate)]
            for digit in text:
                pieces += [speaker[digit][random.integers(len(speaker[digit]))], silence(random, rate)]
            path = out / f"{number:05d}.wav"
            soundfile.write(path, np.concatenate(pieces), rate, subtype="PCM_16")
            table.writerow([f"{out.name}/{path.name}", "".join(text)])


def silence(random: np.random.Generator, rate: int) -> np.ndarray:
    """A short silence, as faint noise: real ones are never all 0."""
    samples = int(random.uniform(*SILENCE) * rate)
    return random.normal(scale=3e-4, size=samples).astype(np.float32)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder of digit_speaker_index.wav")
    parser.add_argument("--out", type=Path, default=Path("digit-strings"), help="folder to write")
    parser.add_argument("--train", type=int, default=3000, help="strings to train on")
    parser.add_argument("--test", type=int, default=500, help="strings to test on")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same strings")
    options = parser.parse_args()
    train, test, rate = load(options.recordings)
    write(train, rate, options.train, options.out / "train", options.seed)
    write(test, rate, options.test, options.out / "test", options.seed + 1)
    print(f"{options.train:,} strings in {options.out / 'train.csv'}, {options.test:,} in {options.out / 'test.csv'}")


if __name__ == "__main__":
    main()
