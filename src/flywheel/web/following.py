"""One reader of a flywheel's log for all its open pages: what arrives is read once, and handed to each."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicegui import background_tasks, run

from flywheel.errors import FlywheelError

if TYPE_CHECKING:
    from flywheel.diagnose.arriving import Arrival
    from flywheel.wheel import Flywheel

__all__ = ["Follower", "Wanted", "follower"]

_EVERY = 0.3  # seconds between looks at a log that is quiet
_KEPT = 2000
_MOST = 2000  # facts in one reading

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

    def takes(self, one: Arrival) -> bool:
        """Does an arrival belong on the page?

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
        return all(name in context and _said(context[name]) == value for name, value in self.pairs())

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


class Follower:
    """Reads a flywheel's log from its end, while any page listens, and tells every page what has come."""

    def __init__(self, wheel: Flywheel) -> None:
        self._wheel = wheel
        self._listeners: list[Callable[[Sequence[Arrival]], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._after: int | None = None
        self.recent: deque[Arrival] = deque(maxlen=_KEPT)
        self.problem: str | None = None
        """Why nothing comes at the moment, where the store does not answer."""

    async def join(self, listener: Callable[[Sequence[Arrival]], None]) -> list[Arrival]:
        """Listen from now on; returns what came just before."""
        if self._task is None:
            self.recent.clear()
            self._after = None
            await self._look()
        self._listeners.append(listener)
        if self._task is None:
            self._task = background_tasks.create(self._follow(), name="flywheel-follow")
        return list(self.recent)

    def leave(self, listener: Callable[[Sequence[Arrival]], None]) -> None:
        """Listen no more; when nobody does, the log is left alone."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def _follow(self) -> None:
        try:
            while self._listeners:
                full = await self._look()
                await asyncio.sleep(0 if full else _EVERY)
        finally:
            self._task = None

    async def _look(self) -> bool:
        after = self._after
        try:
            answer = await run.io_bound(lambda: self._wheel.arrivals(after, _MOST))
            if answer is None:  # the server is shutting down
                return False
            found, self._after = answer
        except FlywheelError as problem:
            if self.problem is None:
                _logger.warning("following the log: %s", type(problem).__name__)
            self.problem = str(problem)
            return False
        self.problem = None
        if found:
            self.recent.extend(found)
            for listener in tuple(self._listeners):
                listener(found)
        return len(found) >= _MOST and after is not None


_FOLLOWERS: dict[int, Follower] = {}


def follower(wheel: Flywheel) -> Follower:
    """The one follower of a flywheel in this process."""
    known = _FOLLOWERS.get(id(wheel))
    if known is None or known._wheel is not wheel:
        known = _FOLLOWERS[id(wheel)] = Follower(wheel)
    return known


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
