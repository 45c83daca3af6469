"""One interaction among all the others: what is believed about it, what is like it, and which versions answered it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from flywheel import diagnose
from flywheel.curate.alike import most_alike
from flywheel.curate.entered import Entry, entered
from flywheel.diagnose.belief import Belief, believed
from flywheel.diagnose.evidence import TRUSTED
from flywheel.errors import FlywheelError, NotFound
from flywheel.loop.decide import answers_of
from flywheel.loop.turn import Workshop, calibration_before
from flywheel.records import Example, Feedback, Interaction, Release, Spin
from flywheel.store import codec

if TYPE_CHECKING:
    from flywheel.store import Store

__all__ = ["Neighbour", "Neighbours", "Replay", "belief_of", "neighbours_of", "replays_of"]

_AROUND = 2_000
"""Facts before and after an interaction that are looked at with it."""
_CHUNK = 500
_BYTES = 8 * 1024 * 1024
_LOADED = 2
"""At most so many models are loaded to ask them; what others answered is known where it was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another interaction that is alike. `right` is None where nobody has said so; `mode` is by the last spin."""

    interaction_id: str
    likeness: float
    at: datetime
    input: Any
    output: Any
    right: bool | None = None
    label: Any = None
    mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What is most like one interaction, the likest first, and among how many it was looked for."""

    interaction_id: str
    among: int
    """Interactions that were compared: the newest of the log."""
    found: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What one version answers to the interaction's input. `output` is None where no answer was kept.

    `role` is `candidate` or `champion` (of that spin's comparison), or `champion now`. `how` is `cross-fitted` (by a
    twin that had not seen its label), `asked` (by the model itself, that was never trained on it), `trained on it` (by
    the model itself, so it proves nothing), or `not kept`.
    """

    version: str
    role: str
    spin: int | None
    output: Any = None
    confidence: float | None = None
    label: Any = None
    right: bool | None = None
    how: str = "not kept"
    decision: str | None = None
    """What the gate said in that spin."""


def belief_of(shop: Workshop, id: str) -> Belief:
    """Everything that says one interaction failed, or did not, and how strongly. O(facts around it and feedback)."""
    store = shop.store
    place = _place(store, id)
    store.tables.sync(store.log)
    spins, snapshot = store.state.spins(), store.tables.snapshot()
    window = snapshot.window(max(0, place - _AROUND), place + _AROUND)
    calibration = calibration_before(shop, spins[-1].number if spins else 1)
    detected = diagnose.detect(diagnose.signs(window, shop.config.detect, shop.detectors, shop.task), calibration)
    rows = detected.filter(detected.id == id).to_pyarrow().to_pylist()
    if not rows:
        raise NotFound(f"there is no interaction {id!r} in the tables. `flywheel rebuild` makes them anew")
    found = believed(rows[0], calibration)
    number = _spin_at(store, spins, place)
    told = store.state.step(number, "diagnose") if number is not None else None
    return replace(
        found,
        label=_label(store.log.feedback_of([id])),
        mode=told["assignments"].get(id) if told else None,
        spin=number,
        beside=window.count() - 1,
    )


def neighbours_of(shop: Workshop, id: str, *, k: int, among: int) -> Neighbours:
    """The `k` others most like an interaction, of the newest `among` in the log. O(among), whatever the log's size."""
    store = shop.store
    one = store.log.interactions([id]).get(id)
    if one is None:
        raise _missing(id)
    recent = [seen for seen in _newest(store, among) if seen.id != id]
    nearest = most_alike(one.input, [seen.input for seen in recent], k)
    chosen = [(recent[at], likeness) for at, likeness in nearest]
    told: dict[str, list[Feedback]] = {}
    for fact in store.log.feedback_of([seen.id for seen, _ in chosen]):
        told.setdefault(fact.interaction_id, []).append(fact)
    assigned = _assigned(store)
    found = []
    for seen, likeness in chosen:
        label = _label(told.get(seen.id, ()))
        found.append(
            Neighbour(
                interaction_id=seen.id,
                likeness=likeness,
                at=seen.at,
                input=seen.input,
                output=seen.output,
                right=None if label is None else shop.task.correct(seen.output, label),
                label=label,
                mode=assigned.get(seen.id),
            )
        )
    return Neighbours(interaction_id=id, among=len(recent), found=tuple(found))


