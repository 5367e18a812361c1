"""The model card: a README with purpose, training, metrics and versions of a model."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from recurra._util.messages import readable

MOST_CLASSES = 50
"""Classes in the table of classes."""
CARD = """---
library_name: recurra
tags: [{tags}]
---

# {title}

{description}

## Use

```python
import recurra

model = recurra.load("{name}")
model.predict({example})
```

## Metrics

{tables}

Best epoch: {best_epoch} of {epochs}. {evaluated_on}

## Data

{data}

## Training

{settings}
{search}
## Versions

{versions}
"""


def model_card(
    *,
    name: str,
    title: str,
    description: str,
    tags: list[str],
    example: str,
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> str:
    """Returns the text of the model card.

    Args:
        name: folder name.
        title: heading.
        description: one sentence on the model.
        tags: for catalogues of models.
        example: Python expression of an input.
        metrics: `best_epoch`, `epochs`, `valid` (metrics) and `evaluated_on`; optionally `baselines` and
            `cross_validation` (metrics by the name of a baseline), `classes` (metrics of each class), `comparison`,
            `notes` on how the baselines were fitted, and `tuning` after a search.
        data: facts about the training data, with its hash.
        settings: constructor arguments of the estimator.
    """
    found = metrics["valid"] or {"training loss": metrics["loss"]}
    columns = {"value": found, **metrics.get("baselines", {})}
    crossed = metrics.get("cross_validation") or {}
    tables = [_metric_table(columns)]
    if crossed:
        tables += ["Simple models in cross-validation on the training data:", _metric_table(crossed)]
    if metrics.get("classes"):
        tables += _classes(metrics["classes"])
    comparison = metrics.get("comparison") or {}
    if comparison.get("best"):
        tables.append(f"Best baseline ({comparison['figure']}): {comparison['best']}.")
    if comparison.get("sentence"):
        tables.append(comparison["sentence"])
    tables += metrics.get("notes", [])
    return CARD.format(
        name=name,
        title=title,
        description=description,
        tags=", ".join(tags),
        example=example,
        tables="\n\n".join(tables),
        best_epoch=metrics["best_epoch"],
        epochs=metrics["epochs"],
        evaluated_on=metrics["evaluated_on"],
        data=_table("what", {"value": data}),
        settings=_table("setting", {"value": settings}),
        search=_search(metrics.get("tuning")),
        versions=_table("package", {"version": versions()}),
    )


def _classes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a table of the metrics of each class on the validation data, with a heading."""
    some, names = rows[:MOST_CLASSES], ("precision", "recall", "f1")
    more = f" (the first {len(some)} of {len(rows):,} classes)" if len(rows) > len(some) else ""
    labels = [str(row["class"]).replace("|", "/").replace("\n", " ") for row in some]
    columns: dict[str, dict[str, Any]] = {"n": {}, **{name: {} for name in names}}
    for label, row in zip(labels, some, strict=True):
        columns["n"][label] = f"{row['n']:,.10g}"
        for name in names:
            columns[name][label] = "–" if row[name] is None else readable(row[name])
    return [f"Each class{more}:", _table("class", columns)]


def _search(found: Mapping[str, Any] | None) -> str:
    """Returns the section on the search of parameters; nothing if there was none."""
    if not found:
        return ""
    lines = [f"\n## Search of parameters\n\n{len(found['trials'])} trials in {found['minutes']:.1f} minutes."]
    if found["note"]:
        lines.append(f"Data: {found['note']}.")
    lines.append(found["verdict"])
    searched = {name: found["params"].get(name, "default") for name in found["space"]}
    tables = [_table("parameter", {"values tried": found["space"], "best": searched})]
    if found["test"]:
        metrics = {
            name: {k: v for k, v in values.items() if isinstance(v, float)} for name, values in found["test"].items()
        }
        tables += ["On the test data, which chose nothing:", _metric_table(metrics)]
    return "\n\n".join([" ".join(lines[1:]) and f"{lines[0]} {' '.join(lines[1:])}", *tables]) + "\n"


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("recurra", "torch", "pytorch-lightning", "tokenizers", "pyarrow", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _table(left: str, columns: Mapping[str, Mapping[str, Any]]) -> str:
    """A table in Markdown with a row for each key of the first column."""
    lines = [[left, *columns]]
    for key in next(iter(columns.values())):
        lines.append([key, *(str(column.get(key, "")).replace("|", "/") for column in columns.values())])
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([rows[0], "|" + "---|" * len(lines[0]), *rows[1:]])


def _metric_table(columns: Mapping[str, Mapping[str, float]]) -> str:
    return _table("metric", {name: {k: readable(v) for k, v in values.items()} for name, values in columns.items()})
