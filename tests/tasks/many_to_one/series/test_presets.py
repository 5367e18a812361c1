"""Numeric series in frames, several networks on parts of the sequences, and the choice of a preset."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recurra
from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import UsageError
from recurra.ops import batch_invariant
from recurra.tasks.many_to_one.series.ensemble import TRIAL_EPOCHS, CrossFitted, Ensemble, ValuesMap, draw_parts
from recurra.tasks.many_to_one.series.frames import PRESETS, SeriesFrames, frame_length
from recurra.tasks.many_to_one.simple.features import resampled

QUICK = {"hidden_size": 8, "epochs": 3, "verbose": 0}


def waves(n: int = 24, steps: int = 70, seed: int = 0):
    """Slow or fast waves of ragged lengths."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    lengths = random.integers(steps - 10, steps, n)
    X = [
        np.sin(np.arange(t)[:, None] * (0.2 + 0.8 * c) + random.uniform(0, 6)) for t, c in zip(lengths, y, strict=True)
    ]
    return X, y


@pytest.mark.parametrize("preset", PRESETS[1:])
def test_frames_do_not_depend_on_the_other_sequences(preset):
    frames = SeriesFrames(2, preset, 8)
    values, lengths = torch.randn(5, 41, 2), torch.tensor([41, 9, 1, 0, 30])
    values *= (torch.arange(41) < lengths.unsqueeze(1)).unsqueeze(2)
    with torch.no_grad(), batch_invariant():
        found, count = frames(values, lengths)
        for row, steps in enumerate(lengths.tolist()):
            if steps:
                alone, own = frames(values[row : row + 1, :steps], lengths[row : row + 1])
                assert own.item() == count[row] > 0
                assert torch.equal(alone[0], found[row, : own.item()])
    assert count[3] == 0
    assert found.shape[2] == frames.size
    assert found.isfinite().all()


def test_level_and_scale_are_channels_of_each_frame():
    frames = SeriesFrames(1, "segments", 4)
    wave = torch.sin(torch.arange(40.0)).view(1, 40, 1)
    lengths = torch.tensor([40])
    plain, changed = frames(wave, lengths)[0], frames(wave * 3 + 5, lengths)[0]
    assert torch.allclose(plain[..., :-2], changed[..., :-2], atol=0.02)  # up to FLOOR
    assert (changed[..., -2] - plain[..., -2] > 4.9).all()
    assert torch.allclose(changed[..., -1] - plain[..., -1], torch.tensor(3.0).log(), atol=0.02)


def test_gradients_of_constant_sequences_are_finite():
    for preset in PRESETS[1:]:
        values = torch.zeros(1, 1, 1, requires_grad=True)
        SeriesFrames(1, preset, 8)(values, torch.tensor([1]))[0].sum().backward()
        assert values.grad.isfinite().all()


def test_a_wave_is_a_peak_in_its_spectrum():
    frames = SeriesFrames(1, "spectra", 32)
    wave = torch.sin(torch.arange(128.0) * 2 * torch.pi * 5 / 32).view(1, 128, 1)
    power = frames(wave, torch.tensor([128]))[0][0, :, 1:17]
    assert (power.argmax(1) == 4).all()  # bands begin at one wave in a window


def test_frames_of_a_long_series_are_few():
    assert [frame_length(preset, 1460) for preset in PRESETS] == [1, 46, 365, 64]
    assert [frame_length(preset, 1) for preset in PRESETS] == [1, 1, 1, 8]


def test_the_linear_map_reads_resampled_values():
    module = ValuesMap(2, 5, 3)
    module.weight.normal_()
    values, lengths = torch.randn(4, 9, 2), torch.tensor([9, 4, 1, 0])
    values *= (torch.arange(9) < lengths.unsqueeze(1)).unsqueeze(2)
    features = torch.from_numpy(resampled(values.numpy(), lengths.numpy(), 5)).float()
    assert torch.allclose(module(values, lengths), features @ module.weight.flatten(0, 1), atol=1e-5)


