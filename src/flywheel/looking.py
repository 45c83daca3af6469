"""Looking at what goes wrong, since when, for whom and how sure we are. Verbs of `Flywheel`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.errors import InvalidConfig, NotFound
from flywheel.loop.survey import observe_window, slices_of
from flywheel.parts import Parts

if TYPE_CHECKING:
    from flywheel.diagnose.arriving import Arrival
    from flywheel.diagnose.first import Fix
    from flywheel.diagnose.within import Within
    from flywheel.observe.span import Span
    from flywheel.ports import Progress
    from flywheel.records import Dataset, EdgeCase, Feedback, Group, Interaction, Observation

__all__ = ["Looking"]

_BEFORE = timedelta(weeks=8)
"""At most so much of what came before a window is what it is held against."""
_LOOKED_INTO = 4000
"""A slice is looked into through so many of the window's likeliest failures."""


class Looking(Parts):
    """The verbs that look, and change nothing."""

    def interaction(self, id: str) -> tuple[Interaction, list[Feedback]]:
        """One interaction and what became known about it."""
        found = self._store.log.interactions([id]).get(id)
        if found is None:
            raise NotFound(f"there is no interaction {id!r}. Ids are what log() returned")
        return found, self._store.log.feedback_of([id])

    def datasets(self) -> list[Dataset]:
        """Every dataset, oldest first, without its examples."""
        return self._store.state.datasets()

    def dataset(self, hash: str) -> Dataset:
        """One dataset with its examples, by its hash or the beginning of it."""
        matches = [known.hash for known in self.datasets() if known.hash.startswith(hash)]
        found = self._store.state.dataset(matches[0]) if len(matches) == 1 else None
        if found is None:
            raise NotFound(f"{len(matches)} datasets begin with {hash!r}. `flywheel datasets` lists them")
        return found

    def observe(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        parts: Sequence[str] = (),
        logs: Sequence[str | Path] = (),
        html: str | Path | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> list[Observation]:
        """What got worse, since when, for whom, and how sure that is; what hurts first.

        Looks at the interactions from `since` to `until` by the product's clock, beside the eight weeks before. Left
        out: the last seven days where the log is longer than eight, else the last fifth of its time. `parts` limits the
        look to some of `levels`, `monitor`, `performance`, `seasons`, `breaks`, `anomalies`, `drift`, `text`,
        `influences`, `slices`, `alike`, `wording` and `logs`; `logs` names application logs to read beside.
        `html` writes the findings and failure modes as a page.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     ids = [fw.log(input=f"question {n}", output="a", confidence=0.9) for n in range(40)]
        ...     [seen.name for seen in fw.observe() if seen.alarm]
        []
        """
        from flywheel.page import place_for, save

        page = None if html is None else place_for(html)
        snapshot = self._snapshot_now()
        window, reference = self._windows(snapshot, since, until)
        names = tuple(parts)
        places = [str(place) for place in logs] or list(self.config.observe.logs)
        found = observe_window(
            self._workshop([], progress), snapshot, window, reference, logs=places, parts=names, seed=seed
        )
        if page is not None:
            save(page, self._page(found, window))
        return found

    def slices(
        self, *, since: datetime | None = None, until: datetime | None = None, k: int = 10, seed: int = 0
    ) -> list[Observation]:
        """Where it fails most: conjunctions of context and input values, found on one half, confirmed on the other."""
        snapshot = self._snapshot_now()
        window, reference = self._windows(snapshot, since, until)
        return slices_of(self._workshop([], None), snapshot, window, reference, k=k, seed=seed)

    def slice(self, *conditions: str, limit: int = 20) -> Within:
        """What fails where all conditions hold (`device=ios`, `hour=9 to 12`), of the last spin's window: which modes.

        The names and values are those of a slice or an influence that `findings` tells. `limit` bounds the examples.
        Raises `InvalidConfig` for a condition that is none.
        """
        from flywheel.diagnose.within import failures_within, slice_of
        from flywheel.loop import recent_failures

        where, state = slice_of(conditions), self._store.state
        found = recent_failures(self._workshop([], None), limit=_LOOKED_INTO, mode=None)
        return failures_within(where, found, state.modes(), limit)

    def findings(self, spin: int | None = None) -> list[Observation]:
        """What a spin (the last one where none is named) saw in its window: charts, evidence and queries too."""
        from flywheel.records import Observation, from_dict

        state = self._store.state
        numbers = [known.number for known in state.spins()]
        if spin is not None and spin not in numbers:
            raise NotFound(f"there is no spin {spin}. `flywheel spins` lists them")
        for number in [spin] if spin is not None else reversed(numbers):
            stored = state.step(number, "observe")
            if stored is not None:
                return [from_dict(Observation, seen) for seen in stored["observations"]]
        return []

    def edge_cases(self, limit: int = 100) -> list[EdgeCase]:
        """Rare, novel and extreme inputs of the last spin's window, the riskiest first, with what makes up the risk."""
        from flywheel.records import EdgeCase, from_dict

        return [from_dict(EdgeCase, case) for case in self._mined().get("edge_cases", [])][:limit]

    def groups(self, limit: int = 100) -> list[Group]:
        """Groups of alike inputs of the last spin's window that no known class explains, in the order to ask about."""
        from flywheel.records import Group, from_dict

        return [from_dict(Group, group) for group in self._mined().get("groups", [])][:limit]

    def _mined(self) -> dict[str, Any]:
        state = self._store.state
        for spin in reversed(state.spins()):
            stored: dict[str, Any] | None = state.step(spin.number, "mine")
            if stored is not None:
                return stored
        return {}

    def fix_first(self, limit: int = 20) -> list[Fix]:
        """What to do first: each line says what it would buy a week and what it would take in labels."""
        from flywheel.diagnose.first import fix_first

        return fix_first(self._store.state.modes(), value=self.config.value, limit=limit)

    def metrics(
        self, every: str = "hour", *, where: Mapping[str, Any] | None = None, by: str | None = None
    ) -> list[dict[str, Any]]:
        """Volume, errors, failures by labels, confidence, latency and feedback by `minute`, `hour` or `day`.

        `where` looks at a slice (`{"device": "ios"}`), `by` at each value of a column. Without them, hours and days are
        added up from cells that are kept, in time that does not grow with the log: see `flywheel.observe.rollup`.
        """
        from flywheel.observe.series import metrics

        if every == "hour" and not where and by is None:
            return [dict(row) for row in self._hours(felt=True)[1]]
        if every == "day" and not where and by is None:
            return self._felt(self._overview(every)[every], every)
        return metrics(self._snapshot_now(), every, where=where, by=by)

    def query(self, sql: str, limit: int = 10_000) -> list[dict[str, Any]]:
        """Run SQL on the tables `interactions` and `feedback`, such as the query behind a finding; rows as dicts.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     i = fw.log(input="hello", output="hi")
        ...     fw.query('SELECT count(*) AS n FROM interactions')
        [{'n': 1}]
        """
        return self._snapshot_now().ask(sql, limit)  # type: ignore[no-any-return]

    def arrivals(self, after: int | None = None, limit: int = 1000) -> tuple[list[Arrival], int]:
        """The facts the log got behind sequence number `after`, at most `limit`, and the number to go on from.

        Left out, `after` begins `limit` facts before the log's end. Each bears the signs of failure that it has by
        itself and the mode it belongs to by the last spin, or is most like. O(limit), whatever the log's size.

        >>> import tempfile, flywheel
        >>> with flywheel.open(tempfile.mkdtemp()) as fw:
        ...     i = fw.log(input="hello", output="hi", error="timeout")
        ...     found, after = fw.arrivals()
        ...     [sign.kind for sign in found[0].signs], fw.arrivals(after)[0]
        (['error'], [])
        """
        from flywheel.loop.look import arrived

        return arrived(self._store, after, limit)

    # --- how ---

    def _days(self, last: int) -> list[dict[str, Any]]:
        """The newest days of the overview, whatever the log's size."""
        return [dict(row) for row in self._overview("day")["day"][-last:]]

    def _hours(self, *, felt: bool) -> tuple[Any, list[dict[str, Any]]]:
        """The place in the log, and the overview's hours up to there; with the mood of comments where it is wanted."""
        known = self._overview("hour")
        if not felt:
            return known["place"], known["hour"]
        if "felt" not in known:
            known["felt"] = self._felt(known["hour"], "hour")
        return known["place"], known["felt"]

    def _overview(self, every: str) -> dict[str, Any]:
        """The overview's rows by `hour` or `day`, once a place in the log; the rows are shared."""
        from flywheel.observe.rollup import overview

        self._cells()
        place, cells = self.__dict__["_cells_at"]  # both of one moment, whatever another thread reads meanwhile
        known: dict[str, Any] = self.__dict__.get("_overview_at", {})
        if known.get("place") != place:
            known = self.__dict__["_overview_at"] = {"place": place}
        if every not in known:
            known[every] = overview(cells, every)
        return known

    def _felt(self, rows: list[dict[str, Any]], every: str) -> list[dict[str, Any]]:
        from flywheel.observe.series import feelings, utc

        moods = {utc(at): mood for (at,), mood in feelings(self._snapshot_now(), every, ("at",)).items()}
        return [{**row, "sentiment": moods.get(row["at"])} for row in rows]

    def _cells(self) -> Any:
        """The hourly cells up to the log, from those that were kept and what has come since."""
        from flywheel.observe.rollup import merge, rollup

        known = self.__dict__.get("_cells_at")  # of this process: the same place in the log has the same cells
        if known is not None and known[0] == (self._store.tables.generation, self._store.log.last()):
            return known[1]
        snapshot, state = self._snapshot_now(), self._store.state
        place = (self._store.tables.generation, snapshot.seq)
        if known is not None and known[0] == place:
            return known[1]
        kept = state.get("overview")
        if kept is None or kept["generation"] != place[0] or kept["seq"] > snapshot.seq:
            cells = rollup(snapshot)
        elif kept["seq"] == snapshot.seq:
            cells = _unpacked(kept["cells"])
        else:
            cells = merge(_unpacked(kept["cells"]), rollup(snapshot, after=kept["seq"]))
        if kept is None or (kept["generation"], kept["seq"]) != place:
            state.set("overview", {"generation": place[0], "seq": snapshot.seq, "cells": _packed(cells)})
        self.__dict__["_cells_at"] = (place, cells)
        return cells

    def _snapshot_now(self) -> Any:
        self._store.tables.sync(self._store.log)
        return self._store.tables.snapshot()

    def _windows(self, snapshot: Any, since: datetime | None, until: datetime | None) -> tuple[Span, Span | None]:
        from flywheel.observe.span import Span

        seen = snapshot.interactions
        edges = seen.aggregate(first=seen["at"].min(), last=seen["at"].max()).to_pyarrow().to_pylist()[0]
        if edges["first"] is None:
            raise NotFound("there is nothing to look at: no interaction was logged. `flywheel import` reads a log")
        first, last = edges["first"], edges["last"]
        end = until or last + timedelta(microseconds=1)
        if since is None:
            week, whole = timedelta(days=7), end - first
            since = end - week if whole > week + timedelta(days=1) else end - whole / 5
        if since >= end:
            raise InvalidConfig(f"the window would begin at {since} and end at {end}. Pass a `since` before `until`")
        before = Span(snapshot, max(first, since - _BEFORE), since)
        return Span(snapshot, since, end), before if first < since and before.count() else None

    def _page(self, found: Sequence[Observation], window: Span) -> str:
        from flywheel.page.findings import findings_page

        modes = sorted(
            self._store.state.modes(),
            key=lambda mode: (mode.state == "fixed", not mode.count, -(mode.risk.number if mode.risk else 0), mode.id),
        )
        until = window.until or datetime.now(UTC)
        return findings_page(
            found,
            title=self.name,
            window=f"{window.since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC",
            facts={
                "interactions": f"{window.count():,}",
                "findings": f"{len(found):,}",
                "that hurt": f"{sum(seen.alarm for seen in found):,}",
                "failure modes": f"{sum(bool(mode.count) for mode in modes):,}",
            },
            modes=modes,
            first=[fix for fix in self.fix_first(10) if fix.name],
            made=datetime.now(UTC),
        )


def _packed(cells: Any) -> str:
    """A table as text: Arrow's own form, compressed."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, cells.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_table(cells)
    return base64.b85encode(sink.getvalue().to_pybytes()).decode()


def _unpacked(text: str) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(base64.b85decode(text)).read_all()
