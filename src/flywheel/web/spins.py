"""Spins: each turn of the loop, its verdict as a table of checks, what it fixed and broke, its receipt."""

from __future__ import annotations

import asyncio
from typing import Any

from nicegui import ui

from flywheel.errors import FlywheelError, NotFound
from flywheel.web import frame, marks

__all__ = ["add"]

_MOST = 200


def add() -> None:
    """Register the pages."""

    @frame.page("/spins", title="Spins", scope="read")
    async def spins(view: frame.View) -> None:
        found = await view.ask(view.wheel.spins)
        if view.may("release"):
            _start(view, found[-1] if found else None)
        if not found:
            marks.empty("No spin has run yet. Start one here, or with:", "flywheel spin")
            return
        rows = [
            ((f"Spin {one.number}", view.path("/spins", one.number)), lambda one=one: marks.badge(one.state),
             (lambda one=one: marks.badge(one.verdict.decision)) if one.verdict else "–",
             marks.interval(one.receipt.uplift, points=True) if one.receipt else "–", marks.number(one.labels),
             marks.when(one.started_at))
            for one in reversed(found)
        ]  # fmt: skip
        with marks.block("Every spin", "The newest first. Uplift is against the model before, with 95 % intervals."):
            marks.table("Spins", ("Spin", "State", "Verdict", "Uplift", "Labels", "Begun"), rows, numbers=(4,))

    @frame.page("/spins/{number}", title="Spin", scope="read")
    async def spin(view: frame.View, number: int) -> None:
        found = next((one for one in await view.ask(view.wheel.spins) if one.number == number), None)
        if found is None:
            raise NotFound(f"there is no spin {number}. The page of spins lists them")
        _head(view, found)
        examples = (await view.ask(lambda: view.wheel.dataset(found.dataset))).examples if found.dataset else ()
        _verdict(view, found, {one.id: one for one in examples})
        _receipt(found)
        _steps(found)


def _start(view: frame.View, last: Any) -> None:
    going = last is not None and last.state != "done"
    says = (f"Spin {last.number} is {last.state} at {last.step}"
            + (f": it waits for {last.waiting_for} labels." if last.waiting_for else ".")) if going else (
        "A spin reads the log, asks for labels, trains a candidate and proves it; what passes may ship.")  # fmt: skip
    with marks.block("Go on with the spin" if going else "Start a spin", says):
        budget = None
        if not going:
            budget = ui.number("Labels it may ask for", value=100, min=0, precision=0).props("dense outlined")
        button = ui.button("Go on" if going else "Start a spin").props("no-caps unelevated")
        told = marks.say("", "p").props("role=status aria-live=polite")
    steps: list[str] = []

    async def go() -> None:
        button.disable()
        steps[:] = ["begin"]
        timer = ui.timer(0.5, lambda: told.set_text(f"Running: {steps[-1]} …"))
        most = int(budget.value or 0) if budget is not None else last.budget

        def turn() -> Any:
            view.wheel.note("spin", f"{last.number}" if going else "new", by=view.by, detail={"budget": most})
            return view.wheel.spin(most, on_step=lambda name, line: steps.append(f"{name} {line}"))

        try:
            done = await view.ask(turn, "release")
        except FlywheelError as problem:
            told.set_text(str(problem))
            button.enable()
            return
        finally:
            timer.cancel()
        told.set_text(f"Spin {done.number} is {done.state}.")
        await asyncio.sleep(0.1)
        ui.navigate.to(view.path("/spins", done.number))

    button.on_click(go)


def _head(view: frame.View, spin: Any) -> None:
    marks.link("All spins", view.path("/spins"))
    with ui.element("div").classes("fw-figures"):
        marks.figure("Spin", str(spin.number), marks.when(spin.started_at))
        marks.figure("State", spin.state, f"waits for {spin.waiting_for} labels" if spin.waiting_for else spin.step)
        marks.figure("Labels", marks.number(spin.labels), f"of a budget of {spin.budget:,}")
    with ui.element("div").classes("fw-row"):
        if spin.dataset:
            marks.link(f"Dataset {spin.dataset[:12]}", view.path("/data", spin.dataset))
        marks.link("What it saw", view.path(f"/health?spin={spin.number}"))
        if spin.waiting_for and view.may("label"):
            marks.link("Review what waits", view.path("/review"))


def _verdict(view: frame.View, spin: Any, examples: dict[str, Any]) -> None:
    verdict = spin.verdict
    if verdict is None:
        with marks.block("Verdict"):
            marks.empty("There is no verdict yet: the gate speaks once a candidate was trained and replayed.")
        return
    with marks.block("Verdict", f"{verdict}."):
        rows = [(one.name, lambda one=one: marks.badge(one.outcome), one.line, _numbers(one.values))
                for one in verdict.checks]  # fmt: skip
        marks.table("Checks of the verdict", ("Check", "Outcome", "Evidence", "Numbers"), rows)
    with ui.element("div").classes("fw-grid"):
        for title, ids, count, of in (
            ("Fixed", verdict.fixed_ids, verdict.fixed, verdict.failures),
            ("Broke", verdict.broke_ids, verdict.broke, verdict.kept),
        ):
            with marks.block(title, f"{count:,} of {of:,} {'known failures' if title == 'Fixed' else 'right before'}."):
                if ids:
                    marks.table(title, ("Input", "Right"), [_case(view, examples.get(one), one) for one in ids[:_MOST]])
                    if len(ids) > _MOST:
                        marks.say(f"The first {_MOST} of {len(ids):,}.", "p", "fw-dim")
                else:
                    marks.empty("None is listed.")


def _case(view: frame.View, example: Any, id: str) -> tuple[Any, str]:
    """One case of the verdict, linked to the interaction it came from; seed examples came from none."""
    if example is None:
        return id, "–"
    words = marks.brief(example.input, 90)
    to = example.interaction_id and view.path("/interactions", example.interaction_id)
    return (words, to) if to else words, marks.brief(example.label, 60)


def _numbers(values: dict[str, Any]) -> str:
    plain = [(name, one) for name, one in values.items() if isinstance(one, int | float | str)]
    return " · ".join(f"{name.replace('_', ' ')} {one:.4g}" if isinstance(one, float) else
                      f"{name.replace('_', ' ')} {marks.brief(one, 40)}" for name, one in plain) or "–"  # fmt: skip


def _receipt(spin: Any) -> None:
    found = spin.receipt
    with marks.block("Receipt", found.line if found else ""):
        if found is None:
            marks.empty("A receipt is written when the spin is done.")
            return
        cost = "–" if found.cost is None else f"{found.cost:,.2f} {found.currency or ''}"
        value = "–" if found.value is None else f"{found.value:,.0f} {found.currency or ''} a year"
        rows = [("Accuracy before", marks.interval(found.before)), ("Accuracy after", marks.interval(found.after)),
                ("Uplift", marks.interval(found.uplift, points=True)),
                ("Labels", f"{found.labels:,}, of them {found.audit_labels:,} audit"),
                ("Time", f"{found.seconds:,.1f} s"), ("Cost", cost), ("Return", value)]  # fmt: skip
        marks.table("Receipt", ("What", "Figure"), rows)


def _steps(spin: Any) -> None:
    if spin.seconds:
        with marks.block("Where the time went"):
            marks.chart(
                marks.bars(list(spin.seconds), [round(one, 2) for one in spin.seconds.values()], unit="s", name="time"),
                f"Seconds in each step; {sum(spin.seconds.values()):,.1f} s in all.",
            )
