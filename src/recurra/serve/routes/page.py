"""`/`: the web page. Its files are read once; nothing else of the disk can be requested."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from recurra.serve.problems import Problem

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Content-Security-Policy: the page runs no inline script and loads nothing from other hosts."""
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-cache",  # the browser asks with the ETag; after an update the files belong together
    "cross-origin-opener-policy": "same-origin",
}
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
INDEX = "index.html"


class Asset(NamedTuple):
    """A file of the page.

    Attributes:
        content: its bytes.
        media_type: its content type.
        etag: hash of the content.
    """

    content: bytes
    media_type: str
    etag: str


@cache
def assets() -> dict[str, Asset]:
    """Returns all files of the page by name. The figures are those of the inspection report."""
    from recurra.inspect.pages import page_parts
    from recurra.inspect.report.write import figures_script, figures_style

    texts = {"report/figures.js": figures_script(), "report/report.css": figures_style(), **page_parts()}
    for file in (files("recurra.serve") / "page").iterdir():
        if file.name.rpartition(".")[2] in TYPES:
            texts[file.name] = file.read_text(encoding="utf-8")
    return {name: _asset(name, text.encode()) for name, text in texts.items()}


def _asset(name: str, content: bytes) -> Asset:
    return Asset(content, TYPES[name.rpartition(".")[2]], f'"{sha256(content).hexdigest()[:32]}"')


async def page(request: Request) -> Response:
    """Returns the page."""
    return _response(request, assets()[INDEX])


async def asset(request: Request) -> Response:
    """Returns a file of the page."""
    path = request.path_params["path"]
    found = assets().get(path)
    if found is None or path == INDEX:
        raise Problem(404, f"the page has no file {path!r:.120}")
    return _response(request, found)


def _response(request: Request, found: Asset) -> Response:
    headers = {**HEADERS, "etag": found.etag}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if found.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
