"""Preparation of spectra for a recurrent network: random masks in training, several spectra per step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.ops import uniform


class SpectrumMask(torch.nn.Module):
    """Sets random stretches of time and of bands to 0 (the mean of standardised spectra) in training.

    After Park et al., "SpecAugment" (2019), without its time warping.

    Args:
        count: masks of each kind.
        time_share: greatest share of a recording that one mask in time covers.
        band_share: greatest share of the bands that one mask in frequency covers.

    Example:
        >>> import torch
        >>> mask = SpectrumMask()
        >>> spectra = torch.ones(2, 50, 40)
        >>> bool((mask(spectra, torch.tensor([50, 20])) == 0).any()), mask.eval()(spectra, None) is spectra
        (True, True)
    """

    def __init__(self, count: int = 2, *, time_share: float = 0.15, band_share: float = 0.2) -> None:
        super().__init__()
        self.count, self.time_share, self.band_share = count, time_share, band_share

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Masks `(batch, time, bands)`; `lengths` are the steps of each recording, `(batch,)`."""
        if not self.training:
            return values
        lengths = lengths.to(values.device)
        keep_time = self._keep(lengths, values.shape[1], self.time_share)
        bands = torch.full_like(lengths, values.shape[2])
        keep_bands = self._keep(bands, values.shape[2], self.band_share)
        return values * (keep_time.unsqueeze(2) & keep_bands.unsqueeze(1))

    def _keep(self, sizes: Tensor, steps: int, share: float) -> Tensor:
        """False on `count` random intervals of each row, `(batch, steps)`."""
        width, start = uniform((2, len(sizes), self.count, 1), sizes.device, axis=1)
        size = sizes.view(-1, 1, 1)
        width = (width * ((size * share).floor() + 1)).floor()
        start = (start * (size - width + 1)).floor()
        at = torch.arange(steps, device=sizes.device)
        return ~((at >= start) & (at < start + width)).any(1)


def stack_frames(values: Tensor, lengths: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Joins every `frames` neighbouring spectra to one step; the last step is filled up with 0.

    Args:
        values: `(batch, time, bands)`.
        lengths: spectra of each recording, `(batch,)`.
        frames: spectra in a step.

    Returns:
        `(batch, steps, frames * bands)` and the steps of each recording, `(batch,)`.

    Example:
        >>> import torch
        >>> steps, lengths = stack_frames(torch.zeros(2, 7, 40), torch.tensor([7, 3]), 3)
        >>> tuple(steps.shape), lengths.tolist()
        ((2, 3, 120), [3, 1])
    """
    batch, time, bands = values.shape
    steps = stacked_length(time, frames)
    values = torch.nn.functional.pad(values, (0, 0, 0, steps * frames - time))
    return values.reshape(batch, steps, frames * bands), stacked_length(lengths, frames)


def stacked_length(spectra: Any, frames: int) -> Any:
    """Returns how many steps `stack_frames` makes of a number of spectra.

    Example:
        >>> stacked_length(10, 3)
        4
    """
    return (spectra + frames - 1) // frames
