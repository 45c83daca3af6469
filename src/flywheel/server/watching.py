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


class Watching:
    """The figures of one server. Labels are routes, status codes and flywheels' names: nothing a client chooses."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "flywheel_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "flywheel_request_seconds", "Time from request to answer.", ["route"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._records = Counter(
            "flywheel_records", "Records received since this process began, by what became of them.",
            ["flywheel", "outcome"], registry=self.registry,
        )  # fmt: skip
        self._books = Gauge(
            "flywheel_books", "The durable books of each flywheel.", ["flywheel", "entry"], registry=self.registry
        )
        self._queue = Gauge("flywheel_queue_bytes", "Bytes that wait for the disk.", registry=self.registry)
        self._defects = Counter("flywheel_defects", "Errors nobody foresaw.", ["route"], registry=self.registry)

    def took(self, flywheel: str, taken: Taken) -> None:
        """Count what became of a batch."""
        for outcome in _OUTCOMES:
            count = getattr(taken, outcome)
            if count:
                self._records.labels(flywheel, outcome).inc(count)

    def answered(self, request: Request, route: str, status: int, started: float) -> None:
        """Count a request, and say so in one line."""
        seconds = time.perf_counter() - started
        self._requests.labels(route, request.method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if not _logger.isEnabledFor(logging.INFO):
            return
        access = getattr(request.state, "access", None)
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

    def defect(self, route: str, problem: BaseException) -> None:
        """Count an error nobody foresaw and say where it happened: files and lines, no values."""
        self._defects.labels(route).inc()
        frames = traceback.extract_tb(problem.__traceback__)
        line = {
            "event": "defect",
            "route": route,
            "type": type(problem).__name__,
            "at_lines": [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-8:]],
        }
        _logger.error("defect", extra={"line": line})

    def page(self, wheels: dict[str, Flywheel], held: int) -> bytes:
        """Everything in Prometheus' text form."""
        self._queue.set(held)
        for name, wheel in wheels.items():
            for entry, value in wheel.books().items():
                self._books.labels(name, entry).set(value)
        return generate_latest(self.registry)


class Lines(logging.Formatter):
    """Log records as JSON, one a line: time, level, event and figures."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        known = getattr(record, "line", None) or {"event": record.name, "message": record.getMessage()}
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps({"at": at, "level": record.levelname.lower(), **known}, ensure_ascii=False)