def replays_of(shop: Workshop, id: str) -> list[Replay]:
    """What each candidate, and the champion it was held against, answered; then what the champion says now.

    Of the newest dozen of datasets that the interaction entered. Answers that were kept are read; two models at most
    are loaded.
    """
    state = shop.store.state
    one = shop.store.log.interactions([id]).get(id)
    if one is None:
        raise _missing(id)
    entries, _ = entered(state, id)
    of_dataset = {entry.dataset: entry for entry in entries if entry.proves != "nothing"}
    asking = _Asking(shop, one)
    found: list[Replay] = []
    for spin in reversed(state.spins()):
        entry = of_dataset.get(spin.dataset or "")
        if entry is None or spin.candidate is None:
            continue
        decision = spin.verdict.decision if spin.verdict else None
        sync = state.step(spin.number, "sync") or {}
        for role, version in (("candidate", spin.candidate), ("champion", sync.get("champion"))):
            if version is not None:
                found.append(asking.replay(version, role, spin.number, entry, decision))
    champion = shop.releases.champion()
    if champion is not None:
        newest = next(iter(of_dataset.values()), None)
        found.insert(0, asking.replay(champion.version, "champion now", None, newest, None))
    return found


class _Asking:
    """Asks versions about one interaction: by what was kept of them, else the model itself."""

    def __init__(self, shop: Workshop, one: Interaction) -> None:
        self.shop, self.one = shop, one
        self.kept: dict[str, Mapping[str, Any]] = {}
        self.asked: dict[str, tuple[Any, float | None]] = {}
        self.label = _label(shop.store.log.feedback_of([one.id]))

    def replay(self, version: str, role: str, spin: int | None, entry: Entry | None, decision: str | None) -> Replay:
        label = entry.label if entry else self.label
        output, confidence, how = self._answer(version, entry)
        right = None if label is None or how == "not kept" else self.shop.task.correct(output, label)
        return Replay(
            version=version, role=role, spin=spin, output=output, confidence=confidence, label=label, right=right,
            how=how, decision=decision,
        )  # fmt: skip

    def _answer(self, version: str, entry: Entry | None) -> tuple[Any, float | None, str]:
        if version not in self.kept:
            known = self.shop.store.state.candidate(version)
            self.kept[version] = (known[1].get("answers") or {}) if known else {}
        answers = self.kept[version]
        if entry and entry.example in answers:
            said = answers[entry.example]
            return said[0], said[1], "cross-fitted"
        release = next((one for one in self.shop.releases.history() if one.version == version), None)
        if release is None or (version not in self.asked and len(self.asked) >= _LOADED):
            return None, None, "not kept"
        if version not in self.asked:
            try:
                self.asked[version] = self._say(release)
            except (FlywheelError, OSError):  # its files were removed: an erasure, a tidy operator
                return None, None, "not kept"
        output, confidence = self.asked[version]
        return output, confidence, "trained on it" if self._learnt(release) else "asked"

    def _say(self, release: Release) -> tuple[Any, float | None]:
        example = Example(id=self.one.id, input=self.one.input, label=None)
        said = answers_of(self.shop, release, [example])[self.one.id]
        return said.output, said.confidence

    def _learnt(self, release: Release) -> bool:
        return release.dataset is not None and release.dataset in self.shop.store.state.datasets_of(self.one.id)


def _missing(id: str) -> NotFound:
    return NotFound(f"there is no interaction {id!r}. Ids are what log() returned")


def _place(store: Store, id: str) -> int:
    place = store.log.place(id)
    if place is None:
        raise _missing(id)
    return place


def _label(told: Any) -> Any:
    """The last label by somebody who is trusted."""
    said = [fact.value for fact in told if fact.kind == "label" and fact.source in TRUSTED]
    return said[-1] if said else None


def _spin_at(store: Store, spins: list[Spin], place: int) -> int | None:
    """The spin whose window holds a fact."""
    for spin in reversed(spins):
        edges = store.state.step(spin.number, "sync")
        if edges and edges["after"] < place <= edges["upto"]:
            return spin.number
        if edges and place > edges["upto"]:
            return None
    return None


def _assigned(store: Store) -> dict[str, str]:
    for spin in reversed(store.state.spins()):
        told = store.state.step(spin.number, "diagnose")
        if told is not None:
            return dict(told["assignments"])
    return {}


def _newest(store: Store, most: int) -> list[Interaction]:
    """The newest interactions of the log, at most `most` and some megabytes of them."""
    found: list[Interaction] = []
    upto, weight = store.log.last(), 0
    while upto > 0 and len(found) < most and weight < _BYTES:
        after = max(0, upto - _CHUNK)
        rows = [row for chunk in store.log.scan(after, upto, _CHUNK, _BYTES) for row in chunk]
        weight += sum(len(row[3]) for row in rows)
        read = [codec.as_record(codec.INTERACTION, row[3]) for row in rows if row[1] == codec.INTERACTION]
        found += [cast(Interaction, one) for one in reversed(read)]
        upto = after
    return found[:most]
