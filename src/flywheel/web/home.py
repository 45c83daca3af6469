"""Wheel: where the loop stands, whether the product got better, what was fixed and how fast, and what waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from nicegui import ui

from flywheel.records import FailureHistory, Repair
from flywheel.web import charts, frame, marks
from flywheel.web.circle import loop_picture

__all__ = ["add"]

_STATES = {"open": marks.NEUTRAL, "in work": marks.WARN, "reopened": marks.BAD, "fixed": marks.GOOD}
_WAITS = {"labels": "waiting", "promotion": "waiting", "verdict": "need labels", "problem": "alarm"}
"""The state in whose colour each kind of waiting is shown, where it is not called so itself."""
_LAST = 60
"""So many of the last spins are drawn."""


def add() -> None:
    """Register the page."""

    @frame.page("/", title="Wheel", scope="read")
    async def wheel(view: frame.View) -> None:
        status = await view.ask(view.wheel.status)
        if not status["interactions"] and not status["examples"]:
            _begin(status["folder"])
            return
        told = await view.ask(view.wheel.failure_history)
        _figures(status, told)
        _waits(view, status["standing"])
        _loop(view, status["standing"])
        with ui.element("div").classes("fw-grid"):
            _accuracy(status["spins"], told.released)
            _uplift(view, status["spins"])
            _failures(told)
            _time_to_fix(view, told)
            _traffic(status["metrics"])
            _modes(view, status["modes"])


def _begin(folder: str) -> None:
    with marks.block(
        "Nothing was logged yet", "Three ways to get the first data in. This page fills as soon as one is done."
    ):
        for words, command in (
            ("Read a log that you have", f"flywheel import your-log.jsonl --folder {folder}"),
            ("Log each call of your product", f'import flywheel\nfw = flywheel.open("{folder}")\n'
             'fw.log(input="where is my card", output="card_arrival", confidence=0.42)'),
            ("Watch an example learn from its own failures", "flywheel demo"),
        ):  # fmt: skip
            marks.say(words, "h2")
            marks.code(command)


def _figures(status: dict[str, Any], told: FailureHistory) -> None:
    receipt = next((one for one in map(_measured, reversed(status["spins"])) if one), None)
    champion = status["champion"]
    with ui.element("div").classes("fw-figures"):
        if receipt:
            after = receipt["after"]
            marks.figure(
                "Accuracy", marks.percent(after["estimate"]),
                f"95 % interval {100 * after['low']:.1f} to {100 * after['high']:.1f}, n = {after['n']:,}",
            )  # fmt: skip
        marks.figure("Interactions", marks.number(status["interactions"]), f"{status['feedback']:,} pieces of feedback")
        if champion:
            marks.figure("In production", champion["version"], f"since {marks.when(champion['at'])}")
        live = [mode for mode in status["modes"] if mode["state"] != "fixed" and mode["count"]]
        marks.figure("Failure modes that occur", marks.number(len(live)), f"{len(status['modes'])} known")
        if told.repairs:
            found = told.time_to_fix
            marks.figure("From failure to fix", _days(found.median), f"median, n = {found.n + found.unfixed:,} modes")
    if status["receipt"]:
        marks.say(status["receipt"], "p", "fw-says")


def _measured(spin: dict[str, Any]) -> dict[str, Any] | None:
    """A spin's receipt, where labels were there to measure with."""
    receipt: dict[str, Any] | None = spin["receipt"]
    return receipt if receipt and receipt["after"]["n"] else None


def _waits(view: frame.View, standing: dict[str, Any]) -> None:
    with marks.block("What waits for you"):
        if not standing["waits"] and not standing["next"]:
            marks.say("Nothing: no labels are asked for, no verdict is open, no alarm is raised.", "p")
            return
        rows: list[tuple[Any, Any]] = []
        for one in standing["waits"]:
            target = _where(view, one)
            rows.append((_kind(one["kind"]), (one["line"], target) if target else one["line"]))
        if standing["next"]:
            wish = standing["next"]
            said = "is asked about first" if wish["spin"] else "will be asked about first by the next spin"
            line = f"{wish['name']} {said} (asked for by {wish['by']})"
            rows.append((_kind("next"), (line, view.path("/modes", wish["mode"]))))
        marks.table("What waits for you", ("What", "Which"), rows)


def _kind(kind: str) -> dict[str, str]:
    """A cell with what it is that waits, in its colour."""
    return marks.stamp(_WAITS.get(kind, kind), kind)


def _where(view: frame.View, one: dict[str, Any]) -> str | None:
    places = {"labels": "/review", "promotion": "/releases", "verdict": "/spins", "reopened": "/modes",
              "alarm": "/health"}  # fmt: skip
    place = places.get(one["kind"])
    if place is None or not view.may(frame.scopes().get(place, "read")):
        return None
    if one["kind"] == "alarm":
        return view.path(f"/health?spin={one['about']}")
    return view.path(place, one["about"]) if one["kind"] in ("verdict", "reopened") else view.path(place)


def _loop(view: frame.View, standing: dict[str, Any]) -> None:
    says = f"{standing['line']}." + (" Start one with: flywheel spin" if standing["spin"] is None else "")
    with marks.block("The loop", says):
        loop_picture(view, standing)


