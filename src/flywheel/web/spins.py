"""Spins: each turn of the loop, where it stands, its verdict as a table of checks, its fixed and broke, its receipt."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from nicegui import background_tasks, ui

from flywheel.errors import FlywheelError, NotFound
from flywheel.web import charts, frame, marks
from flywheel.web.drawing import glimpse

__all__ = ["add"]

_MOST = 100
_LOOK = 1.0
"""Seconds between looks at where the spin is, on a page that shows it."""


def add() -> None:
    """Register the pages."""

    @frame.page("/spins", title="Spins", scope="read")
    async def spins(view: frame.View) -> None:
        found = await view.ask(view.wheel.spins)
        await _Progress(view).draw()
        if not found:
            marks.empty("No spin has run yet. Start one here, or with:", "flywheel spin")
            return
        rows = [
            ((f"Spin {one.number}", view.path("/spins", one.number)), marks.stamp(one.state),
             marks.stamp(one.verdict.decision) if one.verdict else "–",
             f"{one.verdict.fixed} / {one.verdict.broke}" if one.verdict else "–",
             marks.interval(one.receipt.uplift, points=True) if one.receipt and one.receipt.uplift.n else "–",
             marks.number(one.labels), marks.when(one.started_at))
            for one in reversed(found)
        ]  # fmt: skip
        with marks.block("Every spin", "The newest first. Uplift is against the model before, with 95 % intervals."):
            heads = ("Spin", "State", "Verdict", "Fixed / broke", "Uplift", "Labels", "Begun")
            marks.table("Spins", heads, rows, numbers=(3, 5))

    @frame.page("/spins/{number}", title="Spin", scope="read")
    async def spin(view: frame.View, number: int) -> None:
        every = await view.ask(view.wheel.spins)
        found = next((one for one in every if one.number == number), None)
        if found is None:
            raise NotFound(f"there is no spin {number}. The page of spins lists them")
        view.call(f"Spin {number}")
        _head(view, found, len(every))
        if found.state != "done":
            await _Progress(view, own=True).draw()
        examples = (await view.ask(lambda: view.wheel.dataset(found.dataset))).examples if found.dataset else ()
        _verdict(view, found, {one.id: one for one in examples})
        with ui.element("div").classes("fw-grid"):
            _receipt(found)
            _steps(found)


class _Progress:
    """Where the spin is, for everybody who looks: whoever began it, in whatever process; and how to begin one."""

    def __init__(self, view: frame.View, *, own: bool = False) -> None:
        self.view, self.mine = view, own  # the page that began it, or shows that spin alone, goes on to its end
        self.shown: tuple[Any, ...] = ()
        self.told = ""
        self.budget: Any = None
        self.meant = 100
        self.clock: Any = None

    async def draw(self) -> None:
        """Build the block, and look again while the page is open."""
        self.block = ui.element("section").classes("fw-block")
        await self._look()
        ui.timer(_LOOK, self._look)

    async def _look(self) -> None:
        try:
            now = await self.view.ask(self.view.wheel.turning)
        except FlywheelError as problem:
            now, self.told = None, str(problem)
        key = (now and (now.spin, now.state, now.step, now.waiting_for, now.problem), self.told)
        if key != self.shown:
            before, self.shown = self.shown[0] if self.shown else None, key
            if now and now.state in ("done", "waiting") and before and before[1] == "running" and self.mine:
                ui.navigate.to(self.view.path("/spins", now.spin))
                return
            self.block.clear()
            with self.block:
                self._fill(now)
        elif now and now.since and self.clock:
            self.clock.set_text(_lasts(now.since))

    def _fill(self, now: Any) -> None:
        may = self.view.may("release")
        going = now is not None and now.state not in ("done", "stopped")
        self.clock = None
        marks.say(_title(now, may), "h2")
        with ui.element("div").props("role=status aria-live=polite"):
            marks.say(_says(now), "p", "fw-says")
        if going or (now and now.problem and now.spin):
            _places(now)
        if now and now.since:
            self.clock = marks.say(_lasts(now.since), "p", "fw-dim fw-small")
        if now and now.problem:
            marks.error(f"It stopped: {now.problem}")
        if self.told:
            marks.error(self.told)
        if now and now.spin and now.state == "done":
            with ui.element("p"):
                marks.link(f"Spin {now.spin} is done: its verdict and receipt", self.view.path("/spins", now.spin))
        with ui.element("div").classes("fw-ask"):
            if now and now.waiting_for and self.view.may("label"):
                marks.link("Review what waits", self.view.path("/review"))
            if may:
                self._ask(now)

    def _ask(self, now: Any) -> None:
        unfinished = now is not None and now.spin and now.state != "done"
        if unfinished:
            words = "Go on" if now.state != "running" else "Go on, if it was interrupted"
            marks.button(words, self._go, main=now.state != "running")
            self.budget = None
            return
        with ui.element("label"):
            marks.say("Labels it may ask for")
            self.budget = ui.element("input").props("type=number min=0 max=100000 value=100")
        marks.button("Start a spin", self._go, main=True)
        self.budget.on("change", self._meant, js_handler="(event) => emit(event.target.value)")

    def _meant(self, event: Any) -> None:
        text = str(event.args or "")
        self.meant = int(text) if text.isdigit() else self.meant

    async def _go(self, _event: Any = None) -> None:
        view, self.told = self.view, ""
        now = await view.ask(view.wheel.turning, "release")
        most = self.meant if self.budget is not None else 0

        def turn() -> Any:
            going = now is not None and now.spin and now.state != "done"
            view.wheel.note("spin", str(now.spin) if going else "new", by=view.by, detail={"budget": most})
            return view.wheel.spin(most)

        self.mine = True
        background_tasks.create(self._turn(turn), name="flywheel-spin")
        await asyncio.sleep(0.2)
        await self._look()

    async def _turn(self, turn: Any) -> None:
        """Goes on when the page is closed; what becomes of it is in the state, for every page."""
        try:
            await self.view.ask(turn)
        except FlywheelError as problem:
            self.told = str(problem)


def _title(now: Any, may: bool) -> str:
    if now is None or not now.spin or now.state == "done":
        return "Start a spin" if may else "No spin is under way"
    return f"Spin {now.spin}"


def _says(now: Any) -> str:
    if now is None or not now.spin or (now.state == "done" and not now.problem):
        return "A spin reads the log, asks for labels, trains a candidate and proves it; what passes may ship."
    if now.state == "waiting":
        return f"It waits for {now.waiting_for:,} labels. When they are given, it goes on from here."
    if now.state == "running":
        return f"It is at the step {now.step}, {now.place + 1} of {len(now.steps)}."
    return f"It stands before the step {now.step}. It goes on where it was."


def _places(now: Any) -> None:
    with ui.element("ol").classes("fw-steps"):
        for place, name in enumerate(now.steps):
            kind = "done" if place < now.place else "now" if place == now.place else ""
            item = marks.say(name, "li", kind)
            if kind == "now":
                item._props["aria-current"] = "step"


def _lasts(since: datetime) -> str:
    seconds = max(0, int((datetime.now(UTC) - since).total_seconds()))
    return f"{seconds // 60} min {seconds % 60} s in this step." if seconds > 59 else f"{seconds} s in this step."


def _head(view: frame.View, spin: Any, count: int) -> None:
    with ui.element("div").classes("fw-row"):
        marks.link("All spins", view.path("/spins"))
        if spin.number > 1:
            marks.link(f"Spin {spin.number - 1}", view.path("/spins", spin.number - 1))
        if spin.number < count:
            marks.link(f"Spin {spin.number + 1}", view.path("/spins", spin.number + 1))
        marks.link("What it saw", view.path(f"/health?spin={spin.number}"))
        if spin.dataset:
            marks.link(f"Dataset {spin.dataset[:12]}", view.path("/data", spin.dataset))
    with ui.element("div").classes("fw-figures"):
        marks.figure("State", spin.state, f"begun {marks.when(spin.started_at)}")
        marks.figure("Verdict", spin.verdict.decision if spin.verdict else "–",
                     f"by {len(spin.verdict.checks)} checks" if spin.verdict else "not yet")  # fmt: skip
        marks.figure("Labels", marks.number(spin.labels), f"of a budget of {spin.budget:,}")
        if spin.receipt and spin.receipt.uplift.n:
            marks.figure("Uplift", f"{100 * spin.receipt.uplift.estimate:+.1f} points",
                         f"{100 * spin.receipt.uplift.low:+.1f} to {100 * spin.receipt.uplift.high:+.1f}")  # fmt: skip


def _verdict(view: frame.View, spin: Any, examples: dict[str, Any]) -> None:
    verdict = spin.verdict
    if verdict is None:
        with marks.block("Verdict"):
            marks.empty("There is no verdict yet: the gate speaks once a candidate was trained and replayed.")
        return
    with marks.block("Verdict", f"{verdict}.".capitalize()):
        rows = [(one.name, marks.stamp(one.outcome), lambda one=one: _evidence(one))
                for one in verdict.checks]  # fmt: skip
        marks.table("Checks of the verdict", ("Check", "Outcome", "Evidence"), rows)
    with ui.element("div").classes("fw-grid"):
        for title, ids, says in (
            ("Fixed", verdict.fixed_ids, f"{verdict.fixed:,} of {verdict.failures:,} known failures are right now."),
            ("Broke", verdict.broke_ids, f"{verdict.broke:,} of {verdict.kept:,} that were right are wrong now."),
        ):
            with marks.block(title, says):
                if ids:
                    marks.table(title, ("Input", "Right"), [_case(view, examples.get(one), one) for one in ids[:_MOST]])
                    if len(ids) > _MOST:
                        marks.say(f"The first {_MOST} of {len(ids):,}.", "p", "fw-dim")
                else:
                    marks.empty("None.")


def _evidence(check: Any) -> None:
    marks.say(check.line)
    numbers = _numbers(check.values)
    if numbers:
        with ui.element("details").classes("fw-dim fw-small"):
            marks.say("The numbers", "summary")
            marks.say(numbers)


def _case(view: frame.View, example: Any, id: str) -> tuple[Any, str]:
    """One case of the verdict, linked to the interaction it came from; seed examples came from none."""
    if example is None:
        return id, "–"
    to = view.path("/interactions", example.interaction_id) if example.interaction_id else None
    return glimpse(example.input, to), marks.brief(example.label, 60)


def _numbers(values: dict[str, Any]) -> str:
    plain = [(name, one) for name, one in values.items() if isinstance(one, int | float | str)]
    return " · ".join(f"{name.replace('_', ' ')} {one:.4g}" if isinstance(one, float) else
                      f"{name.replace('_', ' ')} {marks.brief(one, 40)}" for name, one in plain)  # fmt: skip


def _receipt(spin: Any) -> None:
    found = spin.receipt
    with marks.block("Receipt", found.line if found else ""):
        if found is None:
            marks.empty("A receipt is written when the spin is done.")
            return
        unpriced = "not priced: [value] in flywheel.toml does"
        cost = unpriced if found.cost is None else f"{found.cost:,.2f} {found.currency or ''}"
        value = unpriced if found.value is None else f"{found.value:,.0f} {found.currency or ''} a year"
        rows = [("Accuracy before", marks.interval(found.before)), ("Accuracy after", marks.interval(found.after)),
                ("Uplift", marks.interval(found.uplift, points=True)),
                ("Labels", f"{found.labels:,}, of them {found.audit_labels:,} audit"),
                ("Time", f"{found.seconds:,.1f} s"), ("Cost", cost), ("Return", value)]  # fmt: skip
        marks.table("Receipt", ("What", "Figure"), rows)


def _steps(spin: Any) -> None:
    if not spin.seconds:
        return
    with marks.block("Where the time went"):
        names, took = list(spin.seconds), [round(one, 2) for one in spin.seconds.values()]
        slowest = max(zip(took, names, strict=True))
        charts.chart(
            charts.bars(names, took, unit="s", name="time"),
            f"Seconds in each step: {sum(took):,.1f} in all, {slowest[0]:,.1f} of them in {slowest[1]}.", tall=12,
        )  # fmt: skip
