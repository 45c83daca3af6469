"""What became of the failure modes from spin to spin: read off what each spin has stored, never told again later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from flywheel.measure import time_to_fix
from flywheel.records import FailureHistory, Mode, Release, Repair, Spin, SpinFailures, from_dict
from flywheel.store import Store

__all__ = ["Course", "Turned", "failure_history"]

_ALIVE = ("open", "in work", "reopened")
_FOLLOWED = 4_000
"""At most so many failures of one mode are looked up for when it began."""


@dataclass(frozen=True)
class Turned:
    """One spin with the failure modes as they were when it began, as it found them, and as it left them."""

    spin: Spin
    before: dict[str, Mode]
    found: dict[str, Mode]
    after: dict[str, Mode]
    assigned: dict[str, str]
    """Interaction id → mode, of the likely failures in its window."""

    @property
    def at(self) -> datetime | None:
        """When it ended, or began as long as it goes on."""
        return self.spin.ended_at or self.spin.started_at

    @property
    def fixed(self) -> list[Mode]:
        """The modes that a release fixed after this spin had found them, and before the next spin began."""
        return [
            mode for key, mode in self.after.items() if mode.state == "fixed" and self._state(key) not in ("", "fixed")
        ]

    @property
    def reopened(self) -> list[Mode]:
        """The fixed modes that this spin saw again, or that its release brought back."""
        was = {key for key, mode in self.before.items() if mode.state == "fixed"}
        seen = [mode for key, mode in self.found.items() if key in was and mode.state == "reopened"]
        brought = (mode for key, mode in self.after.items() if mode.state == "reopened" and self._state(key) == "fixed")
        return [*seen, *brought]

    def _state(self, key: str) -> str:
        mode = self.found.get(key) or self.before.get(key)
        return mode.state if mode else ""


class Course:
    """The course of the failure modes, spin by spin. O(spins × modes), and a look into the log where each mode began.

    `begun` remembers those beginnings: what a spin has put into a mode does not change any more, short of an erasure.
    """

    def __init__(self, store: Store, begun: dict[Any, datetime | None] | None = None) -> None:
        self.store = store
        self._begun: dict[Any, datetime | None] = {} if begun is None else begun
        self.now: dict[str, Mode] = {mode.id: mode for mode in store.state.modes()}

    @cached_property
    def turns(self) -> list[Turned]:
        """Every spin that has looked for failures, the oldest first."""
        state, spins = self.store.state, self.store.state.spins()
        begun = [_modes(state.step(spin.number, "sync")) for spin in spins]
        told = [state.step(spin.number, "diagnose") for spin in spins]
        after = [*begun[1:], None] if spins else []
        return [
            Turned(
                spin,
                before or {},
                _modes(doc) or {},
                self.now if later is None else later,
                doc["assignments"],
            )
            for spin, before, doc, later in zip(spins, begun, told, after, strict=True)
            if doc is not None
        ]

    @cached_property
    def released(self) -> dict[str, datetime]:
        """When each version was put to work: by the audit trail, or when the spin that the gate spoke in was over."""
        state = self.store.state
        ended = {spin.candidate: spin.ended_at for spin in state.spins() if spin.candidate and spin.ended_at}
        found: dict[str, datetime] = {release.version: release.at for release in _worked(state.releases())}
        for line in state.trail():
            if line["action"] != "promote":
                continue
            at = datetime.fromisoformat(line["at"])
            over = ended.get(line["subject"]) if line["by"] == "gate" else None
            found[line["subject"]] = max(at, over) if over else at
        return found

    def began(self, ids: Iterable[str]) -> datetime | None:
        """When the first of these interactions happened, by the product's clock; None where the log has none."""
        key = (self.store.tables.generation, frozenset(ids))
        if key not in self._begun:
            found = self.store.log.interactions(sorted(key[1])[:_FOLLOWED])
            self._begun[key] = min((seen.at for seen in found.values()), default=None)
        return self._begun[key]

    @cached_property
    def lives(self) -> tuple[tuple[Repair, ...], dict[str, datetime]]:
        """Every fix with what it took, the oldest first; and of the modes that still fail, since when."""
        since: dict[str, datetime] = {}
        mended: set[str] = set()
        repairs: list[Repair] = []
        for turned in self.turns:
            members: dict[str, list[str]] = {}
            for id, place in turned.assigned.items():
                members.setdefault(place, []).append(id)
            for key, ids in sorted(members.items()):
                known = turned.found.get(key)
                if key in since or known is None or known.state == "fixed":
                    continue  # a stray of a fixed mode is no failure of a new life
                first = self.began(ids)
                if first is not None:
                    since[key] = first
            for mode in sorted(turned.fixed, key=lambda one: one.id):
                begun, at = since.pop(mode.id, None), self.released.get(mode.fixed_in or "") or turned.at
                if begun is None or at is None:
                    continue
                repairs.append(
                    Repair(
                        mode=mode.id, name=self._name(mode), version=mode.fixed_in or "", since=begun, at=at,
                        days=max(0.0, (at - begun).total_seconds() / 86_400), again=mode.id in mended,
                    )
                )  # fmt: skip
                mended.add(mode.id)
        alive = {key: at for key, at in since.items() if key in self.now and self.now[key].state in _ALIVE}
        return tuple(repairs), alive

    def _name(self, mode: Mode) -> str:
        return self.now[mode.id].name if mode.id in self.now else mode.name


def failure_history(store: Store, begun: dict[Any, datetime | None] | None = None) -> FailureHistory:
    """Failure modes open, fixed and reopened at the end of each spin, every fix, and how long a fix takes.

    Modes that still fail count with the time they have lived up to the end of the last spin.
    """
    course = Course(store, begun)
    repairs, alive = course.lives
    last = max((turned.at for turned in course.turns if turned.at), default=None)
    ages = [max(0.0, (last - since).total_seconds() / 86_400) for since in alive.values()] if last else []
    return FailureHistory(
        spins=tuple(_counted(turned) for turned in course.turns),
        repairs=repairs,
        time_to_fix=time_to_fix([one.days for one in repairs], ages),
        released=dict(sorted(course.released.items(), key=lambda pair: pair[1])),
    )


def _counted(turned: Turned) -> SpinFailures:
    states = (*_ALIVE, "fixed")
    counts = Counter(mode.state for mode in turned.after.values())
    failures = {name: round(sum(m.count for m in turned.after.values() if m.state == name), 2) for name in states}
    return SpinFailures(
        spin=turned.spin.number,
        at=turned.at,
        modes={name: counts[name] for name in states},
        failures=failures,
        found=len(turned.found.keys() - turned.before.keys()),
        fixed=len(turned.fixed),
        reopened=len(turned.reopened),
    )


def _modes(doc: dict[str, Any] | None) -> dict[str, Mode] | None:
    return None if doc is None else {one["id"]: from_dict(Mode, one) for one in doc["modes"]}


def _worked(releases: Sequence[Release]) -> list[Release]:
    """Those that have answered: a challenger that was never promoted has not."""
    replaced = {release.replaced for release in releases}
    return [release for release in releases if release.role in ("champion", "canary") or release.version in replaced]
