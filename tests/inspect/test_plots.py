"""Figures for papers: they show the numbers of the trace, and say what is not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recurra
from recurra import nn
from recurra.errors import UsageError
from recurra.inspect import attribute, gradient_reach, half_lives, impulse_response, plots


@pytest.fixture(scope="module")
def run():
    torch.manual_seed(0)
    layer, x = nn.LSTM(3, 6, batch_first=True, num_layers=2, bidirectional=True), torch.randn(2, 9, 3)
    return layer, x, recurra.trace(layer, x)


def test_a_raster_shows_the_gate(run):
    trace = run[2]
    figure = plots.plot_raster(trace, "forget", row=1, layer=1, direction="backward")
    image = figure.axes[0].images[0]
    assert (image.get_array() == trace["forget"].values[1, 1, 1].T).all()
    assert image.get_clim() == (0, 1)
    low, high = plots.plot_raster(trace, "cell").axes[0].images[0].get_clim()
    assert low == -high == -np.abs(trace["cell"].values[0, 0, 0]).max()


def test_lines_of_a_unit(run):
    trace = run[2]
    figure = plots.plot_unit(trace, 4, layer=1)
    cell, hidden = figure.axes[0].lines[:2]
    assert (cell.get_ydata() == trace["cell"].values[1, 0, 0, :, 4]).all()
    assert (hidden.get_ydata() == trace["hidden"].values[1, 0, 0, :, 4]).all()
    heights = {axes.get_ylabel(): [bar.get_height() for bar in axes.patches] for axes in figure.axes[1:]}
    for name in ("input", "forget", "candidate", "output"):
        assert heights[name] == trace[name].values[1, 0, 0, :, 4].tolist()


def test_gradients_memory_and_attribution(run):
    layer, x, _ = run
    reach, kept = gradient_reach(layer, x), gradient_reach(layer, x, via="cell")
    lines = plots.plot_reach(reach, kept).axes[0].lines
    assert len(lines) == 2 * 2 * 2
    assert (lines[0].get_ydata() == reach.by_lag.values[0, 0]).all()
    gate, perturbed = half_lives(layer, x), impulse_response(layer, x)
    dots = plots.plot_half_lives(gate, perturbed).axes[0].lines[0].get_ydata()
    assert (dots == np.sort(gate.half_life.values.ravel())[::-1]).all()
    response = plots.plot_response(perturbed, 3, layer=1).axes[0].lines[0].get_ydata()
    assert (response == perturbed.to_xarray()["response"].values[1, 0, :, 3]).all()
    found = attribute(layer, x)
    bars = [bar.get_height() for bar in plots.plot_attribution(found, row=1).axes[0].patches]
    assert bars == found.values.values[1].tolist()
    assert len(plots.plot_input(run[2]).axes[0].lines) == 3


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_files(run, tmp_path, suffix):
    plots.plot_raster(run[2], "forget").savefig(tmp_path / f"a.{suffix}")
    assert (tmp_path / f"a.{suffix}").stat().st_size > 1000


def test_what_is_not_there(run):
    layer, x, trace = run
    with pytest.raises(UsageError, match="no 'reset' in this trace; there are input, forget"):
        plots.plot_raster(trace, "reset")
    with pytest.raises(UsageError, match="no layer 2"):
        plots.plot_raster(trace, "forget", layer=2)
    with pytest.raises(UsageError, match="no direction 'up'"):
        plots.plot_unit(trace, 0, direction="up")
    with pytest.raises(UsageError, match="no unit 6"):
        plots.plot_unit(trace, 6)
    with pytest.raises(UsageError, match="there is no row 2"):
        plots.plot_unit(trace, 0, row=2)
    with pytest.raises(UsageError, match="no layer 'x'"):
        plots.plot_unit(trace, 0, part="x")
    with pytest.raises(UsageError, match="not measured by perturbations"):
        plots.plot_response(half_lives(layer, x), 0)
    with pytest.raises(UsageError, match="no unit 9"):
        plots.plot_response(impulse_response(layer, x), 9)
    with pytest.raises(UsageError, match="half_lives or impulse_response"):
        plots.plot_half_lives()
