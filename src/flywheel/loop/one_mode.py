"""One failure mode's whole story: where it lies, its course by day, what each spin did about it, who gets it right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flywheel.diagnose.concentration import concentration
from flywheel.errors import FlywheelError, NotFound
from flywheel.loop.decide import answers_of
from flywheel.loop.history import Course
from flywheel.loop.turn import Workshop
from flywheel.loop.wishes import standing_wish
from flywheel.prove.exact import proportion
from flywheel.records import (
    Concentration,
    Example,
    Failure,
    Interval,
    Mode,
    ModeDay,
    ModeReplay,
    ModeSpin,
    ModeStory,
    Release,
)
from flywheel.store import Store

__all__ = ["mode_story"]

_FOLLOWED = 4_000
_VERSIONS = 12
"""So many of the newest versions are replayed."""


def mode_story(
    shop: Workshop, id: str, volumes: Mapping[datetime, int], kept: dict[Any, tuple[Concentration, ...]] | None = None,
    begun: dict[Any, datetime | None] | None = None,
) -> ModeStory:  # fmt: skip
    """Everything about one mode; `volumes` are the interactions of each day, for what share of them it is.

    `kept` remembers the slices of windows that were looked at, `begun` when modes began: neither changes any more.

    O(spins × modes + failures of the mode), one query a column of the window it was last seen in, and a replay of its
    labelled cases by the versions that have not answered them yet.
    """
    store = shop.store
    course = Course(store, begun)
    mode = course.now.get(id)
    if mode is None:
        raise NotFound(f"there is no failure mode {id!r}. It may have been merged; `flywheel modes` lists them")
    repairs, _ = course.lives
    wish = standing_wish(store.state)
    return ModeStory(
        mode=mode,
        days=_days(store, course, mode, volumes),
        slices=_slices(store, course, mode, {} if kept is None else kept),
        spins=_spins(store, course, mode),
        repairs=tuple(one for one in repairs if one.mode == id),
        replays=_replays(shop, mode),
        next=wish if wish is not None and wish.mode == id else None,
    )


def _days(store: Store, course: Course, mode: Mode, volumes: Mapping[datetime, int]) -> tuple[ModeDay, ...]:
    """Its failures a day: those that were seen, scaled to what is expected in their spin's window."""
    seen: Counter[datetime] = Counter()
    expected: dict[datetime, float] = {}
    begun: list[datetime] = []
    for turned in course.turns:
        ids = [key for key, place in turned.assigned.items() if place == mode.id]
        known = turned.found.get(mode.id)
        if not ids or known is None:
            continue
        scale = known.count / len(ids) if known.state != "fixed" and known.count else 1.0
        for one in store.log.interactions(sorted(ids)[:_FOLLOWED]).values():
            day = one.at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            seen[day] += 1
            expected[day] = expected.get(day, 0.0) + scale
            begun.append(day)
    if not begun:
        return ()
    days = sorted({*expected, *(day for day in volumes if day >= min(begun))})
    return tuple(
        ModeDay(
            at=day, seen=seen[day], failures=_counted(seen[day], expected.get(day, 0.0)), volume=volumes.get(day, 0)
        )
        for day in days
    )


def _counted(n: int, expected: float) -> Interval:
    """A count of n that stands for `expected`, with Garwood's (1936) exact interval for a Poisson count, scaled."""
    from scipy.stats import chi2

    scale = expected / n if n else 1.0
    low = float(chi2.ppf(0.025, 2 * n)) / 2 if n else 0.0
    high = float(chi2.isf(0.025, 2 * n + 2)) / 2
    return Interval(round(expected, 3), round(low * scale, 3), round(high * scale, 3), n)


def _slices(
    store: Store, course: Course, mode: Mode, kept: dict[Any, tuple[Concentration, ...]]
) -> tuple[Concentration, ...]:
    """Where its failures lie in the window in which it was last seen."""
    last = next((t for t in reversed(course.turns) if mode.id in t.assigned.values()), None)
    sync = store.state.step(last.spin.number, "sync") if last is not None else None
    if last is None or sync is None:
        return ()
    ids = sorted(key for key, place in last.assigned.items() if place == mode.id)[:_FOLLOWED]
    key = (mode.id, last.spin.number, sync["upto"], store.tables.generation)
    if key in kept:
        return kept[key]
    store.tables.sync(store.log)
    window = store.tables.snapshot().window(sync["after"], sync["upto"])
    now = datetime.now(UTC)  # only the ids count here
    failures = [Failure(interaction_id=key, at=now, probability=1.0, mode=mode.id) for key in ids]
    kept[key] = tuple(concentration(window, failures))
    return kept[key]


