"""From a problem to an answer: one table of status codes for every protocol."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flywheel import errors

__all__ = ["STORE_ERRORS", "Problem", "as_json", "defect", "problem_of"]

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (errors.UnsupportedMedia, 415),
    (errors.Undecodable, 400),
    (errors.TooLarge, 413),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.RateLimited, 429),
    (errors.CorruptStore, 500),
    (errors.Retryable, 503),
    (errors.InvalidRecord, 422),
    (errors.InvalidConfig, 422),
    (errors.Permanent, 422),
)


STORE_ERRORS = (errors.StoreBusy, errors.StoreUnavailable, errors.CorruptStore)
"""What they say is for the operator: it names paths and databases."""
_STORE = "the store did not take the call, and nothing of it was stored. The server's log says why; try again later"


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, in the terms of HTTP. `retry_after` in seconds, where trying again may help."""

    status: int
    kind: str
    message: str
    retry_after: float | None = None
    headers: dict[str, str] | None = None

    @property
    def retryable(self) -> bool:
        """May the same request work later?"""
        return self.status in (429, 502, 503, 504)

    def all_headers(self) -> dict[str, str]:
        """The headers that go with it."""
        found = dict(self.headers or {})
        if self.retry_after is not None:
            found["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        if self.status == 401:
            found["WWW-Authenticate"] = 'Bearer realm="flywheel"'
        return found


def problem_of(problem: Exception) -> Problem:
    """Hold an error against the table."""
    if isinstance(problem, HTTPException):
        return Problem(problem.status_code, "HTTPError", str(problem.detail), headers=dict(problem.headers or {}))
    if isinstance(problem, RequestValidationError):
        first = problem.errors()[0] if problem.errors() else {"loc": (), "msg": "unknown"}
        place = ".".join(str(part) for part in first.get("loc", ()))
        return Problem(422, "InvalidRequest", f"{place}: {first.get('msg', '')}. See /openapi.json for what it takes")
    status = next((code for kind, code in _STATUS if isinstance(problem, kind)), 500)
    after = getattr(problem, "retry_after", 1.0) if status in (429, 503) else None
    told = _STORE if isinstance(problem, STORE_ERRORS) else str(problem)
    return Problem(status, type(problem).__name__, told, after)


def defect() -> Problem:
    """An error nobody foresaw: the client learns nothing but that it is ours."""
    return Problem(500, "Defect", "this is a defect of Flywheel, not yours; what was acknowledged before is on disk")


def as_json(_request: Request, problem: Problem) -> Response:
    """The form of this server's own routes."""
    body: dict[str, Any] = {"error": {"type": problem.kind, "message": problem.message, "retryable": problem.retryable}}
    return JSONResponse(body, problem.status, headers=problem.all_headers())
