"""`recurra bench`: speed of Recurra and of other libraries on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recurra.cli.support.console import progress_bar, say, show_json, show_table
from recurra.errors import UsageError


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Few cases, under a minute.")] = False,
    rounds: Annotated[
        int | None, typer.Option("--rounds", help="Measurements of each library; the median is reported.", min=1)
    ] = None,
    peers: Annotated[
        str | None,
        typer.Option(
            "--peers", help="torch, onnxruntime, jax, keras, separated by commas, or all for those that are installed."
        ),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", help="Threads of each process.", min=1, max=1024)] = 2,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file to write, with a .md file next to it.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Plot to write (.svg, .png, .pdf).")] = None,
    cells: Annotated[
        bool, typer.Option("--cells", help="Measure compiled cells against our kernels and a loop instead.")
    ] = False,
    compile_loop: Annotated[
        bool, typer.Option("--compile-loop", help="With --cells: also torch.compile of the loop; minutes per cell.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Compare the speed of Recurra with that of other libraries.

    [bold]Examples[/bold]

      recurra bench --quick
      recurra bench --peers all --rounds 5 --out results.json --plot results.svg
      recurra bench --cells

    Each library runs in a separate process. The processes take turns, and nothing is timed before all results agree.
    A ratio above 1 means that Recurra is faster.
    """
    if compile_loop and not cells:
        raise UsageError("--compile-loop needs --cells")
    if cells:
        refused = {"--peers": peers, "--rounds": rounds, "--out": out, "--plot": plot}
        given = [name for name, value in refused.items() if value is not None]
        if given:
            raise UsageError(f"--cells does not read {', '.join(given)}; --json prints the result")
        _cells(quick=quick, threads=threads, compile_loop=compile_loop, json=json)
        return
    from recurra.bench import report, write
    from recurra.bench import run as runs
    from recurra.bench.cases import grid

    plan = runs.Plan(
        runs.choose_peers(peers),
        grid(quick),
        rounds or (runs.QUICK_ROUNDS if quick else runs.ROUNDS),
        threads,
        runs.QUICK_SECONDS if quick else runs.SECONDS,
    )
    with progress_bar() as tell:
        result = report.evaluate(runs.run(plan, tell))
    if json:
        show_json(result)
    else:
        for table in report.tables(result):
            show_table(table.title, table.columns, table.rows)
    for warning in report.warnings(result):
        say(f"warning: {warning}")
    written = write.write_files(result, out) if out is not None else []
    if plot is not None:
        write.plot(result, plot)
        written.append(plot)
    for path in written:
        say(f"written: {path}")


def _cells(*, quick: bool, threads: int, compile_loop: bool, json: bool) -> None:
    from recurra.bench import cells

    with progress_bar() as tell:
        result = cells.measure(quick=quick, threads=threads, compiled_loop=compile_loop, tell=tell)
    if json:
        show_json(result)
        return
    for title, columns, rows in cells.tables(result):
        show_table(title, columns, rows)
