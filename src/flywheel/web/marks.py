"""The visual language: what numbers, times, states and tables look like, always the same.

Logged text goes through `text`, `code`, `table` or `link` only: it is shown as text, whatever it contains.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

__all__ = [
    "BAD", "BAND", "GOOD", "GREY", "NEUTRAL", "NEW", "WARN", "Table", "Text", "ago", "badge", "block", "brief",
    "button", "code", "empty", "error", "figure", "interval", "link", "meter", "number", "percent", "reading", "say",
    "stamp", "styled", "table", "when",
]  # fmt: skip

NEUTRAL, GOOD, BAD, WARN, NEW, BAND = "#0072B2", "#009E73", "#D55E00", "#E69F00", "#CC79A7", "#56B4E9"
"""Okabe and Ito's colours: what is measured, better, worse, waiting, new, and the interval around it."""
GREY = "#7d8590"
"""What is before, or elsewhere."""
_STATES = {
    "good": ("fixed", "promote", "pass", "done", "champion", "ok", "labelled", "closed"),
    "bad": ("reopened", "reject", "fail", "alarm", "error"),
    "warn": ("in work", "need labels", "unsure", "waiting", "running", "canary", "shadow"),
}


class Text(TextElement):
    """Words in an element of any tag."""

    def __init__(self, words: str, tag: str = "span") -> None:
        super().__init__(tag=tag, text=words)


def say(words: Any, tag: str = "span", classes: str = "") -> Text:
    """Words, and nothing but words."""
    return Text(str(words), tag).classes(classes)


def code(value: Any) -> Text:
    """A value as it was logged: text as it is, anything else as JSON."""
    return say(value if isinstance(value, str) else _json(value), "pre", "fw-code")


def link(words: str, target: str) -> Text:
    """A link inside the dashboard."""
    found = say(words, "a", "nicegui-link")
    found._props["href"] = target
    return found


def brief(value: Any, most: int = 140) -> str:
    """A value in one line.

    >>> brief({"a": 1}), brief("x" * 200, 5)
    ('{"a": 1}', 'xxxx…')
    """
    words = " ".join((value if isinstance(value, str) else _json(value, None)).split())
    return words if len(words) <= most else f"{words[: most - 1]}…"


def number(value: float | None, digits: int = 0, unit: str = "") -> str:
    """A number with its unit; a dash where there is none.

    >>> number(12345.6), number(None), number(3.14159, 2, "ms")
    ('12,346', '–', '3.14 ms')
    """
    return "–" if value is None else f"{value:,.{digits}f}{' ' if unit else ''}{unit}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def interval(found: Any, *, points: bool = False) -> str:
    """An estimate with its interval and n.

    >>> from flywheel.records import Interval
    >>> interval(Interval(0.5, 0.4, 0.6, 20))
    '50.0 % (40.0 to 60.0, n = 20)'
    """
    if found is None:
        return "–"
    estimate, low, high, n = ((found[k] for k in ("estimate", "low", "high", "n")) if isinstance(found, dict) else
                              (found.estimate, found.low, found.high, found.n))  # fmt: skip
    lead = f"{100 * estimate:+.1f} points" if points else f"{100 * estimate:.1f} %"
    return f"{lead} ({100 * low:.1f} to {100 * high:.1f}, n = {n:,})"


def when(at: datetime | str | None) -> str:
    """A time, in UTC."""
    if at is None:
        return "–"
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """How long ago, in words."""
    if at is None:
        return "–"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def badge(state: str) -> Text:
    """A state in its colour; the word says it too."""
    return say(state, classes=_badge(state))


def _badge(state: str) -> str:
    kind = next((kind for kind, states in _STATES.items() if state in states), "")
    return f"fw-badge {f'fw-{kind}' if kind else 'fw-dim'}"


def meter(share: float, says: str) -> Element:
    """A bar from 0 to 1 with words for who cannot see it."""
    held = max(0.0, min(1.0, share))
    with ui.element("span").classes("fw-meter") as found:
        ui.element("i").style(f"width:{100 * held:.1f}%")
    found._props.update({"role": "img", "aria-label": says})
    return found


