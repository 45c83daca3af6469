"""Modes: what fails, the riskiest first; and one mode with its examples, cause, five whys and what to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from nicegui import ui

from flywheel.errors import FlywheelError
from flywheel.web import charts, frame, marks
from flywheel.web.drawing import glimpse

__all__ = ["add"]

_STATES = ("", "open", "in work", "fixed", "reopened")


def add() -> None:
    """Register the pages."""

    @frame.page("/modes", title="Failure modes", scope="read")
    async def modes(view: frame.View, state: str = "") -> None:
        with ui.element("nav").classes("fw-tabs").props('aria-label="State"'):
            for name in _STATES:
                place = f"/modes?state={quote(name)}" if name else "/modes"
                link = marks.link(name or "all", view.path(place))
                if name == state:
                    link._props["aria-current"] = "page"
        found = await view.ask(lambda: view.wheel.modes(state or None))
        if not found:
            marks.empty("No failure mode here. A spin groups failures into modes:", "flywheel spin")
            return
        wish = await view.ask(view.wheel.next_fix)
        _by_risk(view, found, wish)
        first = await view.ask(lambda: view.wheel.fix_first(5))
        if first:
            with marks.block("What to fix first", "Ordered by what a label spent on it buys."), ui.element("ol"):
                for fix in first:
                    with ui.element("li").style("margin-bottom:.4rem"):
                        marks.link(fix.line, view.path("/modes", fix.mode))

    @frame.page("/modes/{mode_id}", title="Failure mode", scope="read")
    async def mode(view: frame.View, mode_id: str) -> None:
        story = await view.ask(lambda: view.wheel.mode(mode_id))
        mode = story.mode
        _head(view, story)
        with ui.element("div").classes("fw-grid"):
            _cause(mode)
            _risk(mode)
            _trend(story)
            _slices(view, story)
        await _whys(view, mode)
        await _examples(view, mode)
        _replays(story)
        _fixes(view, story)


def _by_risk(view: frame.View, found: list[Any], wish: Any) -> None:
    says = (
        "Risk is severity × occurrence × detectability, each from 1 (harmless, rare, seen at once) to 10. "
        "Failures are of the last window, of a fixed mode those before its fix; a week is at the window's traffic, "
        "with 95 % intervals."
    )
    with marks.block("By risk", says):
        rows = [
            (
                (mode.name, view.path("/modes", mode.id)),
                (lambda mode=mode: _states(mode.state, True))
                if wish is not None and wish.mode == mode.id
                else marks.stamp(mode.state),
                (lambda risk=mode.risk: _parts(risk)) if mode.risk else "–",
                f"{'was ' if mode.state == 'fixed' else ''}{mode.count:,.1f} ({marks.percent(mode.share)})",
                _week(mode.risk) if mode.count and mode.state != "fixed" else "–",
                f"{mode.cause.kind} ({mode.cause.probability:.0%})",
            )
            for mode in found
        ]
        heads = ("Mode", "State", "Risk", "Failures", "A week", "Cause")
        marks.table("Failure modes by risk", heads, rows, numbers=(3, 4))


def _states(state: str, wished: bool) -> None:
    marks.badge(state)
    if wished:
        marks.badge("next").style("margin-left:.3rem")


def _parts(risk: Any) -> None:
    """The risk's number, what it is made of, and the same as a bar: the number is of 1,000."""
    with ui.element("div").style("min-width:9rem"):
        marks.say(str(risk.number)).style("font-weight:600")
        marks.say(f" = {risk.severity} × {risk.occurrence} × {risk.detectability}", classes="fw-dim fw-small")
        marks.meter(risk.number / 1000, f"Risk {risk.number} of 1,000")


def _week(risk: Any) -> str:
    week = risk.per_week if risk else None
    return "–" if week is None else f"{week.estimate:,.0f} ({week.low:,.0f} to {week.high:,.0f})"


def _head(view: frame.View, story: Any) -> None:
    mode = story.mode
    with ui.element("div").classes("fw-row").style("margin-bottom:.5rem"):
        marks.say(mode.name, "h2").style("font-size:1.1rem")
        _states(mode.state, story.next is not None)
        marks.say(f"{mode.count:,.1f} failures, {marks.percent(mode.share)} of the last window", classes="fw-dim")
        marks.say(f"first seen in spin {mode.first_spin}, last in spin {mode.last_spin}", classes="fw-dim")
    with ui.element("div").classes("fw-row").style("margin-bottom:1rem"):
        _next(view, story)


