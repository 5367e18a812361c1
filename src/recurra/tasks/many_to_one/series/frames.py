"""Frames of numeric series: what the recurrent layers read in place of single steps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recurra.ops import linear
from recurra.ops.mask import step_mask
from recurra.ops.reproducible import sum_steps

PRESETS = ("steps", "segments", "parts", "spectra")
"""What a step of the recurrent layers is: a step of the series, one of many short segments or of a few long ones, or
the spectrum of a window."""
SEGMENTS, PARTS, WINDOWS = 32, 4, 16
"""Frames of a series of median length."""
SHORTEST_WINDOW, LONGEST_WINDOW = 8, 64
FLOOR = 1e-2
"""Deviation that is added before a division or a logarithm; the values are standardized."""
POWER_FLOOR = 1e-4


def frame_length(preset: str, steps: float) -> int:
    """Returns how many steps of the series a frame has.

    Args:
        preset: one of `PRESETS`.
        steps: median length of the training sequences.

    Example:
        >>> [frame_length(preset, 251) for preset in PRESETS]
        [1, 8, 63, 16]
    """
    if preset == "steps":
        return 1
    if preset == "spectra":
        power = round(math.log2(max(steps / WINDOWS, 1)))
        return int(min(max(2**power, SHORTEST_WINDOW), LONGEST_WINDOW))
    return max(1, round(steps / (SEGMENTS if preset == "segments" else PARTS)))


class SeriesFrames(torch.nn.Module):
    """Converts steps `(batch, time, features)` to frames `(batch, frames, size)`.

    The values of each sequence are divided by their deviation after their mean was subtracted. Both are constant
    channels of every frame, the deviation as a logarithm. With `"segments"` and `"parts"`, a frame has the values of
    its steps and their differences. With `"spectra"`, it has the logarithm of the power at each frequency in a window
    (Hann) and the mean of the window; neighbouring windows overlap by half.

    Args:
        features: features of a step.
        preset: `"segments"`, `"parts"` or `"spectra"`.
        length: steps of a frame.

    Example:
        >>> frames = SeriesFrames(2, "segments", 4)
        >>> values, lengths = frames(torch.randn(3, 9, 2), torch.tensor([9, 4, 0]))
        >>> tuple(values.shape), frames.size, lengths.tolist()
        ((3, 3, 20), 20, [3, 1, 0])
    """

    def __init__(self, features: int, preset: str, length: int) -> None:
        super().__init__()
        self.features, self.preset, self.length = features, preset, length
        self.hop = max(length // 2, 1) if preset == "spectra" else length
        bands = length // 2
        self.size = features * ((bands + 1 if preset == "spectra" else 2 * length) + 2)

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the frames and their number for each sequence `(batch,)`; lengths stay on their device."""
        steps = lengths.to(values.device)
        real = step_mask(steps, values.shape[1]).unsqueeze(-1)
        count = steps.clamp(min=1).view(-1, 1)
        mean = sum_steps(values * real) / count
        centred = (values - mean.unsqueeze(1)) * real
        deviation = _root(sum_steps(centred**2) / count)
        scaled = centred / (deviation + FLOOR).unsqueeze(1)
        frames = self._spectra(scaled) if self.preset == "spectra" else self._segments(scaled, real, count)
        level = torch.cat([mean, _log(deviation + FLOOR)], 1).unsqueeze(1).expand(-1, frames.shape[1], -1)
        return torch.cat([frames, level], 2), self.frames_of(lengths)

    def frames_of(self, lengths: Tensor) -> Tensor:
        """Returns how many frames sequences of these lengths have."""
        if self.preset != "spectra":
            return -(-lengths // self.length)
        more = -(-(lengths - self.length).clamp(min=0) // self.hop)
        return torch.where(lengths > 0, 1 + more, 0)

    def _cut(self, values: Tensor) -> Tensor:
        """Cuts into frames `(batch, frames, features, length)`; the last one is filled with 0."""
        time = values.shape[1]
        frames = max(int(self.frames_of(torch.tensor(time))), 1)
        missing = (frames - 1) * self.hop + self.length - time
        return torch.nn.functional.pad(values, (0, 0, 0, missing)).unfold(1, self.length, self.hop)

    def _segments(self, scaled: Tensor, real: Tensor, count: Tensor) -> Tensor:
        if scaled.shape[1] > 1:
            change = torch.nn.functional.pad(scaled[:, 1:] - scaled[:, :-1], (0, 0, 1, 0)) * real
        else:
            change = torch.zeros_like(scaled)
        size = _root(sum_steps(change**2) / count).unsqueeze(1)
        return self._cut(torch.cat([scaled, change / (size + FLOOR)], 2)).flatten(2)

    def _spectra(self, scaled: Tensor) -> Tensor:
        windows = self._cut(scaled)
        parts = linear(windows.contiguous(), self._waves(scaled))
        level, cosine, sine = parts.split([1, self.length // 2, self.length // 2], 3)
        power = (_log(cosine**2 + sine**2 + POWER_FLOOR) + 3) / 3  # about -2 to 2
        return torch.cat([level, power], 3).flatten(2)

    def _waves(self, like: Tensor) -> Tensor:
        """Weights that give the mean of a window and its Fourier transform without the mean, `(outputs, length)`."""
        size = self.length
        at = torch.arange(size, dtype=torch.float64)
        window = 0.5 - 0.5 * torch.cos(2 * math.pi * at / size)
        angle = 2 * math.pi * at * torch.arange(1, size // 2 + 1, dtype=torch.float64).unsqueeze(1) / size
        waves = torch.cat([torch.cos(angle), torch.sin(angle)]) * window / size**0.5
        waves = waves - waves.mean(1, keepdim=True)
        return torch.cat([torch.full((1, size), 1 / size, dtype=torch.float64), waves]).to(like)


def _root(values: Tensor) -> Tensor:
    return (values + 1e-12).sqrt()  # whose gradient at 0 is finite


def _log(values: Tensor) -> Tensor:
    # in float64: the last bit of a logarithm in float32 depends on the place in the tensor
    return values.double().log().to(values.dtype)
