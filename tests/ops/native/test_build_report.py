"""Why the native engine is not there, from the output of its build."""

from __future__ import annotations

import json

import pytest

from recurra.ops.native import bindings
from recurra.ops.native.build_report import NAME, build_log, first_error, why_absent

CMAKE = """-- The CXX compiler identification is unknown
CMake Error at CMakeLists.txt:20 (enable_language):
  No CMAKE_CXX_COMPILER could be found.

  Tell CMake where to find the compiler.

-- Configuring incomplete, errors occurred!
"""


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ("-- warning: x\na.h:3:5: error: no such thing\nb.cpp:1:1: error: more\n", "a.h:3:5: error: no such thing"),
        ("a.cpp:1:9: fatal error: Python.h: No such file\n1 error.", "a.cpp:1:9: fatal error: Python.h: No such file"),
        ("c++: error: unrecognized option '-mavx512bf16'\n", "c++: error: unrecognized option '-mavx512bf16'"),
        (CMAKE, "No CMAKE_CXX_COMPILER could be found."),
        ("Killed\nninja: build stopped\n", "ninja: build stopped"),
        ("", "the build left no message"),
    ],
)  # fmt: skip
def test_the_first_error_is_found(output, found):
    assert first_error(output) == found


def test_the_kept_output_says_why(tmp_path):
    here, there = tmp_path / "source", tmp_path / "installed"
    here.mkdir(), there.mkdir()
    folders = [str(here), str(there)]
    assert build_log(folders) is None
    assert why_absent(folders, ImportError("cannot import name '_engine'")) == "cannot import name '_engine'"
    (there / NAME).write_text("a.cpp:1:2: error: wrong\n")
    assert build_log(folders) == there / NAME
    assert why_absent(folders, ImportError("x")) == "its compilation failed: a.cpp:1:2: error: wrong"


def test_doctor_shows_whether_the_engine_was_built(monkeypatch, capsys, tmp_path):
    from recurra.cli.commands.doctor import doctor
    from recurra.ops import native

    (tmp_path / NAME).write_text("a.cpp:1:2: error: wrong\n")
    monkeypatch.setattr(native, "__path__", [*native.__path__, str(tmp_path)])
    doctor(json=True)
    built = bindings.engine is not None
    found = json.loads(capsys.readouterr().out)["native engine"]
    assert (found["built"], found["why not"] is None) == (built, built)
    assert (found["instructions"] is None, found["products of bfloat16"] is None) == (not built, not built)
    monkeypatch.setattr(bindings, "engine", None)
    monkeypatch.setattr(bindings, "absent", "its compilation failed: a.cpp:1:2: error: wrong")
    doctor(json=True)
    assert json.loads(capsys.readouterr().out)["native engine"] == {
        "built": False,
        "instructions": None,
        "products of bfloat16": None,
        "why not": "its compilation failed: a.cpp:1:2: error: wrong",
        "output of the build": str(tmp_path / NAME),
    }
