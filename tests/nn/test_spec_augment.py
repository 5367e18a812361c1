"""Masks on spectra, and spectra stacked to steps."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.nn import SpectrumMask, stack_frames
from recurra.nn.spec_augment import stacked_length


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 4), st.integers(0, 1000))
def test_masks_cover_whole_steps_and_whole_bands(steps, bands, count, seed):
    torch.manual_seed(seed)
    lengths = torch.randint(0, steps + 1, (5,))
    kept = SpectrumMask(count, time_share=0.2, band_share=0.15)(torch.ones(5, steps, bands), lengths) == 1
    times, rows = kept.any(2), kept.any(1)
    for row, length in enumerate(lengths.tolist()):
        assert (~times[row]).sum() <= count * 0.2 * length
        assert (~rows[row]).sum() <= count * 0.15 * bands
        assert times[row, length:].all()
        assert torch.equal(kept[row], times[row].unsqueeze(1) & rows[row])


def test_masks_come_from_the_seed_and_only_in_training():
    mask, lengths = SpectrumMask(), torch.full((20,), 100)
    spectra = torch.randn(20, 100, 40)

    def drawn(seed):
        torch.manual_seed(seed)
        return mask(spectra, lengths)

    torch.testing.assert_close(drawn(1), drawn(1), rtol=0, atol=0)
    assert not torch.equal(drawn(1), drawn(2))
    share = (drawn(3) == 0).float().mean()
    assert 0.1 < share < 0.45
    assert mask.eval()(spectra, lengths) is spectra


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(0, 20), st.integers(0, 1000))
def test_stacked_frames_hold_the_spectra_in_order(frames, steps, seed):
    torch.manual_seed(seed)
    lengths = torch.randint(0, steps + 1, (3,))
    spectra = torch.randn(3, steps, 4) * (torch.arange(steps) < lengths.unsqueeze(1)).unsqueeze(2)
    stacked, counts = stack_frames(spectra, lengths, frames)
    for row, length, count in zip(range(3), lengths.tolist(), counts.tolist(), strict=True):
        assert count == -(-length // frames)
        flat = stacked[row].reshape(-1, 4)
        assert torch.equal(flat[:length], spectra[row, :length])
        assert not flat[length:].any()


@pytest.mark.parametrize(
    ("width", "start", "hidden"),
    [(0.999, 0.999, [7, 8, 9]), (0.999, 0.0, [0, 1, 2]), (0.5, 0.5, [4, 5]), (0.0, 0.5, []), (0.25, 0.999, [9])],
)
def test_an_interval_may_lie_anywhere(monkeypatch, width, start, hidden):
    drawn = torch.tensor([width, start]).view(2, 1, 1, 1)
    monkeypatch.setattr(torch, "rand", lambda *shape, device: drawn.expand(shape))
    kept = SpectrumMask(1)._keep(torch.tensor([10]), 12, 0.3)
    assert (~kept[0]).nonzero().flatten().tolist() == hidden


def test_by_default_two_masks_of_each_kind_cover_up_to_15_and_20_percent():
    mask = SpectrumMask()
    assert (mask.count, mask.time_share, mask.band_share) == (2, 0.15, 0.2)
    torch.manual_seed(0)
    hidden = ~SpectrumMask(1)._keep(torch.full((400,), 20), 20, 0.2)
    widths = hidden.sum(1)
    assert sorted(widths.unique().tolist()) == [0, 1, 2, 3, 4]  # each as often as another
    assert widths.bincount().tolist() == pytest.approx([80] * 5, abs=30)
    starts = hidden[widths == 1].float().argmax(1)
    assert starts.min() == 0
    assert starts.max() == 19


def test_steps_are_filled_up_with_zeros():
    spectra = torch.arange(1.0, 15.0).view(1, 7, 2)
    stacked, counts = stack_frames(spectra, torch.tensor([7]), 3)
    expected = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [13, 14, 0, 0, 0, 0]]
    assert stacked[0].tolist() == expected
    assert counts.tolist() == [3]
    assert [stacked_length(n, 3) for n in (0, 1, 3, 4)] == [0, 1, 1, 2]