def _accuracy(spins: list[dict[str, Any]], released: dict[str, datetime]) -> None:
    told = [(spin, receipt["after"]) for spin in spins[-_LAST:] if (receipt := _measured(spin))]
    with marks.block("Accuracy"):
        if not told:
            marks.empty("No spin has been measured yet: that takes labels.")
            return
        shares = {key: [round(100 * after[key], 1) for _, after in told] for key in ("estimate", "low", "high")}
        marked = [(f"spin {spin['number']}", spin["candidate"]) for spin, _ in told if spin["candidate"] in released]
        options = charts.line(
            [f"spin {spin['number']}" for spin, _ in told], shares["estimate"], low=shares["low"],
            high=shares["high"], unit="%", name="accuracy", marked=marked,
        )  # fmt: skip
        ships = f" Lines mark releases: {', '.join(version for _, version in marked)}." if marked else ""
        says = (
            f"Right answers after each spin, by audit labels, with 95 % intervals; now {marks.interval(told[-1][1])}."
        )
        charts.chart(options, says + ships)


def _uplift(view: frame.View, spins: list[dict[str, Any]]) -> None:
    told = [(spin, receipt) for spin in spins[-_LAST:] if (receipt := _measured(spin))]
    with marks.block("What each spin brought"):
        if not told:
            marks.empty("No spin has been measured yet: that takes labels.")
            return
        gains = [[round(100 * receipt["uplift"][key], 1) for key in ("low", "estimate", "high")] for _, receipt in told]
        options = charts.intervals([f"spin {spin['number']}" for spin, _ in told], gains, unit="points", name="uplift")
        charts.chart(options, "Uplift against the model before, on the same interactions, with 95 % intervals.")
        rows: list[tuple[Any, ...]] = [
            ((spin["number"], view.path("/spins", spin["number"])), receipt["decision"],
             marks.interval(receipt["uplift"], points=True), marks.number(receipt["labels"]))
            for spin, receipt in reversed(told[-8:])
        ]  # fmt: skip
        heads: tuple[str, ...] = ("Spin", "Verdict", "Uplift", "Labels")
        priced = any(receipt["value"] is not None or receipt["cost"] is not None for _, receipt in told)
        if priced:
            heads = (*heads, "Return", "Cost")
            rows = [
                (*row, _money(receipt, "value", " a year"), _money(receipt, "cost"))
                for row, (_, receipt) in zip(rows, reversed(told[-8:]), strict=True)
            ]
        marks.table("What each spin brought", heads, rows, numbers=(2, 3, 4, 5)[: len(heads) - 2])
        if not priced:
            marks.say("Return is told once [value] in flywheel.toml prices a failure.", "p", "fw-dim fw-small")


def _money(receipt: dict[str, Any], name: str, per: str = "") -> str:
    return "–" if receipt[name] is None else f"{receipt[name]:,.0f} {receipt['currency'] or ''}{per}"


def _failures(told: FailureHistory) -> None:
    with marks.block("Failure modes over time"):
        spins = told.spins[-_LAST:]
        if not spins:
            marks.empty("No spin has looked for failures yet.")
            return
        parts = [(state, colour, [one.modes[state] for one in spins]) for state, colour in _STATES.items()]
        last = spins[-1]
        failing = sum(last.failures[state] for state in _STATES if state != "fixed")
        came = sum(one.reopened for one in told.spins)
        charts.chart(
            charts.stacked([f"spin {one.spin}" for one in spins], parts),
            f"Modes by state after each spin. After the last, {sum(last.modes.values()) - last.modes['fixed']} still "
            f"fail (about {failing:,.0f} failures in its window) and {last.modes['fixed']} are fixed; over all spins "
            f"{sum(one.fixed for one in told.spins)} were fixed and {came} came back.",
        )


def _days(days: float | None) -> str:
    return "–" if days is None else f"{24 * days:,.1f} hours" if days < 2 else f"{days:,.1f} days"


def _time_to_fix(view: frame.View, told: FailureHistory) -> None:
    found = told.time_to_fix
    with marks.block("From failure to fix", "From a mode's first interaction to the release that fixed it."):
        if not told.repairs:
            marks.empty(f"Nothing was fixed yet; {found.unfixed} modes fail.")
            return
        with ui.element("div").classes("fw-figures"):
            low, high = _days(found.low), "no upper end yet" if found.high is None else _days(found.high)
            median = "fewer than half are fixed" if found.median is None else f"95 % interval {low} to {high}"
            marks.figure("Median", _days(found.median), median)
            marks.figure("A quarter within", _days(found.quarter))
            marks.figure("Three quarters within", _days(found.three_quarters))
            marks.figure("n", f"{found.n} fixed", f"{found.unfixed} still fail, and count so far")
        newest: list[Repair] = sorted(told.repairs, key=lambda one: one.at, reverse=True)[:8]
        rows = [
            (
                (one.name, view.path("/modes", one.mode)),
                one.version,
                marks.styled(marks.when(one.at)[:10], "fw-one"),
                _days(one.days),
            )
            for one in newest
        ]
        marks.table("Fixes", ("Mode", "Fixed in", "At", "Took"), rows, numbers=(3,))


def _traffic(days: list[dict[str, Any]]) -> None:
    with marks.block("Traffic"):
        if not days:
            marks.empty("No interaction yet.")
            return
        options = charts.bars(
            [f"{day['at']:%m-%d}" for day in days], [int(day["volume"]) for day in days], name="interactions"
        )
        charts.chart(options, f"Interactions a day; {days[-1]['volume']:,} on the last day, {days[-1]['at']:%Y-%m-%d}.")


def _modes(view: frame.View, modes: list[dict[str, Any]]) -> None:
    counted: dict[str, int] = {}
    for mode in modes:
        counted[mode["state"]] = counted.get(mode["state"], 0) + 1
    says = ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
    with marks.block("Failure modes", f"The riskiest first: {says}." if modes else "None known yet."):
        rows = [
            ((mode["name"], view.path("/modes", mode["id"])), marks.stamp(mode["state"]),
             marks.number(mode["count"], 1))
            for mode in modes[:8]
        ]  # fmt: skip
        if rows:
            marks.table("Failure modes", ("Mode", "State", "Failures"), rows, numbers=(2,))