def _spins(store: Store, course: Course, mode: Mode) -> tuple[ModeSpin, ...]:
    """What each spin since it was found did about it, the oldest first."""
    rows = []
    named = {mode.id, *mode.merged}
    for turned in course.turns:
        spin, known = turned.spin, turned.found.get(mode.id)
        if known is None:
            continue
        items = [item for item in store.state.items(spin=spin.number) if item.mode in named]
        learnt = store.state.living_dataset(spin.dataset) if spin.dataset else None
        before, after = turned.before.get(mode.id), turned.after.get(mode.id, known)
        fixed = mode.id in {one.id for one in turned.fixed}
        chosen: dict[str, Any] = store.state.step(spin.number, "select") or {}
        rows.append(
            ModeSpin(
                spin=spin.number, at=turned.at, before=before.state if before else "", after=after.state,
                count=known.count, asked=len(items), labelled=sum(item.status == "labelled" for item in items),
                dataset=spin.dataset, learnt=sum(e.mode in named for e in learnt.examples) if learnt else 0,
                candidate=spin.candidate, decision=spin.verdict.decision if spin.verdict else None,
                proved=bool(spin.verdict and mode.id in spin.verdict.modes_fixed),
                fixed_in=after.fixed_in if fixed else None, preferred=chosen.get("preferred") == mode.id,
            )
        )  # fmt: skip
    return tuple(rows)


def _replays(shop: Workshop, mode: Mode) -> tuple[ModeReplay, ...]:
    """Every version on the same labelled cases of the mode, the newest last; first what was logged."""
    named = {mode.id, *mode.merged}
    cases = [example for example in shop.store.state.examples() if example.mode in named and example.evidence]
    if not cases:
        return ()
    found = [_as_logged(shop, cases)]
    for release in _versions(shop)[-_VERSIONS:]:
        try:
            said = {key: one.output for key, one in answers_of(shop, release, cases).items()}
        except (FlywheelError, OSError):  # its files are gone, such as after an erasure: it cannot be asked any more
            known = shop.store.state.candidate(release.version)
            said = {key: answer[0] for key, answer in known[1]["answers"].items()} if known else {}
        found.append(_replay(shop, release.version, release.role, cases, said))
    return tuple(one for one in found if one.n)


def _as_logged(shop: Workshop, cases: Sequence[Example]) -> ModeReplay:
    seen = shop.store.log.interactions([case.interaction_id for case in cases if case.interaction_id])
    said = {case.id: seen[case.interaction_id].output for case in cases if case.interaction_id in seen}
    return _replay(shop, "as logged", "product", cases, said)


def _replay(
    shop: Workshop, version: str, role: str, cases: Sequence[Example], said: Mapping[str, Any]
) -> ModeReplay:  # fmt: skip
    judged = [case for case in cases if case.id in said]
    right, n = sum(bool(shop.task.correct(said[case.id], case.label)) for case in judged), len(judged)
    low, high = proportion(right, n, 0.025) if n else (0.0, 1.0)
    return ModeReplay(
        version=version, role=role, right=right, n=n, share=Interval(right / n if n else 0.0, low, high, n)
    )


def _versions(shop: Workshop) -> list[Release]:
    """Releases and candidates that never became one, the oldest first."""
    history = shop.releases.history()
    known = {release.version for release in history}
    found = list(history)
    for spin in shop.store.state.spins():
        kept = shop.store.state.candidate(spin.candidate) if spin.candidate and spin.candidate not in known else None
        if kept is not None and spin.started_at is not None:
            candidate = kept[0]
            release = Release(
                version=candidate.version, role="candidate", folder=candidate.folder, at=spin.started_at,
                dataset=candidate.dataset, spin=candidate.spin, trainer=candidate.trainer,
            )  # fmt: skip
            found.append(release)
    return sorted(found, key=lambda release: release.at)
