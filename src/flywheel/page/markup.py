"""HTML that cannot be broken by what it shows: text is escaped where it is put in, and only there."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["Html", "h", "join", "prose"]

# Control characters, and marks that turn or hide the text around them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


class Html(str):
    """Markup that is ready to be used as it is. Made by `h` and `join` only."""

    __slots__ = ()


Child = Any
"""Html, text, a number, None (nothing), or an iterable of them."""


def h(name: str, *children: Child, **attributes: Any) -> Html:
    """One element. Children that are not `Html` are text; attributes that are None are left out; `_` becomes `-`.

    >>> h("p", "1 < 2 & ", h("b", "true"), cls='say "so"')
    '<p class="say &quot;so&quot;">1 &lt; 2 &amp; <b>true</b></p>'
    """
    given = "".join(
        f' {"class" if key == "cls" else key.replace("_", "-")}="{_text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Children one after the other."""
    return Html("".join(_child(child) for child in children))


def prose(text: str) -> list[Html | str]:
    """Text in which `backticks` set code apart.

    >>> join(prose("an `error` <here>"))
    'an <code>error</code> &lt;here&gt;'
    """
    return [h("code", part) if place % 2 else part for place, part in enumerate(text.split("`"))]


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, list | tuple):
        return join(child)
    return _text(child)


def _text(value: Any) -> str:
    return html.escape(_UNSEEN.sub("�", str(value)))