def figure(name: str, value: str, says: str = "") -> Element:
    """One number with its name and what it rests on."""
    with ui.element("div").classes("fw-figure") as found:
        say(name, classes="fw-dim fw-small")
        say(value, classes="n")
        if says:
            say(says, classes="fw-dim fw-small")
    return found


def block(title: str, says: str = "") -> Element:
    """A part of a page: a heading and a sentence that says what it shows. Use it with `with`."""
    found = ui.element("section").classes("fw-block")
    with found:
        say(title, "h2")
        if says:
            say(says, "p")
    return found


def empty(words: str, *commands: str) -> Element:
    """Nothing here yet: why, and what to do."""
    with ui.element("div").classes("fw-empty") as found:
        say(words, "p")
        for command in commands:
            code(command)
    return found


def error(words: str, again: str = "") -> Element:
    """What went wrong and what to do; `again` is the address to try once more."""
    with ui.element("div").classes("fw-error").props("role=alert") as found:
        say(words, "p")
        if again:
            with ui.element("p"):
                link("Try again", again)
    return found


def reading(words: str = "Reading …") -> Element:
    """Stands where something is still being read."""
    with ui.element("div").classes("fw-reading").props("role=status") as found:
        say(words, "p")
        for width in (60, 90, 75, 40):
            ui.element("i").style(f"width:{width}%").props("aria-hidden=true")
    return found


def button(words: str, act: Callable[..., Any], *, main: bool = False, says: str = "") -> Text:
    """What somebody can do. `main` is the one that the page is for; `says` is a longer name for a screen reader."""
    found = say(words, "button", "fw-do" if main else "fw-quiet-do")
    found._props["type"] = "button"
    if says:
        found._props["aria-label"] = says
    found.on("click", act)
    return found


class Table(Element, component="table.js"):
    """A table as one element that the browser lays out: a page of hundreds of cells opens in a fraction of the time."""

    def __init__(
        self, caption: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[int]
    ) -> None:
        super().__init__()
        wide = len(heads) > (4 if len(numbers) >= 3 else 3)
        self.heads = [str(head) for head in heads]
        self.rows = [[_cell(cell) for cell in row] for row in rows]
        """What is in each cell: words, words with their look and where they lead, or None where a function fills it."""
        self._props.update({
            "caption": caption, "wide": wide, "rows": self.rows, "tabindex": 0, "role": "region", "aria-label": caption,
            "heads": [{"t": head, "k": "num" if place in numbers else ""} for place, head in enumerate(self.heads)],
        })  # fmt: skip
        self._classes.extend(["fw-scroll", "fw-wide"] if wide else ["fw-scroll"])
        for n, row in enumerate(rows):
            for place, cell in enumerate(row):
                if callable(cell):
                    with self.add_slot(f"{n}-{place}"):
                        cell()


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[int] = ()) -> Table:
    """A dense table. A cell is words, `(words, href)` for a link, what `styled` or `stamp` make, or a function that
    fills the cell.

    `numbers` are the columns that stand to the right. On a narrow screen each row of a table with more than three
    columns (four, where three hold numbers) becomes a list of its cells with their names.
    """
    return Table(caption, heads, rows, numbers)


def styled(words: Any, classes: str, to: str = "") -> dict[str, str]:
    """A table's cell: words in these classes, leading somewhere if `to` is given."""
    return {"t": str(words), "k": classes, **({"to": to} if to else {})}


def stamp(state: str, words: str = "") -> dict[str, str]:
    """A table's cell: a state in its colour, or other words in the colour of that state."""
    return styled(words or state, _badge(state))


def _cell(cell: Any) -> str | dict[str, str] | None:
    if callable(cell):
        return None
    if isinstance(cell, tuple):
        return {"t": str(cell[0]), "to": str(cell[1])}
    return cell if isinstance(cell, dict) else "–" if cell is None else str(cell)


def _json(value: Any, indent: int | None = 2) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
