"""The frame of a page: its head, its policy and its style."""

from __future__ import annotations

from typing import Any

from flywheel.page.markup import Html, h
from flywheel.page.style import STYLE

__all__ = ["document"]

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
