"""A logged value drawn for what it is: a picture, a feature vector, a chat, a table, fields, or text.

Whatever it holds, it is never markup, never a link, and never a reason for the browser to ask another site.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from nicegui import ui
from nicegui.element import Element

from flywheel.web import charts, marks, pictures

__all__ = ["drawn", "drawn_small", "glimpse", "plain"]

_SHOWN = 1_200
"""So many characters of a text stand open; the rest is folded away …"""
_MOST = 100_000
"""… up to so many; what is longer is read through the API."""
_ROWS, _COLUMNS, _TURNS, _FIELDS = 50, 12, 100, 60
_BARS = 1_024
_DEEP = 4
_LINE = 120
_PARTS = 1_500
"""At most so many parts of one value are drawn, each by itself; what is left is shown as one line of JSON."""
_SPEAKERS = {"user", "human"}


def drawn(value: Any) -> None:
    """Draw a logged value for what it is; long texts are folded, long tables cut, and both say how much there is."""
    _Drawing(_PARTS).draw(value, 0)


def drawn_small(value: Any) -> None:
    """The same in the room of a line: a small picture, or the beginning of what was said."""
    picture = pictures.of_text(value) if isinstance(value, str) else pictures.of_numbers(value)
    if picture is not None:
        _picture(picture, "4rem")
        return
    turns = _turns(value)
    said = turns[-1].get("content") if turns else value
    marks.say(plain(said if isinstance(said, str) else _json(said, None))[:_LINE], "div", "fw-text")


def glimpse(value: Any, to: str | None = None, most: int = 90) -> Any:
    """A value as a cell of `marks.table`: a small picture or its first `most` signs; `to` is where it leads."""
    picture = pictures.of_text(value) if isinstance(value, str) else pictures.of_numbers(value)
    if picture is None:
        return marks.styled(plain(marks.brief(value, most) or "(empty)"), "fw-lead", to or "")

    def fill() -> None:
        with ui.element("a" if to else "span") as outer:
            if to:
                outer._props["href"] = to
            _picture(picture, "2.4rem")

    return fill


def plain(words: Any) -> str:
    """Text that any browser takes: half a surrogate pair becomes the sign for what cannot be shown.

    >>> plain("a\\ud800b"), plain(3)
    ('a\\ufffdb', '3')
    """
    text = words if isinstance(words, str) else str(words)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass
class _Drawing:
    """One value under the pencil; `left` says how many more parts may be drawn."""

    left: int

    def draw(self, value: Any, depth: int) -> None:
        """Choose the form, from the most particular to the plainest."""
        self.left -= 1
        if isinstance(value, str):
            self._text(value)
            return
        if value is None or isinstance(value, bool | int | float):
            marks.say(_scalar(value), "div", "fw-dim" if value is None else "")
            return
        turns = _turns(value)
        if self.left < 0 or depth >= _DEEP:
            _folded(_json(value, 2), code=True)
        elif turns is not None:
            self._chat(turns, depth)
        elif (picture := pictures.of_numbers(value)) is not None:
            _picture(picture)
        elif isinstance(value, list | tuple) and value:
            self._list(value, depth)
        elif isinstance(value, dict) and value:
            self._fields(value, depth)
        else:
            marks.say("empty", "div", "fw-dim")

    def _text(self, text: str) -> None:
        picture = pictures.of_text(text)
        if picture is None:
            _folded(text)
        else:
            _picture(picture)

    def _list(self, value: Sequence[Any], depth: int) -> None:
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in value) and len(value) > 2:
            _vector(value)
        elif all(isinstance(one, dict) for one in value):
            heads = list(dict.fromkeys(str(name) for one in value[:_ROWS] for name in one))
            self._table(
                heads, [[one.get(head) for head in heads[:_COLUMNS]] for one in value[:_ROWS]], len(value), depth
            )
        elif all(isinstance(one, list | tuple) and one and not any(map(_nested, one)) for one in value):
            heads = [str(place + 1) for place in range(max(len(one) for one in value[:_ROWS]))]
            rows = [[*one[:_COLUMNS], *[None] * (min(len(heads), _COLUMNS) - len(one))] for one in value[:_ROWS]]
            self._table(heads, rows, len(value), depth)
        else:
            with ui.element("ol").style("margin:0;padding-left:1.5rem"):
                for one in value[:_ROWS]:
                    with ui.element("li"):
                        self.draw(one, depth + 1)
            _more(len(value), _ROWS, "entries")

    def _table(self, heads: Sequence[str], rows: Sequence[Sequence[Any]], n: int, depth: int) -> None:
        shown = [plain(head) for head in heads[:_COLUMNS]]
        right = [
            place for place in range(len(shown))
            if any(_is_number(row[place]) for row in rows)
            and all(row[place] is None or _is_number(row[place]) for row in rows)
        ]  # fmt: skip
        marks.table("Rows", shown, [[self._cell(one, depth) for one in row] for row in rows], right)
        _more(n, _ROWS, "rows")
        _more(len(heads), _COLUMNS, "columns")

    def _cell(self, value: Any, depth: int) -> Any:
        if not _nested(value) and not (isinstance(value, str) and len(value) > 40):
            return plain(_scalar(value))
        return self._later(value, depth)

    def _later(self, value: Any, depth: int) -> Callable[[], None]:
        return lambda: self.draw(value, depth + 1)

    def _fields(self, value: dict[Any, Any], depth: int) -> None:
        names = list(value)
        rows = [(plain(name), self._cell(value[name], depth)) for name in names[:_FIELDS]]
        marks.table("Fields", ("Field", "Value"), rows)
        _more(len(names), _FIELDS, "fields")

    def _chat(self, turns: Sequence[dict[str, Any]], depth: int) -> None:
        with ui.element("div").classes("fw-chat"):
            for one in turns[:_TURNS]:
                role = plain(one.get("role"))
                with ui.element("div").classes("user" if role.lower() in _SPEAKERS else ""):
                    name = one.get("name")
                    marks.say(f"{role} {plain(name)}" if isinstance(name, str) else role, "div", "fw-dim fw-small")
                    self._said(one, depth)
        _more(len(turns), _TURNS, "turns")

    def _said(self, turn: dict[str, Any], depth: int) -> None:
        said = turn.get("content", turn.get("parts"))
        for part in said if isinstance(said, list | tuple) and said else [said]:
            words = _words_of(part)
            if words is not None:
                self._text(words)
            elif part is not None:
                self.draw(part, depth + 1)
        for name in ("tool_calls", "function_call", "refusal"):
            if turn.get(name):
                marks.say(name.replace("_", " "), "div", "fw-dim fw-small")
                self.draw(turn[name], depth + 1)


def _turns(value: Any) -> list[dict[str, Any]] | None:
    """The turns of a chat, as the common APIs write them: messages, choices, or a single turn; else None."""
    if isinstance(value, dict):
        if isinstance(value.get("messages"), list):
            value = value["messages"]
        elif isinstance(value.get("choices"), list):
            value = [one.get("message") if isinstance(one, dict) else None for one in value["choices"]]
        elif "content" in value or "parts" in value:
            value = [value]
    if not isinstance(value, list) or not value:
        return None
    fits = all(isinstance(one, dict) and isinstance(one.get("role"), str) for one in value)
    return value if fits else None


def _words_of(part: Any) -> str | None:
    """The text, or the address or data of the picture, that one part of a turn holds; None for any other part."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return None
    for name in ("text", "content", "image_url", "input_image", "source"):
        found = part.get(name)
        if isinstance(found, dict):
            found = found.get("url", found.get("data"))
        if isinstance(found, str):
            return found
    return None


