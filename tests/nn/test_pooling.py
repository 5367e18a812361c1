"""Pooling a ragged batch is pooling each sequence alone."""

from __future__ import annotations

import pytest
import torch

from recurra import nn

LENGTHS = [3, 0, 5, 1]
STEPS, SIZE = 6, 8  # longer than the longest sequence

every_pooling = pytest.mark.parametrize("how", nn.POOLINGS)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def run(lengths=LENGTHS, steps=STEPS):
    """Outputs of a bidirectional layer, its true ends, and the lengths."""
    layer = nn.GRU(2, SIZE // 2, bidirectional=True, batch_first=True, dtype=torch.float64)
    output, hidden = layer(torch.randn(len(lengths), steps, 2, dtype=torch.float64), lengths=lengths)
    return output, nn.last_hidden(hidden, 2), torch.tensor(lengths)


def alone(pooling, output, last):
    """One sequence, cut to its length, by the definition of each pooling."""
    if pooling.how == "last":
        return last
    if not len(output):
        return torch.zeros(SIZE, dtype=output.dtype)
    if pooling.how == "mean":
        return output.mean(0)
    if pooling.how == "max":
        return output.max(0).values
    return torch.softmax(pooling.score(output).squeeze(-1), 0) @ output


@every_pooling
def test_a_ragged_batch_pools_as_each_sequence_alone(how):
    output, last, lengths = run()
    pooling = nn.Pooling(how, SIZE).double()
    expected = torch.stack([alone(pooling, o[:n], e) for o, e, n in zip(output, last, lengths, strict=True)])
    actual = pooling(output, last, lengths)
    torch.testing.assert_close(actual, expected, rtol=1e-13, atol=1e-15)
    assert not actual[LENGTHS.index(0)].any()

    weighting = torch.randn_like(expected)
    leaves = [output, last, *pooling.parameters()]
    gradients, wanted = (
        torch.autograd.grad(pooled, leaves, weighting, retain_graph=True, materialize_grads=True)
        for pooled in (actual, expected)
    )
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(gradients[0][row, :length], wanted[0][row, :length], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(gradients[1:], wanted[1:], rtol=1e-12, atol=1e-15)


def test_max_takes_no_padding_where_all_outputs_are_negative():
    output, last, lengths = run()
    pooled = nn.Pooling("max", SIZE)(-output.abs(), last, lengths)
    assert (pooled[lengths > 0] < 0).all()


@every_pooling
@pytest.mark.parametrize("steps", [0, 2])
def test_a_batch_of_empty_sequences_pools_to_zeros(how, steps):
    pooled = nn.Pooling(how, SIZE).double()(*run([0, 0, 0], steps))
    assert pooled.shape == (3, SIZE)
    assert not pooled.any()


@every_pooling
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_pools_near_full_precision(how, dtype):
    output, last, lengths = run()
    pooling, values = nn.Pooling(how, SIZE), (output.float(), last.float(), lengths)
    with torch.autocast("cpu", dtype):
        actual = pooling(*values)
    torch.testing.assert_close(actual, pooling(*values), rtol=0, atol=0.01, check_dtype=False)


def test_the_last_hidden_state_of_both_directions_is_at_their_true_ends():
    output, last, _ = run()
    for row, length in enumerate(LENGTHS):
        if length:
            forward, backward = output[row, length - 1, : SIZE // 2], output[row, 0, SIZE // 2 :]
            torch.testing.assert_close(last[row], torch.cat([forward, backward]), rtol=0, atol=0)


def test_the_last_hidden_state_is_not_the_last_output():
    output, last, _ = run([STEPS])
    assert torch.equal(output[:, -1, : SIZE // 2], last[:, : SIZE // 2])
    assert not torch.isclose(output[:, -1, SIZE // 2 :], last[:, SIZE // 2 :]).any()


def test_the_last_hidden_state_is_the_top_layers():
    layer = nn.LSTM(2, 3, 2, batch_first=True)
    output, (hidden, _) = layer(torch.randn(2, 4, 2))
    torch.testing.assert_close(nn.last_hidden(hidden, 1), output[:, -1], rtol=0, atol=0)


def test_an_unknown_pooling_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="last, mean, max, attention, not 'sum'"):
        nn.Pooling("sum", SIZE)


@pytest.mark.gpu
@every_pooling
def test_on_cuda_the_lengths_may_stay_on_the_cpu(how):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    output, last, lengths = run()
    pooling = nn.Pooling(how, SIZE).double()
    expected = pooling(output, last, lengths)
    actual = pooling.cuda()(output.cuda(), last.cuda(), lengths)
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-12, atol=1e-14)


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


@every_pooling
def test_names_of_poolings_are_compared_by_value(how):
    output, last, lengths = run()
    pooling, same = nn.Pooling(how, SIZE).double(), nn.Pooling(other(how), SIZE).double()
    same.load_state_dict(pooling.state_dict())
    assert torch.equal(same(output, last, lengths), pooling(output, last, lengths))