def test_parts_keep_the_proportions_of_classes():
    strata = np.array(["a"] * 10 + ["b"] * 20)
    parts = draw_parts(np.arange(30), 5, 31, strata, 0)
    assert parts[30] == -1
    assert all((parts[:10] == part).sum() == 2 and (parts[10:30] == part).sum() == 4 for part in range(5))


def test_the_choice_is_explained_and_saved(tmp_path, capsys):
    X, y = waves()
    model = SequenceClassifier(**{**QUICK, "verbose": 1}, members=2, preset="spectra").fit(X, y)
    assert "Preset spectra (8 steps in a frame), average of 2 networks: cross-validated accuracy" in (
        capsys.readouterr().err.replace("\n", " ")
    )
    assert set(model.metrics_["presets"]) == {"spectra"}
    assert len(model.network_.members) == 2
    model.save(tmp_path / "m")
    again = recurra.load(tmp_path / "m")
    assert again.series_ == model.series_
    assert again.metrics_["presets"] == model.metrics_["presets"]
    given = [*X, np.zeros((0, 1)), np.ones((1, 1)), np.full((3, 1), np.nan)]
    np.testing.assert_array_equal(again.predict_proba(given), model.predict_proba(given))
    alone = np.concatenate([model.predict_proba([x]) for x in given])
    np.testing.assert_array_equal(alone, model.predict_proba(given))


def test_each_network_is_tested_on_sequences_that_it_did_not_see():
    X, y = waves(20, 12)
    labels = np.random.default_rng(0).permutation(y)  # nothing to learn but the sequences themselves
    model = SequenceClassifier(hidden_size=32, epochs=25, learning_rate=0.02, members=4, verbose=0).fit(X, labels)
    last = model.history_[-1]
    assert last["loss"] < 0.3
    assert last["valid_loss"] > last["loss"] + 0.4


@pytest.mark.slow
def test_presets_of_few_series_are_compared():
    model = SequenceClassifier(hidden_size=8, verbose=0, learning_rate=0.01).fit(*waves(40))
    assert set(model.history_[0]) > {f"valid_loss_{name}" for name in PRESETS}
    assert list(model.network_.presets) == list(model.series_.presets)
    assert model.metrics_["epochs"] < model.metrics_["epochs_planned"]
    losses = model.metrics_["presets"]
    assert next(iter(model.series_.presets)) == min(losses, key=losses.get)
    assert model.score(*waves(40, seed=1)) > 0.9


class Error:
    """Absolute errors, whose mean is the loss."""

    def losses(self, output, target):
        return (output[:, 0] - target).abs()

    def metrics(self, observed):
        return {"loss": float(torch.cat([self.losses(output, target) for output, target, _ in observed]).mean())}


def errors(**presets):
    return [({name: torch.tensor(values).unsqueeze(1) for name, values in presets.items()}, torch.zeros(4), None)]


def test_presets_that_are_worse_by_more_than_chance_are_dropped():
    objective = CrossFitted(Error(), np.zeros(1, int))
    observed = errors(
        steps=[1.0, 2.0, 1.0, 2.0],
        parts=[3.0, 1.0, 1.0, 2.0],  # a greater mean, but of one sequence only
        spectra=[1.5, 2.6, 1.6, 2.5],
    )
    for epoch in range(1, TRIAL_EPOCHS + 1):
        row = objective.metrics(observed)
        assert (row["loss"], row["loss_parts"]) == (1.5, 1.75)
        assert objective.active == ([] if epoch < TRIAL_EPOCHS else ["steps", "parts"])
    assert objective.not_worse(observed, "steps") == ["steps", "parts"]
    again = CrossFitted(Error(), np.zeros(1, int))
    again.carry(objective.carried())
    assert again.carried() == objective.carried()


