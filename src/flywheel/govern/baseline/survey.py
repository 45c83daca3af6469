"""One pass over a log, in bounded memory, and what it says."""

from __future__ import annotations

import math
import random
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from flywheel.govern.baseline.clock import Clock
from flywheel.govern.baseline.columns import Columns, leaves
from flywheel.govern.baseline.findings import findings
from flywheel.govern.baseline.handling import Failing
from flywheel.govern.baseline.links import Links
from flywheel.govern.baseline.personal import PersonalData
from flywheel.govern.baseline.readiness import stages
from flywheel.govern.baseline.result import Audit
from flywheel.govern.baseline.shown import Redacts, Shown
from flywheel.govern.baseline.sketches import FrequentValues
from flywheel.govern.baseline.slices import Slicing

__all__ = ["survey"]


def survey(
    drafts: Iterable[Any],
    redactor: Redacts,
    *,
    location: str,
    source: str = "",
    mapping: Mapping[str, str] | None = None,
    given: Sequence[str] = (),
    expected: Mapping[str, Sequence[str]] | None = None,
    sample: int | None = None,
    examples: bool = True,
    now: datetime | None = None,
    seed: int = 0,
) -> Audit:
    """Audit the drafts of a log, as a `Source` yields them.

    One pass; memory does not grow with the log (the structures' sizes are in their docstrings). With `sample` the
    costly part, looking at every value of a record and searching it for personal data, is done for that many
    interactions drawn uniformly (Li's algorithm L, 1994), which are held in memory; ids, times, feedback and
    duplicates are still taken from all. Shares from a sample carry a 95 % interval.

    `mapping` (field → column) is None where the source knows what its fields mean; `given` is what an import has to be
    told besides the location. `expected` names values that slices should have: `{"device": ["ios", "android"]}`. `now`
    is what freshness is measured against.

    The same drafts, `seed` and `now` give the same audit.
    """
    shown = Shown(redactor)
    log = _Log(shown, sample, seed)
    for draft in drafts:
        log.take(draft)
    log.finish()
    moment = now or datetime.now(UTC)
    sampled = log.sampled
    times = log.clock.found(moment)
    audit = Audit(
        location=shown.text(location, 300),
        command=" ".join(shlex.quote(shown.text(word, 300)) for word in ("flywheel", "import", location, *given)),
        mappable=mapping is not None,
        made=moment,
        source=source,
        records=log.records,
        interactions=log.links.interactions,
        feedback=log.feedback,
        unreadable=log.unreadable,
        problems=tuple(log.problems.top(8)),
        profiled=log.columns.interactions,
        sampled=sampled,
        mapping={shown.text(field, 80): shown.text(column, 80) for field, column in (mapping or {}).items()},
        fields=log.columns.found(mapping or {}, shown, sampled=sampled, examples=examples),
        more_fields=log.columns.beyond,
        ids=log.links.ids(),
        times=times,
        feedback_found=log.links.found(log.clock.span_days),
        personal=log.personal.found(sampled=sampled),
        slices=log.slicing.found(
            shown,
            expected=expected or {},
            end=log.clock.last,
            scale=log.links.interactions / max(1, log.columns.interactions),
        ),
        handling=log.failing.found(log.links, sampled=sampled),
    )
    present = {name: log.columns.share(name, sampled=sampled) for name in log.columns.present}
    audit = replace(audit, stages=stages(audit, present, log.clock.span_days))
    return replace(audit, findings=findings(audit, present))


class _Log:
    """A log on its way past."""

    def __init__(self, shown: Shown, sample: int | None, seed: int) -> None:
        self.records = self.feedback = self.unreadable = 0
        self.problems = FrequentValues(64)
        self.clock, self.links, self.columns = Clock(), Links(), Columns()
        self.personal, self.slicing, self.failing = PersonalData(shown), Slicing(seed), Failing(shown)
        self._shown = shown
        self._drawn = _Draw(sample, seed) if sample else None

    @property
    def sampled(self) -> bool:
        """Were some interactions not looked at value by value?"""
        return self.columns.interactions < self.links.interactions

    def take(self, draft: Any) -> None:
        self.records += 1
        kind = draft.get("kind") if isinstance(draft, Mapping) else None
        if kind == "interaction":
            at = self.clock.take(draft)
            self.links.interaction(draft, at)
            if self._drawn is None:
                self._look(draft, at)
            else:
                self._drawn.offer((draft, at))
        elif kind == "feedback":
            self.feedback += 1
            self.links.feedback(draft)
            if self._drawn is None:
                self.personal.take(draft, list(leaves(draft)))
        else:
            self.unreadable += 1
            problem = draft.get("problem") if isinstance(draft, Mapping) else None
            self.problems.add(_problem(self._shown.text(problem or "it is not a record", 100)))

    def finish(self) -> None:
        """Look at what was drawn, in the order in which it came."""
        for _, (draft, at) in sorted(self._drawn.kept, key=itemgetter(0)) if self._drawn else ():
            self._look(draft, at)

    def _look(self, draft: Mapping[str, Any], at: float | None) -> None:
        opened = list(leaves(draft))
        self.columns.take(opened)
        self.personal.take(draft, opened)
        self.slicing.take(opened, at)
        self.failing.take(draft)


class _Draw:
    """A uniform sample of a stream: algorithm L (Li, 1994), which skips ahead instead of drawing for each record."""

    def __init__(self, size: int, seed: int) -> None:
        self.kept: list[tuple[int, Any]] = []
        self._size = size
        self._random = random.Random(seed)
        self._seen = 0
        self._weight = 1.0
        self._next = size

    def offer(self, record: Any) -> None:
        self._seen += 1
        if len(self.kept) < self._size:
            self.kept.append((self._seen, record))
            if len(self.kept) == self._size:
                self._skip()
        elif self._seen > self._next:
            self.kept[self._random.randrange(self._size)] = (self._seen, record)
            self._skip()

    def _skip(self) -> None:
        self._weight *= math.exp(math.log(1 - self._random.random()) / self._size)
        step = math.log(1 - self._random.random()) / math.log1p(-min(self._weight, 1 - 1e-12))
        self._next = self._seen + math.floor(step)


def _problem(text: str) -> str:
    """Problems of one kind count together: their numbers go."""
    return re.sub(r"\d+", "…", text)
