"""Length of the season of a series: repeating changes, and known cycles that come back in step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

CYCLES = (4, 5, 6, 7, 8, 10, 12, 13, 24, 26, 30, 48, 52, 60, 96, 144, 168, 288, 336, 365, 672, 1440)
"""Lengths of common cycles: of an hour, a day, a week, a month, a quarter and a year in common steps of time."""
HARMONICS = 4
LEVEL = 0.001
"""Probability of finding any of `CYCLES` where there is none."""
FEWEST = 3
"""Cycles that a series must have for its season to be found."""


def find_season(series: Sequence[np.ndarray], longest: int, horizon: int = 1) -> int:
    """The length of the season that forecasts best, of those that are there.

    A season is the lag at which the changes of the series resemble themselves most, or a common cycle whose waves have
    the same phase in every repetition. The second finds seasons that are hidden by noise, and long ones.

    Args:
        series: arrays `(time, targets)` without missing values.
        longest: greatest season to look for.
        horizon: steps to forecast.

    Returns:
        Steps of a season, 1 where there is none.

    Example:
        >>> import numpy as np
        >>> find_season([np.sin(np.arange(200) * 2 * np.pi / 12)[:, None]], 60)
        12
    """
    repeating = repeating_changes(series, longest)
    steady = steady_cycles(series, longest, also=repeating) or [repeating]
    whole = [one for one in steady if one == repeating or not any(other > one and other % one == 0 for other in steady)]
    return min(whole, key=lambda season: _error(series, season, horizon))


def repeating_changes(series: Sequence[np.ndarray], longest: int) -> int:
    """The lag at which the changes of the series resemble themselves most, 1 where they never do."""
    total, power, steps = np.zeros(longest + 2), 0.0, 0
    for one in series:
        changes = np.diff(one, axis=0)
        lags = min(longest + 2, len(changes) // 2)
        if lags < 3:
            continue
        changes = changes - changes.mean(0)
        size = 1 << (2 * len(changes) - 1).bit_length()
        spectrum = np.abs(np.fft.rfft(changes, size, axis=0)) ** 2
        products = np.fft.irfft(spectrum.sum(1), size)[:lags]
        total[:lags] += products * len(changes) / (len(changes) - np.arange(lags))
        power += products[0]
        steps += len(changes)
    if power <= 0:
        return 1
    likeness = total / power
    peaks = [k for k in range(2, longest + 1) if likeness[k] >= max(likeness[k - 1], likeness[k + 1])]
    chance = 0.1 + 3 / np.sqrt(max(steps, 1))  # more than noise shows
    best = max(peaks, key=lambda k: likeness[k], default=1)
    if best == 1 or likeness[best] < chance:
        return 1
    # not a multiple of the season: of the parts of the best lag, the first whose own multiples are all as good
    return next(k for k in peaks if best % k == 0 and likeness[k : best + 1 : k].min() >= 0.75 * likeness[best])


def steady_cycles(series: Sequence[np.ndarray], longest: int, also: int = 1) -> list[int]:
    """Which of `CYCLES`, and of `also`, are in the series. A cycle with every second or third wave only is not.

    Example:
        >>> import numpy as np
        >>> days, noise = np.arange(2000), np.random.default_rng(0).normal(size=2000)
        >>> steady_cycles([(np.sin(days * 2 * np.pi / 365) + noise)[:, None]], 600)
        [365]
    """
    tried = sorted({cycle for cycle in (*CYCLES, also) if 1 < cycle <= longest})
    level = LEVEL / max(len(tried) * HARMONICS, 1)
    return [cycle for cycle in tried if math.gcd(*np.flatnonzero(_chances(series, cycle) < level) + 1) == 1]


def _chances(series: Sequence[np.ndarray], cycle: int) -> np.ndarray:
    """Probability that the first waves of a cycle are chance, `(waves,)`.

    The Fourier coefficients of each repetition are independent if there is no season. An F-test compares their mean
    with their spread. A slow movement is taken off by a moving mean over one cycle.
    """
    steady: np.ndarray | float = 0.0
    spread: np.ndarray | float = 0.0
    free = means = 0
    for one in series:
        repetitions = len(one) // cycle
        if repetitions < FEWEST:
            continue
        rest = _detrended(one, cycle)
        blocks = rest[len(rest) - repetitions * cycle :].reshape(repetitions, cycle, -1)
        found = np.fft.rfft(blocks, axis=1)[:, 1 : 1 + min(HARMONICS, cycle // 2)] / cycle
        mean = found.mean(0)
        steady = steady + repetitions * (np.abs(mean) ** 2).sum(-1)
        spread = spread + (np.abs(found - mean) ** 2).sum((0, -1))
        free, means = free + 2 * (repetitions - 1), means + 2
    if not free:
        return np.ones(0)
    from scipy.stats import f

    ratio = (steady / means) / np.maximum(spread / free, 1e-12)
    return np.asarray(f.sf(ratio, means, free))


def _detrended(one: np.ndarray, cycle: int) -> np.ndarray:
    """The series less its line and less its moving mean over one cycle, which is held at both ends."""
    steps = np.arange(len(one)) - (len(one) - 1) / 2
    one = one - np.outer(steps, steps @ one / (steps @ steps))
    sums = np.concatenate([np.zeros((1, one.shape[1])), np.cumsum(one, axis=0)])
    means = (sums[cycle:] - sums[:-cycle]) / cycle
    at = (np.arange(len(one)) - cycle // 2).clip(0, len(means) - 1)
    return one - means[at]


def _error(series: Sequence[np.ndarray], season: int, horizon: int) -> float:
    """Mean squared error of the forecasts of the last season, for the first, the middle and the last step."""
    errors, count = 0.0, 0
    for ahead in {1, (horizon + 1) // 2, horizon}:
        lag = season * -(-ahead // season)
        for one in series:
            if len(one) > lag:
                errors += float(((one[lag:] - one[:-lag]) ** 2).sum())
                count += one[lag:].size
    return errors / count if count else np.inf
