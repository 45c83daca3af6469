"""The recorder that runs inside your product: records go to a Flywheel server in the background.

`connect` gives the `log`, `feedback` and `watch` of an open flywheel. Three promises: it never raises into the product,
it never makes it wait, and what it cannot deliver it counts, and tells the server. Standard library only.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from flywheel.capture.checks import unknown_field
from flywheel.capture.courier import Courier
from flywheel.capture.delivery import Delivery, checked_url
from flywheel.capture.discretion import Discretion
from flywheel.capture.lines import FIELDS, UNSAID, clock_text, fresh_id, moment_text, written
from flywheel.capture.outbox import FEEDBACK, INTERACTION, Outbox
from flywheel.errors import InvalidConfig, InvalidRecord
from flywheel.version import __version__

if TYPE_CHECKING:
    from flywheel.capture.spool import Spool

__all__ = ["Connection", "connect"]

P = ParamSpec("P")
R = TypeVar("R")

_MIB = 1024 * 1024
_LONGEST_NAME = 200


def connect(
    url: str,
    key: str | None = None,
    *,
    spool: str | os.PathLike[str] | None = None,
    redact: Any = False,
    hash_users: str | bytes | None = None,
    strict: bool = False,
    max_memory_bytes: int = 8 * _MIB,
    max_spool_bytes: int = 256 * _MIB,
    max_record_bytes: int = _MIB,
    batch_records: int = 1000,
    batch_bytes: int = _MIB,
    max_age: float = 1.0,
    timeout: float = 10.0,
    exit_timeout: float = 5.0,
    compress: bool = True,
) -> Connection:
    """Connect a product to a Flywheel server; nothing is sent, and no thread begins, before the first record.

    - `url`, `key`: the server's address and an ingest key (`flywheel keys create`).
    - `spool`: a folder in which records wait on disk until the server has answered; they survive the process.
    - `redact`: True, a redactor, or a function from the free fields of a record to what may leave.
    - `hash_users`: a key; users become keyed pseudonyms before they leave.
    - `strict`: raise `InvalidRecord` for a record the server would not store; for tests.
    - `max_memory_bytes`, `max_spool_bytes`, `max_record_bytes`: limits; what goes beyond is dropped and counted.
    - `batch_records`, `batch_bytes`, `max_age`: a batch is sent at this size, or after so many seconds.
    - `timeout`: seconds for the server to answer. `exit_timeout`: seconds to deliver what is left at the end.

    Raises `InvalidConfig` for an address or an option that cannot be used: at the start, when somebody looks.
    """
    return Connection(
        url,
        key,
        spool=spool,
        redact=redact,
        hash_users=hash_users,
        strict=strict,
        max_memory_bytes=max_memory_bytes,
        max_spool_bytes=max_spool_bytes,
        max_record_bytes=max_record_bytes,
        batch_records=batch_records,
        batch_bytes=batch_bytes,
        max_age=max_age,
        timeout=timeout,
        exit_timeout=exit_timeout,
        compress=compress,
    )


class Connection:
    """A product's connection to a Flywheel server. Make one and keep it; share it between threads and tasks.

    In a forked child it begins anew: nothing is sent twice. Use it as a context manager, or `close` it, or leave it to
    the end of the process. See `connect` for the options.
    """

    def __init__(self, url: str, key: str | None, *, spool: Any, redact: Any, hash_users: Any, **options: Any) -> None:
        checked_url(url)
        if key is not None and not (isinstance(key, str) and key.isascii() and key.isprintable() and key):
            raise InvalidConfig("the key is not one that `flywheel keys create` made. Pass it as it was shown: fw_…")
        for name, value in options.items():
            whole = name.startswith(("max_", "batch_")) and name != "max_age"
            if isinstance(value, bool) != (name in ("strict", "compress")) or value is None or value < 0:
                raise InvalidConfig(f"{name}={value!r} cannot be used. See flywheel.connect for what it means")
            if whole and (not isinstance(value, int) or value < 1):
                raise InvalidConfig(f"{name}={value!r} is no whole number above 0")
        self.unrecorded: Counter[str] = Counter()
        self._url, self._key, self._options = url, key, options
        self._strict: bool = options["strict"]
        self._most: int = options["max_record_bytes"]
        self._spool_folder = None if spool is None else Path(spool)
        self._discretion = Discretion(redact, hash_users)
        self._known: set[str] = set(FIELDS)
        self._closed = False
        self._begin()
        _open.add(self)
        if self._spool_folder is not None and any(self._spool_folder.glob("*.jsonl")):
            self._start()  # what an earlier process left need not wait for the first record of this one

    def _begin(self) -> None:
        """Everything that a forked child needs of its own."""
        options = self._options
        self._outbox = Outbox(
            options["max_memory_bytes"], min(options["batch_bytes"], options["max_memory_bytes"] // 4 + 1),
            options["batch_records"],
        )  # fmt: skip
        self._courier = Courier(
            self._outbox,
            Delivery(
                self._url,
                self._key,
                timeout=options["timeout"],
                compress=options["compress"],
                version=__version__,
            ),
            spool=_spool_in(self._spool_folder, options["max_spool_bytes"]),
            discretion=self._discretion,
            most_records=options["batch_records"],
            most_bytes=options["batch_bytes"],
            max_age=options["max_age"],
        )
        self._starting = threading.Lock()
        self._started = False

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):  # another thread does it
            return
        try:
            if not self._started:
                self._started = True
                self._courier.start()
                _close_with_child(self)
        except RuntimeError as problem:  # no thread can begin any more: what is there is delivered at the end
            self.unrecorded[f"no thread: {type(problem).__name__}"] += 1
        finally:
            self._starting.release()

    # --- the same as on an open flywheel ---

    def log(
        self,
        *,
        input: Any = UNSAID,
        output: Any = None,
        id: str | None = None,
        at: datetime | None = None,
        scores: Mapping[str, float] | None = None,
        confidence: float | None = None,
        latency_ms: float | None = None,
        error: str | None = None,
        model: str | None = None,
        user: str | None = None,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
        propensity: float | None = None,
        consent: bool | None = None,
        **extra: Any,
    ) -> str:
        """Log one interaction and return its id at once; it is delivered in the background.

        The fields are those of `Flywheel.log`; other keywords are kept as `extra`. What was passed is written down
        before this returns, so it may be changed afterwards. A record that cannot be written is counted in `stats()`
        under `invalid`, never raised (unless the connection is strict).
        """
        own = id if type(id) is str else _own_id(id, at)
        try:
            if consent is False:  # nothing of it leaves the product but that there was one
                input = output = scores = confidence = latency_ms = error = model = user = session = context = None
                extra = {}
            if input is UNSAID:
                raise InvalidRecord("input", "an interaction needs one", "Pass what the model was asked: input=…")
            record = {"id": own, "at": clock_text() if at is None else moment_text(at), "input": input}
            if output is not None:
                record["output"] = output
            if confidence is not None:
                record["confidence"] = confidence
            if latency_ms is not None:
                record["latency_ms"] = latency_ms
            if context is not None:
                record["context"] = context
            if user is not None:
                record["user"] = user
            if session is not None:
                record["session"] = session
            if model is not None:
                record["model"] = model
            if error is not None:
                record["error"] = error
            if scores is not None:
                record["scores"] = scores
            if propensity is not None:
                record["propensity"] = propensity
            if consent is not None:
                record["consent"] = consent
            if extra:
                self._put_extra(record, extra)
            if self._strict:
                _check(INTERACTION, record, self._most)
            self._leave(INTERACTION, record)
        except Exception as problem:  # a door into somebody's product
            self._unfit(problem)
        return own

    def feedback(
        self,
        interaction_id: str,
        *,
        rating: float | None = None,
        label: Any = UNSAID,
        comment: str | None = None,
        outcome: Mapping[str, Any] | None = None,
        report: str | None = None,
        id: str | None = None,
        at: datetime | None = None,
        source: str = "user",
        by: str | None = None,
        propensity: float | None = None,
    ) -> list[str]:
        """Say what became known about an interaction; return the id of each fact at once.

        The fields are those of `Flywheel.feedback`. The interaction may arrive later than its feedback.
        """
        own = id if type(id) is str else _own_id(id, at)
        said: list[str] = []
        try:
            record: dict[str, Any] = {
                "id": own,
                "at": clock_text() if at is None else moment_text(at),
                "interaction_id": interaction_id,
                "source": source,
            }
            for name, value in (("rating", rating), ("comment", comment), ("report", report)):
                if value is not None:
                    record[name] = value
                    said.append(name)
            if label is not UNSAID:
                record["label"] = label
                said.append("label")
            if outcome is not None:
                record["outcome"] = outcome
                said.extend(f"outcome:{name}" for name in outcome)
            for name, given in (("by", by), ("propensity", propensity)):
                if given is not None:
                    record[name] = given
            if self._strict or not said:
                _check(FEEDBACK, record, self._most)
            self._leave(FEEDBACK, record)
        except Exception as problem:  # a door into somebody's product
            self._unfit(problem)
        return [own] if len(said) < 2 else [f"{own}:{name}" for name in said]

    def watch(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a callable so that each call is logged: input, output, latency, and the exception if there was one.

        As `Flywheel.watch`: functions, methods, coroutines, generators; results and exceptions pass through untouched.
        """
        from flywheel.capture.watch import watched

        return watched(self, function)

    # --- for watching and integrations ---

    @property
    def max_record_bytes(self) -> int:
        """The largest record that is taken."""
        return self._most

    def keep_watched(self, fields: dict[str, Any], problem: InvalidRecord | None) -> None:
        """Take what a watched function's call was, or what was wrong with its input."""
        if problem is not None:
            self._unfit(problem)
        else:
            self.log(**fields)

    # --- its life ---

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until the server has answered for all that was logged before, at most `timeout` seconds; has it?

        From a coroutine: `await asyncio.to_thread(connection.flush)`.
        """
        if self._closed:
            return True
        if not self._started:
            self._start()
        return self._courier.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Deliver what is left, at most `timeout` seconds (default: `exit_timeout`), and end.

        What could not be delivered stays in the spool, if there is one; otherwise it is dropped and counted. Records
        that are logged afterwards are dropped and counted too.
        """
        if self._closed:
            return
        self._closed = True
        _open.discard(self)
        self._courier.close(self._options["exit_timeout"] if timeout is None else timeout)

    def stats(self) -> dict[str, Any]:
        """Count what became of the records: `logged` = `delivered` + `waiting` + the sum of `dropped`.

        `server` is what the server said of those delivered; `recovered` those of earlier processes that lay in the
        spool. `dropped` is by reason: `queue full`, `spool full`, `invalid`, `too large`, `refused`, `not redacted`,
        `not sent at exit`, `closed`.
        """
        outbox, courier = self._outbox, self._courier
        dropped = outbox.drops()
        return {
            "logged": outbox.logged,
            "delivered": courier.delivered,
            "waiting": max(0, outbox.logged - courier.delivered - sum(dropped.values())),
            "dropped": dict(dropped),
            "recovered": courier.recovered,
            "server": dict(courier.server),
            "memory_bytes": outbox.held,
            "spool_bytes": courier.spool.size if courier.spool is not None else 0,
            "requests": courier.requests,
            "retries": courier.retries,
            "last_problem": courier.last_problem,
        }

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<flywheel.Connection to {self._url}>"

    # --- inside ---

    def _reborn(self) -> None:
        self._courier.abandon()
        self.unrecorded = Counter()
        self._begin()

    def _leave(self, kind: str, record: dict[str, Any]) -> None:
        line = written(record, self._most)
        if self._closed:
            self._outbox.refuse("closed")
            return
        self._outbox.put(kind, line)
        if not self._started:
            self._start()

    def _put_extra(self, record: dict[str, Any], extra: dict[str, Any]) -> None:
        """Keywords nobody has a name for; one that looks like a misspelt field is left where the server will say so."""
        kept: dict[str, Any] = {}
        given = extra.pop("extra", None)
        for name, value in extra.items():
            if name not in self._known:
                misspelt = unknown_field(name, FIELDS, strict=False)
                if misspelt is not None:
                    raise misspelt
                if len(name) <= _LONGEST_NAME and len(self._known) < 1000:
                    self._known.add(name)
            if name in FIELDS:
                record[name] = moment_text(value)
            else:
                kept[name] = value
        if given is not None:
            kept = {**given, **kept}
        if kept:
            record["extra"] = kept

    def _unfit(self, problem: Exception) -> None:
        """A record that cannot be taken: raised when strict, else counted, and told by the background."""
        cause = problem
        if not isinstance(problem, InvalidRecord):
            problem = InvalidRecord(
                "record",
                f"it cannot be written as JSON ({type(problem).__name__})",
                "Pass text, finite numbers, true, false, null, lists and dicts",
            )
        if self._strict:
            raise problem from cause
        self._outbox.refuse("too large" if problem.problem.startswith("the record is larger") else "invalid")
        self._courier.complaint = problem.field
        if not self._started:
            self._start()


