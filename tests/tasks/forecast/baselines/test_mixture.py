"""Shares of the baselines and the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data.batching.windows import Frame, Layout, Windows
from recurra.tasks.forecast.baselines.mixture import (
    ALONE,
    Products,
    Shares,
    SharesConfig,
    products_of,
    share_of_network,
    smallest,
)


def products(errors: np.ndarray) -> Products:
    """Of errors `(blocks, ways, steps)`."""
    return Products(errors @ errors.swapaxes(1, 2), np.full(len(errors), errors.shape[2]))


@settings(max_examples=40)
@given(st.integers(0, 999), st.integers(2, 3))
def test_no_other_shares_have_a_smaller_error(seed, ways):
    random = np.random.default_rng(seed)
    found = products(random.normal(size=(200, ways, 4)) * random.uniform(0.5, 3, size=(1, ways, 1)))
    shares, form = smallest(found), found.blocks.sum(0)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)
    others = random.dirichlet(np.ones(ways), size=200)
    assert (np.einsum("ni,ij,nj->n", others, form, others) >= (shares @ form @ shares) * 0.99).all()


def test_the_much_better_way_gets_everything():
    errors = np.random.default_rng(0).normal(size=(50, 1, 4)) * np.array([1.0, 10.0])[:, None]
    assert smallest(products(errors)).tolist() == [1, 0]


def test_one_block_says_less_than_many():
    errors = np.random.default_rng(0).normal(size=(1, 2, 40)) * np.array([1.0, 1.3])[:, None]
    few, many = smallest(products(errors)), smallest(products(np.repeat(errors, 50, 0)))
    assert 0.5 < few[0] < many[0]


def network_errors(seed: int, blocks: int, gain: float) -> Products:
    random = np.random.default_rng(seed)
    errors = random.normal(size=(blocks, 2, 20))
    errors[:, 1] *= gain
    return products(errors)


def test_the_network_has_no_share_that_chance_explains():
    equal = [share_of_network(network_errors(seed, 12, 1.0)) for seed in range(20)]
    worse = [share_of_network(network_errors(seed, 12, 1.5)) for seed in range(20)]
    better = [share_of_network(network_errors(seed, 12, 0.5)) for seed in range(20)]
    assert max(worse) < min(equal) < max(equal) < min(better)  # independent errors: the mean of equals is better
    same = network_errors(0, 12, 1.0).blocks[:, :1, :1]
    assert share_of_network(Products(np.tile(same, (1, 2, 2)), np.full(12, 20.0))) == 0


def test_few_blocks_and_perfect_baselines_give_the_network_no_share():
    assert share_of_network(network_errors(0, 2, 0.1)) == 0 < share_of_network(network_errors(0, 3, 0.1))
    perfect = np.zeros((9, 2, 2))
    perfect[:, 1, 1] = 1
    assert share_of_network(Products(perfect, np.ones(9))) == 0


def test_missing_values_and_overlapping_windows():
    steps = np.arange(12, dtype=np.float32)[:, None]
    observed = np.ones((12, 1), bool)
    observed[7] = False
    windows = Windows([Frame(steps, observed, 4, 12)], 4, 2, Layout(1), batch_size=3)
    found = products_of(windows, [lambda batch: batch.values[:, -1:].expand(-1, 2, -1).unsqueeze(-1)])
    # windows begin at 4 … 10, blocks of two: errors are 1 and 2, without those at step 7
    assert found.counts.tolist() == [4, 2, 4, 2]
    assert found.blocks[:, 0, 0].tolist() == [10, 5, 10, 5]


def test_shares_in_a_folder_add_up_to_one():
    SharesConfig(**Shares(0.2, 0.1, 0.3, 0.4)._asdict())
    with pytest.raises(ValueError, match="do not add up to 1"):
        SharesConfig(0.2, 0.1, 0.3, 0.5)
    assert ALONE.with_network(0.5) == ALONE
    assert torch.tensor(Shares(0.2, 0.2, 0.4, 0.2).with_network(0.6)).allclose(torch.tensor([0.1, 0.1, 0.2, 0.6]))
