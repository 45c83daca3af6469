"""A fixed view of the tables: the same rows however much arrives, or is compacted, meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flywheel.records import Interaction

if TYPE_CHECKING:
    import ibis

    from flywheel.store.engine import Engine, Pinned
    from flywheel.store.log import Log

__all__ = ["Snapshot"]


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
        self.seq = seq
        """The last fact this snapshot knows of."""

    @property
    def interactions(self) -> ibis.Table:
        """A row an interaction: the fixed columns, then `context.<key>` and `input.<key>`."""
        table = self._engine.table(self._interactions)
        table = table.filter(table.seq <= self._upto)
        return table.filter(table.seq > self._after) if self._after else table

    @property
    def feedback(self) -> ibis.Table:
        """A row a feedback, about any interaction, up to `seq`."""
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
        return Snapshot(
            self._engine,
            self._log,
            self._interactions,
            self._feedback,
            self.seq,
            max(after, self._after),
            min(upto, self._upto),
        )

    @property
    def bounds(self) -> tuple[int, int]:
        """The interactions here have `bounds[0] < seq <= bounds[1]`."""
        return self._after, self._upto

    def count(self) -> int:
        """How many interactions."""
        if self._count is None:
            self._count = int(self.interactions.count().to_pyarrow().as_py())
        return self._count

    def fetch(self, ids: Sequence[str]) -> list[Interaction]:
        """The interactions with these ids in the order asked, as the log has them; unknown ids are left out.

        Takes any id up to `seq`, in the window or not. O(log n) an id.
        """
        found = self._log.interactions(ids, upto=self.seq)
        return [found[key] for key in ids if key in found]