def test_networks_of_several_presets_are_averaged(tmp_path, monkeypatch):
    monkeypatch.setattr(CrossFitted, "not_worse", lambda self, observed, best: ["parts", "spectra"])
    X, y = waves()
    model = SequenceClassifier(**{**QUICK, "epochs": None}, max_minutes=0.02, members=2).fit(X, y)
    assert model.series_.presets == {"parts": 16, "spectra": 8}
    values, lengths = torch.randn(3, 64, 1), torch.tensor([64, 20, 1])
    with torch.inference_mode():
        each = torch.stack([member(values, lengths).softmax(-1) for member in model.network_.members])
        torch.testing.assert_close(model.network_(values, lengths).exp(), each.mean(0))
    assert len(each) == 4
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(recurra.load(tmp_path / "m").predict_proba(X), model.predict_proba(X))
    notes = " ".join(model.subject(X[:2]).notes)
    assert "presets.spectra is a window of 8 steps" in notes
    assert "the average of 4 networks" in notes


def test_where_ridge_regression_is_right_the_network_hardly_changes_it():
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 20, 1)).cumsum(1)
    y = X[:, 3, 0] - 2 * X[:, 15, 0] + 0.1 * random.normal(size=60)
    model = SequenceRegressor(**QUICK, members=3).fit(X[:40], y[:40])
    assert isinstance(model.network_, Ensemble)
    error = ((model.predict(X[40:]) - y[40:]) ** 2).mean()
    ridge = model.evaluate(X[40:], y[40:])["baselines"]["ridge regression on resampled values"]["mse"]
    assert error < 1.1 * ridge < 0.1


def test_given_epochs_train_one_network_on_single_steps():
    model = SequenceClassifier(**QUICK).fit(*waves())
    assert model.series_.presets == {"steps": 1}
    assert not isinstance(model.network_, Ensemble)


def test_a_stopped_run_resumes_to_the_same_networks(tmp_path):
    from pytorch_lightning import Callback

    class Stop(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 2:
                raise InterruptedError

    X, y = waves()
    options = {**QUICK, "epochs": 4, "members": 2}
    whole = SequenceClassifier(**options).fit(X, y)
    with pytest.raises(InterruptedError):
        SequenceClassifier(**options, callbacks=[Stop()]).fit(X, y, checkpoint=tmp_path)
    resumed = SequenceClassifier(**options).fit(X, y, checkpoint=tmp_path, resume=True)
    assert resumed.resumed_
    np.testing.assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


def test_inspection_says_what_a_layer_belongs_to():
    X, y = waves()
    model = SequenceClassifier(**QUICK, members=2, preset="segments").fit(X, y)
    trace = recurra.trace(model, X[:2])
    assert list(trace.parts) == [f"presets.segments.{i}.encoder.recurrent" for i in range(2)]
    notes = " ".join(model.subject(X[:2]).notes)
    assert "a segment of 2 steps" in notes
    assert "the average of 2 networks" in notes
    found = model.order_test(X, y)
    assert set(found) >= {"in order", "shuffled"}


@pytest.mark.parametrize("suffix", [".onnx", ".c", ".safetensors"])
def test_an_export_says_which_options_it_needs(tmp_path, suffix):
    X, y = waves()
    model = SequenceClassifier(**QUICK, preset="segments").fit(X, y)
    with pytest.raises(UsageError, match="--preset steps --members 1"):
        recurra.export(model, tmp_path / f"model{suffix}")


def test_presets_and_members_are_for_series():
    with pytest.raises(UsageError, match="for numeric series"):
        SequenceClassifier(**QUICK, members=2).fit(["a", "b"] * 10, [0, 1] * 10)
    X, y = waves()
    with pytest.raises(UsageError, match="leave out validation data"):
        SequenceClassifier(**QUICK, members=2).fit(X, y, validation_data=(X, y))
    with pytest.raises(UsageError, match="24 sequences for 30 members"):
        SequenceClassifier(**QUICK, members=30).fit(X, y)
