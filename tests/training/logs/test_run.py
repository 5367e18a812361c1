"""A run with loggers: every tool gets the same metrics, a resumed run continues in the same place."""

from __future__ import annotations

import csv
import json
import math
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytorch_lightning.loggers import CSVLogger, Logger

import recurra
from killing import killed_after
from recurra import SequenceClassifier
from recurra.errors import RecurraError, UsageError
from recurra.training.logs import callback, channel
from recurra.training.logs.arguments import LOGGERS

for package in ("tensorboard", "mlflow", "wandb"):
    pytest.importorskip(package)

# MLflow uses a part of SQLAlchemy that its latest version deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

STEPS = 12  # of an epoch: 180 training sequences in batches of 16
EPOCHS = 3


def data() -> tuple[list[np.ndarray], list[int]]:
    random = np.random.default_rng(0)
    X = [random.normal(size=(random.integers(0, 12), 3)) for _ in range(200)]
    return X, [int(x.sum() > 0) for x in X]


def fit(logger: Any = None, **options: Any) -> SequenceClassifier:
    """A small run of `STEPS * EPOCHS` steps."""
    params = {"hidden_size": 8, "epochs": EPOCHS, "batch_size": 16, "validation_fraction": 0.1, "verbose": 0}
    return SequenceClassifier(**params, n_iter_no_change=None, logger=logger).fit(*data(), **options)


Points = dict[str, list[tuple[int, float]]]
"""Steps and values of each metric."""


