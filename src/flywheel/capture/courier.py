"""The background of a connection: collects what callers left, keeps it, and delivers it until the server has answered.

One thread without a spool; with one, a second, so that records reach the disk while the first waits for the network.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flywheel.capture.backlog import Backlog, Batch, InMemory
from flywheel.capture.delivery import Answer, Delivery, Patience
from flywheel.capture.discretion import Discretion
from flywheel.capture.lines import clock_text
from flywheel.capture.outbox import FEEDBACK, INTERACTION, Outbox

if TYPE_CHECKING:
    from flywheel.capture.spool import Spool

__all__ = ["Courier"]

_PATHS = {INTERACTION: "/v1/interactions", FEEDBACK: "/v1/feedback"}
_SLICE = 20  # records between two pauses in which the product's threads may run
_PAUSE = 0.0002
_QUIET = 60.0  # seconds between two messages of one sort, and between two looks for what dead processes left


class Courier:
    """Everything that happens to a record after the caller has left it in the outbox."""

    def __init__(
        self,
        outbox: Outbox,
        delivery: Delivery,
        *,
        spool: Spool | None,
        discretion: Discretion,
        most_records: int,
        most_bytes: int,
        max_age: float,
    ) -> None:
        self.outbox = outbox
        self.spool = spool
        self.delivered = 0
        self.recovered = 0
        self.server: Counter[str] = Counter()
        self.requests = 0
        self.retries = 0
        self.last_problem: str | None = None
        self.complaint: str | None = None
        """The field for which a caller's record could not be taken, to be told from here: logging may block."""
        self._delivery = delivery
        self._discretion = discretion
        self._memory = InMemory()
        self._spooled = 0
        self._most_records, self._limit = most_records, most_records
        self._most_bytes = most_bytes
        self._max_age = max_age
        self._told: dict[str, int] = {}
        self._patience = Patience()
        self._not_before = 0.0
        self._closing = False
        self._lock = threading.Lock()  # collecting
        self._sending = threading.Lock()
        self._settled = threading.Condition(threading.Lock())
        self._news = threading.Event()
        self._threads: list[threading.Thread] = []
        self._spool_ready = False
        self._adopted = -_QUIET
        self._said: dict[str, float] = {}

    # --- threads ---

    @property
    def alive(self) -> bool:
        """Do its threads run?"""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Start the threads. Raises `RuntimeError` where the interpreter lets no more begin."""
        jobs: list[tuple[str, Callable[[], None]]] = [("flywheel-recorder", self._run)]
        if self.spool is not None:
            jobs.append(("flywheel-recorder-sender", self._run_sender))
        self._threads = [threading.Thread(target=job, name=name, daemon=True) for name, job in jobs]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._closing:
            wait = self._max_age
            if self.spool is None and self._memory:
                wait = min(wait, max(0.0, self._not_before - time.monotonic()))
            self.outbox.bell.acquire(timeout=wait)
            self._quietly(self.collect)
            if self.spool is None:
                self._quietly(self.deliver)
            else:
                self._news.set()

    def _run_sender(self) -> None:
        while not self._closing:
            self._news.wait(max(0.01, min(_QUIET, self._not_before - time.monotonic())) if self._waits() else _QUIET)
            self._news.clear()
            self._quietly(self._adopt)
            self._quietly(self.deliver)

    def _waits(self) -> bool:
        return self._not_before > time.monotonic()

    def _quietly(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as problem:  # a door: the thread goes on whatever happens, and says so
            self._say("background", f"the recorder met {type(problem).__name__}: {problem}; it goes on")
            time.sleep(min(self._max_age, 0.1))

    # --- collecting ---

    def collect(self) -> None:
        """Move what callers left into the backlog: hidden where asked, stamped, on disk where there is a spool."""
        with self._lock:
            for kind, lines in zip((INTERACTION, FEEDBACK), self.outbox.take(), strict=True):
                for start in range(0, len(lines), 1000):
                    self._keep(kind, lines[start : start + 1000])

        if self.complaint is not None:
            field, self.complaint = self.complaint, None
            self._say("invalid", f"a record could not be taken because of {field!r}; with strict=True it says why")

    def _keep(self, kind: str, lines: list[bytes]) -> None:
        ready = lines if self._discretion.idle else self._hidden(kind, lines)
        if kind == INTERACTION:
            head = f'{{"sent_at":"{clock_text()}",'.encode()
            ready = [head + line[1:] for line in ready]
        self.outbox.hold(ready, lines)
        if self.spool is not None:
            try:
                self._to_spool(self.spool, kind, ready)
                return
            except OverflowError as problem:
                self.outbox.let_go(ready)
                self.outbox.drop("spool full", len(ready))
                self._say("spool", f"{problem}: {len(ready)} records were dropped")
                return
            except OSError as problem:
                self._say("spool", f"the spool cannot be written ({problem}); records wait in memory")
        self._memory.add(kind, ready)

    def _to_spool(self, spool: Spool, kind: str, lines: list[bytes]) -> None:
        if not self._spool_ready:
            spool.start()
            self._spool_ready = True
        spool.add(kind, lines)
        self._spooled += len(lines)
        self.outbox.let_go(lines)

    def _hidden(self, kind: str, lines: list[bytes]) -> list[bytes]:
        ready = []
        for place, line in enumerate(lines):
            try:
                ready.append(self._discretion.hidden(kind, line))
            except Exception as problem:  # a redactor's, which may be anybody's: what is not clean does not leave
                self.outbox.drop("not redacted", 1)
                self._say("redact", f"a record was dropped because it could not be redacted: {type(problem).__name__}")
            if place % _SLICE == _SLICE - 1:
                time.sleep(_PAUSE)
        return ready

    def _adopt(self) -> None:
        if self.spool is None or time.monotonic() - self._adopted < _QUIET:
            return
        self._adopted = time.monotonic()
        if not self._spool_ready:
            self.spool.start()
            self._spool_ready = True
        else:
            self.spool.adopt()

    # --- delivering ---

    def deliver(self) -> None:
        """Send what is due, batch after batch, until nothing waits or the server wants to be left alone."""
        with self._sending:
            while not self._waits():
                backlog, batch = self._next()
                if backlog is None or batch is None:
                    return
                self._send(backlog, batch)
                with self._settled:
                    self._settled.notify_all()

    def _next(self) -> tuple[Backlog | None, Batch | None]:
        for backlog in (self._memory, self.spool if self._spool_ready else None):
            batch = backlog.first(self._limit, self._most_bytes) if backlog is not None else None
            if batch is not None:
                return backlog, batch
        return None, None

    def _send(self, backlog: Backlog, batch: Batch) -> None:
        untold = self._untold()
        answer = self._delivery.post(_PATHS[batch.kind], batch.lines, untold)
        self.requests += 1
        if answer.fate == "later":
            self._later(answer)
            return
        self._patience.reset()
        records = len(batch.lines)
        if answer.fate == "smaller" and records > 1:
            self._limit = max(1, records // 2)
            return
        self._done(backlog, batch)
        if answer.fate == "taken":
            self._told = untold or self._told
            self._limit = min(self._most_records, self._limit * 2)
            if batch.adopted:
                self.recovered += records
            else:
                self.delivered += records
            self.server.update(answer.counts)
            if answer.errors:
                field = answer.errors[0].partition(":")[0][:60]  # what follows may show a value
                self._say(
                    "answer", f"of {records} records some were not stored, one for {field!r}; the server knows why"
                )
            return
        reason = "too large" if answer.fate == "smaller" else "refused"
        self.outbox.drop(reason, records)
        self._say("answer", f"{records} records were refused ({answer.problem}) and dropped")

    def _done(self, backlog: Backlog, batch: Batch) -> None:
        backlog.done(batch)
        if backlog is not self.spool:
            self.outbox.let_go(batch.lines)
        elif not batch.adopted:
            self._spooled -= len(batch.lines)

    def _later(self, answer: Answer) -> None:
        self.retries += 1
        self.last_problem = answer.problem
        wait = self._patience.wait(answer.wait)
        self._not_before = time.monotonic() + wait
        if self._patience.failures > 1:  # one failure is everyday life
            self._say("server", f"{self.waiting} records wait: {answer.problem}. Next try in {wait:.1f} s")

    def _untold(self) -> dict[str, int]:
        """All drops so far, if the server has not heard of some of them."""
        drops = dict(self.outbox.drops())
        return {} if drops == self._told else drops

    # --- the end ---

    @property
    def waiting(self) -> int:
        """Records that are not answered for."""
        return self.outbox.fresh + len(self._memory) + self._spooled

    def flush(self, timeout: float, *, patient: bool = True) -> bool:
        """Wait until all that was logged before is answered for, at most `timeout` seconds; was it?

        With `patient=False` a server that does not answer is not waited for.
        """
        until = time.monotonic() + timeout
        self.collect()
        marks: list[tuple[Backlog, Any]] = [(self._memory, self._memory.mark())]
        if self.spool is not None and self._spool_ready:
            marks.append((self.spool, self.spool.mark()))
        self._news.set()
        self.outbox.ring()
        with self._settled:
            while not all(backlog.passed(mark) for backlog, mark in marks):
                left = until - time.monotonic()
                if left <= 0 or (self._waits() and not patient):
                    return False
                self._settled.wait(min(left, 0.05))
        return True

    def close(self, timeout: float) -> None:
        """Deliver what can be within `timeout` seconds; the rest stays in the spool, or is counted as lost."""
        until = time.monotonic() + timeout
        if self.alive:
            self.flush(timeout, patient=self.spool is None)
        else:  # the interpreter is ending, or nothing was ever logged
            self._quietly(self.collect)
            while self._memory or self._spooled:
                if time.monotonic() >= until or self._waits():
                    break
                self._quietly(self.deliver)
        self._closing = True
        self._news.set()
        self.outbox.ring()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._last_words(until)
        if not any(thread.is_alive() for thread in self._threads):
            self._delivery.close()
            if self.spool is not None and self._spool_ready:
                self.spool.close()

    def _last_words(self, until: float) -> None:
        """Tell the server of drops it has not heard of, and count what could not be delivered."""
        left = self._memory.empty() + sum(map(len, self.outbox.take()))
        if left:
            self.outbox.drop("not sent at exit", left)
            self._say("exit", f"{left} records could not be delivered before the end: {self.last_problem or 'no time'}")
        untold = self._untold()
        if untold and not self._waits() and time.monotonic() < until and self._sending.acquire(blocking=False):
            try:
                if self._delivery.post(_PATHS[INTERACTION], [], untold).fate == "taken":
                    self._told = untold or self._told
            finally:
                self._sending.release()

    def abandon(self) -> None:
        """In a forked child: leave everything to the parent."""
        self._delivery.forget()
        if self.spool is not None:
            self.spool.abandon()

    def _say(self, sort: str, words: str) -> None:
        """Say something to the `flywheel` logger, at most once a minute a sort, from the background only."""
        now = time.monotonic()
        if now - self._said.get(sort, -_QUIET) >= _QUIET:
            self._said[sort] = now
            import logging  # most products have it loaded; one that has not pays for it here, in the background

            logging.getLogger("flywheel").warning("%s", words)
