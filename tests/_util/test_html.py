"""HTML of results: every text is escaped, and long tables are cut."""

from __future__ import annotations

from recurra._util.html import html_marked, html_note, html_table


def test_texts_are_escaped():
    found = html_note("<b>") + html_table([{"<b>": "<b>"}]) + html_marked([("<b>", 1.0)], ("#000000", "#ffffff"))
    assert "<b>" not in found
    assert found.count("&lt;b&gt;") == 4


def test_tables():
    assert html_table([]) == ""
    found = html_table(({"n": n, "missing": None} for n in range(7)), most=3)
    assert found.count("<tr>") == 4
    assert found.endswith("<p>… 4 more rows</p>")


def test_the_colour_has_the_sign_and_the_size_of_the_value():
    found = html_marked([("a", 2.0), ("b", -1.0), ("c", 0.0)], ("#0072B2", "#D55E00"))
    assert [found.count(style) for style in ("#0072B2cc", "#D55E0066", "#0072B200")] == [1, 1, 1]
    assert "#00000000" in html_marked([("a", 0.0)], ("#000000", "#ffffff"))
