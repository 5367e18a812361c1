"""Writes a result as JSON, as Markdown and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recurra._util.atomic import written
from recurra._util.plotting import PALETTE
from recurra.cells.registry import FAMILIES, known
from recurra.errors import UsageError

from .cases import GATES
from .report import AGAINST, Row, case_of, tables, warnings

STYLES = {known()[name].torch_class: PALETTE[list(known()).index(name)] for name in FAMILIES}


def write_files(result: dict[str, Any], out: Path) -> list[Path]:
    """Writes the JSON file `out`, and a Markdown file with the same name except for the suffix.

    Raises:
        UsageError: the name of `out` does not end in `.json`.
        DataError: a file cannot be written.
    """
    if out.suffix != ".json":
        raise UsageError(f"the name of the result file must end in .json, got {out}")
    readable = out.with_suffix(".md")
    texts = {out: json.dumps(result, ensure_ascii=False, indent=1) + "\n", readable: markdown(result)}
    for path, text in texts.items():
        with _in_folder(path) as partial:
            partial.write_text(text, encoding="utf-8")
    return list(texts)


def markdown(result: dict[str, Any]) -> str:
    """Returns the result in Markdown."""
    limit, machine = result["roof"], result["machine"]
    bandwidth = ", ".join(f"{int(k) >> 10:,} KiB {v:.0f}" for k, v in limit["bandwidth_gbytes"].items())
    facts = [
        f"- {result['date']}; " + ", ".join(f"{k} {v}" for k, v in machine.items()),
        f"- {result['threads']} threads, median of {result['rounds']} rounds; "
        + ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        f"- peak of arithmetic: {limit['peak_gflops']:.0f} GF/s ({limit['peak_by']}); with products of bfloat16 "
        f"{limit['bfloat16_gflops']:.0f} GF/s",
        f"- bandwidth of reading weights in GB/s ({limit['bandwidth_by']}), by size of the working set: {bandwidth}",
        f"- the results of all peers agree; largest difference in float32: {result['greatest_difference']:.1g} of the "
        "largest entry",
        *(f"- **{warning}**" for warning in warnings(result)),
    ]
    body = [table.markdown() for table in tables(result)]
    return "\n\n".join(["## Measurements", "\n".join(facts), *body]) + "\n"


def plot(result: dict[str, Any], path: Path) -> None:
    """Plots the ratio of each case, with training and inference side by side."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    modes = [mode for mode in ("training", "inference") if mode in result["summary"]]
    if not modes:
        raise UsageError("there are no ratios to plot: no peer was measured")
    shapes = list(dict.fromkeys(case_of(r).shape for r in result["cases"] if r["mode"] in modes))
    with matplotlib.rc_context({"svg.hashsalt": "recurra", "svg.fonttype": "none"}):  # equal results give equal files
        figure = Figure(figsize=(9, 1.4 + 0.3 * len(shapes)), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(modes), sharey=True, squeeze=False)[0]
        for axes, mode in zip(panels, modes, strict=True):
            rows = [r for r in result["cases"] if r["mode"] == mode and "ratio" in r]
            _draw(axes, rows, shapes)
            axes.set_xlabel("times as fast as " + " or ".join(p for p in AGAINST[mode] if p in result["peers"]))
            axes.set_title(f"{mode}: geometric mean {result['summary'][mode]['all']:.2f}")
        panels[0].set_yticks(range(len(shapes)), shapes)
        panels[0].invert_yaxis()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        with _in_folder(path) as partial:
            figure.savefig(partial, metadata={"Date": None} if path.suffix == ".svg" else None)


@contextmanager
def _in_folder(path: Path) -> Iterator[Path]:
    """Yields a file to write, see `written`; creates its folder."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as partial:
        yield partial


def _draw(axes: Any, rows: Sequence[Row], shapes: Sequence[str]) -> None:
    for i, cell in enumerate(GATES):
        some = [r for r in rows if r["cell"] == cell]
        colour, mark = STYLES[cell]
        places = [shapes.index(case_of(r).shape) + 0.22 * (i - 1) for r in some]
        axes.plot([r["ratio"] for r in some], places, mark, color=colour, label=cell, markersize=5)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.axvline(1, color="0.3", linewidth=1)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