def _next(view: frame.View, story: Any) -> None:
    """Fix this next: have the next spin ask about this mode first, or take that back."""
    mode, wish = story.mode, story.next
    if wish is not None:
        when = "The next spin asks" if wish.spin is None else f"Spin {wish.spin} asks"
        marks.say(f"{when} about it first (asked for by {wish.by}, {marks.when(wish.at)}).", classes="fw-dim")
    if not view.may("label") or mode.state == "fixed" or (wish is not None and wish.spin is not None):
        return

    async def go() -> None:
        try:
            await view.ask(lambda: view.wheel.fix_next(None if wish else mode.id, by=view.by), scope="label")
        except FlywheelError as problem:
            told.set_text(str(problem))
            return
        ui.navigate.reload()

    look = "no-caps flat" if wish else "no-caps unelevated"
    ui.button("Take it back" if wish else "Fix this next", on_click=go).props(look)
    if wish is None:
        marks.say("The next spin then asks for its labels first.", classes="fw-dim fw-small")
    told = marks.say("", classes="fw-bad").props("role=alert")


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
                    by = f" by {why.by}" if why.by else ""
                    marks.say(f"{why.kind}{by}{f' · n = {why.n:,}' if why.n else ''}", "div", "fw-dim fw-small")
                    if why.drafted is not None:
                        marks.say(f"The data says: {why.drafted.answer}", "div", "fw-dim fw-small")
                    if view.may("label"):
                        _answer(view, mode.id, place, why.answer, why.kind)
            if view.may("label") and 0 < len(chain.whys) < 9 and chain.whys[-1].kind != "open":
                with ui.element("li"):
                    marks.say("And why is that?", "strong")
                    _answer(view, mode.id, len(chain.whys) + 1, "", "open")
        if chain.receipt:
            marks.say(chain.receipt, "p")


def _answer(view: frame.View, mode_id: str, place: int, before: str, kind: str) -> None:
    """Edit one why where it stands; what is answered already is opened by a button."""
    opening = ui.button("Edit").props(f'flat dense no-caps aria-label="Edit why {place}"') if kind != "open" else None
    with ui.row().classes("fw-row") as row:
        field = (
            ui.input("Your answer", value=before)
            .props("dense outlined maxlength=2000")
            .style("min-width:min(26rem,70vw)")
        )
        told = marks.say("", classes="fw-bad").props("role=alert")

        async def keep() -> None:
            try:
                said = str(field.value or "")
                await view.ask(lambda: view.wheel.answer_why(mode_id, place, said, by=view.by), scope="label")
            except FlywheelError as problem:
                told.set_text(str(problem))
                return
            ui.navigate.reload()

        ui.button("Save", on_click=keep).props("flat dense no-caps")
    if opening is not None:
        row.set_visibility(False)
        opening.on_click(lambda: (row.set_visibility(True), opening.set_visibility(False)))


async def _examples(view: frame.View, mode: Any) -> None:
    failures = await view.ask(lambda: view.wheel.failures(limit=20, mode=mode.id))
    with marks.block("Examples", "The likeliest failures of the last window, with what speaks for each."):
        if not failures:
            marks.empty("None in the last window.")
            for one in mode.exemplars:
                marks.link(one, view.path("/interactions", one))
            return
        rows = [
            (
                glimpse(one.input, view.path("/interactions", one.interaction_id), 70),
                marks.brief(one.output, 60),
                marks.brief(one.label, 60) if one.label is not None else None,
                f"{one.probability:.0%}",
                marks.styled(marks.brief("; ".join(sign.detail for sign in one.evidence[:3]), 120), "fw-broad"),
            )
            for one in failures
        ]
        marks.table("Examples", ("Input", "Output", "Right", "P(failure)", "Evidence"), rows, numbers=(3,))


