"""Where a caller leaves its record: bounded by bytes, and never held for longer than an append."""

from __future__ import annotations

import threading
from collections import Counter

__all__ = ["FEEDBACK", "INTERACTION", "Outbox"]

INTERACTION, FEEDBACK = "interaction", "feedback"
_BESIDE = 64  # what a line costs in memory beside its bytes
_STAMP = 48  # what it may grow by when it is stamped with the time it was sent


class Outbox:
    """Lines on their way out, counted. `held` covers what was collected too, until it is let go.

    The lock is one that its own thread may take again, because a signal handler or a finaliser may log in the middle of
    a call. The bell wakes the background thread when enough lies here; ringing it needs no lock at all.

    The books: `logged` = what was delivered + what waits + the sum of `dropped`.
    """

    def __init__(self, most_bytes: int, full_bytes: int, full_records: int) -> None:
        self.logged = 0
        self.held = 0
        self.dropped: Counter[str] = Counter()
        self.bell = threading.Lock()
        self.bell.acquire()
        self._most = most_bytes
        self._full_bytes, self._full_records = full_bytes, full_records
        self._lock = threading.RLock()
        self._lines: dict[str, list[bytes]] = {INTERACTION: [], FEEDBACK: []}
        self._fresh = 0
        self._fresh_bytes = 0
        self._rung = False

    def put(self, kind: str, line: bytes) -> None:
        """Leave a line; when the memory is full it is dropped and counted, and what was there before stays."""
        size = len(line) + _BESIDE + _STAMP
        with self._lock:
            self.logged += 1
            if self.held + size > self._most:
                self.dropped["queue full"] += 1
                return
            self._lines[kind].append(line)
            self.held += size
            self._fresh += 1
            self._fresh_bytes += size
            ring = not self._rung and (self._fresh >= self._full_records or self._fresh_bytes >= self._full_bytes)
            if ring:
                self._rung = True
        if ring:
            self.ring()

    def refuse(self, reason: str) -> None:
        """Count a call whose record cannot be taken."""
        with self._lock:
            self.logged += 1
            self.dropped[reason] += 1

    def ring(self) -> None:
        """Wake the thread that collects."""
        try:
            self.bell.release()
        except RuntimeError:
            return  # it rings already

    def take(self) -> tuple[list[bytes], list[bytes]]:
        """Take all interactions and all feedback that lie here; what they hold stays held until `let_go`."""
        with self._lock:
            taken = (self._lines[INTERACTION], self._lines[FEEDBACK])
            self._lines = {INTERACTION: [], FEEDBACK: []}
            self._fresh = self._fresh_bytes = 0
            self._rung = False
        return taken

    def let_go(self, lines: list[bytes]) -> None:
        """Give back the room of lines that were made ready."""
        size = sum(map(len, lines)) + _BESIDE * len(lines)
        with self._lock:
            self.held -= size

    def hold(self, lines: list[bytes], before: list[bytes]) -> None:
        """Lines that are ready (redacted, stamped) took the place of those that were taken: hold what they need."""
        size = sum(map(len, lines)) + _BESIDE * len(lines)
        size -= sum(map(len, before)) + (_BESIDE + _STAMP) * len(before)
        with self._lock:
            self.held += size

    def drop(self, reason: str, records: int) -> None:
        """Count records that were taken and have to be dropped after all."""
        with self._lock:
            self.dropped[reason] += records

    def drops(self) -> Counter[str]:
        """What was dropped so far, by reason."""
        with self._lock:
            return self.dropped.copy()

    @property
    def fresh(self) -> int:
        """How many records lie here."""
        return self._fresh
