"""Parts of web pages about a model: inputs, answers and the inside. The server and the exported page share them."""

from __future__ import annotations

from importlib.resources import files


def page_parts() -> dict[str, str]:
    """Returns the files by name: JavaScript modules and a style sheet. They use the figures of the report."""
    folder = files("recurra.inspect") / "pages"
    found = {
        file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name[-3:] in (".js", "css")
    }
    return dict(sorted(found.items()))