def _own_id(given: Any, at: Any) -> str:
    """An id for a record that has none, or one that is no text; whatever it is, there will be an id."""
    try:
        if given is not None:
            return str(given)
        return fresh_id(at.timestamp() if isinstance(at, datetime) else None)
    except Exception as problem:  # a door into somebody's product: objects may do anything
        return f"{fresh_id()}-{type(problem).__name__}"


def _check(kind: str, record: dict[str, Any], limit: int) -> None:
    """Raise the `InvalidRecord` that the server would find."""
    from flywheel.capture.drafts import Limits, feedback_of, interaction_of

    (interaction_of if kind == INTERACTION else feedback_of)(record, Limits(limit))


def _spool_in(folder: Path | None, most_bytes: int) -> Spool | None:
    if folder is None:
        return None
    from flywheel.capture.spool import Spool

    return Spool(folder, most_bytes)


# --- the end of the process, and its children ---

_open: set[Connection] = set()


def _close_all() -> None:
    for connection in list(_open):
        connection.close()


def _begin_anew() -> None:
    """In a forked child: what waits in the parent is the parent's to deliver."""
    for connection in list(_open):
        connection._reborn()


def _close_with_child(connection: Connection) -> None:
    """A child of `multiprocessing` ends without `atexit`; it has its own way of saying goodbye."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, connection.close, exitpriority=10)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
