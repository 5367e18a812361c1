"""Writes the C file from its contents. The functions are in `parts/`; the numbers are written here."""

from __future__ import annotations

import re
from pathlib import Path

import recurra

from .arrays import Arrays
from .memory import Member, state_members, work_bytes
from .names import comment, literal
from .plan import Forecasting, Plan

PARTS = Path(__file__).parent / "parts"
WIDTH = 110

HEADER = """\
/*
{name}.c: {title}

Written by Recurra {version}. This file needs math.h, stddef.h, stdint.h and string.h. It uses no heap.

{interface}

Memory
  constants  {constants} bytes (flash), with pointers of 4 bytes
  state      {state} bytes for each sequence
  stack      about {stack} bytes in model_step, and that of the functions of math.h

Use
  float x[MODEL_INPUTS], y[MODEL_OUTPUTS];
  model_state state;
  model_start(&state{begin});         before the first step of each sequence
  model_step(&state, x, y);    for each step

Compile this file with your program, as C99 or later or as C++, and link the mathematical functions (-lm).{notes}
In another file of the program, define MODEL_DECLARATIONS and include this file to declare the names below.
*/
"""

DECLARATIONS = """\
#ifndef MODEL_C
#define MODEL_C

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
@sizes
};

@structs

/* Names of the @labels. */
extern const char *const model_@labels[MODEL_@LABELS];

/* Starts a sequence@begin. */
void model_start(model_state *state@time);

/* Reads the inputs x of one step, and writes the outputs y after all steps so far. */
void model_step(model_state *state, const float x[MODEL_INPUTS], float y[MODEL_OUTPUTS]);

#ifdef __cplusplus
}
#endif

#endif

#ifndef MODEL_DECLARATIONS

#include <math.h>
#include <stddef.h>
#include <string.h>
"""


def source(plan: Plan, prefix: str, name: str) -> str:
    """Returns the text of the C file.

    Args:
        plan: contents of the file.
        prefix: a C identifier; the names in the file begin with it.
        name: name of the file without its ending.
    """
    members, arrays = state_members(plan), Arrays()
    data = _data(plan, arrays)
    body = "\n".join(
        [
            _declarations(plan, members),
            *data,
            *(_part(part, _conditions(plan)) for part in _functions(plan)),
            "#endif",
            "",
        ]
    )
    facts = {
        "begin": ", time" if "calendar" in _conditions(plan) else "",
        "constants": f"{arrays.bytes:,}",
        "state": f"{sum(member.bytes for member in members):,}",
        "stack": f"{work_bytes(plan):,}",
        "version": recurra.__version__,
        "notes": "" if plan.task == "layer" else "\nDo not compile it with -ffast-math, which ignores NAN.",
    }
    header = HEADER.format(name="@name", title=comment(plan.title), interface="@interface", **facts)
    # the names of inputs and outputs come last, because they may contain `model_`
    texts = {"name": comment(name), "interface": _interface(plan), "strings": _strings(plan)}
    return re.sub(r"@(\w+)", lambda found: texts[found[1]], _named(f"{header}\n{body}", prefix))


def _strings(plan: Plan) -> str:
    """Returns the names of the outputs or targets as string literals, one on each line."""
    return ",\n".join(f"    {literal(name)}" for name in plan.labels[1])


def _declarations(plan: Plan, members: list[Member]) -> str:
    """Returns the part of the file that declares its names."""
    kind, _ = plan.labels
    timed = "calendar" in _conditions(plan)
    parts = {
        "sizes": _sizes(plan),
        "structs": _structs(plan, members),
        "labels": kind,
        "LABELS": kind.upper(),
        "time": ", int64_t time" if timed else "",
        "begin": " at a time in microseconds since 1970-01-01, on the clock of the training data" if timed else "",
    }
    return re.sub(r"@(\w+)", lambda found: parts[found[1]], DECLARATIONS)


def _named(text: str, prefix: str) -> str:
    """Returns a text with the names of this file instead of `model_…` and `MODEL_…`."""
    return re.sub(r"\bmodel_(?=[a-z])", prefix + "_", re.sub(r"\bMODEL_(?=[A-Z])", prefix.upper() + "_", text))


def _part(name: str, conditions: frozenset[str] = frozenset()) -> str:
    """Returns the text of a part, without the lines between `//if condition` and `//end` whose condition is false."""
    kept, open = [], []
    for line in (PARTS / f"{name}.c").read_text(encoding="utf-8").splitlines():
        if line.startswith("//if "):
            open.append(line.removeprefix("//if ") in conditions)
        elif line == "//end":
            open.pop()
        elif all(open):
            kept.append(line)
    return "\n".join(kept) + "\n"


