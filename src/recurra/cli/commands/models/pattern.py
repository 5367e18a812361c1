"""`recurra pattern`: places of a corpus where the same units are active for the same number of steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from recurra.cli.commands.evaluate import Model
from recurra.cli.support.console import progress_bar, say, show_json, show_table
from recurra.cli.support.options import PredictOptions, with_options
from recurra.cli.support.values.slices import slice_of, units_of
from recurra.cli.tasks import module_of, source_of
from recurra.errors import UsageError

THRESHOLD, ROWS, TOP, CONTEXT = 0.3, 10_000, 10, 5
_OTHERS = (
    *("top", "proba", "n_best", "bleu_tokens", "target_file", "beam", "length_bonus", "coverage"),
    *("choices", "marks", "timestamps", "plot", "part", "horizon", "future", "time"),
)


@with_options(PredictOptions, without=_OTHERS)
def pattern(
    model: Model,
    data: Annotated[str, typer.Argument(help="A file of sequences to search.", metavar="DATA")],
    time: Annotated[str, typer.Option("--time", help="Steps of the pattern, A:B, counted from 0.")],
    row: Annotated[
        int | None, typer.Option("--row", help="Sequence of the file with the pattern, counted from 1.", min=1)
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="A text with the pattern, in place of --row.")] = None,
    units: Annotated[
        str | None,
        typer.Option("--units", help="Units, such as 0:16 or 3,5,9; by default those active at all steps of --time."),
    ] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Smallest value of an active unit.")] = THRESHOLD,
    of: Annotated[str, typer.Option("--of", help="State or gate, such as hidden, cell or forget.")] = "hidden",
    where: Annotated[str, typer.Option("--where", help="Layer and direction, such as 0/forward.")] = "0/forward",
    rows: Annotated[int, typer.Option("--rows", help="Search the first sequences only.", min=1)] = ROWS,
    top: Annotated[int, typer.Option("--top", help="Places to show.", min=1)] = TOP,
    context: Annotated[int, typer.Option("--context", help="Steps before and after a place.", min=0)] = CONTEXT,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    *,
    options: PredictOptions,
) -> None:
    """Find places of a corpus where the same units of a model are active for the same number of steps.

    [bold]Examples[/bold]

      recurra pattern my-model reviews.csv --row 7 --time 2:5
      recurra pattern my-model reviews.csv --text "not a good film" --time 0:3 --threshold 0.2 --of cell
      recurra pattern my-model reviews.csv --row 7 --time 2:5 --units 3,5,9 --json
    """
    from recurra.inspect import unit_pattern
    from recurra.tasks import load

    if (row is None) == (text is None):
        raise UsageError("give the sequence with the pattern: either --row or --text")
    estimator: Any = load(model)
    steps = slice_of("--time", time)
    if steps.step is not None or steps.start is None or steps.stop is None:
        raise UsageError(f"--time takes A:B, such as 2:5, not {time!r}")
    chosen = None if units is None else units_of(units)
    if isinstance(chosen, slice):
        chosen = range(estimator.hidden_size)[chosen]
    corpus = list(islice(_sequences(estimator, source_of(estimator, data), options), rows))
    if row is not None and row > len(corpus):
        raise UsageError(f"there is no row {row} in {data}: rows are counted from 1 to {len(corpus):,}")
    if text is not None:
        if not estimator.accepts_text:
            raise UsageError("--text is for models that read texts; give --row")
        corpus.insert(0, text)
    number = 0 if row is None else row - 1
    with progress_bar() as tell:
        found = unit_pattern(
            estimator,
            corpus,
            (number, steps.start, steps.stop),
            units=chosen,
            threshold=threshold,
            where=f"{where}/0",
            of=of,
            top=top,
            context=context,
            progress=lambda done, total: tell("search", done, total),
        )
    _show(found.to_dict(), 1 if text is None else 0, json)


def _sequences(estimator: Any, source: Any, options: Any) -> Iterator[Any]:
    """Yields the sequences of a source."""
    for columns in module_of(estimator, options).inputs(estimator, source, options):
        column = columns[0]
        yield from column.to_pylist() if hasattr(column, "to_pylist") else column


def _show(found: dict[str, Any], first: int, json: bool) -> None:
    """Shows the matches.

    Args:
        found: the result as JSON.
        first: number of the first sequence.
        json: whether to write JSON in place of a table.
    """
    matches = [match | {"row": match["row"] + first} for match in found["matches"]]
    if json:
        show_json(found | {"matches": matches})
        return
    count = len(found["units"])
    cells = []
    for match in matches:
        steps = f"{match['begin']}:{match['end']}"
        counts = [f"{match['active']} / {count}", str(match["exact"]), f"{match['value']:.3f}"]
        cells.append([str(match["row"]), steps, *counts, _text(match)])
    show_table("Places with the pattern", ["row", "steps", "active units", "exact", "mean", "text"], cells)
    say(f"units: {', '.join(map(str, found['units']))}; active: at least {found['threshold']:g}")
    say("exact: active units that are not active directly before and after the place")


def _text(match: dict[str, Any]) -> str:
    """The steps of a match and their context, the match in brackets."""
    if match["tokens"] is None:
        return ""
    begin, end = match["begin"] - match["start"], match["end"] - match["start"]
    before, inside, after = match["tokens"][:begin], match["tokens"][begin:end], match["tokens"][end:]
    return " ".join([*before, f"[{' '.join(inside)}]", *after])
