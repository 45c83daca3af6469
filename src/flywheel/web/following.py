"""One reader of a flywheel's log for all its open pages: what arrives is read once, and drawn once a filter.

Fifty pages cost little more than one: those with the same filter share a `Stream`, which holds the rows they show and
the counts by minute; a page only passes on what its stream has made.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from nicegui import background_tasks, run

from flywheel.errors import FlywheelError

if TYPE_CHECKING:
    from flywheel.diagnose.arriving import Arrival
    from flywheel.wheel import Flywheel

__all__ = ["ROWS", "Follower", "Stream", "Wanted", "follower"]

ROWS = 60
"""So many rows a page lists; all are counted."""
_MINUTES = 30
_AT_ONCE = 30  # rows sent in one go; what came before them in the same look is only counted
_EVERY = 0.4  # seconds between looks
_COUNTED = 1.0  # seconds between drawings of the counts
_KEPT = 2000
_FIRST = 1000  # facts read before the first page is shown
_MOST = 5000  # facts in one reading

_logger = logging.getLogger("flywheel.web")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which arrivals a page shows. Empty means any."""

    failures: bool = True
    model: str = ""
    mode: str = ""
    cause: str = ""
    where: str = ""
    """Context values: `device=ios, network=3g`."""

    def takes(self, one: Arrival, pairs: Sequence[tuple[str, str]] | None = None) -> bool:
        """Does an arrival belong on the page? `pairs` are those of `pairs()`, for whoever asks about many.

        >>> from datetime import UTC, datetime
        >>> from flywheel.diagnose.arriving import Arrival
        >>> from flywheel.records import Interaction
        >>> at = datetime(2026, 1, 1, tzinfo=UTC)
        >>> seen = Interaction(id="i", at=at, input="x", context={"device": "ios"})
        >>> one = Arrival(seq=1, received_at=at, interaction=seen)
        >>> Wanted(False, where="device=ios").takes(one), Wanted(False, where="device=web").takes(one)
        (True, False)
        """
        if self.failures and not one.signs:
            return False
        if self.model and one.interaction.model != self.model:
            return False
        if (self.mode and one.mode != self.mode) or (self.cause and one.cause != self.cause):
            return False
        context = one.interaction.context
        asked = self.pairs() if pairs is None else pairs
        return all(name in context and _said(context[name]) == value for name, value in asked)

    def pairs(self) -> list[tuple[str, str]]:
        """The context fields asked for, with their values."""
        parts = [part.partition("=") for part in self.where.split(",") if part.strip()]
        return [(name.strip(), value.strip()) for name, _, value in parts]

    def address(self, base: str = "/live", **more: Any) -> str:
        """The link that shows the same."""
        query = {
            "show": "" if self.failures else "all",
            "model": self.model,
            "mode": self.mode,
            "cause": self.cause,
            "where": self.where,
            **more,
        }
        given = urlencode({name: value for name, value in query.items() if value})
        return f"{base}?{given}" if given else base


class Page(Protocol):
    """An open page that shows a stream."""

    def show(self, rows: list[dict[str, Any]]) -> None:
        """Rows have come, the newest first."""

    def count(self) -> None:
        """The counts have changed, or what the page says of itself."""