def _trend(story: Any) -> None:
    days = story.days[-90:]
    with marks.block("Trend by day"):
        if not days:
            marks.empty("No day on record: a spin puts failures into modes.")
            return
        shown = {day.at.date() for day in days}
        options = charts.line(
            [f"{day.at:%m-%d}" for day in days],
            [round(day.failures.estimate, 1) for day in days],
            low=[round(day.failures.low, 1) for day in days],
            high=[round(day.failures.high, 1) for day in days],
            name="expected failures",
            colour=marks.BAD,
            marked=[(f"{fix.at:%m-%d}", fix.version) for fix in story.repairs if fix.at.date() in shown],
        )
        last = days[-1]
        share = f", {last.failures.estimate / last.volume:.1%} of {last.volume:,} interactions" if last.volume else ""
        charts.chart(
            options,
            f"Expected failures a day (UTC), with the 95 % interval of a count; {last.failures.estimate:,.1f} "
            f"({last.failures.low:,.1f} to {last.failures.high:,.1f}) on {last.at:%Y-%m-%d}{share}. Lines mark fixes.",
        )


def _slices(view: frame.View, story: Any) -> None:
    says = "How many times as common a value is among its failures as in all traffic. Intervals hold for all at once."
    with marks.block("Slices it concentrates in", says):
        if not story.slices:
            marks.empty("None for sure: its failures lie where the traffic does, as far as so many of them can tell.")
            return
        rows = [
            (
                _slice(view, story.mode.id, one),
                f"{one.lift.estimate:.1f} × ({one.lift.low:.1f} to {one.lift.high:.1f})",
                f"{one.failures:,} of {one.of:,}",
                marks.percent(one.traffic / one.traffic_of),
            )
            for one in story.slices
        ]
        heads = ("Slice", "As common", "Failures", "Of traffic")
        marks.table("Slices it concentrates in", heads, rows, numbers=(1, 2, 3))
        marks.say(f"{story.slices[0].tried:,} values and pairs were tried or could have been.", "p", "fw-dim fw-small")


def _slice(view: frame.View, mode: str, one: Any) -> Any:
    """The slice; of context values, linked to the mode's failures in it as they arrive."""
    if any(name.startswith("input.") or name == "model" for name, _ in one.where.conditions):
        return str(one.where)
    where = ", ".join(f"{name}={value}" for name, value in one.where.conditions)
    return str(one.where), view.path(f"/live?{urlencode({'mode': mode, 'where': where})}")


def _replays(story: Any) -> None:
    with marks.block("Replay by version"):
        if not story.replays:
            marks.empty("None of its cases has a label yet, so nobody can say who gets them right.")
            return
        spans = [
            [round(100 * share, 1) for share in (one.share.low, one.share.estimate, one.share.high)]
            for one in story.replays
        ]
        charts.chart(
            charts.intervals([one.version for one in story.replays], spans, unit="%", name="right"),
            f"Share of the mode's labelled cases that each version gets right, on the same {story.replays[-1].n:,}; "
            "95 % intervals. What a version learnt from is answered by a twin that did not.",
        )
        rows = [
            (
                one.version,
                marks.stamp(one.role),
                f"{one.right:,} of {one.n:,}",
                marks.interval(one.share),
            )
            for one in story.replays
        ]
        marks.table("Replay by version", ("Version", "Role", "Right", "Share"), rows, numbers=(2, 3))


def _fixes(view: frame.View, story: Any) -> None:
    says = "; ".join(
        f"fixed in {fix.version} on {fix.at:%Y-%m-%d}, {fix.days:,.1f} days after it began" for fix in story.repairs
    )
    with marks.block("Fix history", f"{says[:1].upper()}{says[1:]}." if says else "Not fixed yet."):
        if not story.spins:
            marks.empty("No spin is on record for it.")
            return
        rows = [
            (
                (one.spin, view.path("/spins", one.spin)),
                marks.styled(marks.when(one.at)[:10], "fw-one"),
                lambda one=one: _change(one),
                f"{one.labelled:,} of {one.asked:,}",
                (f"{one.learnt:,} in {one.dataset[:8]}", view.path("/data", one.dataset)) if one.dataset else "–",
                one.candidate or "–",
                _outcome(one),
            )
            for one in reversed(story.spins)
        ]
        heads = ("Spin", "At", "State", "Labels", "Learnt from", "Candidate", "Outcome")
        marks.table("Fix history", heads, rows, numbers=(3,))


def _change(one: Any) -> None:
    marks.say(f"{one.before or 'new'} → ", classes="fw-dim")
    marks.badge(one.after)
    if one.preferred:
        marks.say(" asked for next", classes="fw-dim fw-small")


def _outcome(one: Any) -> str:
    if one.fixed_in:
        return f"fixed in {one.fixed_in}"
    if one.decision is None:
        return "–"
    return f"{one.decision}{', fixes it on replay' if one.proved else ''}"
