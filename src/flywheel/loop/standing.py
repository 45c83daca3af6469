"""Where the loop stands now, and what waits for people."""

from __future__ import annotations

from collections.abc import Sequence

from flywheel.loop.wishes import standing_wish
from flywheel.records import Mode, Release, Spin, Stage, Standing, Wait
from flywheel.store import State

__all__ = ["standing"]

_DOES = {
    "sync": "reads the log", "observe": "looks for change", "diagnose": "finds what fails",
    "mine": "finds what is rare", "select": "chooses what to ask", "label": "collects answers",
    "curate": "makes the dataset", "train": "makes a candidate", "replay": "runs both models",
    "gate": "gives the verdict", "release": "puts it to work", "measure": "writes the receipt",
}  # fmt: skip
_ALARMS = 5


def standing(state: State, releases: Sequence[Release], problems: Sequence[str] = ()) -> Standing:
    """The twelve stages as the last spin has left them, and everything that waits for a person, the most urgent first.

    `problems` are what a check of the house has found wrong.
    """
    spins = state.spins()
    spin = spins[-1] if spins else None
    modes, wish = state.modes(), standing_wish(state)
    waiting = len(state.items(status="waiting"))
    challenger = next((one for one in reversed(releases) if one.role == "challenger"), None)
    holds = _holds(spin, waiting, challenger)
    if wish is not None:
        holds["select"] = f"prefers {wish.name}"
    waits = [Wait("problem", line) for line in problems]
    waits += _waits(spin, waiting, challenger, modes)
    return Standing(
        spin=spin.number if spin else None,
        state=spin.state if spin else "not begun",
        line=_line(spin),
        stages=tuple(_stages(spin, holds)),
        waits=tuple(waits),
        next=wish,
    )


def _stages(spin: Spin | None, holds: dict[str, str]) -> list[Stage]:
    names = list(_DOES)
    over = spin is not None and spin.state == "done"
    reached = -1 if spin is None else names.index(spin.step)
    return [
        Stage(
            name=name,
            does=does,
            state="done" if over or place < reached else "now" if place == reached else "to come",
            seconds=spin.seconds.get(name) if spin and (over or place <= reached) else None,
            waits=holds.get(name, ""),
        )
        for place, (name, does) in enumerate(_DOES.items())
    ]


def _line(spin: Spin | None) -> str:
    if spin is None:
        return "No spin has run yet"
    if spin.state == "waiting":
        return f"Spin {spin.number} waits for {_many(spin.waiting_for, 'label')}"
    return f"Spin {spin.number} is {'done' if spin.state == 'done' else f'running, at {spin.step}'}"


def _holds(spin: Spin | None, waiting: int, challenger: Release | None) -> dict[str, str]:
    """What each stage waits for, or has to show."""
    found: dict[str, str] = {}
    if spin is None:
        return {"sync": "waits for the first spin"}
    alarms = sum(seen.alarm for seen in spin.observations)
    if alarms:
        found["observe"] = f"{_many(alarms, 'alarm')} to look at"
    if waiting:
        found["label"] = f"waits for {_many(waiting, 'label')}"
    if spin.verdict and spin.verdict.decision == "need labels":
        found["gate"] = f"needs about {spin.verdict.need} more labels"
    if challenger is not None:
        found["release"] = f"{challenger.version} waits to be promoted"
    if spin.state == "done" and "label" not in found:
        found["sync"] = "waits for the next spin"
    return found


def _waits(spin: Spin | None, waiting: int, challenger: Release | None, modes: Sequence[Mode]) -> list[Wait]:
    found: list[Wait] = []
    if waiting:
        found.append(Wait("labels", f"{_many(waiting, 'answer')} to label"))
    if challenger is not None:
        line = f"{challenger.version} is proved and waits to be promoted"
        found.append(Wait("promotion", line, challenger.version))
    if spin is not None and spin.verdict and spin.verdict.decision == "need labels" and challenger is None:
        line = f"The verdict of spin {spin.number} needs about {spin.verdict.need} more labels"
        found.append(Wait("verdict", line, str(spin.number)))
    found += [Wait("reopened", f"{mode.name} has come back", mode.id) for mode in modes if mode.state == "reopened"]
    alarms = [seen for seen in (spin.observations if spin else ()) if seen.alarm]
    number = str(spin.number) if spin else ""
    found += [Wait("alarm", seen.line, number) for seen in alarms[:_ALARMS]]
    if len(alarms) > _ALARMS:
        found.append(Wait("alarm", f"{_many(len(alarms) - _ALARMS, 'more alarm')}", number))
    return found


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
