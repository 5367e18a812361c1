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