def _conditions(plan: Plan) -> frozenset[str]:
    """Returns the conditions of parts that are true."""
    own = plan.forecasting
    if own is None:
        return frozenset()
    found = {
        "masked": own.masked,
        "complete": not own.masked,
        "beside": own.beside is not None,
        "alone": own.beside is None and not own.masked,
        "base": own.base is not None,
        "quantiles": bool(own.levels),
        "calendar": own.calendar is not None,
        "timeless": own.calendar is None,
    }
    return frozenset(name for name, value in found.items() if value)


def _interface(plan: Plan) -> str:
    """Returns the lines of the header comment about inputs and outputs."""
    missing = "" if plan.task == "layer" else ", in the units of the training data; NAN is a missing value"
    outputs = {
        "classify": "the probability of each class, given all steps so far",
        "labels": "the probability of each label, given all steps so far; labels above 0.5 are the answer",
        "regress": "the prediction in the units of the training data, given all steps so far",
        "forecast": "the forecast of the next steps, in the units of the training data",
        "layer": "the hidden state of the top layer",
    }[plan.task]
    return "\n".join(
        [
            f"Inputs x of a step ({len(plan.inputs)}){missing}:",
            *_listing(plan.inputs),
            f"Outputs y ({len(plan.outputs)}): {outputs}:",
            *_listing(plan.outputs),
        ]
    )


def _listing(names: tuple[str, ...], most: int = 20) -> list[str]:
    """Returns the numbers and names of inputs or outputs, one on each line."""
    lines = [f"  [{i}] {comment(name)[:80]}" for i, name in enumerate(names)]
    return lines if len(lines) <= most else [*lines[:3], "  ...", lines[-1]]


def _sizes(plan: Plan) -> str:
    """Returns the constants of the file."""
    sizes = {
        "INPUTS": (len(plan.inputs), "values of a step"),
        "OUTPUTS": (len(plan.outputs), "values of an answer"),
        "LAYERS": (len(plan.layers), "recurrent layers"),
        "UNITS": (plan.units, "values of the hidden state of a layer"),
    }
    if plan.cell == "lstm":
        sizes["CELLS"] = (plan.cells, "values of the cell state of a layer")
    if plan.forecasting is not None:
        sizes |= _forecast_sizes(plan.forecasting, plan)
    if plan.scaling is not None:
        sizes["WIDTH"] = (plan.width, "inputs of the first layer")
        if len(plan.scaling.masked):
            sizes["MASKED"] = (len(plan.scaling.masked), "inputs with a channel for missing values")
    lines = [f"    MODEL_{name} = {size}, /* {text} */" for name, (size, text) in sizes.items()]
    lines[-1] = lines[-1].replace(",", "", 1)
    return "\n".join(lines)


