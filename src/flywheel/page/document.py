"""The frame of a page: its head, its policy and its style."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flywheel.errors import InvalidConfig, NotFound
from flywheel.page.markup import Html, h
from flywheel.page.style import STYLE

__all__ = ["document", "place_for", "save"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def document(title: str, parts: Any, *, style: str = "") -> str:
    """A whole page of `parts` under the house style; `style` adds rules of its own.

    Legible at 390 and at 1280 pixels, by day and by night. The browser is told to run and load nothing.

    >>> "&lt;b&gt;" in document("<b>", [])
    True
    """
    head = h(
        "head",
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="referrer" content="no-referrer">'),
        h("title", title),
        Html(f"<style>{STYLE}{style}</style>"),
    )
    return f"<!doctype html>\n{h('html', head, h('body', h('main', parts)), lang='en')}\n"


def place_for(page: str | Path) -> Path:
    """The path of a page that is to be written: refused before the long work, not after it, where it cannot be.

    Raises `NotFound` where its folder is missing, `InvalidConfig` where it is a folder itself.
    """
    place = Path(page)
    if not place.parent.is_dir():
        raise NotFound(f"there is no folder {str(place.parent)!r} to write {place.name!r} into. Make it first")
    if place.is_dir():
        raise InvalidConfig(
            f"{str(place)!r} is a folder; name a file for the page, such as {str(place / 'report.html')!r}"
        )
    return place


def save(page: Path, text: str) -> None:
    """Write a page: all of it or nothing."""
    part = page.with_name(f".{page.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(page)
    finally:
        part.unlink(missing_ok=True)
