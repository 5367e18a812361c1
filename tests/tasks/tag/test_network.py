"""The network of taggers by itself: what it is built of, what it reads, and its figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra.data.batching.batches import IGNORE
from recurra.data.batching.words import WordBatch
from recurra.data.encoders.tag_schemes import parts_of
from recurra.nn import LinearChainCRF
from recurra.tasks.tag.network import UNSEEN_TAG, Observed, TaggerNetwork, Tagging
from samples import with_spec

OPTIONS = {
    "embedding_size": 5, "char_embedding_size": 3, "char_hidden_size": 2, "cell": "lstm", "hidden_size": 4,
    "num_layers": 1, "bidirectional": True, "dropout": 0.0, "token_dropout": 0.0, "crf": False, "allowed": None,
}  # fmt: skip
SIGNS = torch.tensor([[[1, 2], [3, 0]], [[4, 5], [0, 0]], [[6, 0], [1, 2]]])
BATCH = WordBatch(
    torch.tensor([[0, 1, 2], [2, 0, 0]]), torch.tensor([3, 1]), torch.tensor([[0, 1, 2], [1, IGNORE, IGNORE]]),
    torch.tensor([4, 0, 8]), torch.tensor([False, True, False]), SIGNS, torch.tensor([2, 1, 2]), torch.tensor([0, 1]),
)  # fmt: skip


def network(signs=7, **changes):
    torch.manual_seed(0)
    return TaggerNetwork(9, signs, 3, **with_spec({**OPTIONS, **changes})).eval()  # type: ignore[arg-type]


def test_a_word_is_its_vector_beside_both_ends_of_its_spelling():
    net = network()
    with torch.no_grad():
        letters = [net.sign_embedding(signs[:length]).sum(1) for signs, length in zip(SIGNS, (2, 1, 2), strict=True)]
        spelt = []
        for values in letters:
            output, _ = net.spelling(values.unsqueeze(0))
            spelt.append(torch.cat([output[0, -1, :2], output[0, 0, 2:]]))
        words = torch.cat([net.embedding(BATCH.words), torch.stack(spelt)], 1)
        found = net(BATCH)
        first = net.head(net.recurrent(words[[0, 1, 2]].unsqueeze(0))[0])
        second = net.head(net.recurrent(words[[2]].unsqueeze(0))[0])
    torch.testing.assert_close(found[0], first[0])
    torch.testing.assert_close(found[1, :1], second[0])


@pytest.mark.parametrize("cell", ["lstm", "gru", "none"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("layers", "dropout", "between"), [(1, 0.4, 0.0), (2, 0.4, 0.4), (2, 0.0, 0.0)])
def test_how_it_is_built(cell, bidirectional, layers, dropout, between):
    net = network(cell=cell, bidirectional=bidirectional, num_layers=layers, dropout=dropout)
    memory = cell != "none"
    assert net.head.in_features == (8 if bidirectional and memory else 4)
    assert net.recurrent.dropout == between
    assert (net.spelling.num_layers, net.spelling.bidirectional, net.spelling.dropout) == (1, True, 0.0)
    assert type(net.spelling).__name__ == (cell.upper() if memory else "LSTM")
    assert (net.spelling.input_size, net.spelling.hidden_size) == (3, 2)
    assert net.embedding.weight.shape == (9, 5)
    if memory:
        assert (net.recurrent.input_size, net.recurrent.num_layers, net.recurrent.bidirectional) == (
            5 + 2 * 2, layers, bidirectional,
        )  # fmt: skip
    assert net(BATCH).shape == (2, 3, 3)


def test_vectors_begin_with_a_spread_of_a_half_and_nothing_where_no_sign_is():
    torch.manual_seed(0)
    net = TaggerNetwork(900, 800, 2, **with_spec({**OPTIONS, "embedding_size": 20, "char_embedding_size": 20}))  # type: ignore[arg-type]
    assert net.embedding.weight.std().item() == pytest.approx(0.5, rel=0.03)
    assert net.sign_embedding.weight.std().item() == pytest.approx(0.5, rel=0.03)
    assert net.embedding.padding_idx is None
    assert net.embedding.weight[0].any()
    assert net.sign_embedding.padding_idx == 0
    assert not net.sign_embedding.weight[0].any()


def test_without_signs_nothing_is_spelt():
    net = network(signs=0)
    assert net.sign_embedding is net.spelling is None
    assert net.recurrent.input_size == 5
    assert net(BATCH).shape == (2, 3, 3)


def test_dropout_is_halved_for_characters(monkeypatch):
    given = []

    def drop(values, p, *, training):
        given.append((tuple(values.shape), p, training))
        return values

    monkeypatch.setattr("recurra.tasks.tag.network.drop", drop)
    net = network(dropout=0.4)
    for training in (True, False):
        given.clear()
        net.train(training)(BATCH)
        assert given == [((3, 2, 3), 0.2, training), ((2, 3, 9), 0.4, training), ((2, 3, 8), 0.4, training)]


def test_words_are_dropped_by_their_share():
    net = network(signs=0, token_dropout=0.3).train()
    read = []
    net.embedding.register_forward_hook(lambda module, given, output: read.append(given[0]))
    many = BATCH._replace(values=torch.zeros(50, 40, dtype=torch.int64), lengths=torch.full((50,), 40))
    net(many)
    assert sorted(read[0].unique().tolist()) == [0, 4]
    assert (read[0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.04)
    net.eval()(many)
    assert read[1].unique().tolist() == [4]


# the figures


def test_what_is_observed_of_a_batch():
    net = network()
    objective = Tagging()
    with torch.no_grad():
        scores = net(BATCH)
        found = objective.observe(net, BATCH)
        loss, count = objective.loss(net, BATCH)
    assert (found.targets.tolist(), found.unseen.tolist()) == ([0, 1, 2, 1], [False, True, False, False])
    assert found.found.tolist() == [*scores[0].argmax(1).tolist(), scores[1, 0].argmax().item()]
    assert found.lengths.tolist() == [3, 1]
    chances = scores.log_softmax(2)
    expected = -sum(chances[row, step, tag] for row, step, tag in [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 1)]).item()
    assert found.loss == pytest.approx(expected, rel=1e-5)
    assert (loss.item(), count.item()) == (pytest.approx(expected, rel=1e-5), 4.0)


def test_a_tag_never_seen_is_no_part_of_the_loss():
    targets = torch.tensor([[0, UNSEEN_TAG, 2], [IGNORE, IGNORE, IGNORE]])
    assert UNSEEN_TAG == -1
    loss, count = Tagging().loss(network(), BATCH._replace(targets=targets))
    chances = network()(BATCH).log_softmax(2)
    assert count.item() == 2
    assert loss.item() == pytest.approx(-(chances[0, 0, 0] + chances[0, 2, 2]).item(), rel=1e-5)


def test_scores_without_a_chain_are_decoded_by_that_of_the_objective():
    allowed = torch.ones(3, 3, dtype=torch.bool), torch.tensor([False, True, True]), torch.ones(3, dtype=torch.bool)
    chain = LinearChainCRF(3, learnt=False, allowed=allowed)
    scores = torch.tensor([[[9.0, 1.0, 0.0]] * 3, [[9.0, 0.0, 1.0]] * 3])
    found = Tagging(chain=chain).observe(lambda batch: scores, BATCH)
    assert found.found.tolist() == [1, 0, 0, 2]


def observed(found, targets, unseen, lengths, loss=0.0):
    return Observed(*map(np.array, (found, targets, unseen, lengths)), loss)


def test_accuracy_and_loss_are_exact():
    rows = [
        observed([0, 1, 2, 0], [0, 2, IGNORE, UNSEEN_TAG], [True, True, True, False], [3, 1], 3.0),
        observed([1], [1], [False], [1], 1.5),
    ]
    metrics = Tagging().metrics(rows)
    assert metrics.pop("macro_f1") == pytest.approx((0 + 2 / 3 + 2 / 3 + 0) / 4)  # tags -1, 0, 1 and 2
    assert metrics == {"accuracy": 0.5, "unseen_word_accuracy": 0.5, "loss": 1.5}
    none = Tagging().metrics([observed([0], [IGNORE], [True], [1], 2.0)])
    assert none == {"accuracy": 0.0, "macro_f1": 0.0, "loss": 2.0}
    assert Tagging().items(rows).tolist() == [[1, 2], [0, 1], [1, 1]]
    assert Tagging().monitor == "accuracy"
    assert Tagging.monitor_mode == "max"
    assert Tagging.perfect == 1.0


def test_nothing_found_and_nothing_given_have_figures():
    objective = Tagging(parts_of(["B-X", "I-X", "O"]))
    assert objective.monitor == "f1"

    def figures(found, targets):
        result = objective.metrics([observed(found, targets, [False] * len(found), [len(found)])])
        return result["precision"], result["recall"], result["f1"]

    assert figures([2, 2], [0, 1]) == (0.0, 0.0, 0.0)
    assert figures([0, 1], [2, 2]) == (0.0, 0.0, 0.0)
    assert figures([2, 2], [2, 2]) == (0.0, 0.0, 1.0)
    assert figures([0, 0, 2, 0], [0, 0, 0, 2]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert figures([0, 0, 0], [0, 2, 2]) == (pytest.approx(1 / 3), 1.0, pytest.approx(0.5))
    assert not any(math.isnan(value) for value in figures([2], [IGNORE]))


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


def test_the_name_of_no_memory_is_compared_by_value():
    net = network(cell=other("none"))
    assert type(net.spelling).__name__ == "LSTM"
    assert net.head.in_features == 4


def test_without_dropout_no_random_number_is_drawn():
    net = network().train()
    before = torch.get_rng_state()
    net(BATCH)
    assert torch.equal(torch.get_rng_state(), before)
