"""Files and folders that are complete at every moment, also after `kill -9`."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recurra._util.atomic import locked, remove, replaced, tidy, written
from recurra.errors import DataError, ModelFolderError, UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed(folder: Path, program: str) -> None:
    """Runs a program that kills itself."""
    text = f"import os, signal\nfrom pathlib import Path\nfrom recurra._util.atomic import *\n{program}"
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def write_half(path: Path, error: Exception) -> None:
    with written(path) as partial:
        partial.write_text("ne")
        raise error


DIE = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with written(path) as partial:
        assert partial.name == "a.csv"  # libraries choose the format by the suffix
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.csv"]


def test_after_an_error_the_old_file_is_there(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(DataError, match=r"a\.csv cannot be written: No space left on device"):
        write_half(path, OSError(28, "wording of some library"))
    with pytest.raises(KeyError):
        write_half(path, KeyError())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.csv"]


def test_a_link_to_a_file_is_followed(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "a.csv").symlink_to("target")
    with written(tmp_path / "a.csv") as partial:
        partial.write_text("new")
    assert (tmp_path / "a.csv").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_pipe_gets_the_content_and_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_text()))
    reader.start()
    with written(tmp_path / "pipe") as partial:
        partial.write_text("content")
    reader.join()
    assert found == ["content"]
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_device_is_named():
    with pytest.raises(DataError, match="/dev/full cannot be written: No space left"), written("/dev/full") as partial:
        partial.write_text("content")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a folder", "is a folder"),
        ("no/a.csv", "No such file or directory"),
        ("a file/a.csv", "Not a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, path, message):
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a file").write_text("old")
    with pytest.raises(DataError, match=message), written(tmp_path / path) as partial:
        partial.write_text("new")
    assert names(tmp_path) == ["a file", "a folder"]


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    with written(tmp_path / ("x" * 255)) as partial:
        partial.write_text("new")
    assert names(tmp_path) == ["x" * 255]


def test_what_a_killed_process_left_is_removed(tmp_path):
    killed(tmp_path, f"with written('a.csv') as partial:\n partial.write_text('half')\n {DIE}")
    killed(tmp_path, f"with replaced(Path.cwd() / 'm') as partial:\n (partial / 'f').write_text('half')\n {DIE}")
    assert len(names(tmp_path)) == 1  # the second has removed what the first had left
    tidy(tmp_path)
    assert names(tmp_path) == []


def test_what_a_running_process_writes_is_left_alone(tmp_path):
    with written(tmp_path / "a") as partial:
        partial.write_text("new")
        program = f"from recurra._util.atomic import tidy\nfrom pathlib import Path\ntidy(Path({str(tmp_path)!r}))"
        subprocess.run([sys.executable, "-c", program], check=True)
        tidy(tmp_path)
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_folder_is_there_whenever_its_replacement_is_killed(tmp_path, renames):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "f").write_text("old")
    killed(
        tmp_path,
        f"""
count, rename = [0], Path.rename
def dying(self, target):
    if count[0] == {renames}:
        {DIE}
    rename(self, target)
    count[0] += 1
    if count[0] == {renames}:
        {DIE}
Path.rename = dying
with replaced(Path.cwd() / 'm') as partial:
    (partial / 'f').write_text('new')
""",
    )
    assert (tmp_path / "m").exists() == (renames != 1)
    tidy(tmp_path)
    assert (tmp_path / "m" / "f").read_text() == ("old" if renames == 0 else "new")
    assert names(tmp_path) == ["m"]


def test_a_failing_rename_puts_the_old_folder_back(tmp_path, monkeypatch):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "f").write_text("old")
    rename = Path.rename

    def failing(self, target):
        if self.parent.name == "new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"), replaced(tmp_path / "m") as partial:
        (partial / "f").write_text("new")
    assert (tmp_path / "m" / "f").read_text() == "old"
    assert names(tmp_path) == ["m"]


def test_removing_a_folder_is_one_step(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "f").write_text("old")
    remove(tmp_path / "m")
    remove(tmp_path / "m")
    assert names(tmp_path) == []


def test_a_lock_excludes_other_processes_and_threads(tmp_path):
    program = f"from recurra._util.atomic import *\nwith locked(Path({str(tmp_path)!r}), 'in use'): pass"
    with locked(tmp_path, "in use"), locked(tmp_path, "in use"):  # again in the same thread
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert "UsageError: in use" in done.stderr
        found = []

        def other():
            try:
                with locked(tmp_path, "in use"):
                    pass
            except UsageError as error:
                found.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert found == ["in use"]
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_killed_process_holds_no_lock(tmp_path):
    killed(tmp_path, f"with locked(Path.cwd(), ''):\n {DIE}")
    with locked(tmp_path, "in use"):
        pass
    with pytest.raises(UsageError, match="in use"), locked(tmp_path / "removed", "in use"):
        pass


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.EDQUOT, 1), (errno.EACCES, 4)])
def test_a_full_disk_is_not_an_error_of_the_folder(tmp_path, number, code):
    with (
        pytest.raises(ModelFolderError, match=r"a\.csv cannot be written: ") as caught,
        written(tmp_path / "a.csv", ModelFolderError),
    ):
        raise OSError(number, os.strerror(number))
    assert caught.value.exit_code == code
    assert ModelFolderError.exit_code == 4
    assert not names(tmp_path)
