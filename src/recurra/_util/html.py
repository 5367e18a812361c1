"""HTML of results, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

MOST_ROWS = 20


def html_table(rows: Iterable[Mapping[str, Any]], most: int = MOST_ROWS) -> str:
    """Returns rows as an HTML table, at most `most` of them. Every text is escaped.

    Example:
        >>> html_table([{"unit": 3, "<name>": 0.12345678}])
        '<table><tr><th>unit</th><th>&lt;name&gt;</th></tr><tr><td>3</td><td>0.1235</td></tr></table>'
    """
    rows = list(rows)
    if not rows:
        return ""
    lines = [_line("th", rows[0]), *(_line("td", map(_shown, row.values())) for row in rows[:most])]
    more = f"<p>… {len(rows) - most:,} more rows</p>" if len(rows) > most else ""
    return f"<table>{''.join(lines)}</table>{more}"


def html_note(text: str) -> str:
    """Returns a text as an HTML paragraph."""
    return f"<p>{escape(text)}</p>"


def html_marked(texts: Iterable[tuple[str, float]], colours: tuple[str, str]) -> str:
    """Returns texts with a background for the value of each.

    Args:
        texts: pairs of a text and its value.
        colours: of the greatest positive and of the least negative value.
    """
    texts = list(texts)
    greatest = max((abs(value) for _, value in texts), default=0.0) or 1.0
    parts = []
    for text, value in texts:
        alpha = round(255 * 0.8 * abs(value) / greatest)
        style = f"background:{colours[value < 0]}{alpha:02x};padding:0 .15em"
        parts.append(f'<span style="{style}" title="{value:.4g}">{escape(text)}</span>')
    return f"<p>{' '.join(parts)}</p>"


def _line(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells)}</tr>"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
