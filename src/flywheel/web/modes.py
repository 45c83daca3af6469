"""Modes: what fails, the riskiest first; and one mode with its examples, cause, five whys and what to do."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from flywheel.errors import FlywheelError, NotFound
from flywheel.web import frame, marks

__all__ = ["add"]

_STATES = ("", "open", "in work", "fixed", "reopened")


def add() -> None:
    """Register the pages."""

    @frame.page("/modes", title="Failure modes", scope="read")
    async def modes(view: frame.View, state: str = "") -> None:
        with ui.element("nav").classes("fw-tabs").props('aria-label="State"'):
            for name in _STATES:
                link = marks.link(
                    name or "all", view.path(f"/modes?state={name.replace(' ', '%20')}" if name else "/modes")
                )
                if name == state:
                    link._props["aria-current"] = "page"
        found = await view.ask(lambda: view.wheel.modes(state or None))
        if not found:
            marks.empty("No failure mode here. A spin groups failures into modes:", "flywheel spin")
            return
        with marks.block(
            "By risk", "Risk is severity × occurrence × detectability, each 1 to 10; failures are of the last window."
        ):
            rows = [
                ((mode.name, view.path("/modes", mode.id)), lambda mode=mode: marks.badge(mode.state),
                 mode.risk.number if mode.risk else None,
                 f"{mode.risk.severity} × {mode.risk.occurrence} × {mode.risk.detectability}" if mode.risk else None,
                 f"{mode.count:,.1f} ({marks.percent(mode.share)})", f"{mode.cause.kind} ({mode.cause.probability:.0%})")  # noqa: E501
                for mode in found
            ]  # fmt: skip
            marks.table(
                "Failure modes by risk",
                ("Mode", "State", "Risk", "S × O × D", "Failures", "Cause"),
                rows,
                numbers=(2, 3, 4),
            )
        first = await view.ask(lambda: view.wheel.fix_first(5))
        if first:
            with marks.block("Fix this next", "Ordered by what a label spent on it buys."), ui.element("ol"):
                for fix in first:
                    with ui.element("li"):
                        marks.link(fix.line, view.path("/modes", fix.mode))

    @frame.page("/modes/{mode_id}", title="Failure mode", scope="read")
    async def mode(view: frame.View, mode_id: str) -> None:
        mode = next((one for one in await view.ask(view.wheel.modes) if one.id == mode_id), None)
        if mode is None:
            raise NotFound(
                f"there is no failure mode {mode_id!r}. It may have been merged; the list has those there are"
            )
        _head(mode)
        with ui.element("div").classes("fw-grid"):
            _cause(mode)
            _risk(mode)
        await _whys(view, mode)
        await _examples(view, mode)
        await _history(view, mode)


def _head(mode: Any) -> None:
    with ui.element("div").classes("fw-row").style("margin-bottom:1rem"):
        marks.say(mode.name, "h2").style("font-size:1.1rem")
        marks.badge(mode.state)
        marks.say(f"{mode.count:,.1f} failures, {marks.percent(mode.share)} of the last window", classes="fw-dim")
        marks.say(f"first seen in spin {mode.first_spin}, last in spin {mode.last_spin}", classes="fw-dim")


def _cause(mode: Any) -> None:
    with marks.block("Cause", f"{mode.cause.kind}, with probability {mode.cause.probability:.0%}."):
        for kind, share in sorted(mode.cause.probabilities.items(), key=lambda pair: -pair[1]):
            with ui.element("div").classes("fw-row"):
                marks.say(kind).style("flex:0 0 8rem")
                marks.meter(share, f"{kind}: {share:.0%}").style("flex:1")
                marks.say(f"{share:.0%}", classes="fw-dim").style("flex:0 0 3rem;text-align:right")
        with ui.element("ul"):
            for line in mode.cause.evidence:
                marks.say(line, "li")
        if mode.cause.remedy:
            marks.say(f"Fix: {mode.cause.remedy}", "p", "")


def _risk(mode: Any) -> None:
    risk = mode.risk
    with marks.block("Risk", "Severity × occurrence × detectability, each from 1 to 10."):
        if risk is None:
            marks.empty("Not rated yet: the next spin does.")
            return
        with ui.element("div").classes("fw-figures"):
            marks.figure("Risk", str(risk.number), "of 1,000")
            marks.figure("S × O × D", f"{risk.severity} × {risk.occurrence} × {risk.detectability}")
            if risk.per_week:
                week = risk.per_week
                marks.figure("A week", f"{week.estimate:,.0f}", f"{week.low:,.0f} to {week.high:,.0f} failures")
        with ui.element("ul"):
            for line in risk.evidence:
                marks.say(line, "li")


async def _whys(view: frame.View, mode: Any) -> None:
    with marks.block("Five whys", "What the log can test is tested; what it cannot is asked of you."):
        try:
            chain = await view.ask(lambda: view.wheel.why(mode.id))
        except FlywheelError as problem:
            marks.empty(str(problem))
            return
        with ui.element("ol"):
            for place, why in enumerate(chain.whys, 1):
                with ui.element("li").style("margin-bottom:.6rem"):
                    marks.say(why.question, "strong")
                    marks.say(why.answer or "Nobody has answered yet.", "div", "fw-text")
                    marks.say(f"{why.kind}{f' · n = {why.n:,}' if why.n else ''}", "div", "fw-dim fw-small")
                    if view.may("label") and why.kind != "tested":
                        _answer(view, mode.id, place, why.answer if why.kind == "said" else "")
        if chain.receipt:
            marks.say(chain.receipt, "p")


def _answer(view: frame.View, mode_id: str, place: int, before: str) -> None:
    with ui.row().classes("fw-row"):
        field = (
            ui.input("Your answer", value=before)
            .props("dense outlined maxlength=2000")
            .style("min-width:min(26rem,70vw)")
        )

        async def keep() -> None:
            try:
                said = str(field.value or "")
                await view.ask(lambda: view.wheel.answer_why(mode_id, place, said, by=view.by), scope="label")
            except FlywheelError as problem:
                ui.notify(str(problem), type="negative")
                return
            ui.navigate.reload()

        ui.button("Save", on_click=keep).props("flat dense no-caps")


async def _examples(view: frame.View, mode: Any) -> None:
    failures = await view.ask(lambda: view.wheel.failures(limit=20, mode=mode.id))
    with marks.block("Examples", "The likeliest failures of the last window, with what speaks for each."):
        if not failures:
            marks.empty("None in the last window.")
            for one in mode.exemplars:
                marks.link(one, view.path("/interactions", one))
            return
        rows = [
            ((marks.brief(one.input, 70) or one.interaction_id, view.path("/interactions", one.interaction_id)), marks.brief(one.output, 60),  # noqa: E501
             marks.brief(one.label, 60) if one.label is not None else None, f"{one.probability:.0%}",
             marks.brief("; ".join(sign.detail for sign in one.evidence[:3]), 120))
            for one in failures
        ]  # fmt: skip
        marks.table("Examples", ("Input", "Output", "Right", "P(failure)", "Evidence"), rows, numbers=(3,))


async def _history(view: frame.View, mode: Any) -> None:
    spins = await view.ask(view.wheel.spins)
    seen = [(spin, one) for spin in spins for one in spin.modes if one.id == mode.id]
    with marks.block("History", f"Fixed in {mode.fixed_in}." if mode.fixed_in else "Not fixed yet."):
        if not seen:
            return
        options = marks.line(
            [f"spin {spin.number}" for spin, _ in seen],
            [round(100 * one.share, 2) for _, one in seen],
            unit="%",
            name="share",
            colour=marks.BAD,
        )
        marks.chart(options, "Its failures as a share of each spin's window.")
        rows = [
            ((spin.number, view.path("/spins", spin.number)), one.state, marks.number(one.count, 1),
             spin.verdict.decision if spin.verdict else None,
             ("yes" if mode.id in spin.verdict.modes_fixed else "no") if spin.verdict else None)
            for spin, one in reversed(seen)
        ]  # fmt: skip
        marks.table("Replay per spin", ("Spin", "State", "Failures", "Verdict", "Fixed on replay"), rows, numbers=(2,))
