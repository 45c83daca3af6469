"""What an operator sees of the server: Prometheus figures and one structured line a request, never a payload."""

from __future__ import annotations

import json
import logging
import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

    from flywheel.capture import Taken
    from flywheel.wheel import Flywheel

__all__ = ["Lines", "Watching", "observed"]

_logger = logging.getLogger("flywheel.server")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_OUTCOMES = ("stored", "duplicates", "conflicts", "rejected", "dead_lettered")


def observed(app: FastAPI) -> Watching:
    """The figures of an application."""
    found: Watching = app.state.watching
    return found


class _Figures:
    """The figures of one flywheel, or of requests that were let in to none."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "flywheel_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "flywheel_request_seconds", "Time from request to answer.", ["route"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.records = Counter(
            "flywheel_records", "Records received since this process began, by what became of them.",
            ["flywheel", "outcome"], registry=self.registry,
        )  # fmt: skip
        self.missed = Counter(
            "flywheel_proxy_unrecorded", "Exchanges that were passed on and could not be recorded.", ["reason"],
            registry=self.registry,
        )  # fmt: skip
        self.books = Gauge("flywheel_books", "The durable books.", ["flywheel", "entry"], registry=self.registry)
        self.queue = Gauge("flywheel_queue_bytes", "Bytes that wait for the disk.", registry=self.registry)
        self.defects = Counter("flywheel_defects", "Errors nobody foresaw.", ["route"], registry=self.registry)


class Watching:
    """The figures of one server, each flywheel's apart: nobody sees how busy another is.

    Labels are routes, status codes and flywheels' names: nothing that a client chooses.
    """

    def __init__(self) -> None:
        self._of: dict[str, _Figures] = {}

    def figures(self, flywheel: str) -> _Figures:
        """One flywheel's figures; those of requests that reached none are under the empty name."""
        if flywheel not in self._of:
            self._of[flywheel] = _Figures()
        return self._of[flywheel]

    def took(self, flywheel: str, taken: Taken) -> None:
        """Count what became of a batch."""
        for outcome in _OUTCOMES:
            count = getattr(taken, outcome)
            if count:
                self.figures(flywheel).records.labels(flywheel, outcome).inc(count)

    def missed(self, flywheel: str, problem: Exception) -> None:
        """Count an exchange that was passed on and could not be recorded."""
        self.figures(flywheel).missed.labels(type(problem).__name__).inc()
        _logger.warning("unrecorded", extra={"line": {"event": "unrecorded", "reason": type(problem).__name__}})

    def answered(self, request: Request, route: str, status: int, started: float) -> None:
        """Count a request, and say so in one line."""
        seconds = time.perf_counter() - started
        access = getattr(request.state, "access", None)
        figures = self.figures(access.flywheel if access and access.wheel is not None else "")
        figures.requests.labels(route, request.method, str(status)).inc()
        figures.seconds.labels(route).observe(seconds)
        if not _logger.isEnabledFor(logging.INFO):
            return
        taken = getattr(request.state, "taken", None)
        line: dict[str, Any] = {
            "event": "request",
            "route": route,
            "method": request.method,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "flywheel": access.flywheel if access else None,
            "key": access.key if access else None,
        }
        if taken is not None:
            line |= {"received": taken.received, **{name: getattr(taken, name) for name in _OUTCOMES}}
        _logger.info("request", extra={"line": line})

    def store_failed(self, route: str, problem: Exception) -> None:
        """Tell the operator what the store said; the client is told only that it did not take the call."""
        line = {"event": "store", "route": route, "type": type(problem).__name__, "message": str(problem)}
        _logger.error("store", extra={"line": line})

    def defect(self, route: str, problem: BaseException) -> None:
        """Count an error nobody foresaw and say where it happened: files and lines, no values."""
        self.figures("").defects.labels(route).inc()
        frames = traceback.extract_tb(problem.__traceback__)
        line = {
            "event": "defect",
            "route": route,
            "type": type(problem).__name__,
            "at_lines": [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-8:]],
        }
        _logger.error("defect", extra={"line": line})

    def page(self, name: str, wheel: Flywheel, held: int, *, alone: bool) -> bytes:
        """One flywheel's figures in Prometheus' text form; of a server's only one (`alone`) also the door's."""
        figures = self.figures(name)
        figures.queue.set(held)
        for entry, value in wheel.books().items():
            figures.books.labels(name, entry).set(value)
        page = generate_latest(figures.registry)
        if alone and "" in self._of:
            page += generate_latest(self._of[""].registry).replace(b"flywheel_", b"flywheel_door_")
        return page


class Lines(logging.Formatter):
    """Log records as JSON, one a line: time, level, event and figures."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        known = getattr(record, "line", None) or {"event": record.name, "message": record.getMessage()}
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps({"at": at, "level": record.levelname.lower(), **known}, ensure_ascii=False)
