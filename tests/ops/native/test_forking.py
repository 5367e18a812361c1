"""A child of a fork can go on with torch and the engine, whatever its parent had done before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from recurra.ops.native import forking

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems' OpenMP prepares forks itself")
TIME = 120

CHILD = """
import os, signal, torch
torch.set_num_threads(2)
{prepare}

def work():
    product = torch.ones(600, 600) @ torch.ones(600, 600)  # on torch's own threads
    {work}
    return product.sum().item()

expected = work()
child = os.fork()
if not child:
    signal.alarm(30)  # ends a child that hangs
    os._exit(0 if work() == expected and torch.get_num_threads() == {threads} else 1)
assert os.waitpid(child, 0)[1] == 0, "the child hung or differs"
assert work() == expected
"""
LAYER = "recurra.nn.LSTM(64, 128)(torch.randn(20, 8, 64))[0].sum().backward()"


def run(prepare: str, work: str = "pass", threads: int = 2) -> None:
    code = CHILD.format(prepare=prepare, work=work, threads=threads)
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIME, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_torch_and_layers_work_in_a_child_after_their_threads_were_used():
    run("import recurra.nn", LAYER)


def test_where_threads_cannot_be_ended_the_child_has_one():
    run(
        "import recurra.nn\nfrom recurra.ops.native import forking\nforking._paused = lambda library: False",
        LAYER,
        threads=1,
    )


@pytest.mark.slow
def test_an_estimator_predicts_and_trains_in_a_child():
    fit = "SequenceClassifier(epochs=1, hidden_size=64, batch_size=16, verbose=0).fit(X * 30, y * 30)"
    prepare = (
        "import warnings\nwarnings.simplefilter('ignore')\nfrom recurra import SequenceClassifier\n"
        f"X, y = ['good film ' * 40, 'bad film'], ['a', 'b']\nmodel = {fit}\nmodel.predict(X * 50)"
    )
    run(prepare, f"model.predict(X * 50); {fit}")


def test_threads_end_where_openmp_can_end_them():
    torch.ones(600, 600) @ torch.ones(600, 600)  # torch has loaded its OpenMP
    libraries = forking._libraries()
    assert libraries
    assert all(forking._paused(library) is True for library in libraries)
    assert forking._paused("libm.so.6") is False  # has no such function
    assert forking._paused("/no/such/library.so") is False


@pytest.mark.parametrize(("libraries", "left"), [({}, False), ({"a": True}, False), ({"a": True, "b": False}, True),
                                                ({"a": False, "b": True}, True), ({"a": False}, True)])  # fmt: skip
def test_a_child_has_one_thread_only_where_some_could_not_be_ended(monkeypatch, libraries, left):
    ended, threads = [], []
    monkeypatch.setattr(forking, "_libraries", lambda: libraries)
    monkeypatch.setattr(forking, "_paused", lambda library: ended.append(library) or libraries[library])
    monkeypatch.setattr(forking, "_threads_left", not left)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    forking._end_threads()
    assert ended == [*libraries]  # each of them, whatever became of those before
    assert forking._threads_left == left
    forking._settle()
    assert threads == [1] * left


def test_libraries_are_the_files_of_gnu_openmp(monkeypatch):
    maps = """7f0-7f1 r--p 00000000 08:01 123  /usr/lib/libgomp.so.1
7f1-7f2 r-xp 00001000 08:01 123  /usr/lib/libgomp.so.1
7f2-7f3 rw-p 00000000 00:00 0
7f3-7f4 r--p 00000000 08:01 124  /site packages/libgomp-98b.so.1.0.0
7f4-7f5 r--p 00000000 08:01 125  /usr/lib/libc.so.6
"""
    monkeypatch.setattr(forking.Path, "read_text", lambda path: maps)
    assert forking._libraries() == {"/usr/lib/libgomp.so.1", "/site packages/libgomp-98b.so.1.0.0"}


@pytest.mark.parametrize(("system", "registered"), [("linux", True), ("darwin", False)])
def test_forks_are_prepared_on_linux(monkeypatch, system, registered):
    found = []
    monkeypatch.setattr(os, "register_at_fork", lambda **functions: found.append(functions))
    monkeypatch.setattr(forking.sys, "platform", system)
    forking.register()
    assert found == [{"before": forking._end_threads, "after_in_child": forking._settle}] * registered


def test_where_python_knows_no_forks_nothing_is_prepared(monkeypatch):
    monkeypatch.delattr(os, "register_at_fork")
    forking.register()