def _forecast_sizes(own: Forecasting, plan: Plan) -> dict[str, tuple[int, str]]:
    features = len(plan.inputs) - own.targets
    found = {
        "HORIZON": (own.horizon, "steps of a forecast"),
        "TARGETS": (own.targets, "forecast values of a step; they are the first inputs"),
        "VALUES": (1 + len(own.levels), "the forecast and its quantiles"),
        "CONTEXT": (own.context, "steps of the window"),
        "SEGMENT": (own.segment, "steps that the layers read together"),
        "FILLING": (own.filling, "copies of the first step in front of the window"),
        "READ": (own.read.weight.values.shape[1], "numbers of a segment"),
        "COMING": (len(own.positions), "segments of a forecast"),
        "WRITTEN": (own.written, "steps of a segment of a forecast"),
        "POSITION": (own.positions.shape[1], "size of the vector of a segment"),
    }
    if own.calendar is not None:
        found["CYCLES"] = (len(own.calendar.cycles), "cycles of the calendar")
    if own.beside is not None:
        found["FEATURES"] = (features, "other inputs")
        found["SIDE"] = (own.beside.values.shape[1] // own.segment, "numbers of a step beside the target")
    return found


def _structs(plan: Plan, members: list[Member]) -> str:
    """Returns the types of the states."""
    memory = ["    float hidden[MODEL_LAYERS][MODEL_UNITS];"]
    if plan.cell == "lstm":
        memory.append("    float cell[MODEL_LAYERS][MODEL_CELLS];")
    return "\n".join(
        [
            "/* States of the recurrent layers. */",
            "typedef struct {",
            *memory,
            "} model_memory;",
            "",
            "/* State of one sequence. */",
            "typedef struct {",
            *(f"    {member.declaration}; /* {member.text} */" for member in members if member.declaration),
            "} model_state;",
        ]
    )


def _functions(plan: Plan) -> list[str]:
    """Returns the names of the parts with the functions that the model needs, in order."""
    found = []
    if plan.cell == "lstm":
        found.append("show" if plan.layers[0].projection is None else "show_projected")
    found += [plan.cell if plan.cell != "rnn" else "rnn_tanh", "run"]
    if plan.scaling is not None:
        found.append("scale_masked" if len(plan.scaling.masked) else "scale")
    if plan.pooling != "last":
        found.append(f"pool_{plan.pooling}")
    if plan.head is not None:
        found.append(f"answer_{plan.task}")
    if plan.forecasting is not None:
        return [*found, *(["calendar"] if plan.forecasting.calendar is not None else []), "step_forecast"]
    step = "layer" if plan.head is None else "last" if plan.pooling == "last" else "pooled"
    return [*found, "start", f"step_{step}"]


def _data(plan: Plan, arrays: Arrays) -> list[str]:
    """Returns the parts of the file with the numbers of the model."""
    quantized = plan.layers[0].input.codes is not None
    kind, labels = plan.labels
    arrays.bytes += sum(4 + len(name.encode()) + 1 for name in labels)
    found = [
        f"const char *const model_{kind}[MODEL_{kind.upper()}] = {{\n@strings\n}};\n",
        _part("product_int8" if quantized else "product_float"),
        *_scaling(plan, arrays),
        *_forecasting(plan, arrays),
        *_layers(plan, arrays),
    ]
    for name, part in (("attention", plan.attention), ("head", plan.head)):
        if part is not None:
            found += [
                arrays.matrix(f"model_{name}", part.weight),
                arrays.floats(f"model_{name}_bias", part.bias),
            ]
    if plan.target is not None:
        means, deviations = plan.target
        found.append(arrays.doubles("model_target_means", means))
        found.append(arrays.doubles("model_target_deviations", deviations))
    return found


def _scaling(plan: Plan, arrays: Arrays) -> list[str]:
    scaling = plan.scaling or plan.forecasting
    if scaling is None:
        return []
    found = [
        "#define MODEL_FARTHEST 1e18 /* a scaled value beyond this counts as missing */\n",
        arrays.doubles("model_means", scaling.means),
        "/* HUGE_VAL is for an input that was constant in training: its scaled value is 0. */\n"
        + arrays.doubles("model_deviations", scaling.deviations, zero="HUGE_VAL"),
    ]
    if plan.scaling is not None and len(plan.scaling.masked):
        found.append(arrays.integers("model_masked", plan.scaling.masked))
    return found


def _forecasting(plan: Plan, arrays: Arrays) -> list[str]:
    own = plan.forecasting
    if own is None:
        return []
    found = [arrays.floats("model_positions", own.positions), arrays.floats("model_places", own.places)]
    if own.beside is not None:
        found.append(arrays.matrix("model_beside", own.beside))
    if own.calendar is not None:
        interval = f"#define MODEL_INTERVAL INT64_C({own.calendar.interval}) /* microseconds between two steps */\n"
        cycles = f"/* Cycles of the calendar in microseconds: {', '.join(own.calendar.cycles)}; 0 is the year. */\n"
        found += [interval, cycles + arrays.times("model_cycles", own.calendar.lengths)]
        found.append(arrays.matrix("model_ahead", own.calendar.ahead))
    parts = (("reading", own.read), ("writing", own.write), ("base", own.base), ("quantiles", own.quantiles))
    for name, part in parts:
        if part is not None:
            found += [arrays.matrix(f"model_{name}", part.weight), arrays.floats(f"model_{name}_bias", part.bias)]
    if own.quantiles is not None:
        found.append(
            "/* Calibration of the quantiles of each step and target. */\n" + arrays.floats("model_shifts", own.shifts)
        )
        found.append("/* Side of the point forecast where a quantile is. */\n" + arrays.sides("model_sides", own.sides))
    return found


def _layers(plan: Plan, arrays: Arrays) -> list[str]:
    """Returns the weights of the layers, and a table of them."""
    fields, rows, found = {}, [], []
    for i, layer in enumerate(plan.layers):
        row = []
        for name, part in (("input", layer.input), ("hidden", layer.hidden), ("projection", layer.projection)):
            if part is not None:
                fields[name] = f"model_matrix {name};"
                found.append(arrays.weights(f"model_{name}_{i}", part))
                row.append(arrays.entry(f"model_{name}_{i}", part))
        for name, bias in (("bias", layer.bias), ("bias_past", layer.bias_past)):
            if bias is not None:
                fields[name] = f"const float *{name};"
                found.append(arrays.floats(f"model_{name}_{i}", bias))
                row.append(f"model_{name}_{i}")
                arrays.bytes += 4
        rows.append("    {\n        " + ",\n        ".join(row) + "\n    }")
    struct = "\n".join(["typedef struct {", *(f"    {field}" for field in fields.values()), "} model_layer;", ""])
    table = "static const model_layer model_layers[MODEL_LAYERS] = {\n" + ",\n".join(rows) + "\n};\n"
    return [*found, struct, table]
