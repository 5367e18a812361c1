"""`recurra fit`: finished and unfinished work is kept, and two runs do not share a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recurra.errors import UsageError
from recurra.tasks.registry import BUILT_IN

QUICK = ["--hidden-size", 4, "--embedding-size", 4, "--batch-size", 16, "--epochs", 2]
FIT = ["fit", "classify", "r.csv", "--input", "text", "--target", "label", *QUICK]


@pytest.fixture(autouse=True)
def table(tmp_path):
    rows = [f"{word} film {i},{label}" for i in range(20) for word, label in (("good", 1), ("bad", 0))]
    (tmp_path / "r.csv").write_text("text,label\n" + "\n".join(rows) + "\n")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_task_has_the_options(recurra):
    for task in (task.name for task in BUILT_IN):
        text = recurra("fit", task, "--help")[1]
        assert "--overwrite" in text
        assert "--resume" in text


def test_a_finished_model_is_replaced_only_when_asked(recurra, tmp_path):
    assert recurra(*FIT)[0] == 0
    before = content(tmp_path / "model")
    code, out, err = recurra(*FIT, "--cell", "gru")
    assert (code, out) == (2, "")
    assert "model contains a finished model" in err
    assert "--overwrite" in err
    assert content(tmp_path / "model") == before
    assert names(tmp_path) == ["model", "r.csv"]
    assert recurra(*FIT, "--cell", "gru", "--overwrite")[0] == 0
    assert '"gru"' in (tmp_path / "model" / "config.json").read_text()


def test_resuming_a_finished_run_says_so(recurra, tmp_path):
    assert recurra(*FIT)[0] == 0
    before = content(tmp_path / "model")
    for options in ([], ["--cell", "gru"], ["--overwrite"]):
        code, out, err = recurra(*FIT, "--resume", *options)
        assert (code, out) == (0, "")
        assert "the run is finished: the model is in model" in err
    assert content(tmp_path / "model") == before
    assert names(tmp_path) == ["model", "r.csv"]


def test_resuming_nothing_starts_from_the_beginning(recurra, tmp_path):
    code, _, err = recurra(*FIT, "--resume")
    assert code == 0
    assert "no unfinished run" in err
    assert names(tmp_path) == ["model", "r.csv"]


def test_an_unfinished_run_is_discarded_only_when_asked(recurra, killed, tmp_path):
    killed(*FIT)
    before = content(tmp_path / "model.training")
    code, _, err = recurra(*FIT)
    assert code == 2
    assert "contains an unfinished run" in err
    assert "--resume" in err
    assert "--overwrite" in err
    assert content(tmp_path / "model.training") == before
    code, _, err = recurra(*FIT, "--resume", "--cell", "gru")
    assert code == 2
    assert "are different: cell" in err
    assert content(tmp_path / "model.training")["last.ckpt"] == before["last.ckpt"]
    assert not (tmp_path / "model").exists()
    assert recurra(*FIT, "--resume")[0] == 0
    assert names(tmp_path) == ["model", "r.csv"]


def test_overwrite_discards_an_unfinished_run(recurra, killed, tmp_path):
    killed(*FIT)
    assert recurra(*FIT, "--cell", "gru", "--overwrite")[0] == 0
    assert names(tmp_path) == ["model", "r.csv"]
    assert '"gru"' in (tmp_path / "model" / "config.json").read_text()


def test_a_run_of_another_task_is_not_resumed(recurra, killed):
    killed(*FIT)
    code, _, err = recurra("fit", "regress", *FIT[2:], "--resume")
    assert code == 2
    assert "are different: task" in err


def test_a_run_that_replaces_a_model_is_resumed(recurra, killed, tmp_path):
    assert recurra(*FIT)[0] == 0
    before = content(tmp_path / "model")
    killed(*FIT, "--cell", "gru", "--overwrite")
    assert content(tmp_path / "model") == before
    assert recurra(*FIT, "--cell", "gru", "--resume")[0] == 0
    assert '"gru"' in (tmp_path / "model" / "config.json").read_text()


def test_a_run_killed_before_its_first_checkpoint_is_not_called_finished(recurra, tmp_path):
    assert recurra(*FIT)[0] == 0
    (tmp_path / "model.training").mkdir()
    code, _, err = recurra(*FIT, "--cell", "gru", "--resume")
    assert code == 2
    assert "--overwrite" in err
    (tmp_path / "model.training").mkdir()
    assert recurra(*FIT, "--cell", "gru", "--resume", "--overwrite")[0] == 0
    assert '"gru"' in (tmp_path / "model" / "config.json").read_text()


def test_a_folder_that_is_named_like_a_run_is_not_touched(recurra, tmp_path):
    (tmp_path / "model.training").mkdir()
    (tmp_path / "model.training" / "thesis.txt").write_text("mine")
    for options in ([], ["--overwrite"], ["--resume"]):
        code, _, err = recurra(*FIT, *options)
        assert code == 4
        assert "model.training contains files that are not of a run" in err
    assert content(tmp_path / "model.training") == {"thesis.txt": b"mine"}


def test_a_link_is_followed(recurra, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "model").symlink_to("disk")
    assert recurra(*FIT)[0] == 0
    assert (tmp_path / "model").is_symlink()
    assert (tmp_path / "disk" / "config.json").is_file()
    assert recurra(*FIT)[0] == 2
    assert recurra(*FIT, "--out", "disk")[0] == 2
    assert names(tmp_path) == ["disk", "model", "r.csv"]


def test_a_second_run_with_the_same_folder_is_refused(recurra, tmp_path):
    (tmp_path / "link").symlink_to("model")
    program = """