def of_tensorboard(logs: Path, run: str) -> tuple[Points, dict[str, Any]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    (folder,) = (logs / "tensorboard" / run).iterdir()
    events = EventAccumulator(str(folder), {"scalars": 0})
    events.Reload()
    points = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    params = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return points, {name: value.string_value or value.number_value for name, value in params.items()}


def of_csv(logs: Path, run: str) -> tuple[Points, dict[str, Any]]:
    (file,) = (logs / "csv" / run).rglob("metrics.csv")
    points: Points = {}
    for row in csv.DictReader(file.read_text().splitlines()):
        for name, value in row.items():
            if value and name != "step":
                points.setdefault(name, []).append((int(row["step"]), float(value)))
    lines = file.with_name("hparams.yaml").read_text().splitlines()
    return points, dict(re.fullmatch(r"(.+?): '?(.*?)'?", line).groups() for line in lines)  # type: ignore[union-attr]


def of_mlflow(logs: Path, run: str) -> tuple[Points, dict[str, Any]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{logs / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "recurra"]
    (found,) = [r for r in client.search_runs([experiment.experiment_id]) if r.info.run_name == run]
    assert found.info.status == "FINISHED"
    histories = {name: client.get_metric_history(found.info.run_id, name) for name in found.data.metrics}
    return {name: [(m.step, m.value) for m in history] for name, history in histories.items()}, found.data.params


def of_wandb(logs: Path, run: str) -> tuple[Points, dict[str, Any]]:
    points: Points = {}
    params: dict[str, Any] = {}
    ids = set()
    for file in sorted((logs / "wandb").glob("offline-run-*/*.wandb")):
        for record in wandb_records(file):
            if record.HasField("run"):
                ids.add((record.run.run_id, record.run.display_name, record.run.project))
            for item in record.config.update:
                params[item.key] = json.loads(item.value_json)
            row = {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in record.history.item}
            for name in row.keys() - {"trainer/global_step"}:
                if not name.startswith("_"):
                    points.setdefault(name, []).append((row["trainer/global_step"], row[name]))
    assert {(name, project) for _, name, project in ids} == {(run, "recurra")}
    assert len(ids) == 1  # also of a resumed run
    return points, params


def wandb_records(file: Path) -> Iterator[Any]:
    """Reads a file of Weights & Biases: parts of records in blocks of 32 KiB, after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, record = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        if not kind:
            return
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(record)
            record = b""


READ: dict[str, Callable[[Path, str], tuple[Points, dict[str, Any]]]] = {
    "tensorboard": of_tensorboard,
    "mlflow": of_mlflow,
    "wandb": of_wandb,
    "csv": of_csv,
}


@pytest.fixture(scope="module", autouse=True)
def _own_settings(tmp_path_factory) -> Iterator[None]:
    """Nothing is sent, and nothing is written to the home folder of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setattr(callback, "INTERVAL", 0.0)  # every step
        yield
    import wandb

    wandb.teardown()


@pytest.fixture(scope="module")
def alone() -> SequenceClassifier:
    return fit()


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> tuple[SequenceClassifier, Path]:
    folder = tmp_path_factory.mktemp("logged")
    return fit(list(LOGGERS), checkpoint=folder / "mine.training"), folder


def test_logging_does_not_change_the_training(logged, alone):
    np.testing.assert_array_equal(logged[0].predict_proba(data()[0]), alone.predict_proba(data()[0]))


@pytest.mark.parametrize("name", LOGGERS)
def test_metrics_of_a_run(logged, name):
    model, folder = logged
    check_points(model, *READ[name](folder / "logs", "mine"))


def check_points(model: SequenceClassifier, points: Points, params: dict[str, Any]) -> None:
    """Compares what a tool has with the history of a run whose every step was logged."""
    ends = [STEPS * (i + 1) for i in range(EPOCHS)]
    for key, value in {"valid_accuracy": "valid/accuracy", "valid_loss": "valid/loss", "loss": "epoch/loss"}.items():
        assert [step for step, _ in points[value]] == ends
        assert [v for _, v in points[value]] == pytest.approx([row[key] for row in model.history_], rel=1e-6)
    losses, rates = dict(points["train/loss"]), dict(points["train/learning_rate"])
    assert [step for step, _ in points["train/loss"]] == list(range(1, ends[-1] + 1))
    assert np.mean([losses[step] for step in range(1, STEPS + 1)]) == pytest.approx(model.history_[0]["loss"], rel=0.05)
    assert rates[STEPS] == pytest.approx(model.learning_rate * 0.5 * (1 + math.cos(math.pi / EPOCHS)), rel=1e-5)
    assert all(speed > 0 for _, speed in points["train/tokens_per_second"])
    assert points["final/valid/accuracy"][0][1] == pytest.approx(model.metrics_["valid"]["accuracy"])
    assert points["final/baselines/most frequent class/accuracy"][0][0] == ends[-1]
    assert (params["task"], params["cell"], float(params["data/sequences"])) == ("classify", "lstm", 180)


def test_a_resumed_run_continues_in_the_same_place(tmp_path, alone):
    options = {"checkpoint": tmp_path / "mine.training", "checkpoint_minutes": 100.0}
    with killed_after(STEPS + 5):  # the last checkpoint is at the end of the first epoch
        fit(list(LOGGERS), **options)
    resumed = fit(list(LOGGERS), **options, resume=True)
    assert resumed.resumed_
    np.testing.assert_array_equal(resumed.predict_proba(data()[0]), alone.predict_proba(data()[0]))
    for name in LOGGERS:
        check_points(resumed, *READ[name](tmp_path / "logs", "mine"))


@pytest.mark.slow
def test_kill_and_resume_on_the_command_line(tmp_path):
    rows = [f"{'good' if i % 2 else 'bad'} film {i % 7},{i % 2}\n" for i in range(400)]
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(rows))
    command = [sys.executable, "-m", "recurra", "fit", "classify", "t.csv", "--input", "text", "--target", "label"]
    command += ["--epochs", "16", "--patience", "16", "--hidden-size", "8", "--batch-size", "8", "--tokens", "word"]
    command += ["--logger", "csv", "--logger", "tensorboard", "--logger", "mlflow"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    journal, checkpoint = (tmp_path / "model.training" / name for name in ("logs/csv.json", "last.ckpt"))
    end = time.monotonic() + 120
    while not (checkpoint.exists() and json.loads(journal.read_text())["step"] > 100) and time.monotonic() < end:
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = subprocess.run([*command, "--resume"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    history = recurra.load(tmp_path / "model").history_
    for name in ("csv", "tensorboard", "mlflow"):
        points, _ = READ[name](tmp_path / "logs", "model")
        losses = dict(points["valid/loss"])
        assert list(losses.values()) == pytest.approx([r["valid_loss"] for r in history], rel=1e-6)
        for metric in ("valid/loss", "train/loss"):
            steps = [step for step, _ in points[metric]]
            assert steps == sorted(steps)
            assert len(steps) - len(set(steps)) <= 1  # the step that was being logged when the run was killed


class Recorder(Logger):
    """A logger of a user. Its calls may fail or never end."""

    name, version = "recorder", "1"

    def __init__(self, fails_at: int = -1, waits: threading.Event | None = None) -> None:
        super().__init__()
        self.fails_at, self.waits, self.steps = fails_at, waits, []
        self.status = ""

    def log_metrics(self, metrics, step=None):
        if self.waits is not None:
            self.waits.wait(60)
        if len(self.steps) == self.fails_at:
            raise ConnectionError("the server is gone")
        self.steps.append(step)

    def log_hyperparams(self, params, *args, **kwargs):
        self.task = params["task"]

    def finalize(self, status):
        self.status = status


def test_a_logger_that_fails_does_not_end_the_training(tmp_path, capfd, alone):
    failing, well = Recorder(fails_at=3), Recorder()
    model = fit([failing, well])
    np.testing.assert_array_equal(model.predict_proba(data()[0]), alone.predict_proba(data()[0]))
    assert (failing.steps, failing.status) == ([1, 2, 3], "")
    assert (len(well.steps), well.status, well.task) == (STEPS * EPOCHS + 1, "success", "classify")
    assert "the logger Recorder failed, and gets no more metrics: the server is gone\n" in capfd.readouterr().err
    model.save(tmp_path / "m")
    assert "| logger | Recorder, Recorder |" in (tmp_path / "m" / "README.md").read_text()
    assert recurra.load(tmp_path / "m").logger is None


def test_training_does_not_wait_for_a_logger(monkeypatch, capfd):
    monkeypatch.setattr(channel, "CLOSE_SECONDS", 0.05)
    answer = threading.Event()
    waiting = Recorder(waits=answer)
    try:
        assert fit(waiting).n_iter_ == EPOCHS
        assert waiting.steps == []
    finally:
        answer.set()
    assert "the logger Recorder does not answer; the last metrics may be missing there\n" in capfd.readouterr().err


def test_a_server_that_cannot_be_reached_is_an_error_before_training(tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://me:secret@127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(RecurraError, match=r"the server http://127.0.0.1:\d+ of mlflow cannot be reached: Conn"):
            fit(f"mlflow={address}", checkpoint=tmp_path / "run")
    import wandb

    wandb.teardown()  # it has read its settings
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(RecurraError, match=r"the logger wandb cannot start: .*wandb login"):
        fit(["csv", "wandb"], checkpoint=tmp_path / "run")
    wandb.teardown()
    assert list((tmp_path / "run").glob("last.ckpt")) == []


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match=r"the logger mlflow needs mlflow: pip install 'recurra\[loggers\]'"):
        fit("mlflow")


def test_a_place_and_further_runs(tmp_path, capfd):
    for _ in range(2):
        fit(f"csv={tmp_path}")
    assert sorted(p.name for p in (tmp_path / "classify").iterdir()) == ["version_0", "version_1"]
    own = CSVLogger(tmp_path, "own")
    fit(own)
    assert Path(own.log_dir, "metrics.csv").read_text().count("\n") == 1 + STEPS * EPOCHS + 1
    assert capfd.readouterr().err == ""
    (tmp_path / "file").touch()
    with pytest.raises(RecurraError, match=r"the logger csv cannot start: (File exists|Not a directory)"):
        fit(f"csv={tmp_path / 'file'}")
