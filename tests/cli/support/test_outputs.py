"""Files that commands write: never over an input or a model, complete or not at all, and every failure is named."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from recurra.io import Provenance
from recurra.tasks import SequenceClassifier

FIT = ["fit", "classify", "r.csv", "--input", "text", "--target", "label", "--hidden-size", 4, "--epochs", 1]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    words = [(word, label) for _ in range(30) for word, label in (("good film", "1"), ("bad film", "0"))]
    rows = "".join(f"{word},{label}\n" for word, label in words)
    (folder / "r.csv").write_text("text,label\n" + rows)
    X, y = zip(*words, strict=True)
    model = SequenceClassifier(hidden_size=4, embedding_size=4, epochs=1, verbose=0).fit(list(X), list(y))
    model.provenance_ = Provenance(input_column="text", target_column="label")
    model.save(folder / "m")
    return folder


@pytest.fixture
def here(made, tmp_path) -> Path:
    """The working directory of `recurra`, with a model and a table."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def clear(err: str) -> bool:
    """Whether an error is at most three lines for a person."""
    lines = err[err.index("error: ") :].strip().splitlines()
    return len(lines) <= 3 and "fault of Recurra" not in err and "Traceback" not in err and "Errno" not in err


# inputs and models


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "m", "r.csv", "--out", "r.csv"], "would replace the input"),
        (["predict", "m", "r.csv", "--out", "./link.csv"], "would replace the input"),
        (["inspect", "m", "r.csv", "--out", "r.csv"], "would replace the input"),
        (["inspect", "m", "r.csv", "--netcdf", "r.csv"], "would replace the input"),
        (["lab", "capacity", "--data", "p.svg", "--out", "p.svg"], "would replace the input"),
        (["predict", "m", "r.csv", "--out", "m"], "would replace the input"),
        ([*FIT, "--overwrite", "--out", "r.csv"], "would replace the input"),
        (["predict", "m", "r.csv", "--out", "m/metrics.json"], "a file of the model m"),
        (["inspect", "m", "good", "--out", "m/config.json"], "a file of the model m"),
        (["inspect", "m", "good", "--parquet", "m/model.safetensors"], "a file of the model m"),
        (["inspect", "m", "good", "--out", "m/../m/README.md"], "a file of the model"),
        (["inspect", "m", "good", "--netcdf", "a", "--parquet", "./a"], "name the same file"),
        (["bench", "--quick", "--out", "m/config.json"], "a file of the model m"),
    ],
)
def test_no_input_and_no_model_is_destroyed(recurra, here, arguments, message):
    (here / "link.csv").symlink_to("r.csv")
    (here / "p.svg").write_text("a text of an odd name")
    before = content(here)
    code, out, err = recurra(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert clear(err)
    assert content(here) == before


def test_earlier_predictions_are_replaced(recurra, here):
    (here / "p.csv").write_text("old")
    assert recurra("predict", "m", "r.csv", "--out", "p.csv")[0] == 0
    assert (here / "p.csv").read_text().startswith('"row"')


def test_a_page_inside_a_model_folder_is_kept_by_the_next_save(recurra, here):
    assert recurra("inspect", "m", "good", "--out", "m/page.html")[0] == 0
    assert recurra(*FIT, "--out", "m", "--overwrite")[0] == 0
    assert (here / "m" / "page.html").is_file()


def test_changed_files_of_a_sample_are_not_replaced(recurra, here):
    assert recurra("sample", "series")[0] == 0
    assert recurra("sample", "series")[0] == 0  # the same files
    path = next(p for p in (here / "series-sample").iterdir() if p.suffix == ".csv")
    whole = path.read_bytes()
    path.write_text("mine")
    code, _, err = recurra("sample", "series")
    assert code == 2
    assert f"{path.name} exists and is not the file of the sample" in err
    assert path.read_text() == "mine"
    path.unlink()
    assert recurra("sample", "series")[0] == 0
    assert path.read_bytes() == whole


# disks


@contextmanager
def no_file_beyond(size: int):
    """A limit that acts as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


WRITING = {
    "predictions, csv": (["predict", "m", "r.csv", "--out", "p.csv"], 3),
    "predictions, jsonl": (["predict", "m", "r.csv", "--out", "p.jsonl"], 3),
    "predictions, parquet": (["predict", "m", "r.csv", "--out", "p.parquet"], 3),
    "page": (["inspect", "m", "good", "--out", "page.html"], 3),
    "netcdf": (["inspect", "m", "good film", "--netcdf", "t.nc"], 3),
    "parquet": (["inspect", "m", "good film", "--parquet", "t.parquet"], 3),
    "sample": (["sample", "series"], 3),
    "fit": ([*FIT, "--out", "n"], 4),
    "fit over a model": ([*FIT, "--out", "m", "--overwrite"], 4),
    "lab": (["lab", "vanishing", "--quick", "--lags", "10", "--steps", "1", "--cells", "gru"], 3),
}


@pytest.mark.parametrize("name", WRITING)
def test_a_full_disk_is_named_and_leaves_nothing(recurra, here, name):
    arguments, code = WRITING[name]
    before = content(here)
    with no_file_beyond(900):
        found, _, err = recurra(*arguments)
    assert found == code
    assert "File too large" in err
    assert clear(err)
    assert content(here) == before
    assert sorted(path.name for path in here.iterdir()) == ["m", "r.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["predict", "m", "r.csv", "--out", "/dev/full"], 2),  # no suffix that says the format
        (["inspect", "m", "good", "--out", "/dev/full"], 1),
        (["inspect", "m", "good", "--netcdf", "/dev/full"], 1),
        (["inspect", "m", "good", "--parquet", "/dev/full"], 1),
        ([*FIT, "--out", "/dev/full"], 4),
    ],
)
def test_a_full_device(recurra, here, arguments, code):
    found, _, err = recurra(*arguments)
    assert found == code
    assert clear(err)
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("arguments", [value[0] for value in WRITING.values() if "--out" in value[0]])
def test_a_name_that_is_too_long(recurra, here, arguments):
    at = arguments.index("--out") + 1
    name = "x" * 300 + Path(arguments[at]).suffix
    code, _, err = recurra(*arguments[:at], name, *arguments[at + 1 :])
    assert code in (3, 4)
    assert "File name too long" in err
    assert clear(err)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux only")
def test_a_folder_that_takes_no_files(recurra, here):
    """`/proc` refuses new files also from root."""
    code, _, err = recurra("predict", "m", "r.csv", "--out", "/proc/p.csv")
    assert code == 3
    assert clear(err)
    code, _, err = recurra(*FIT, "--out", "/proc/n")
    assert code == 4
    assert clear(err)
    code, _, err = recurra("sample", "series", "--out", "/proc/s")
    assert code == 3
    assert clear(err)


# standard output, memory


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("recurra --version > /dev/full", 1),
        ("recurra fit --help > /dev/full", 1),
        ("recurra sample > /dev/full", 1),
        ("recurra sample >&-", 1),
        ("recurra sample series --out a 2> /dev/full", 0),
        ("recurra sample series --out b 2>&-", 0),
        ("recurra sample no-name 2> /dev/full", 2),
        ("recurra sample no-name 2>&-", 2),
        ("recurra sample | true", 0),
        ("recurra sample 2>&1 | true", 0),
        ("recurra --help | head -n 1", 0),
        pytest.param("recurra predict m r.csv > /dev/full", 1, marks=pytest.mark.slow),
        pytest.param("recurra predict m r.csv | head -n 1", 0, marks=pytest.mark.slow),
        pytest.param("recurra predict m r.csv 2>&1 | true", 0, marks=pytest.mark.slow),
    ],
)
def test_standard_streams_that_cannot_be_written(here, command, code):
    done = run(command, here)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert ("standard output cannot be written" in done.stderr) == (code == 1)
    if code == 1:
        assert clear(done.stderr)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object: Cannot allocate memory"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_too_little_memory_is_no_fault_of_the_program(recurra, here, monkeypatch, error):
    def failing(*arguments, **options):
        raise error

    monkeypatch.setattr(SequenceClassifier, "fit", failing)
    code, out, err = recurra(*FIT, "--out", "n")
    assert (code, out) == (1, "")
    assert "not enough memory" in err
    assert clear(err)
    assert sorted(path.name for path in here.iterdir()) == ["m", "r.csv"]


def test_other_errors_of_the_system_are_named(recurra, here, monkeypatch):
    def failing(*arguments, **options):
        raise OSError(24, "wording", "some file")

    monkeypatch.setattr(SequenceClassifier, "fit", failing)
    code, _, err = recurra(*FIT, "--out", "n")
    assert code == 1
    assert "some file: Too many open files" in err
    assert clear(err)