import sys
from pathlib import Path
from recurra._util.atomic import locked
Path("model.training").mkdir()
with locked(Path("model.training"), ""):
    print("locked", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        for options in ([], ["--resume"], ["--overwrite"], ["--out", "link"]):
            code, _, err = recurra(*FIT, *options)
            assert code == 2
            assert "another process is training into" in err
        first.kill()
    assert recurra(*FIT)[0] == 0  # a killed process has no lock
    assert names(tmp_path) == ["link", "model", "r.csv"]


def test_bad_data_leave_no_folder(recurra, tmp_path):
    (tmp_path / "r.csv").write_text("text,label\na,1\n")
    assert recurra(*FIT)[0] == 3
    assert names(tmp_path) == ["r.csv"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "is a file"),
        ("file/m", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("x" * 250, "too long"),
    ],
)
def test_an_impossible_folder_is_named(recurra, tmp_path, out, message):
    (tmp_path / "file").touch()
    code, _, err = recurra(*FIT, "--out", out)
    assert code == 4
    assert message in err
    assert "fault of Recurra" not in err
    assert names(tmp_path) == ["file", "r.csv"]


@pytest.mark.parametrize("writer", ["save_checkpoint", "write_folder"])
def test_a_run_that_a_full_disk_has_stopped_is_resumed(recurra, tmp_path, monkeypatch, writer):
    assert recurra(*FIT, "--out", "whole")[0] == 0
    with monkeypatch.context() as patch:
        fsync, count = os.fsync, [0]

        def full(handle):
            count[0] += 1
            if count[0] == (5 if writer == "save_checkpoint" else 6):  # two files of data, then three checkpoints
                raise OSError(28, "No space left on device")
            fsync(handle)

        patch.setattr(os, "fsync", full)
        code, _, err = recurra(*FIT, "--checkpoint-minutes", 1e9)
    assert code == 1
    assert "No space left on device" in err
    assert "the same command with --resume continues the run" in err
    assert not (tmp_path / "model").exists()
    assert recurra(*FIT, "--resume")[0] == 0
    whole, resumed = content(tmp_path / "whole"), content(tmp_path / "model")
    assert whole["model.safetensors"] == resumed["model.safetensors"]
    assert names(tmp_path) == ["model", "r.csv", "whole"]


def test_held_out_pairs_are_not_replaced_by_others(recurra, tmp_path):
    pairs = "".join(f"word {i}\t단어 {i}\n" for i in range(40))
    (tmp_path / "p.tsv").write_text("en\tko\n" + pairs)
    fit = ["fit", "translate", "p.tsv", "--source", "en", "--target", "ko", "--hold-out", 0.2, *QUICK]
    assert recurra(*fit, "--seed", 1)[0] == 0
    held = (tmp_path / "model.held-out.tsv").read_bytes()
    (tmp_path / "model").rename(tmp_path / "moved")
    code, _, err = recurra(*fit, "--seed", 2)
    assert code == 2
    assert "model.held-out.tsv contains other pairs" in err
    assert (tmp_path / "model.held-out.tsv").read_bytes() == held
    assert recurra(*fit, "--seed", 1)[0] == 0
    assert recurra(*fit, "--seed", 2, "--overwrite")[0] == 0
    assert (tmp_path / "model.held-out.tsv").read_bytes() != held


@pytest.mark.parametrize(
    ("options", "overwrite"),
    [
        ([], True),
        (["--out", "recurra-demo"], True),
        (["--out", "mine"], False),
        (["--out", "mine", "--overwrite"], True),
    ],
)
def test_the_demo_replaces_only_its_own_folder(recurra, monkeypatch, options, overwrite):
    found = []

    def stop(task, path, given, read):
        found.append(given.overwrite)
        raise UsageError("stopped")

    monkeypatch.setattr("recurra.cli.commands.demo.train", stop)
    assert recurra("demo", *options)[0] == 2
    assert found == [overwrite]


def test_a_run_may_start_from_a_model(recurra, tmp_path, killed):
    assert recurra(*FIT)[0] == 0
    started = [*FIT[:7], "--epochs", 2, "--batch-size", 16, "--start-from", "model", "--out", "second"]
    killed(*started)
    assert "start" in names(tmp_path / "second.training")
    code, _, err = recurra(*started, "--resume")
    assert code == 0
    assert "training starts from model (classify, weights " in err
    assert "hidden_size 4" in err
    assert names(tmp_path) == ["model", "r.csv", "second"]
    assert '"started_from":"model (classify' in (tmp_path / "second" / "config.json").read_text().replace(": ", ":")


def test_a_model_to_start_from_is_checked_first(recurra):
    assert recurra(*FIT)[0] == 0
    for options, status, message in (
        (["--start-from", "none"], 4, "there is no model folder none"),
        (["--start-from", "model", "--layers", 2], 2, "num_layers is 2, but the model that training starts from has 1"),
    ):
        code, out, err = recurra(*FIT[:7], *options, "--out", "second")
        assert (code, out) == (status, "")
        assert message in err
        assert "Traceback" not in err
