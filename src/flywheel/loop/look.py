"""Looking at the house without turning the wheel: the failures of the last turn, and whether the parts agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel import measure
from flywheel.errors import FlywheelError, NotFound
from flywheel.govern import Trail, unfinished
from flywheel.loop.decide import answers_of, disagreement
from flywheel.loop.shown import failures_shown
from flywheel.loop.turn import Turn, Workshop
from flywheel.records import Failure, Feedback, Interaction, Interval, Spin
from flywheel.release import Releases
from flywheel.store import Store

if TYPE_CHECKING:
    from flywheel.diagnose.arriving import Arrival

__all__ = ["arrived", "examine", "recent_failures", "uplift_since"]

_RECENT = 3  # spins whose labels speak for the traffic of today


def recent_failures(shop: Workshop, *, limit: int, mode: str | None) -> list[Failure]:
    """The likeliest failures of everything that arrived since the last finished spin began its window.

    Those of one mode are as the last spin has found them: only a spin says which mode a failure belongs to.
    """
    known = failures_shown(shop.store, mode, limit) if mode is not None else None
    if known is not None:
        return known
    spins = shop.store.state.spins()
    number = spins[-1].number if spins else 0
    spin = spins[-1] if spins else Spin(number=1, state="running", step="sync", budget=limit)
    stored = shop.store.state.step(number, "sync") if number else None
    shop.store.tables.sync(shop.store.log)
    work = Turn(shop, replace(spin, budget=max(1, limit // 8)), datetime.now(UTC))
    upto = shop.store.tables.snapshot().seq
    work.docs["sync"] = {"after": stored["after"] if stored else 0, "upto": upto}
    if not work.window.count():
        return []
    told = shop.store.state.step(number, "diagnose") if number else None
    assigned = told["assignments"] if told else {}
    found = [replace(failure, mode=assigned.get(failure.interaction_id)) for failure in work.pool]
    found = [failure for failure in found if mode is None or failure.mode == mode]
    return sorted(found, key=lambda failure: (-failure.probability, failure.interaction_id))[:limit]


def uplift_since(shop: Workshop, since: str | None) -> Interval:
    """The champion against an earlier release, both on the labels of the last few spins."""
    state, history = shop.store.state, shop.releases.history()
    now = shop.releases.champion()
    then = history[0] if history and since is None else next((r for r in history if r.version == since), None)
    if now is None or then is None:
        raise NotFound(f"no release {since!r} to compare with. `flywheel releases` lists them")
    spins = [spin for spin in state.spins() if spin.state == "done" and spin.labels][-_RECENT:]
    if not spins:
        return Interval(0.0, -1.0, 1.0)
    work = Turn(shop, spins[-1], datetime.now(UTC))
    edges = [state.step(spin.number, "sync") or {} for spin in (spins[0], spins[-1])]
    work.docs["sync"] = {"after": edges[0]["after"], "upto": edges[1]["upto"]}
    recent = {spin.number for spin in spins}
    judged = [example for example in state.examples() if example.spin in recent and example.propensity is not None]
    before, after = (answers_of(shop, release, judged) for release in (then, now))
    was_right, is_right = ([shop.task.correct(said[e.id].output, e.label) for e in judged] for said in (before, after))
    differs = [not shop.task.correct(before[e.id].output, after[e.id].output) for e in judged]
    apart = 0.0
    if then.version != now.version:
        apart = disagreement(work.window, shop.load_model(then), shop.load_model(now))
    weights = [example.propensity for example in judged if example.propensity is not None]
    return measure.uplift(was_right, is_right, weights, disagreement=apart, differs=differs)


def examine(store: Store, releases: Releases, trail: Trail, folder: Path) -> list[dict[str, Any]]:
    """Check each part; a check that fails says what to do."""

    def log() -> str:
        counts = store.log.counts()
        return f"{counts.get('interactions', 0):,} interactions and {counts.get('feedback', 0):,} feedbacks, readable"

    def tables() -> str:
        behind = store.log.last() - store.tables.snapshot().seq
        conflicts = sum(store.tables.conflicts().values())
        line = (
            f"{behind:,} facts behind the log; the next spin brings them up to date"
            if behind
            else "up to date with the log"
        )
        return f"{line}; {conflicts:,} values of another type kept in columns of their own" if conflicts else line

    def champion() -> str:
        release = releases.champion()
        if release is None:
            return "none yet: seed a few labels and spin, or adopt the model you run"
        if not (folder / release.folder).is_dir():
            raise FlywheelError(
                f"the files of {release.version} are not in {release.folder}. Restore them, or run flywheel rollback"
            )
        return f"{release.version}, its files are in place"

    def audit_trail() -> str:
        trail.verify()
        return f"{len(store.state.trail()):,} entries, the chain is whole"

    def dead_letters() -> str:
        dead = store.log.counts().get("dead_letters", 0)
        if not dead:
            return "none"
        reasons = Counter(letter["reason"] for letter in store.log.dead_letters(limit=1000)).most_common(3)
        told = "; ".join(f"{count:,} × {reason}" for reason, count in reasons)
        return f"{dead:,} records could not be read and are kept; of the newest: {told}"

    def erasures() -> str:
        begun, learnt = unfinished(folder, store.state), (store.state.get("retrain") or {}).get("versions", [])
        if begun:
            raise FlywheelError(
                f"{len(begun)} begun and not finished: {', '.join(begun)}. Finish with: flywheel erase --resume"
            )
        release = releases.champion()
        if release is not None and release.version in learnt:
            raise FlywheelError(
                f"{release.version} is champion and has learnt from somebody who was erased since. The next "
                "`flywheel spin` trains one that has not; `flywheel releases promote` brings it in where the gate asks"
            )
        return "none under way"

    checks: dict[str, Callable[[], str]] = {
        "log": log,
        "tables": tables,
        "champion": champion,
        "audit trail": audit_trail,
        "dead letters": dead_letters,
        "erasures": erasures,
    }
    report = []
    for name, check in checks.items():
        try:
            report.append({"name": name, "ok": True, "line": check()})
        except FlywheelError as problem:
            report.append({"name": name, "ok": False, "line": str(problem)})
    return report


def arrived(store: Store, after: int | None, limit: int) -> tuple[list[Arrival], int]:
    """The newest facts with the interactions they are about; feedback on what was erased is passed over."""
    from flywheel.diagnose.arriving import arrival
    from flywheel.store import codec

    begin = max(0, store.log.last() - limit) if after is None else after
    rows = store.log.read(begin, limit)
    if not rows:
        return [], begin
    kinds = {"interaction": codec.INTERACTION, "feedback": codec.FEEDBACK}
    records = [codec.as_record(kinds[row.kind], row.body) for row in rows]
    about = {record.id: record for record in records if isinstance(record, Interaction)}
    missing = sorted({r.interaction_id for r in records if isinstance(r, Feedback) and r.interaction_id not in about})
    about.update(store.log.interactions(missing) if missing else {})
    modes = store.state.modes()
    assigned = _assigned(store) if missing or after is None else {}  # no spin knows what has only just come
    stands = _standing(store, records)
    found = []
    for row, record in zip(rows, records, strict=True):
        if isinstance(record, Feedback) and (record.kind == "withdrawal" or record.id not in stands):
            continue
        told = record if isinstance(record, Feedback) else None
        interaction = about.get(record.interaction_id) if isinstance(record, Feedback) else record
        if interaction is not None:
            found.append(arrival(row.seq, row.received_at, interaction, told, modes, assigned))
    return found, rows[-1].seq


def _standing(store: Store, records: Sequence[Interaction | Feedback]) -> set[str]:
    """The ids of the feedback among these facts that was not taken back; only labels of the review queue ever are."""
    told = [one for one in records if isinstance(one, Feedback)]
    asked = sorted({one.interaction_id for one in told if one.id.startswith("label:")})
    gone = {one.value for one in store.log.feedback_of(asked, withdrawn=True) if one.kind == "withdrawal"}
    return {one.id for one in told} - gone


def _assigned(store: Store) -> dict[str, str]:
    spins = store.state.spins()
    told = store.state.step(spins[-1].number, "diagnose") if spins else None
    return dict(told["assignments"]) if told else {}
