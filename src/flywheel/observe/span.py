"""A stretch of time of the tables, with the same face as any other window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flywheel.records import Interaction

__all__ = ["Span"]


@dataclass(frozen=True)
class Span:
    """The interactions of `within` that happened from `since` (included) to `until` (not included).

    By the clock of the product (`at`), so that records which come late are in the window where they belong. Feedback is
    all there is. `within` is a snapshot, or anything with its face.
    """

    within: Any
    since: datetime | None = None
    until: datetime | None = None

    @property
    def interactions(self) -> Any:
        """One row per interaction."""
        return self.cut(self.within.interactions)

    @property
    def feedback(self) -> Any:
        """One row per feedback, about any interaction."""
        return self.within.feedback

    @property
    def bounds(self) -> tuple[int, int]:
        """The bounds of `within`, in the log's numbers."""
        found: tuple[int, int] = getattr(self.within, "bounds", (0, 0))
        return found

    def cut(self, table: Any) -> Any:
        """The rows of an Ibis table whose `at` lies here."""
        if self.since is not None:
            table = table.filter(table["at"] >= self.since)
        if self.until is not None:
            table = table.filter(table["at"] < self.until)
        return table

    def count(self) -> int:
        """How many interactions."""
        return int(self.interactions.count().to_pyarrow().as_py())

    def fetch(self, ids: Sequence[str]) -> list[Interaction]:
        """Whole records by id, from the log."""
        found: list[Interaction] = self.within.fetch(ids)
        return found
