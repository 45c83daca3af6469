"""Review: label from the keyboard, alone or with others, and see why each item was chosen and how far the budget is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import ui

from flywheel.errors import FlywheelError
from flywheel.web import frame, marks
from flywheel.web.asking import STYLE, choices, disagreement_rows, keys_of, matches, said, standing
from flywheel.web.drawing import drawn

if TYPE_CHECKING:
    from flywheel.records import ReviewItem

__all__ = ["add"]

_KEYS = "0–9 label · / search · g group · s skip · n not sure · u undo"

_SHORT = 12
"""Labels of so many letters stand closer together."""

_TO_SEARCH = """
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  event.preventDefault();
  document.getElementById('fw-search')?.focus();
});
"""
"""In the browser itself: what is typed right after the slash must not be taken for a key."""


def add() -> None:
    """Register `/review`."""

    @frame.page("/review", title="Review", scope="label")
    async def review(view: frame.View, item: str = "", show: str = "", group: str = "") -> None:
        ui.add_css(STYLE)
        if show == "disagreements":
            await _disagreements(view)
        else:
            await _Desk(view, item[:200], group == "on").draw()


class _Desk:
    """One labeler's page: the item at hand, what was answered here (for undo), and the buttons and keys."""

    def __init__(self, view: Any, wanted: str, together: bool) -> None:
        self.view, self.wanted, self.together = view, wanted, together
        self.item: ReviewItem | None = None
        self.alike: list[ReviewItem] = []
        self.options: list[Any] = []
        self.keys: list[str] = []
        self.known: list[Any] = []
        self.done: list[list[str]] = []
        self.busy = asyncio.Lock()
        self.query = ""
        self.spin: int | None = None

    async def draw(self) -> None:
        """Build the page around the item that comes first, or that the address names."""
        with ui.element("div").classes("fw-review"):
            _tabs(self.view, "")
            self.status = marks.say("", "p").classes("fw-status").props('role="status" aria-live="polite"')
            with ui.element("div").classes("fw-desk"):
                self.card = ui.element("section").props('aria-label="The item"')
                self.side = ui.element("aside").props('aria-label="Progress"')
        self.known = await self.view.ask(self.view.wheel.known_labels)
        await self._next()
        ui.run_javascript(_TO_SEARCH)
        ui.keyboard(self._key, repeating=False, ignore=["input", "select", "textarea"])

    # --- what to show ---

    async def _next(self, to: str = "") -> None:
        wheel = self.view.wheel
        queue, told = await self.view.ask(lambda: (wheel.review_queue(), wheel.review_progress()))
        wanted, self.wanted = to or self.wanted, ""
        mine = [one for one in queue if self.view.by not in one.unsure]
        self.item = next((one for one in queue if one.id == wanted), mine[0] if mine else None)
        group = self.item.group if self.item else None
        self.alike = [
            one for one in queue
            if group and one.group and one.group.id == group.id and self.item and one.id != self.item.id
        ]  # fmt: skip
        self.together = self.together and bool(self.alike)
        self.query = ""
        if self.item:
            self.options = choices(self.item, self.known)
            self.keys = keys_of(self.options)
            if wanted and self.item.id != wanted:
                self.status.set_text("The item of that link does not wait any more; this one comes next.")
            self._address()
        self.spin = told["spin"]
        self._draw_card(left=len(queue))
        self.side.clear()
        with self.side:
            standing(told, _KEYS)

    def _address(self) -> None:
        """The address shows a colleague the same item."""
        assert self.item is not None
        group = "&group=on" if self.together else ""
        ui.navigate.history.replace(f"{self.view.base}/review?item={quote(self.item.id, safe='')}{group}")

    def _draw_card(self, left: int) -> None:
        self.card.clear()
        with self.card:
            if self.item is None:
                self._nothing(left)
                return
            self._about(self.item)
            self._answers()

    def _nothing(self, left: int) -> None:
        marks.say("Nothing waits for you", "h2")
        if left:
            words = f"{left} item{'s' * (left != 1)} that you were not sure about wait for somebody else."
        elif self.spin is None:
            words = "No spin has asked for labels yet."
        else:
            words = "Every item has an answer. The spin that waited for them can go on, and a new one asks for more."
        marks.say(words, "p").classes("fw-quiet")
        if left:
            return
        if self.spin is not None and self.view.may("release"):
            marks.link(f"Go on with spin {self.spin}", self.view.path("/spins"))
        else:
            marks.say("flywheel spin", "code").classes("fw-code")

    def _about(self, item: ReviewItem) -> None:
        with ui.element("div").classes("fw-why"):
            marks.say("Why this one").classes("fw-tag")
            marks.say(item.why or "it was selected")
            if item.unsure:
                marks.say(f"not sure: {', '.join(item.unsure)}").classes("fw-quiet")
        marks.say("What is right for this input?", "h2")
        drawn(item.input)
        facts = [("Answer", said(item.shown))] if item.shown is not None else []
        if item.confidence is not None:
            facts.append(("Confidence", f"{item.confidence:.2f}"))
        if item.p_failure is not None:
            facts.append(("Probability of failure", f"{item.p_failure:.2f}"))
        facts += [(name, said(value)) for name, value in list(item.context.items())[:12]]
        with ui.element("dl").classes("fw-facts"):
            for name, value in facts:
                with ui.element("div"):
                    marks.say(name, "dt")
                    marks.say(value[:400], "dd")
        if item.group is not None:
            self._group(item)

    def _group(self, item: ReviewItem) -> None:
        assert item.group is not None
        with ui.element("div").classes("fw-group"):
            marks.say(f"Group: {item.group.name or 'alike inputs'}", "strong")
            marks.say(f"{item.group.size} inputs alike, {len(self.alike)} more of them wait here.").classes("fw-quiet")
            if not self.alike:
                return
            with ui.element("ul"):
                for one in self.alike[:8]:
                    marks.say(said(one.input)[:200], "li")
                if len(self.alike) > 8:
                    marks.say(f"and {len(self.alike) - 8} more", "li")
            state = "on" if self.together else "off"
            button = marks.say(f"Answer all {len(self.alike) + 1} together: {state} (g)", "button").classes("fw-plain")
            button.props(f'type="button" aria-pressed="{str(self.together).lower()}" aria-keyshortcuts="g"')
            button.on("click", self._toggle)

    def _answers(self) -> None:
        short = all(len(said(label)) <= _SHORT for label in self.options)
        with (
            ui.element("div")
            .classes(f"fw-choices {'fw-short' if short else ''}")
            .props('role="group" aria-label="Labels"')
        ):
            for key, label in zip(self.keys, self.options, strict=True):
                with ui.element("button").classes("fw-choice") as button:
                    marks.say(key, "kbd")
                    if said(label) != key:
                        marks.say(said(label)[:200])
                    if self.item is not None and self.item.shown is not None and label == self.item.shown:
                        marks.say("answered").classes("fw-quiet")
                button.props(f'type="button" aria-keyshortcuts="{key}"')
                button.on("click", lambda label=label: self._answer(label))
        with ui.element("div").classes("fw-search"):
            field = ui.element("input").props(
                'type="text" id="fw-search" autocomplete="off" aria-label="Search labels, or write one" '
                'placeholder="Search labels, or write one (/)"'
            )
            field.on("input", self._search, js_handler="(event) => emit(event.target.value)", throttle=0.05)
            field.on("keydown.enter", self._enter, js_handler="(event) => emit(event.target.value, event.ctrlKey)")
            field.on("keydown.escape", js_handler="(event) => event.target.blur()")
            self.found = ui.element("div").classes("fw-found").props('role="group" aria-label="Labels found"')
        with ui.element("div").classes("fw-acts"):
            for name, key, act in (
                ("Skip: nobody can tell", "s", self._skip),
                ("Not sure: ask somebody else", "n", self._unsure),
                ("Undo", "u", self._undo),
            ):
                button = marks.say(f"{name} ({key})", "button").classes("fw-plain")
                button.props(f'type="button" aria-keyshortcuts="{key}"').on("click", act)

    # --- what the labeler does ---

    async def _key(self, event: Any) -> None:
        modifiers = event.modifiers
        if not event.action.keydown or event.action.repeat or modifiers.ctrl or modifiers.meta or modifiers.alt:
            return
        name = str(event.key.name)
        if name == "u":
            await self._undo()
        elif self.item is None:
            return
        elif name in self.keys:
            await self._answer(self.options[self.keys.index(name)])
        elif name == "g" and self.alike:
            self._toggle()
        elif name in ("s", "n"):
            await (self._skip() if name == "s" else self._unsure())

    def _toggle(self) -> None:
        self.together = not self.together
        self._address()
        self._draw_card(left=1)

    async def _answer(self, label: Any) -> None:
        wheel, by, item, together = self.view.wheel, self.view.by, self.item, self.together
        if item is None:
            return

        def act() -> list[str]:
            given = wheel.label_group(item.id, label, by=by) if together else [wheel.label(item.id, label, by=by)]
            return [one.id for one in given]

        word = said(label)[:60]
        await self._do(act, lambda ids: f"{len(ids)} items: {word}" if len(ids) > 1 else f"Labeled {word}")
        if label not in self.known:
            self.known.append(label)

    async def _skip(self) -> None:
        item = self.item
        if item is not None:
            await self._do(lambda: [self.view.wheel.skip(item.id, by=self.view.by).id], lambda _: "Skipped")

    async def _unsure(self) -> None:
        item = self.item
        if item is not None:
            await self._do(
                lambda: [self.view.wheel.unsure(item.id, by=self.view.by).id], lambda _: "Left to somebody else"
            )

    async def _undo(self) -> None:
        if not self.done:
            self.status.set_text("Nothing to undo on this page.")
            return
        ids = self.done[-1]

        def act() -> list[str]:
            for one in ids:
                self.view.wheel.undo(one, by=self.view.by)
            return []

        await self._do(act, lambda _: "Taken back", to=ids[0], undoing=True)

    async def _do(
        self, act: Callable[[], list[str]], words: Callable[[list[str]], str], *, to: str = "", undoing: bool = False
    ) -> None:
        """Do one thing at a time; a key pressed meanwhile is meant for an item nobody has seen yet, and is dropped."""
        if self.busy.locked():
            return
        async with self.busy:
            try:
                ids = await self.view.ask(act, "label")
            except FlywheelError as problem:
                self.status.set_text(f"That was not stored: {problem}")
                return
            if undoing:
                self.done.pop()
            else:
                self.done = [*self.done[-199:], ids]
            await self._next(to)
            self.status.set_text(words(ids) + ("" if undoing else " · u takes it back"))

    # --- many labels ---

    def _search(self, event: Any) -> None:
        self.query = str(event.args or "")[:200]
        self.found.clear()
        with self.found:
            found = matches(self.query, [*self.options, *(one for one in self.known if one not in self.options)])
            for label in found:
                button = marks.say(said(label)[:200], "button").classes("fw-plain").props('type="button"')
                button.on("click", lambda label=label: self._answer(label))
            if self.query.strip() and self.query.strip() not in map(said, found):
                button = marks.say(f"Use “{self.query.strip()[:80]}” (Ctrl Enter)", "button").classes("fw-plain")
                button.props('type="button"').on("click", lambda: self._write(self.query))

    async def _enter(self, event: Any) -> None:
        given = event.args if isinstance(event.args, list) else [event.args, False]
        query, new = str(given[0] or "")[:10_000], bool(given[-1])
        found = matches(query, [*self.options, *(one for one in self.known if one not in self.options)])
        if not query.strip():
            return
        if found and not new:
            await self._answer(found[0])
        elif new or self.view.wheel.config.product.task != "classification":
            await self._write(query)
        else:
            self.status.set_text("No label is called that. Ctrl Enter uses it as a new one.")

    async def _write(self, query: str) -> None:
        from flywheel.curate.exchange import typed

        if self.item is not None and query.strip():
            await self._answer(typed(query.strip(), self.item))


def _tabs(view: Any, now: str) -> None:
    with ui.element("nav").classes("fw-tabs").props('aria-label="Review"'):
        for name, show in (("Label", ""), ("Disagreements", "disagreements")):
            link = marks.say(name, "a")
            link.props["href"] = f"{view.base}/review" + (f"?show={show}" if show else "")
            if show == now:
                link.props["aria-current"] = "page"


async def _disagreements(view: Any) -> None:
    found: Sequence[dict[str, Any]] = await view.ask(view.wheel.disagreements)

    async def settle(item: ReviewItem, label: Any) -> None:
        try:
            await view.ask(lambda: view.wheel.resolve(item.id, label, by=view.by), "label")
        except FlywheelError as problem:
            status.set_text(f"That was not stored: {problem}")
            return
        ui.navigate.reload()

    with ui.element("div").classes("fw-review"):
        _tabs(view, "disagreements")
        status = marks.say("", "p").classes("fw-status").props('role="status" aria-live="polite"')
        disagreement_rows(view, found, settle)
