"""Between the network and the disk: a bounded queue that turns requests away before anything breaks."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from flywheel.errors import Overloaded, RateLimited

if TYPE_CHECKING:
    from starlette.requests import Request

    from flywheel.capture import Taken
    from flywheel.config import ServerSettings
    from flywheel.wheel import Flywheel

__all__ = ["Queue", "accept", "in_queue", "room", "told_drops"]

T = TypeVar("T")
_WRITERS = 4
_READERS = 2  # of their own, so that a long question never holds up a record
_FULL = 0.8
_WINDOW = 10.0  # seconds over which a key's rate is averaged
_ANYBODYS = 1.0  # reports a second without a key, averaged over a minute
_MINUTE = 60.0
_LOOK = 1.0  # seconds between looks at the disk
_TELLER = re.compile(r"[0-9A-Za-z-]{8,64}")


class Queue:
    """What waits for the disk. Bounded by bytes, not by requests: a batch of a thousand is no single click."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.held = 0
        self.open()
        self._budgets: dict[str, _Budget] = {}
        self._anybodys: dict[str, _Budget] = {}
        self._disks: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def open(self) -> None:
        """Make the worker threads; an application may be started again after it was stopped."""
        self._intake = ThreadPoolExecutor(_WRITERS, thread_name_prefix="flywheel-intake")
        self._others = ThreadPoolExecutor(_READERS, thread_name_prefix="flywheel-read")

    @property
    def full(self) -> bool:
        """Is more than 80 % of the queue taken?"""
        return self.held >= _FULL * self.settings.queue_bytes

    def hold(self, size: int) -> None:
        """Take room for a body. Raises `Overloaded` from 80 % on."""
        if self.held + size > _FULL * self.settings.queue_bytes:
            raise Overloaded(
                f"requests that wait for the disk hold {self.held:,} bytes already. Try again", retry_after=1.0
            )
        self.held += size

    def release(self, size: int) -> None:
        """Give room back."""
        self.held -= size

    def disk_full(self, wheel: Flywheel) -> bool:
        """Is the disk under a flywheel fuller than `server.disk_share`? Looked up at most once a second."""
        place, now = str(wheel.folder), time.monotonic()
        seen = self._disks.get(place)
        if seen is None or now - seen[0] > _LOOK:
            usage = shutil.disk_usage(wheel.folder)
            seen = (now, 1 - usage.free / usage.total)
            self._disks[place] = seen
        return seen[1] > self.settings.disk_share

    def budget(self, owner: str) -> _Budget:
        """The records a key may still send."""
        with self._lock:
            if owner not in self._budgets:
                self._budgets[owner] = _Budget(self.settings.records_per_second)
            return self._budgets[owner]

    def anybody(self, flywheel: str) -> _Budget:
        """The reports that people without a key may still send to a flywheel: sixty a minute, all together."""
        with self._lock:
            if flywheel not in self._anybodys:
                said = "more reports come in than are taken in a minute. Please try again in a moment"
                self._anybodys[flywheel] = _Budget(_ANYBODYS, _MINUTE, said)
            return self._anybodys[flywheel]

    async def run(self, job: Callable[[], T]) -> T:
        """Run a job that answers a question in a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._others, job)

    async def write(self, job: Callable[[], T]) -> T:
        """Run a job that stores records; jobs that run at once share one commit."""
        return await asyncio.get_running_loop().run_in_executor(self._intake, job)

    def close(self) -> None:
        """Let what is under way end."""
        self._intake.shutdown(wait=True)
        self._others.shutdown(wait=True)


class _Budget:
    """A leaky bucket: a key may spend ten seconds (`window`) of its rate at once, and then its rate."""

    def __init__(self, rate: float, window: float = _WINDOW, said: str = "") -> None:
        self._rate = rate
        self._most = rate * window
        self._left = self._most
        self._said = said or (f"this key sends more than {rate:g} records a second. Try again when it has sent less")
        self._at = time.monotonic()

    def check(self) -> None:
        if not self._rate:
            return
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left <= 0:
            raise RateLimited(self._said, retry_after=max(1.0, -self._left / self._rate))

    def spend(self, records: int) -> None:
        self._left -= records

    def take(self) -> None:
        """Spend one, if there is one."""
        self.check()
        self.spend(1)


def room(request: Request) -> Callable[[int], None]:
    """Is there room on the disk, and in the key's budget? Call what comes back with the number of records stored.

    Raises `Overloaded` or `RateLimited`.
    """
    queue: Queue = request.app.state.queue
    access = request.state.access
    if queue.disk_full(access.wheel):
        raise Overloaded(
            f"the disk is more than {queue.settings.disk_share:.0%} full. Nothing was stored; free some space",
            retry_after=30.0,
        )
    budget = queue.budget(access.key or access.flywheel)
    budget.check()
    return budget.spend


async def in_queue(request: Request, job: Callable[[], Taken]) -> Taken:
    """Run a job that stores records for the request's flywheel, if there is room on the disk and in its budget."""
    queue: Queue = request.app.state.queue
    access = request.state.access
    spend = room(request)
    taken = await queue.write(job)
    spend(taken.received)
    request.app.state.watching.took(access.flywheel, taken)
    request.state.taken = taken
    return taken


async def accept(
    request: Request,
    drafts: Callable[[], Iterable[Mapping[str, Any]]],
    *,
    source: str,
    counts: Mapping[str, int] | None = None,
) -> Taken:
    """Decode (`drafts()` runs in a worker thread) and store; when this returns, all of it is on stable storage."""
    intake = request.state.access.wheel.intake
    told = {**told_drops(request), **(counts or {})}
    return await in_queue(request, lambda: intake.take(drafts(), source=source, counts=told))


def told_drops(request: Request) -> dict[str, int]:
    """What a recorder says it had to drop, from its header `X-Flywheel-Dropped`: counts by reason.

    With `X-Flywheel-Recorder`, the recorder's own id, they are all it has dropped so far, and telling them again adds
    nothing; without it they are what was dropped since the last time.
    """
    header = request.headers.get("x-flywheel-dropped", "")
    if not header or len(header) > 2000:
        return {}
    try:
        said = json.loads(header)
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    good = {
        str(reason)[:40]: count
        for reason, count in said.items()
        if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 10**12
    }
    teller = request.headers.get("x-flywheel-recorder", "")
    name = f"client_dropped:{teller}" if _TELLER.fullmatch(teller) else "client_dropped"
    return {name: sum(good.values())} if good else {}
