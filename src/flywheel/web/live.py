"""Live: failures and interactions as they arrive, filtered, counted by minute, paused. The address says it all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import ui
from nicegui.element import Element

from flywheel.web import charts, frame, marks
from flywheel.web.following import ROWS, Stream, Wanted, follower

if TYPE_CHECKING:
    from flywheel.diagnose.arriving import Arrival

__all__ = ["add"]

_MINUTES = 30
_CAUSES = ("data scarcity", "algorithmic flaw", "external noise", "label noise", "unknown")
_SIGN = {
    "error": "error",
    "doubt": "unsure",
    "rating": "bad rating",
    "report": "reported",
    "label": "corrected",
}
_STYLE = """
.fw-live form { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: end; margin: 0 0 14px; }
.fw-live form label { display: flex; flex-direction: column; font-size: 12px; gap: 3px; opacity: .85; }
.fw-live select, .fw-live input, .fw-live button.fw-plain, .fw-live a.fw-plain {
  font: inherit; font-size: 13px; color: inherit; background: transparent; height: 32px; padding: 0 9px;
  border: 1px solid color-mix(in srgb, currentColor 28%, transparent); border-radius: 6px; max-width: 15rem; }
.fw-live select option { color: #111; background: #fff; }
.fw-live button.fw-plain, .fw-live a.fw-plain { cursor: pointer; text-decoration: none; display: inline-flex;
  align-items: center; }
.fw-live table { width: 100%; border-collapse: collapse; table-layout: fixed; font-size: 13px; }
.fw-live th { text-align: left; font-weight: 500; font-size: 12px; opacity: .75; }
.fw-live th, .fw-live td { padding: 6px 10px 6px 0; vertical-align: top; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; border-bottom: 1px solid color-mix(in srgb, currentColor 11%, transparent); }
.fw-live td a { color: inherit; text-decoration: none; }
.fw-live td a:hover, .fw-live td a:focus-visible { text-decoration: underline; }
.fw-live .fw-time { width: 5.2rem; font-variant-numeric: tabular-nums; }
.fw-live .fw-sign { width: 16%; } .fw-live .fw-out { width: 13%; }
.fw-live .fw-mode { width: 15%; } .fw-live .fw-model { width: 4.5rem; } .fw-live .fw-ctx { width: 14%; }
.fw-live td { unicode-bidi: plaintext; }
.fw-live .fw-state { display: flex; gap: 10px; align-items: center; font-size: 13px; margin: 4px 0 10px;
  flex-wrap: wrap; }
.fw-live .fw-dot { width: 8px; height: 8px; border-radius: 50%; background: #009E73; }
.fw-live .fw-dot.off { background: #E69F00; border-radius: 1px; }
@media (max-width: 1100px) { .fw-live .fw-ctx, .fw-live .fw-model { display: none; } }
@media (max-width: 700px) { .fw-live .fw-mode, .fw-live .fw-out { display: none; } .fw-live .fw-sign { width: 9rem; }
  .fw-live form label { flex: 1 1 44%; } .fw-live select, .fw-live input { max-width: none; width: 100%; } }
"""
_HEADS = (
    ("Received", "fw-time"),
    ("Input", ""),
    ("Answer", "fw-out"),
    ("Why it looks wrong", "fw-sign"),
    ("Failure mode", "fw-mode"),
    ("Version", "fw-model"),
    ("Context", "fw-ctx"),
)


def add() -> None:
    """Register `/live`."""

    @frame.page("/live", title="Live", scope="read")
    async def live(
        view: frame.View,
        show: str = "",
        model: str = "",
        mode: str = "",
        cause: str = "",
        where: str = "",
        upto: int = 0,
    ) -> None:
        wanted = Wanted(show != "all", model[:200], mode[:200], cause[:200], where[:1000])
        await _Page(view, wanted, max(0, upto)).draw()


class _Rows(Element, component="live.js"):
    """The rows of the page: the browser keeps them, and is sent what is new. Every cell is text."""

    def __init__(self, rows: Sequence[dict[str, Any]], base: str, nothing: str) -> None:
        super().__init__()
        heads = [{"name": name, "kind": kind} for name, kind in _HEADS]
        self._props.update(rows=list(rows), base=base, nothing=nothing, most=ROWS, heads=heads)


class _Page:
    """One open page: its filter, and what it shows of its stream."""

    def __init__(self, view: Any, wanted: Wanted, upto: int) -> None:
        self.view, self.wanted, self.upto = view, wanted, upto
        self.follower = follower(view.wheel)
        self.names: dict[str, str] = {}
        self.ready = False

    async def draw(self) -> None:
        """Build the page, and begin to listen unless it is paused."""
        modes = await self.view.ask(self.view.wheel.modes)
        self.names = {one.id: one.name for one in modes}
        if self.upto:
            begin = max(0, self.upto - 1000)
            past, _ = await self.view.ask(lambda: self.view.wheel.arrivals(begin, self.upto - begin))
            self.stream = Stream(self.wanted, partial(_row, self.names))
            self.stream.hear(past)
        else:
            self.stream = await self.follower.join(self.wanted, self, partial(_row, self.names))
            ui.context.client.on_delete(lambda: self.follower.leave(self.stream, self))
        ui.add_css(_STYLE)
        with ui.element("div").classes("fw-live").style("width: 100%"):
            self._form(self._versions())
            self._state()
            marks.say("A minute, UTC", "p", "fw-small fw-dim").style("margin:0")
            self.chart = charts.Chart(self._options(), "Counts by minute, failures and others").style("height:120px")
            self.rows = _Rows(self.stream.rows, f"{self.view.base}/interactions/", self._nothing())
        self._say()
        self.ready = True

    def show(self, rows: list[dict[str, Any]]) -> None:
        """Rows have come, the newest first."""
        if self.ready:
            self.rows.run_method("take", rows)

    def count(self) -> None:
        """Draw the counts as they are now."""
        if self.ready:
            self.chart.draw(self._options())
            self._say()

    def _versions(self) -> list[str]:
        seen = {row["c"][3] for row in self.stream.rows if row["c"][3] != "–"}
        return sorted({*seen, *self.follower.versions()})

    def _say(self) -> None:
        stream = self.stream
        counted = sum(map(sum, stream.counts.values()))
        what = "failures" if self.wanted.failures else "interactions and feedback"
        if self.upto:
            text = f"Paused at record {self.upto:,}. The link in the address bar shows a colleague the same."
        elif stream.problem:
            text = f"Nothing can be read at the moment: {stream.problem}"
        else:
            begin = max(stream.since, min(stream.counts, default=stream.since)) if stream.since else None
            since = f" since {begin:%H:%M:%S} UTC" if begin else ""
            text = f"{counted:,} {what}{since}, up to record {stream.last:,}."
            if counted > ROWS:
                text += f" The newest {ROWS} are listed; all are counted."
        self.words.set_text(text)

    def _form(self, versions: Sequence[str]) -> None:
        wanted = self.wanted
        modes = [("", "any"), *sorted(self.names.items(), key=lambda pair: pair[1])]
        with ui.element("form").props('method="get" role="search" aria-label="Filter what arrives"'):
            _choice("Show", "show", [("", "failures"), ("all", "everything")], "" if wanted.failures else "all")
            _choice("Version", "model", [("", "any"), *((v, v) for v in versions)], wanted.model)
            _choice("Failure mode", "mode", modes, wanted.mode)
            _choice("Cause", "cause", [("", "any"), *((c, c) for c in _CAUSES)], wanted.cause)
            with ui.element("label"):
                marks.say("Context")
                field = ui.element("input").props(
                    'name="where" placeholder="device=ios, network=3g" autocomplete="off"'
                )
                field.props["value"] = wanted.where
            marks.say("Apply", "button").classes("fw-plain").props('type="submit"')
            if wanted != Wanted():
                marks.link("Clear", f"{self.view.base}/live").classes("fw-plain")

    def _state(self) -> None:
        with ui.element("div").classes("fw-state"):
            ui.element("span").classes("fw-dot off" if self.upto else "fw-dot").props('aria-hidden="true"')
            marks.say("Paused" if self.upto else "Live", "strong")
            self.words = marks.say("")
            name = "Go on (p)" if self.upto else "Pause (p)"
            button = marks.say(name, "button").classes("fw-plain").props('type="button" aria-keyshortcuts="p"')
            button.on("click", self._pause)
            ui.keyboard(lambda event: self._pause() if event.action.keydown and event.key == "p" else None)

    def _pause(self) -> None:
        base, more = f"{self.view.base}/live", {} if self.upto else {"upto": max(1, self.stream.last)}
        ui.navigate.to(self.wanted.address(base, **more))

    def _nothing(self) -> str:
        if self.wanted != Wanted():
            return "Nothing that came of late fits this filter. What fits will appear here as it arrives."
        return (
            "No failure of late. One appears here when an answer has an error, a confidence below 0.5, a bad rating, "
            "a report, or a label other than the answer."
        )

    def _options(self) -> dict[str, Any]:
        counts = self.stream.counts
        newest = max(counts, default=None)
        minutes = [newest - timedelta(minutes=k) for k in reversed(range(_MINUTES))] if newest else []
        kinds = [(0, "failures", marks.BAD)]
        if not self.wanted.failures:
            kinds.append((1, "others", marks.BAND))
        parts = [
            (name, colour, [counts.get(minute, (0, 0))[place] for minute in minutes]) for place, name, colour in kinds
        ]
        return charts.stacked([f"{minute:%H:%M}" for minute in minutes], parts, legend=False) | {"few": 2}


def _row(names: dict[str, str], one: Arrival) -> dict[str, Any]:
    seen = one.interaction
    signs = " · ".join(f"{_SIGN.get(sign.kind, sign.kind)}: {sign.detail}" for sign in one.signs)
    context = " ".join(f"{name}={value}" for name, value in seen.context.items())
    cells = (
        short(seen.output), signs or (f"said: {one.feedback}" if one.feedback else "–"),
        names.get(one.mode or "", one.mode or "–"), seen.model or "–", context or "–",
    )  # fmt: skip
    return {
        "k": one.seq, "t": f"{one.received_at:%H:%M:%S}", "w": f"{one.received_at:%F %T} UTC",
        "i": quote(seen.id, safe=""), "x": short(seen.input) or "(empty)", "c": [text[:300] for text in cells],
    }  # fmt: skip


def short(value: Any, most: int = 200) -> str:
    """A logged value in one line of text.

    >>> short({"role": "user"}), short("a\\nb"), short(None)
    ('{"role": "user"}', 'a b', '')
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text[: most * 2].split())[:most]


def _choice(title: str, name: str, options: Sequence[tuple[str, str]], chosen: str) -> None:
    known = {value for value, _ in options}
    with ui.element("label"):
        marks.say(title)
        with ui.element("select").props(f'name="{name}"') as field:
            for value, words in [*options, *([] if chosen in known else [(chosen, chosen)])]:
                option = marks.say(words[:80], "option")
                option.props["value"] = value
                if value == chosen:
                    option.props["selected"] = True
        field.on("change", js_handler="(event) => event.target.form.requestSubmit()")
