"""A fixed view of the tables: the same rows however much arrives, or is compacted, meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.records import Interaction

if TYPE_CHECKING:
    import ibis

    from flywheel.store.engine import Engine, Pinned
    from flywheel.store.log import Log

__all__ = ["Snapshot", "standing"]

_HELD = 32 * 1024 * 1024
"""Rows are held where their files are smaller than so many bytes: then it is the asking that costs, not the reading."""
_WITHDRAWAL = "withdrawal"
"""Sorts behind every other kind of feedback, so that files without one are passed over by their statistics."""


def standing(said: ibis.Table) -> ibis.Table:
    """Of all feedback that was ever given, what was not taken back."""
    if not {"id", "kind", "text"} <= set(said.columns):
        return said
    gone = said.filter(said.kind == _WITHDRAWAL).select(gone="text")
    kept = said.filter(said.kind.fill_null("") != _WITHDRAWAL)
    return kept.anti_join(gone, kept.id == gone.gone)


class Snapshot:
    """Interactions and feedback up to one sequence number, as Ibis tables.

    It keeps the files it began with; they stay for `store.keep_old_files_hours` after compaction has replaced them.
    Work that takes longer asks `Tables.snapshot(upto=snapshot.seq)` again and gets the same rows.
    """

    def __init__(
        self, engine: Engine, log: Log, interactions: Pinned, feedback: Pinned, seq: int, after: int, upto: int
    ) -> None:
        self._engine = engine
        self._log = log
        self._interactions = interactions
        self._feedback = feedback
        self._after = after
        self._upto = upto
        self._count: int | None = None
        self._withdrawn: bool | None = None
        self._kept: tuple[ibis.Table, ibis.Table, tuple[int, int]] | None = None
        """Interactions and feedback that the engine holds, and the bounds of these interactions."""
        self.seq = seq
        """The last fact this snapshot knows of."""

    @property
    def interactions(self) -> ibis.Table:
        """A row an interaction: the fixed columns, then `context.<key>` and `input.<key>`."""
        table, bounds = self._engine.table(self._interactions), (0, -1)
        if self._kept is not None:
            table, _, bounds = self._kept
        if self._upto != bounds[1]:
            table = table.filter(table.seq <= self._upto)
        return table.filter(table.seq > self._after) if self._after != bounds[0] else table

    @property
    def feedback(self) -> ibis.Table:
        """A row a feedback that holds, about any interaction, up to `seq`: without what was taken back by then."""
        if self._withdrawn is None:
            said = self.said
            self._withdrawn = bool(said.filter(said.kind == _WITHDRAWAL).limit(1).count().to_pyarrow().as_py())
        return standing(self.said) if self._withdrawn else self.said

    @property
    def said(self) -> ibis.Table:
        """A row a feedback up to `seq`, whatever became of it, withdrawals too."""
        if self._kept is not None:
            return self._kept[1]
        table = self._engine.table(self._feedback)
        return table.filter(table.seq <= self.seq)

    def ask(self, sql: str, limit: int) -> list[dict[str, Any]]:
        """Run SQL on tables called `interactions` and `feedback`; at most `limit` rows, as dicts.

        Whoever may call this may read what the process may read: SQL can open files. Raises `InvalidRecord` for SQL
        that cannot be run.
        """
        tables = {"interactions": self.interactions, "feedback": self.feedback}
        found: list[dict[str, Any]] = self._engine.ask(sql, tables).limit(limit).to_pyarrow().to_pylist()
        return found

    def window(self, after: int, upto: int) -> Snapshot:
        """The interactions with `after < seq <= upto`, and all feedback up to this snapshot's `seq`."""
        part = Snapshot(
            self._engine,
            self._log,
            self._interactions,
            self._feedback,
            self.seq,
            max(after, self._after),
            min(upto, self._upto),
        )
        part._withdrawn, part._kept = self._withdrawn, self._kept
        return part

    def held(self) -> Snapshot:
        """The same snapshot, its rows held by the engine where they are few: for many small questions about it.

        Windows of it are within what is held. Where the files are many or large, it is this snapshot itself.
        """
        if self._kept is not None or not 0 < _size((*self._interactions.files, *self._feedback.files)) <= _HELD:
            return self
        part = self.window(*self.bounds)
        told = self._engine.hold(self.said)
        part._kept = (self._engine.hold(self.interactions), told, self.bounds)
        part._withdrawn = bool(told.filter(told.kind == _WITHDRAWAL).limit(1).count().to_pyarrow().as_py())
        return part

    @property
    def bounds(self) -> tuple[int, int]:
        """The interactions here have `bounds[0] < seq <= bounds[1]`."""
        return self._after, self._upto

    def count(self) -> int:
        """How many interactions."""
        if self._count is None:
            self._count = int(self.interactions.count().to_pyarrow().as_py())
        return self._count

    def answers(self, ids: Sequence[str]) -> Any:
        """`seq`, `id`, `at` and `output` of the interactions with these ids up to `seq`, as the table has them.

        An Arrow table, read from the log: O(log n) an id, where the table would have to be read whole.
        """
        from flywheel.store.projection import answer_columns

        return answer_columns([fact for fact in self._log.placed(ids) if fact[0] <= self.seq])

    def fetch(self, ids: Sequence[str]) -> list[Interaction]:
        """The interactions with these ids in the order asked, as the log has them; unknown ids are left out.

        Takes any id up to `seq`, in the window or not. O(log n) an id.
        """
        found = self._log.interactions(ids, upto=self.seq)
        return [found[key] for key in ids if key in found]


def _size(files: Sequence[str]) -> int:
    """Bytes of local files; 0 where one of them is gone."""
    try:
        return sum(Path(file).stat().st_size for file in files)
    except OSError:
        return 0