class Stream:
    """What pages with one filter show: the newest rows, drawn once for all of them, and counts by minute."""

    def __init__(self, wanted: Wanted, drawn: Callable[[Arrival], dict[str, Any]]) -> None:
        self.wanted, self.drawn = wanted, drawn
        self._pairs = wanted.pairs()
        self.pages: list[Page] = []
        self.rows: deque[dict[str, Any]] = deque(maxlen=ROWS)
        """The newest first."""
        self.counts: dict[datetime, list[int]] = {}
        """Failures and others, by minute."""
        self.since: datetime | None = None
        """When the first fact that was looked at was received."""
        self.last = 0
        """The newest fact that was looked at."""
        self.problem: str | None = None
        self._changed, self._counted = False, 0.0

    def hear(self, found: Sequence[Arrival]) -> list[dict[str, Any]]:
        """Take in what has come; returns what of it is to be shown, the newest first."""
        if not found:
            return []
        self.last, self._changed = max(self.last, found[-1].seq), True
        self.since = self.since or found[0].received_at
        took = [one for one in found if self.wanted.takes(one, self._pairs)]
        for one in took:
            minute = one.received_at.replace(second=0, microsecond=0)
            held = self.counts.get(minute)
            if held is None:
                held = self.counts[minute] = [0, 0]
            held[0 if one.signs else 1] += 1
        for minute in sorted(self.counts)[:-_MINUTES]:
            del self.counts[minute]
        rows = [self.drawn(one) for one in reversed(took[-ROWS:])]
        self.rows.extendleft(reversed(rows))
        return rows

    def tell(self, found: Sequence[Arrival], problem: str | None) -> None:
        """Take in what has come, and let every page show it."""
        rows = self.hear(found)
        if rows:
            sent = rows[:_AT_ONCE]
            for page in tuple(self.pages):
                page.show(sent)
        if problem != self.problem:
            self.problem, self._changed = problem, True
        now = time.monotonic()
        if self._changed and now - self._counted >= _COUNTED:
            self._changed, self._counted = False, now
            for page in tuple(self.pages):
                page.count()


class Follower:
    """Reads a flywheel's log from its end, while any page is open, and tells the pages' streams what has come."""

    def __init__(self, wheel: Flywheel) -> None:
        self._wheel = wheel
        self._streams: dict[Wanted, Stream] = {}
        self._task: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._after: int | None = None
        self._recent: deque[Arrival] = deque(maxlen=_KEPT)

    async def join(self, wanted: Wanted, page: Page, drawn: Callable[[Arrival], dict[str, Any]]) -> Stream:
        """Show what fits from now on, and what came just before; the stream is shared by all pages that want it."""
        async with self._opening:
            problem = None
            if self._task is None:
                self._recent.clear()
                self._after = None
                _, problem = await self._look()
            stream = self._streams.get(wanted)
            if stream is None:
                stream = Stream(wanted, drawn)
                stream.hear(tuple(self._recent))
                self._streams[wanted] = stream
            stream.drawn, stream.problem = drawn, problem  # the newest page knows the newest names
            stream.pages.append(page)
            if self._task is None:
                self._task = background_tasks.create(self._follow(), name="flywheel-follow")
        return stream

    def versions(self) -> list[str]:
        """The versions that answered of late."""
        return sorted({one.interaction.model for one in self._recent if one.interaction.model})

    def leave(self, stream: Stream, page: Page) -> None:
        """Show no more; when nobody does, the log is left alone."""
        if page in stream.pages:
            stream.pages.remove(page)
        if not stream.pages and self._streams.get(stream.wanted) is stream:
            del self._streams[stream.wanted]

    async def _follow(self) -> None:
        try:
            while self._streams:
                began = time.monotonic()
                found, problem = await self._look()
                for stream in tuple(self._streams.values()):
                    stream.tell(found, problem)
                full = len(found) >= _MOST
                await asyncio.sleep(0 if full else max(0.05, _EVERY - (time.monotonic() - began)))
        finally:
            self._task = None

    async def _look(self) -> tuple[list[Arrival], str | None]:
        after, problem = self._after, None
        limit = _FIRST if after is None else _MOST
        try:
            answer = await run.io_bound(lambda: self._wheel.arrivals(after, limit))
        except FlywheelError as failed:
            problem = str(failed)
            _logger.warning("following the log: %s", type(failed).__name__)
            return [], problem
        if answer is None:  # the server is shutting down
            return [], None
        found, self._after = answer
        self._recent.extend(found)
        return found, None


_FOLLOWERS: dict[int, Follower] = {}


def follower(wheel: Flywheel) -> Follower:
    """The one follower of a flywheel in this process."""
    known = _FOLLOWERS.get(id(wheel))
    if known is None or known._wheel is not wheel:
        known = _FOLLOWERS[id(wheel)] = Follower(wheel)
    return known


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
