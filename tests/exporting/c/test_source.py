"""C files compile as C99 and C++, on Arm, without a heap; their comments state their sizes."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
import torch
from compiled import STRICT, compile, run_steps

import recurra
from recurra import nn
from recurra.exporting.c.emulate import emulate
from recurra.exporting.c.emulate_forecast import emulate_forecast
from recurra.exporting.c.names import identifier
from recurra.exporting.c.plan import Calendar, Forecasting, Layer, Linear, Matrix, Plan, Scaling
from recurra.exporting.c.source import source

ARM = "arm-linux-gnueabihf-gcc"
CORTEX = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-ffreestanding", "-fno-pic"]
NAUGHTY = (
    'quote " \\ end',
    "??/ trigraph",
    "*/ int x; /*",
    "line\nbreak\0",
    "긍정 🙂",
    "\u202eright to left",
    "",
    "model_a MODEL_B @name",
)


def arm() -> str:
    if shutil.which(ARM) is None:
        pytest.skip(f"{ARM} is not installed")
    return ARM


def plan_of(cell: str = "gru", pooling: str = "max", masked: int = 1, units: int = 8, **options) -> Plan:
    """A plan with random weights."""
    random = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return random.normal(scale=0.3, size=shape).astype(np.float32)

    gates, inputs = {"gru": 3, "lstm": 4}.get(cell, 1), 3 + masked
    layers = tuple(
        Layer(
            Matrix(numbers(gates * units, size)),
            Matrix(numbers(gates * units, units)),
            numbers(gates * units),
            numbers(units) if cell == "gru" else None,
        )
        for size in (inputs, units)
    )
    scaling = Scaling(numbers(3).astype(float), np.array([1.5, 0, 2]), np.arange(masked))
    attention = Linear(Matrix(numbers(1, units)), numbers(1)) if pooling == "attention" else None
    head = Linear(Matrix(numbers(2, units)), numbers(2))
    names = {"inputs": ("x", "y", "z"), "outputs": ("no", "yes")}
    parts: dict[str, Any] = {
        "task": "classify",
        "scaling": scaling,
        "pooling": pooling,
        "attention": attention,
        "head": head,
    }
    return Plan("a model", cell, layers, **(names | parts | options))


def forecaster(cell: str, cycles: tuple[str, ...] = (), context: int = 5, units: int = 8) -> Plan:
    """A forecaster of one of two inputs with random weights."""
    random = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    def linear(rows: int, columns: int) -> Linear:
        return Linear(Matrix(numbers(rows, columns)), numbers(rows))

    own = Forecasting(
        context=context,
        horizon=3,
        segment=2,
        targets=1,
        masked=True,
        levels=(0.1, 0.9),
        means=numbers(2).astype(float),
        deviations=np.ones(2),
        read=linear(units, 4),
        beside=Matrix(numbers(units, 4)),
        positions=numbers(2, units - units // 2),
        places=numbers(1, units // 2),
        write=linear(2, units),
        base=None if cell == "lstm" else linear(3, context),
        quantiles=linear(4, units),
        shifts=numbers(3, 1, 2),
        calendar=Calendar(cycles, 3_600_000_000, Matrix(numbers(units, 4 * len(cycles)))) if cycles else None,
    )
    size = {"gru": 3, "lstm": 4}[cell] * units
    past = numbers(units) if cell == "gru" else None
    layer = Layer(Matrix(numbers(size, units)), Matrix(numbers(size, units)), numbers(size), past)
    return Plan("a forecaster", cell, (layer,), ("x", "z"), ("x",) * 9, "forecast", forecasting=own)


PLANS = [
    plan_of(cell, pooling, masked)
    for cell, pooling, masked in [
        ("gru", "max", 1),
        ("lstm", "attention", 0),
        ("rnn", "mean", 2),
        ("rnn_relu", "last", 0),
    ]
]
PLANS += [PLANS[0].quantized(), PLANS[1].quantized()]
PLANS += [forecaster("lstm"), forecaster("gru").quantized(), forecaster("gru", ("weekday", "year"))]
NAMES = ["gru", "lstm", "rnn", "rnn_relu", "gru-int8", "lstm-int8", "forecaster", "forecaster-int8", "calendar"]
BEGIN = 951_782_400_000_000
"""2000-02-29 in microseconds since 1970."""


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_compiles_as_c_and_cplusplus(plan, compiler, tmp_path):
    path = tmp_path / "net.c"
    path.write_text(source(plan, "net", "net"), encoding="utf-8")
    compile(compiler, *STRICT, "-c", path, "-o", tmp_path / "net.o")
    cplusplus = compiler.replace("gcc", "g++").replace("clang", "clang++")
    compile(cplusplus, "-x", "c++", *STRICT[1:], "-c", path, "-o", tmp_path / "net.o")
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 120


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_uses_no_heap_and_states_its_sizes(plan, tmp_path):
    """On a Cortex-M4 without an operating system: constants, state and stack are as the comment says."""
    path, object = tmp_path / "net.c", tmp_path / "net.o"
    text = source(plan, "net", "net") + "\nconst char size_of_the_state[sizeof(net_state)] = {0};\n"
    path.write_text(text, encoding="utf-8")
    compile(arm(), *STRICT, *CORTEX, "-fno-inline", "-fstack-usage", "-c", path, "-o", object)
    usage = path.with_suffix(".su").read_text(encoding="utf-8")
    compile(arm(), *STRICT, *CORTEX, "-O0", "-c", path, "-o", object)  # no constant is optimized away
    symbols = subprocess.run(
        ["arm-linux-gnueabihf-nm", "-S", object], capture_output=True, text=True, check=True
    ).stdout
    undefined = set(re.findall(r" U (\w+)$", symbols, re.M))
    assert undefined <= {"expf", "tanhf", "exp", "sin", "cos", "sqrt", "fabs", "memcpy", "memmove", "memset"} | set(
        re.findall(r"__aeabi_\w+", symbols)
    )
    assert re.findall(r" [BbDdC] (\w+)$", symbols, re.M) == []  # no variables
    sizes = {name: int(size, 16) for size, name in re.findall(r"^\w+ (\w+) [Rr] (\w+)$", symbols, re.M)}
    state = sizes.pop("size_of_the_state")
    labels = sum(len(name.encode()) + 1 for name in plan.labels[1])
    sizes = {name: size for name, size in sizes.items() if "$" not in name}
    assert stated("constants", text) == sum(sizes.values()) + labels
    assert stated("state", text) == state
    frames = {name: int(size) for name, size in re.findall(r":net_([\w.]+)\t(\d+)\t", usage)}
    depth = frames.pop("step") + sum(frames.values())  # more than any chain of calls
    assert depth <= stated("stack", text) <= depth + 250


def stated(name: str, text: str) -> int:
    found = re.search(rf"^  {name} +(?:about )?([\d,]+) bytes", text, re.M)
    assert found is not None
    return int(found[1].replace(",", ""))


def test_links_without_a_standard_library(tmp_path):
    """The mathematical and memory functions are the only ones that a program must provide."""
    path, main = tmp_path / "net.c", tmp_path / "main.c"
    path.write_text(source(PLANS[0], "net", "net"), encoding="utf-8")
    main.write_text(
        '#include "net.c"\n'
        "float expf(float x) { return 1 + x; }\nfloat tanhf(float x) { return x; }\n"
        "double fabs(double x) { return x < 0 ? -x : x; }\n"
        "void *memcpy(void *to, const void *from, size_t n) { char *t = to; const char *f = from;"
        " while (n--) *t++ = *f++; return to; }\n"
        "void *memset(void *to, int c, size_t n) { char *t = to; while (n--) *t++ = (char)c; return to; }\n"
        "void _start(void) { static net_state s; float y[NET_OUTPUTS]; const float x[NET_INPUTS] = {0};\n"
        "    net_start(&s); net_step(&s, x, y); for (;;) {} }\n",
        encoding="utf-8",
    )
    flags = [
        "-std=c99",
        "-O1",
        "-ffreestanding",
        "-nostdlib",
        "-static",
        "-fno-builtin",
        "-fno-tree-loop-distribute-patterns",
    ]
    compile(arm(), *flags, main, "-lgcc", "-o", tmp_path / "program")


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_runs_on_arm(plan, tmp_path):
    if shutil.which("qemu-arm") is None:
        pytest.skip("qemu-arm is not installed")
    x = np.random.default_rng(0).normal(size=(1000, len(plan.inputs))).astype(np.float32)
    x[::7, 0] = np.nan
    path = tmp_path / "net.c"
    path.write_text(source(plan, "net", "net"), encoding="utf-8")
    begin = BEGIN if plan is PLANS[-1] else None
    found = run_steps(path, x, arm(), "-static", emulator=("qemu-arm",), begin=begin)
    if plan.forecasting is None:
        assert np.abs(found - emulate(plan, x.astype(float))).max() <= 1e-5
    else:
        wanted = emulate_forecast(plan, x.astype(float), list(range(1, 1001, 20)), begin or 0)
        assert np.abs(found[::20] - wanted).max() <= 1e-5


@pytest.mark.parametrize("layer", [nn.GRU(3, 7, 2), nn.LSTM(3, 7, proj_size=4), nn.RNN(3, 7)], ids=str)
def test_layers_run_on_arm(layer, tmp_path):
    if shutil.which("qemu-arm") is None:
        pytest.skip("qemu-arm is not installed")
    x = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    found = run_steps(recurra.export(layer, tmp_path / "net.c"), x, arm(), "-static", emulator=("qemu-arm",))
    with torch.no_grad():
        assert np.abs(found - layer(torch.from_numpy(x))[0].numpy()).max() <= 1e-5


@pytest.mark.parametrize("name", NAUGHTY)
def test_names_cannot_break_the_file(name, compiler, tmp_path):
    path = tmp_path / "net.c"
    path.write_text(source(plan_of(outputs=(name, "b"), inputs=(name, "", "z")), "net", name), encoding="utf-8")
    main = tmp_path / "main.c"
    main.write_text(
        '#include <stdio.h>\n#include "net.c"\nint main(void) { fputs(net_outputs[0], stdout); return 0; }\n'
    )
    compile(compiler, *STRICT, main, "-o", tmp_path / "program", "-lm")
    done = subprocess.run([tmp_path / "program"], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode() == name.partition("\0")[0]


def test_two_files_in_one_program(tmp_path):
    for name in ("one", "two"):
        recurra.export(nn.GRU(3, 4), tmp_path / f"{name}.c")
    main = tmp_path / "main.c"
    main.write_text('#include "one.c"\n#include "two.c"\nint main(void) { return ONE_INPUTS - TWO_INPUTS; }\n')
    compile("gcc", "-std=c99", "-c", main, "-o", tmp_path / "main.o")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("gesture", "gesture"), ("my model-2", "my_model_2"), ("2", "model_2"), ("동작", "model"), ("_Été", "Ete")],
)
def test_identifiers(name, wanted):
    assert identifier(name) == wanted


def test_numbers_are_read_back_exactly(compiler, tmp_path):
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**32, 5000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = np.append(values[np.isfinite(values)], np.array([0, -0.0, 1, 1e-45, 3.4e38], np.float32))
    layer = Layer(Matrix(values[None]), None, np.zeros(1, np.float32))
    text = source(Plan("numbers", "none", (layer,), ("x",) * values.size, ("y",)), "net", "net")
    (tmp_path / "net.c").write_text(text, encoding="utf-8")
    main = tmp_path / "main.c"
    main.write_text(
        '#include <stdio.h>\n#include "net.c"\nint main(void) {\n'
        "    fwrite(net_input_0_weights, sizeof net_input_0_weights, 1, stdout);\n    return 0;\n}\n"
    )
    compile(compiler, *STRICT, main, "-o", tmp_path / "program", "-lm")
    done = subprocess.run([tmp_path / "program"], capture_output=True, check=True, timeout=60)
    assert done.stdout == values.tobytes()
