"""What was collected and is not delivered yet, in memory: first in, first out, taken away only when it was answered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

__all__ = ["Backlog", "Batch", "InMemory"]


class Batch(NamedTuple):
    """Lines of one kind that stand first in a backlog; `place` is the backlog's own note of where they are."""

    kind: str
    lines: list[bytes]
    place: Any = None
    adopted: bool = False
    """Left by another process."""


class Backlog(Protocol):
    """Where lines wait for the server: in memory, or on disk (`spool.Spool`). Safe to share between threads."""

    def add(self, kind: str, lines: Sequence[bytes]) -> None:
        """Put lines at the end. Raises `OSError` where they cannot be kept; then none of them is."""
        ...

    def first(self, most_records: int, most_bytes: int) -> Batch | None:
        """Look at what stands first: at least one line, within the limits otherwise; None when nothing waits."""
        ...

    def done(self, batch: Batch) -> None:
        """Take away what `first` showed."""
        ...

    def mark(self) -> Any:
        """Note where the end is now."""
        ...

    def passed(self, mark: Any) -> bool:
        """Has all that stood before a mark been taken away?"""
        ...


class InMemory:
    """The backlog in memory; how large it grows is bounded by the outbox that fills it."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, bytes]] = deque()
        self._lock = threading.Lock()
        self._added = 0
        self._taken = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, kind: str, lines: Sequence[bytes]) -> None:
        """Put lines at the end."""
        with self._lock:
            self._lines.extend((kind, line) for line in lines)
            self._added += len(lines)

    def first(self, most_records: int, most_bytes: int) -> Batch | None:
        """Look at the lines of one kind that stand first."""
        with self._lock:
            if not self._lines:
                return None
            kind = self._lines[0][0]
            found: list[bytes] = []
            size = 0
            for other, line in islice(self._lines, most_records):
                size += len(line) + 1
                if other != kind or (found and size > most_bytes):
                    break
                found.append(line)
        return Batch(kind, found)

    def done(self, batch: Batch) -> None:
        """Take a batch away."""
        with self._lock:
            there = min(len(batch.lines), len(self._lines))  # fewer, when it was emptied meanwhile
            for _ in range(there):
                self._lines.popleft()
            self._taken += there

    def mark(self) -> int:
        """Note how many were ever added."""
        return self._added

    def passed(self, mark: int) -> bool:
        """Were so many taken away?"""
        return self._taken >= mark

    def empty(self) -> int:
        """Take everything away; how many lines it was."""
        with self._lock:
            left = len(self._lines)
            self._lines.clear()
            self._taken += left
        return left