def _folded(text: str, code: bool = False) -> None:
    """A text whose beginning stands open; the whole of a long one is a click away."""
    clean, classes = plain(text), "fw-code" if code else "fw-text"
    tag = "pre" if code else "div"
    if len(clean) <= _SHOWN + _SHOWN // 4:
        marks.say(clean, tag, classes)
        return
    marks.say(f"{clean[:_SHOWN]}…", tag, classes)
    with _unfolding(f"All {len(clean):,} characters"):
        marks.say(clean[:_MOST], tag, classes)
        _more(len(clean), _MOST, "characters")


def _unfolding(summary: str) -> AbstractContextManager[Element]:
    with ui.element("details").style("margin:.3rem 0") as found:
        marks.say(summary, "summary", "fw-dim fw-small").style("cursor:pointer")
    return found


def _more(n: int, shown: int, what: str) -> None:
    if n > shown:
        marks.say(
            f"The first {shown:,} of {n:,} {what}; `flywheel export` and the API have all.", "p", "fw-dim fw-small"
        )


def _picture(picture: pictures.Picture, size: str = "12rem") -> None:
    """The picture, a grid of few points with hard edges; below a large one the words for who cannot see it."""
    small = max(picture.width, picture.height) <= 128
    found = ui.element("img")
    found._props.update(src=picture.source, alt=picture.says)
    side = "height" if picture.height > picture.width else "width"
    sharp = "image-rendering:pixelated;" if small else ""
    found.style(f"display:block;{side}:{size};max-width:100%;{sharp}border:1px solid var(--line);border-radius:4px")
    if size == "12rem":
        marks.say(picture.says, "p", "fw-dim fw-small")


def _vector(value: Sequence[Any]) -> None:
    numbers = [_finite(one) for one in value]
    known = [one for one in numbers if one is not None]
    if not known:
        _folded(_json(value, None), code=True)
        return
    said = f"{len(numbers):,} features, in their order, from {min(known):g} to {max(known):g}."
    if len(known) < len(numbers):
        said += f" {len(numbers) - len(known):,} are no finite number."
    if len(numbers) > _BARS:
        said += f" The first {_BARS:,} are drawn."
    charts.chart(charts.bars(range(min(len(numbers), _BARS)), numbers[:_BARS], name="value"), said)
    with _unfolding("The numbers"):
        _folded(", ".join(_scalar(one) for one in value[:_BARS]), code=True)


def _finite(value: Any) -> float | None:
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scalar(value: Any) -> str:
    """A single value as people write it; an integer that is too long for that, by its size."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return f"{value:.6g}" if isinstance(value, float) and value != int(value) else str(value)
    except (ValueError, OverflowError):  # neither infinite nor a number; or more digits than Python writes out
        return str(value) if isinstance(value, float) else f"an integer of {value.bit_length():,} bits"


def _json(value: Any, indent: int | None) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    except RecursionError:
        return "This is nested too deeply to be written out; the API has it."
    except ValueError:  # an integer of more digits than Python writes out
        return "This holds a number too long to be written out; the API has it."
