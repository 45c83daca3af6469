"""Wheel: where the loop stands, whether the product got better, and what waits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nicegui import ui

from flywheel.web import frame, marks

__all__ = ["add"]

_STAGES = {
    "sync": "reads the log", "observe": "looks for change", "diagnose": "finds what fails", "mine": "finds what is rare",  # noqa: E501
    "select": "chooses what to ask", "label": "waits for answers", "curate": "makes the dataset", "train": "makes a candidate",  # noqa: E501
    "replay": "runs both models", "gate": "gives the verdict", "release": "puts it to work", "measure": "writes the receipt",  # noqa: E501
}  # fmt: skip


def add() -> None:
    """Register the page."""

    @frame.page("/", title="Wheel", scope="read")
    async def wheel(view: frame.View) -> None:
        status = await view.ask(view.wheel.status)
        if not status["interactions"] and not status["examples"]:
            _begin(status["folder"])
            return
        releases = await view.ask(view.wheel.releases)
        _figures(status)
        _waits(view, status)
        _stages(view, status["spins"])
        with ui.element("div").classes("fw-grid"):
            _accuracy(status["spins"], {release.spin: release.version for release in releases})
            _uplift(status["spins"])
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


def _figures(status: dict[str, Any]) -> None:
    receipt = next((spin["receipt"] for spin in reversed(status["spins"]) if spin["receipt"]), None)
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
    if status["receipt"]:
        marks.say(status["receipt"], "p", "fw-says")


def _waits(view: frame.View, status: dict[str, Any]) -> None:
    waits: list[tuple[str, str]] = []
    if status["waiting"]:
        waits.append((f"{status['waiting']:,} answers to label", "/review"))
    spins = status["spins"]
    if spins and spins[-1]["verdict"] and spins[-1]["verdict"]["decision"] == "need labels":
        waits.append((f"The verdict of spin {spins[-1]['number']} needs more labels", f"/spins/{spins[-1]['number']}"))
    alarms = [seen for seen in (spins[-1]["observations"] if spins else []) if seen["alarm"]]
    waits += [(seen["line"], "/health") for seen in alarms[:5]]
    waits += [
        (f"{mode['name']} has come back", f"/modes/{mode['id']}")
        for mode in status["modes"]
        if mode["state"] == "reopened"
    ]
    with marks.block("What waits for you"):
        for words, path in waits:
            with ui.element("div"):
                marks.link(words, view.path(path))
        for problem in status["problems"]:
            marks.say(problem, "p", "fw-bad")
        if not waits and not status["problems"]:
            marks.say("Nothing: no labels are asked for, no alarm is raised.", "p")


def _stages(view: frame.View, spins: list[dict[str, Any]]) -> None:
    spin = spins[-1] if spins else None
    says = "No spin has run yet. Start one with: flywheel spin" if spin is None else (
        f"Spin {spin['number']} is {spin['state']}"
        + (f": it waits for {spin['waiting_for']} labels" if spin["waiting_for"] else "")
    )  # fmt: skip
    names = list(_STAGES)
    reached = -1 if spin is None else names.index(spin["step"]) if spin["step"] in names else len(names)
    with marks.block("The loop", f"{says}."), ui.element("ol").classes("fw-stages"):
        for place, (name, does) in enumerate(_STAGES.items()):
            done = spin is not None and (spin["state"] == "done" or place < reached)
            with ui.element("li").classes("done" if done else "now" if place == reached else ""):
                marks.say(name)
                took = spin["seconds"].get(name) if spin else None
                marks.say(does if took is None else f"{does} · {took:.1f} s", classes="fw-dim fw-small")


def _accuracy(spins: list[dict[str, Any]], released: dict[int, str]) -> None:
    told = [(spin["number"], spin["receipt"]["after"]) for spin in spins if spin["receipt"]]
    with marks.block("Accuracy"):
        if not told:
            marks.empty("No spin has been measured yet.")
            return
        shares = {key: [round(100 * after[key], 1) for _, after in told] for key in ("estimate", "low", "high")}
        options = marks.line(
            [f"spin {number}" for number, _ in told], shares["estimate"], low=shares["low"], high=shares["high"], unit="%",  # noqa: E501
            name="accuracy", marked=[(f"spin {number}", released[number]) for number, _ in told if number in released],
        )  # fmt: skip
        last = told[-1][1]
        marks.chart(
            options, f"Right answers after each spin, on audit labels, with 95 % intervals; now {marks.interval(last)}."
        )


def _uplift(spins: list[dict[str, Any]]) -> None:
    told = [spin for spin in spins if spin["receipt"]]
    with marks.block(
        "What each spin brought", "Against the model before it, on the same interactions, with 95 % intervals."
    ):
        if not told:
            marks.empty("No spin has been measured yet.")
            return
        rows = [
            (spin["number"], spin["receipt"]["decision"], marks.interval(spin["receipt"]["uplift"], points=True),
             spin["receipt"]["labels"], "–" if spin["receipt"]["value"] is None else
             f"{spin['receipt']['value']:,.0f} {spin['receipt']['currency'] or ''} a year")
            for spin in reversed(told[-8:])
        ]  # fmt: skip
        marks.table("What each spin brought", ("Spin", "Verdict", "Uplift", "Labels", "Return"), rows, numbers=(3, 4))


def _traffic(days: list[dict[str, Any]]) -> None:
    with marks.block("Traffic"):
        if not days:
            marks.empty("No interaction yet.")
            return
        options = marks.bars(
            [f"{day['at']:%m-%d}" for day in days], [int(day["volume"]) for day in days], name="interactions"
        )
        marks.chart(options, f"Interactions a day; {days[-1]['volume']:,} on the last day, {days[-1]['at']:%Y-%m-%d}.")


def _modes(view: frame.View, modes: list[dict[str, Any]]) -> None:
    counted = Counter(mode["state"] for mode in modes)
    says = ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
    with marks.block("Failure modes", f"{says or 'None known yet'}."):
        rows = [
            ((mode["name"], view.path("/modes", mode['id'])), lambda state=mode["state"]: marks.badge(state),
             marks.number(mode["count"], 1))
            for mode in modes[:8]
        ]  # fmt: skip
        if rows:
            marks.table("Failure modes", ("Mode", "State", "Failures"), rows, numbers=(2,))
