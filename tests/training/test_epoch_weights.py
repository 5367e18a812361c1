"""Weights of epochs that a run keeps: which ones, in a resumed run, and in a model folder."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from recurra import SequenceClassifier, load
from recurra.errors import ModelFolderError, UsageError

DATA = ["ab", "cd", "abc", "dcd"] * 5, ["x", "y"] * 10
SMALL = {"hidden_size": 3, "embedding_size": 2, "random_state": 0, "verbose": 0, "n_iter_no_change": None}


def fitted(**options) -> SequenceClassifier:
    checkpoint = {name: options.pop(name) for name in ("checkpoint", "resume") if name in options}
    return SequenceClassifier(**SMALL, **options).fit(*DATA, **checkpoint)


def equal(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_each_epoch_is_that_of_a_shorter_run_and_training_is_the_same():
    found, plain = fitted(epochs=3, keep_epochs=True), fitted(epochs=3)
    assert sorted(found.epoch_weights_) == [0, 1, 2, 3]
    assert equal(found.network_.state_dict(), plain.network_.state_dict())
    assert equal(found.epoch_weights_[found.best_epoch_], plain.network_.state_dict())
    assert plain.epoch_weights_ == {}
    assert not equal(found.epoch_weights_[0], found.epoch_weights_[1])
    torch.testing.assert_close(
        torch.tensor(found.at_epoch(found.best_epoch_).predict_proba(DATA[0])),
        torch.tensor(found.predict_proba(DATA[0])),
        rtol=0,
        atol=0,
    )
    assert (found.at_epoch(0).predict_proba(DATA[0]) != found.predict_proba(DATA[0])).any()


def test_at_most_16_evenly_spaced_epochs():
    assert sorted(fitted(epochs=16, keep_epochs=True).epoch_weights_) == [*range(0, 17, 2)]
    assert sorted(fitted(epochs=15, keep_epochs=True).epoch_weights_) == [*range(16)]
    assert sorted(fitted(epochs=35, keep_epochs=True).epoch_weights_) == [*range(0, 36, 4)]


class Stop(pl.Callback):
    """Ends a run in its third epoch."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            raise RuntimeError("stopped by the test")


def test_a_resumed_run_keeps_the_same_weights(tmp_path):
    with pytest.raises(RuntimeError, match="stopped by the test"):
        fitted(epochs=4, keep_epochs=True, callbacks=[Stop()], checkpoint=tmp_path / "run")
    resumed = fitted(epochs=4, keep_epochs=True, checkpoint=tmp_path / "run", resume=True)
    whole = fitted(epochs=4, keep_epochs=True)
    assert resumed.resumed_
    assert sorted(resumed.epoch_weights_) == [0, 1, 2, 3, 4]
    assert all(equal(resumed.epoch_weights_[epoch], whole.epoch_weights_[epoch]) for epoch in range(5))


def test_a_model_folder_has_them(tmp_path):
    model = fitted(epochs=2, keep_epochs=True)
    model.save(tmp_path / "m")
    found = load(tmp_path / "m")
    assert sorted(found.epoch_weights_) == [0, 1, 2]
    assert all(equal(found.epoch_weights_[epoch], model.epoch_weights_[epoch]) for epoch in range(3))
    found.save(tmp_path / "m")  # over itself
    assert equal(load(tmp_path / "m").epoch_weights_[1], model.epoch_weights_[1])
    with pytest.raises(UsageError, match="the weights of epoch 7 were not kept; there are those of 0, 1, 2"):
        found.at_epoch(7)
    fitted(epochs=2).save(tmp_path / "m")
    assert not (tmp_path / "m" / "epochs.safetensors").exists()
    with pytest.raises(UsageError, match="train with keep_epochs=True"):
        load(tmp_path / "m").at_epoch(1)


def test_a_damaged_file_is_named(tmp_path):
    fitted(epochs=1, keep_epochs=True).save(tmp_path / "m")
    SequenceClassifier(**{**SMALL, "hidden_size": 5}, epochs=1, keep_epochs=True).fit(*DATA).save(tmp_path / "other")
    file = tmp_path / "m" / "epochs.safetensors"
    whole = file.read_bytes()
    for content, words in [
        (whole[:50], "is damaged or cut short"),
        ((tmp_path / "m" / "model.safetensors").read_bytes(), "do not belong to an epoch"),
        ((tmp_path / "other" / "epochs.safetensors").read_bytes(), "of shape"),
    ]:
        file.write_bytes(content)
        with pytest.raises(ModelFolderError, match=rf"epochs.safetensors.*{words}"):
            load(tmp_path / "m").at_epoch(0)
